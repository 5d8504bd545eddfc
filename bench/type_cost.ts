/** What the types cost the compiler, against the same functions over plain brands. */
import { spawnSync } from "node:child_process";
import { mkdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { ratio, type Ratio } from "./driver.js";

const COMPILERS = {
  "TypeScript 6": "node_modules/typescript/bin/tsc",
  "TypeScript 7": "node_modules/typescript-7/bin/tsc",
};
type Compiler = keyof typeof COMPILERS;
type Types = "ours" | "plain";

/** The functions that are called, with handles that are only branded. */
const PLAIN = `import type { Brand } from "ts-brand";
import type { Task, UserAddr } from "user-page";
export type Dir = "source" | "dest";
declare const dir: unique symbol;
export type OwnedUserPage<D extends Dir = Dir> = Brand<unknown, "user page"> & { readonly [dir]: D };
export interface GupError { readonly errno: string; readonly message: string }
export declare const ITER_DEST: "dest";
export declare function get_user_page<D extends Dir>(
  current: Task, addr: UserAddr, dir: D): OwnedUserPage<D> | GupError;
export declare function IS_ERR<T>(x: T): x is Extract<T, GupError>;
export declare function page_ref_count(page: OwnedUserPage): number;
export declare function put_user_page(page: OwnedUserPage): void;
`;
/** A handle that the caller gives: five calls, of which the last spends it. */
const RELEASE = (i: number): string => `export function f${i}(page: OwnedUserPage): number {
  const n = page_ref_count(page) + page_ref_count(page) + page_ref_count(page) + page_ref_count(page);
  put_user_page(page);
  return n;
}
`;
/** A whole life: five calls, of which two are of generic functions. */
const LIFE = (i: number): string => `export function f${i}(current: Task, addr: UserAddr): number {
  const page = get_user_page(current, addr, ITER_DEST);
  if (IS_ERR(page)) return -14;
  const n = page_ref_count(page) + page_ref_count(page);
  put_user_page(page);
  return n;
}
`;
const SHAPES = { release: RELEASE, life: LIFE };
export type Shape = keyof typeof SHAPES;

interface Diagnostics {
  readonly instantiations: number;
  readonly check_seconds: number;
}
function project(root: string, into: string, types: Types, shape: Shape, sites: number): string {
  const folder = join(into, `${types}-${shape}-${sites}`);
  mkdirSync(folder, { recursive: true });
  const names =
    "get_user_page, IS_ERR, ITER_DEST, page_ref_count, put_user_page, type OwnedUserPage";
  const from = types === "ours" ? "user-page" : "./plain.js";
  const head = `import { ${names} } from "${from}";
import type { Task, UserAddr } from "user-page";
export const used = [get_user_page, IS_ERR, ITER_DEST];
export type Used = [Task, UserAddr, OwnedUserPage];
`;
  writeFileSync(join(folder, "plain.d.ts"), PLAIN);
  const functions = Array.from({ length: sites / 5 }, (_, i) => SHAPES[shape](i));
  writeFileSync(join(folder, "main.ts"), head + functions.join(""));
  const config = {
    compilerOptions: {
      target: "es2022",
      module: "nodenext",
      lib: ["es2022", "esnext.disposable"],
      types: [],
      strict: true,
      exactOptionalPropertyTypes: true,
      noUncheckedIndexedAccess: true,
      skipLibCheck: true,
      noEmit: true,
      paths: {
        "user-page": [join(root, "dist/index.d.ts")],
        "ts-brand": [join(root, "node_modules/ts-brand")],
      },
    },
    files: ["main.ts"],
  };
  writeFileSync(join(folder, "tsconfig.json"), JSON.stringify(config));
  return folder;
}
function check(root: string, compiler: Compiler, folder: string): Diagnostics {
  const tsc = join(root, COMPILERS[compiler]);
  const { status, stdout } = spawnSync(
    process.execPath,
    [tsc, "-p", folder, "--extendedDiagnostics"],
    { encoding: "utf8" },
  );
  const instantiations = /^Instantiations:\s+([\d,]+)/m.exec(stdout);
  const check_time = /^Check time:\s+([\d.]+)s/m.exec(stdout);
  if (status !== 0 || !instantiations || !check_time) {
    throw new Error(`${compiler}, ${folder}:\n${stdout.slice(0, 2000)}`);
  }
  return {
    instantiations: Number(instantiations[1]!.replaceAll(",", "")),
    check_seconds: Number(check_time[1]),
  };
}

export interface TypeCost {
  readonly compiler: Compiler;
  readonly shape: Shape;
  /** for each call site more */
  readonly instantiations: Record<Types, number>;
  /** check time at the largest size, ours ÷ plain */
  readonly check_time: Ratio;
}
/** Interleaved: both types and both compilers in each round. */
export function type_cost(
  root: string,
  into: string,
  rounds: number,
  shapes: readonly Shape[],
): TypeCost[] {
  const sizes = [500, 2000, 8000] as const;
  const kinds: readonly Types[] = ["ours", "plain"];
  const cases = shapes.flatMap((shape) =>
    (Object.keys(COMPILERS) as Compiler[]).map((compiler) => ({ shape, compiler })),
  );
  const measured = cases.map(({ shape, compiler }) => {
    const folders = (sites: number): Record<Types, string> => ({
      ours: project(root, into, "ours", shape, sites),
      plain: project(root, into, "plain", shape, sites),
    });
    const [small, middle, large] = sizes.map(folders);
    const slope = (types: Types): number => {
      const [a, b, c] = [small!, middle!, large!].map(
        (folder) => check(root, compiler, folder[types]).instantiations,
      );
      const per_site = (c! - b!) / (sizes[2] - sizes[1]);
      if (Math.abs((b! - a!) / (sizes[1] - sizes[0]) - per_site) > 0.01) {
        throw new Error(`${compiler}: instantiations are not linear: ${a}, ${b}, ${c}`);
      }
      return per_site;
    };
    const instantiations = { ours: slope("ours"), plain: slope("plain") };
    const seconds: Record<Types, number[]> = { ours: [], plain: [] };
    return { shape, compiler, instantiations, large: large!, seconds };
  });
  for (let round = 0; round < rounds; round++) {
    for (const { compiler, large, seconds } of measured) {
      for (let i = 0; i < kinds.length; i++) {
        const types = kinds[(i + round) % kinds.length]!;
        seconds[types].push(check(root, compiler, large[types]).check_seconds);
      }
    }
  }
  return measured.map(({ shape, compiler, instantiations, seconds }) => ({
    shape,
    compiler,
    instantiations,
    check_time: ratio(seconds.ours, seconds.plain),
  }));
}
