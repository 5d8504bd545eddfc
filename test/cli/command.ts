/** Runs the command as people do, from the build, in folders of their own. */
import { spawn } from "node:child_process";
import {
  cpSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  realpathSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { afterAll } from "vitest";

export const ROOT = fileURLToPath(new URL("../../", import.meta.url));
const MAIN = join(ROOT, "dist/cli/main.js");

export interface Said {
  readonly code: number | null;
  readonly out: string;
  readonly err: string;
}
/** One command; it has a minute. */
export function user_page(cwd: string, ...args: string[]): Promise<Said> {
  if (!existsSync(MAIN)) throw new Error("no dist/cli: npm run build");
  return new Promise((done) => {
    const child = spawn(process.execPath, [MAIN, ...args], { cwd, timeout: 60_000 });
    let [out, err] = ["", ""];
    child.stdout.setEncoding("utf8").on("data", (text: string) => (out += text));
    child.stderr.setEncoding("utf8").on("data", (text: string) => (err += text));
    child.on("close", (code) => done({ code, out, err }));
  });
}
/** The document that `--json` prints. */
export async function document_of(
  cwd: string,
  ...args: string[]
): Promise<{ code: number | null; json: never }> {
  const { code, out, err } = await user_page(cwd, ...args, "--json");
  try {
    return { code, json: JSON.parse(out) as never };
  } catch {
    throw new Error(`no document: ${out}${err}`);
  }
}

/** Folders of the compilers as `typescript`, by version. */
export const COMPILERS: Readonly<Record<string, string>> = {
  "5.9": "@tsd/typescript/typescript",
  "6.0": "typescript",
  "7.0": "typescript-7",
};
const made: string[] = [];
afterAll(() => {
  for (const folder of made) rmSync(folder, { recursive: true });
});
/** A project of somebody else with these files, and a compiler: nothing of ours is installed there. */
export function project(files: Readonly<Record<string, string>>, compiler = "7.0"): string {
  const folder = realpathSync(mkdtempSync(join(tmpdir(), "user-page-cli-")));
  made.push(folder);
  writeFileSync(join(folder, "package.json"), '{ "private": true }');
  for (const [name, text] of Object.entries(files)) writeFileSync(join(folder, name), text);
  mkdirSync(join(folder, "node_modules"));
  const from = join(ROOT, "node_modules", COMPILERS[compiler]!);
  const to = join(folder, "node_modules/typescript");
  if (compiler === "5.9") {
    // The one that tsd carries has no program to run, only what it would run.
    mkdirSync(join(to, "lib"), { recursive: true });
    for (const name of readdirSync(join(from, "lib")))
      if (name.endsWith(".d.ts") || name === "_tsc.js")
        cpSync(join(from, "lib", name), join(to, "lib", name));
    writeFileSync(join(to, "lib/tsc.js"), 'require("./_tsc.js");\n');
    writeFileSync(join(to, "package.json"), '{ "name": "typescript", "version": "5.9.3" }');
  } else symlinkSync(from, to);
  return folder;
}
const DRIVERS = join(ROOT, "test/cli/drivers");
/** A project with drivers of ours. */
export const project_of = (...names: string[]): string =>
  project(
    Object.fromEntries(names.map((name) => [name, readFileSync(join(DRIVERS, name), "utf8")])),
  );

/** Where the bugs of a driver are: `// BUG id` marks a line. */
export function marked(name: string): Map<string, number> {
  const lines = readFileSync(join(DRIVERS, name), "utf8").split("\n");
  const found = new Map<string, number>();
  lines.forEach((line, i) => {
    const id = / \/\/ BUG (\S+)$/.exec(line)?.[1];
    if (id !== undefined) found.set(id, i + 1);
  });
  return found;
}
