/** Runs the three compilers over files that a test makes, all of them in one program. */
import { spawnSync } from "node:child_process";
import { existsSync, mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { basename, join } from "node:path";
import { fileURLToPath } from "node:url";
import { afterAll } from "vitest";

export const ROOT = fileURLToPath(new URL("../../", import.meta.url));

export const COMPILERS = {
  "5.9": "@tsd/typescript/typescript/lib/_tsc.js",
  "6.0": "typescript/lib/tsc.js",
  "7.0": "typescript-7/bin/tsc",
} as const;
export type Compiler = keyof typeof COMPILERS;
export const COMPILER_NAMES = Object.keys(COMPILERS) as Compiler[];

export interface Compiled {
  /** of each file with errors: the first line of each error, without the position */
  readonly errors: ReadonlyMap<string, readonly string[]>;
  /** what --extendedDiagnostics counts as instantiations of types */
  readonly instantiations: number;
}

const CACHE = join(ROOT, "node_modules", ".cache");
let declared: string | undefined;
afterAll(() => {
  if (declared !== undefined) rmSync(declared, { recursive: true });
});
/** The declarations that users get, emitted once for each test file. */
function declarations(): string {
  if (declared !== undefined) return declared;
  mkdirSync(CACHE, { recursive: true });
  const folder = mkdtempSync(join(CACHE, "declarations-"));
  const tsc = join(ROOT, "node_modules", COMPILERS["7.0"]);
  const args = [tsc, "-p", ROOT, "--emitDeclarationOnly", "--declarationMap", "false"];
  const { stdout } = spawnSync(process.execPath, [...args, "--outDir", folder], {
    encoding: "utf8",
  });
  if (!existsSync(join(folder, "index.d.ts"))) throw new Error(`no declarations: ${stdout}`);
  return (declared = folder);
}

/**
 * Type-checks `files` (name → text) as code that imports "user-page", with the options of the repository.
 *
 * @param options - compiler options that differ
 */
export function compile(
  compiler: Compiler,
  files: ReadonlyMap<string, string>,
  options: Record<string, unknown> = {},
): Compiled {
  const index = join(declarations(), "index.d.ts");
  const folder = mkdtempSync(join(CACHE, "types-"));
  try {
    for (const [name, text] of files) writeFileSync(join(folder, name), text);
    const config = {
      extends: "../../../tsconfig.check.json",
      compilerOptions: {
        rootDir: "../../..",
        allowJs: false,
        checkJs: false,
        types: ["node"],
        paths: { "user-page": [index] },
        ...options,
      },
      include: ["*.ts"],
      exclude: [],
    };
    writeFileSync(join(folder, "tsconfig.json"), JSON.stringify(config));
    const tsc = join(ROOT, "node_modules", COMPILERS[compiler]);
    const { stdout } = spawnSync(
      process.execPath,
      [tsc, "-p", folder, "--pretty", "false", "--extendedDiagnostics"],
      { cwd: folder, encoding: "utf8", maxBuffer: 1 << 26 },
    );
    return parse(stdout);
  } finally {
    rmSync(folder, { recursive: true });
  }
}
function parse(stdout: string): Compiled {
  const errors = new Map<string, string[]>();
  let instantiations = NaN;
  for (const line of stdout.split("\n")) {
    const error = /^(\S.*?)(?:\(\d+,\d+\))?: error (TS\d+: .*)$/.exec(line);
    // Of the file only its name: where node_modules is a link, the compiler writes the way from there.
    const file = basename(error?.[1] ?? "");
    if (error) errors.set(file, [...(errors.get(file) ?? []), error[2]!]);
    else if (/^error /.test(line)) errors.set("", [...(errors.get("") ?? []), line]);
    const count = /^Instantiations:\s+(\d+)/.exec(line);
    if (count) instantiations = Number(count[1]);
  }
  if (Number.isNaN(instantiations)) throw new Error(`the compiler did not run: ${stdout}`);
  return { errors, instantiations };
}
