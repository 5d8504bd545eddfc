// Type-checks drivers with the TypeScript API, and shows each message beside the line it refers to.
import { relative } from "node:path";
import ts from "typescript";
import { MISUSE, type MisuseId } from "user-page";
import { in_repo } from "./paths.js";

const OPTIONS: ts.CompilerOptions = {
  target: ts.ScriptTarget.ES2022,
  lib: ["lib.es2022.d.ts", "lib.esnext.disposable.d.ts"],
  module: ts.ModuleKind.NodeNext,
  moduleResolution: ts.ModuleResolutionKind.NodeNext,
  strict: true,
  exactOptionalPropertyTypes: true,
  noUncheckedIndexedAccess: true,
  noEmit: true,
  types: [],
  paths: { "user-page": [in_repo("dist/index.d.ts")] },
};

export interface Finding {
  /** 1 and more */
  readonly line: number;
  readonly source: string;
  /** first line of what the compiler prints */
  readonly message: string;
}
/** What plain tsc says to one file. */
export function check(file: string): Finding[] {
  const program = ts.createProgram([file], OPTIONS);
  return ts.getPreEmitDiagnostics(program).map((diagnostic) => {
    const text = ts.flattenDiagnosticMessageText(diagnostic.messageText, "\n").split("\n")[0] ?? "";
    const message = `error TS${diagnostic.code}: ${text}`;
    if (!diagnostic.file || diagnostic.start === undefined) return { line: 0, source: "", message };
    const { line } = diagnostic.file.getLineAndCharacterOfPosition(diagnostic.start);
    const source = diagnostic.file.text.split("\n")[line] ?? "";
    return { line: line + 1, source: source.trim(), message };
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
