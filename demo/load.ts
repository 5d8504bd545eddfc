// The functions of a loaded driver.
import { basename } from "node:path";
import { place_in, thrown_text } from "../cli/load.js";
import type { Transfer } from "./transfer.js";

/** One of what a driver exports, which must be a function. */
export function transfer_of(exports: Record<string, unknown>, name: string): Transfer {
  const found = exports[name];
  if (typeof found !== "function") throw new Error(`it exports no function ${name}()`);
  return found as Transfer;
}
/** What went wrong in one or more lines, and where in `file`, if it was there. */
export function explained(error: unknown, file: string): string {
  const stack = error instanceof Error ? error.stack : undefined;
  const line = place_in(stack, (path) => path === file)
    ?.split(":")
    .at(-2);
  const at = line === undefined ? "" : ` (${basename(file)}, line ${line})`;
  return `${thrown_text(error)}${at}`;
}
