// What the compiler says to drivers, and that they export what the demonstration calls.
import { readFileSync, writeFileSync } from "node:fs";
import { basename, join } from "node:path";
import { MISUSE, type MisuseId } from "user-page";
import { compile, type Compiled, type Diagnostic } from "../cli/compile.js";
import { in_package } from "../cli/root.js";

export interface Finding {
  /** 1 and more */
  readonly line: number;
  readonly source: string;
  /** first line of what the compiler prints */
  readonly message: string;
}
/** Compiles them together, and under "strict": a driver may be anywhere, and has no say in this. */
export const compile_drivers = (...files: string[]): Promise<Compiled> =>
  compile(files, { emit: true, with_config: false });

/** What plain tsc said, with the lines it refers to; of other files than `file` with their names. */
export function findings_of(diagnostics: readonly Diagnostic[], file: string): Finding[] {
  return diagnostics.map((diagnostic) => {
    const message = `error ${diagnostic.code}: ${diagnostic.message}`;
    if (diagnostic.file === null) return { line: 0, source: "", message };
    const source = readFileSync(diagnostic.file, "utf8").split("\n")[diagnostic.line - 1] ?? "";
    const place = diagnostic.file === file ? "" : `${basename(diagnostic.file)}: `;
    const wanted = place === "uses.ts: " ? /driver\.(\w+)/.exec(source)?.[1] : undefined;
    const missing = `${basename(file)} has to export ${wanted ?? ""}() of type Transfer (demo/transfer.ts)`;
    const shown = wanted === undefined ? `${place}${source.trim()}` : missing;
    return { line: diagnostic.line, source: shown, message };
  });
}
/** Makes a file that uses a driver, so that the compiler looks at what it exports. */
export function user_of(file: string, folder: string): string {
  const uses = join(folder, "uses.ts");
  writeFileSync(
    uses,
    `import type { Transfer } from ${JSON.stringify(in_package("demo/transfer.js"))};
import * as driver from ${JSON.stringify(file.replace(/\.ts$/, ".js"))};
export const read: Transfer = driver.dio_read;
export const write: Transfer = driver.dio_write;
`,
  );
  return uses;
}
/** Lines of a file that are marked as mistakes, with the misuse id each is an example of. */
export function marked_mistakes(file: string): Map<number, MisuseId> {
  const lines = readFileSync(file, "utf8").split("\n");
  const marked = new Map<number, MisuseId>();
  lines.forEach((line, index) => {
    const id = / \/\/ MISTAKE (\S+)/.exec(line)?.[1];
    if (id !== undefined && id in MISUSE) marked.set(index + 1, id as MisuseId);
  });
  return marked;
}
