// Type-checks drivers with the TypeScript API, and shows each message beside the line it refers to.
import { writeFileSync } from "node:fs";
import { basename, join, relative, resolve } from "node:path";
import ts from "typescript";
import { MISUSE, type MisuseId } from "user-page";
import { in_repo } from "./paths.js";

const OPTIONS: ts.CompilerOptions = {
  target: ts.ScriptTarget.ES2022,
  lib: ["lib.es2022.d.ts", "lib.esnext.disposable.d.ts"],
  module: ts.ModuleKind.ESNext,
  moduleResolution: ts.ModuleResolutionKind.Bundler,
  strict: true,
  exactOptionalPropertyTypes: true,
  noUncheckedIndexedAccess: true,
  noEmit: true,
  skipLibCheck: true,
  // For console; a driver may be anywhere, and finds the same packages.
  types: ["node"],
  typeRoots: [in_repo("node_modules/@types")],
  paths: {
    "user-page": [in_repo("dist/index.d.ts")],
    neverthrow: [in_repo("node_modules/neverthrow/dist/index.d.ts")],
  },
};

export interface Finding {
  /** 1 and more */
  readonly line: number;
  readonly source: string;
  /** first line of what the compiler prints */
  readonly message: string;
}
/** What plain tsc says to one file, and to `more` that uses it. */
export function check(file: string, ...more: string[]): Finding[] {
  const program = ts.createProgram([file, ...more], OPTIONS);
  return ts.getPreEmitDiagnostics(program).map((diagnostic) => {
    const text = ts.flattenDiagnosticMessageText(diagnostic.messageText, "\n").split("\n")[0] ?? "";
    const message = `error TS${diagnostic.code}: ${text}`;
    if (!diagnostic.file || diagnostic.start === undefined) return { line: 0, source: "", message };
    const { line } = diagnostic.file.getLineAndCharacterOfPosition(diagnostic.start);
    const source = diagnostic.file.text.split("\n")[line] ?? "";
    const place =
      resolve(diagnostic.file.fileName) === file ? "" : `${basename(diagnostic.file.fileName)}: `;
    return { line: line + 1, source: `${place}${source.trim()}`, message };
  });
}
/** The same, and that the file exports what the demonstration calls. */
export function check_exports(file: string, folder: string): Finding[] {
  const uses = join(folder, "uses.ts");
  writeFileSync(
    uses,
    `import type { Transfer } from ${JSON.stringify(in_repo("demo/transfer.js"))};
import * as driver from ${JSON.stringify(file.replace(/\.ts$/, ".js"))};
export const read: Transfer = driver.dio_read;
export const write: Transfer = driver.dio_write;
`,
  );
  return check(file, uses).map((finding) => {
    const wanted = /^uses\.ts: .*driver\.(\w+)/.exec(finding.source)?.[1];
    const source = `${basename(file)} has to export ${wanted ?? ""}() of type Transfer (demo/transfer.ts)`;
    return wanted === undefined ? finding : { ...finding, source };
  });
}
/** Lines of a file that are marked as mistakes, with the misuse id each is an example of. */
export function marked_mistakes(file: string): Map<number, MisuseId> {
  const lines = (ts.sys.readFile(file) ?? "").split("\n");
  const marked = new Map<number, MisuseId>();
  lines.forEach((line, index) => {
    const id = / \/\/ MISTAKE (\S+)/.exec(line)?.[1];
    if (id !== undefined && id in MISUSE) marked.set(index + 1, id as MisuseId);
  });
  return marked;
}
export const shown = (file: string): string => relative(process.cwd(), file);
