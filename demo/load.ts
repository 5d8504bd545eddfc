// Runs a TypeScript driver that compiles, or the mistakes that do not: types are stripped, what they say is not enforced.
import { mkdirSync, mkdtempSync, readFileSync, writeFileSync } from "node:fs";
import { basename, dirname } from "node:path";
import { pathToFileURL } from "node:url";
import { inspect } from "node:util";
import ts from "typescript";
import { in_repo } from "./paths.js";
import type { Transfer } from "./transfer.js";

/** The functions that a driver exports, by name. */
export async function load_driver(file: string): Promise<Record<string, unknown>> {
  const source = readFileSync(file, "utf8");
  const { outputText } = ts.transpileModule(source, {
    fileName: file,
    compilerOptions: {
      target: ts.ScriptTarget.ES2022,
      module: ts.ModuleKind.ESNext,
      inlineSourceMap: true,
      sourceRoot: pathToFileURL(`${dirname(file)}/`).href,
    },
  });
  // Inside the repository, where both packages are found; a folder each, since two drivers may have one name.
  mkdirSync(in_repo(".build/drivers"), { recursive: true });
  const output = `${mkdtempSync(in_repo(".build/drivers/"))}/${basename(file, ".ts")}.mjs`;
  writeFileSync(output, outputText);
  return (await import(pathToFileURL(output).href)) as Record<string, unknown>;
}
/** One of them, which must be a function. */
export function transfer_of(exports: Record<string, unknown>, name: string): Transfer {
  const found = exports[name];
  if (typeof found !== "function") throw new Error(`it exports no function ${name}()`);
  return found as Transfer;
}
/** What went wrong in one or more lines, and where in `file`, if it was there. */
export function explained(error: unknown, file: string): string {
  if (!(error instanceof Error)) return `it threw ${inspect(error)}`;
  const frame = error.stack
    ?.split("\n")
    .find((line) => /^\s+at /.test(line) && line.includes(basename(file)));
  const place = frame === undefined ? undefined : /(\d+):\d+\)?$/.exec(frame)?.[1];
  const at = place === undefined ? "" : ` (${basename(file)}, line ${place})`;
  return `${error.name}: ${error.message}${at}`;
}
