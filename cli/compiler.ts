// Which TypeScript compiles a driver: that of the driver's project, else that of the current folder, else ours.
import { existsSync, readFileSync, realpathSync } from "node:fs";
import { createRequire } from "node:module";
import { dirname, join } from "node:path";
import { ROOT } from "./root.js";

export interface Compiler {
  /** the program to run with Node: it exists in every version, an API in JavaScript does not */
  readonly tsc: string;
  readonly version: string;
}

/** The folder of a package as seen from a folder, or null. */
export function package_folder(name: string, from: string): string | null {
  try {
    const require = createRequire(join(from, "from.js"));
    return realpathSync(dirname(require.resolve(`${name}/package.json`)));
  } catch {
    return null;
  }
}
/** The nearest folder above that has node_modules/NAME: packages that do not export their package.json. */
export function installed_folder(name: string, from: string): string | null {
  for (let folder = from; ; folder = dirname(folder)) {
    const found = join(folder, "node_modules", name);
    if (existsSync(found)) return realpathSync(found);
    if (dirname(folder) === folder) return null;
  }
}
function compiler_in(folder: string): Compiler | null {
  const tsc = ["lib/tsc.js", "bin/tsc"]
    .map((path) => join(folder, path))
    .find((path) => existsSync(path));
  if (tsc === undefined) return null;
  const text = readFileSync(join(folder, "package.json"), "utf8");
  const { version } = JSON.parse(text) as { version?: unknown };
  return { tsc, version: String(version) };
}
/** The compiler for drivers of a folder, or null if there is none anywhere. */
export function find_compiler(folder: string): Compiler | null {
  for (const from of [folder, process.cwd(), ROOT]) {
    const found = package_folder("typescript", from);
    const compiler = found === null ? null : compiler_in(found);
    if (compiler !== null) return compiler;
  }
  return null;
}
/** The oldest compiler whose messages and options the command knows. */
export const OLDEST = [5, 9] as const;
export function is_too_old({ version }: Compiler): boolean {
  const [major = 0, minor = 0] = version.split(".").map(Number);
  return major < OLDEST[0] || (major === OLDEST[0] && minor < OLDEST[1]);
}
