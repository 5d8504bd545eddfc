// Runs a TypeScript driver, compiles or not: types are stripped, what they say is not enforced.
import { mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { basename, dirname } from "node:path";
import { pathToFileURL } from "node:url";
import type { Result } from "neverthrow";
import ts from "typescript";
import type { BlkError, BlockDevice, GupError, Task, UserAddr } from "user-page";
import { in_repo } from "./paths.js";

/** What a driver file must export. */
export type Transfer = (
  current: Task,
  disk: BlockDevice,
  buf: UserAddr,
  len: number,
  position: number,
) => Result<number, GupError | BlkError>;

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
  const folder = in_repo(".build/drivers");
  mkdirSync(folder, { recursive: true });
  const output = `${folder}/${basename(file, ".ts")}.mjs`;
  writeFileSync(output, outputText);
  return (await import(pathToFileURL(output).href)) as Record<string, unknown>;
}
/** One of them, which must be a function. */
export function transfer_of(
  exports: Record<string, unknown>,
  name: string,
  file: string,
): Transfer {
  const found = exports[name];
  if (typeof found !== "function") throw new Error(`${file} exports no function ${name}()`);
  return found as Transfer;
}
