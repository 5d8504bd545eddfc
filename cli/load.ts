// Imports compiled drivers, so that what they throw points into their sources.
import { register } from "node:module";
import { sep } from "node:path";
import { pathToFileURL } from "node:url";
import { inspect } from "node:util";
import type { HookData } from "./hooks.js";
import { in_package, ROOT, shown } from "./root.js";

let hooked: string | null = null;
/** What a driver exports; `out` is where the compiler put the code.  Only one `out` in a process. */
export async function load_driver(file: string, out: string): Promise<Record<string, unknown>> {
  if (hooked === null) {
    process.setSourceMapsEnabled(true);
    const data: HookData = { out, root: pathToFileURL(`${ROOT}/`).href };
    register("./hooks.js", import.meta.url, { data });
    hooked = out;
  }
  if (hooked !== out) throw new Error("another driver's code was loaded by this process");
  return (await import(pathToFileURL(file).href)) as Record<string, unknown>;
}
const OURS: readonly string[] = ["src", "dist", "cli"].map((name) => in_package(`${name}${sep}`));
/** Whether a file is somebody's source, and not this package's. */
const is_source = (file: string): boolean =>
  /\.[mc]?ts$/.test(file) && !OURS.some((folder) => file.startsWith(folder));

/** The first place of a stack in a source, or in one that is accepted: file:line:column as seen from here, or null. */
export function place_in(
  stack: string | undefined,
  accept: (file: string) => boolean = is_source,
): string | null {
  for (const frame of stack?.split("\n") ?? []) {
    const at = /\(?(?:file:\/\/)?(\/[^()]*|[A-Za-z]:[^()]*):(\d+):(\d+)\)?$/.exec(frame);
    if (at && accept(at[1]!)) return `${shown(decodeURI(at[1]!))}:${at[2]}:${at[3]}`;
  }
  return null;
}
/** What was thrown, in one line. */
export function thrown_text(error: unknown): string {
  return error instanceof Error ? `${error.name}: ${error.message}` : `it threw ${inspect(error)}`;
}
