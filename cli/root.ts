// Where the package lies: the same code runs from dist/cli and from .build/cli.
import { existsSync, readFileSync } from "node:fs";
import { dirname, join, relative, sep } from "node:path";
import { fileURLToPath } from "node:url";

interface Manifest {
  readonly name?: unknown;
  readonly version?: unknown;
}
const read_manifest = (folder: string): Manifest =>
  JSON.parse(readFileSync(join(folder, "package.json"), "utf8")) as Manifest;

function find_root(): string {
  let folder = dirname(fileURLToPath(import.meta.url));
  for (;;) {
    if (existsSync(join(folder, "package.json")) && read_manifest(folder).name === "user-page")
      return folder;
    const above = dirname(folder);
    if (above === folder) throw new Error("the package of this command was not found");
    folder = above;
  }
}
export const ROOT: string = find_root();
export const in_package = (path: string): string => join(ROOT, path);
export const version = (): string => String(read_manifest(ROOT).version);

/** A file as a person in this folder would name it. */
export function shown(file: string): string {
  const path = relative(process.cwd(), file);
  // Far away, the full name is easier to find than a ladder of dots.
  const up = path.split(sep).filter((part) => part === "..").length;
  return path === "" ? "." : up > 3 ? file : path;
}
