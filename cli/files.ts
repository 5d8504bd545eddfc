// The files that a command is given.
import { realpathSync, statSync } from "node:fs";
import { resolve } from "node:path";
import { UsageError } from "./options.js";

/** The absolute name of a file that is there. */
export function existing_file(given: string): string {
  const found = statSync(given, { throwIfNoEntry: false });
  if (found === undefined) throw new UsageError(`no such file: ${given}`);
  if (!found.isFile()) throw new UsageError(`not a file: ${given}`);
  return realpathSync(resolve(given));
}
/** The absolute name of a driver. */
export function existing_driver(given: string): string {
  const file = existing_file(given);
  if (/\.d\.[mc]?ts$/.test(file)) throw new UsageError(`only declarations: ${given}`);
  if (!/\.m?ts$/.test(file)) {
    throw new UsageError(`not a TypeScript module: ${given}; a driver is a file NAME.ts`);
  }
  return file;
}
