/** All code of the documentation as one TypeScript program, and the public API as the compiler sees it. */
import { join } from "node:path";
import ts from "typescript";
import { ROOT, type Block } from "./blocks.js";

const INDEX = join(ROOT, "src/index.ts");
const OPTIONS: ts.CompilerOptions = {
  target: ts.ScriptTarget.ES2022,
  lib: ["lib.es2022.d.ts", "lib.esnext.disposable.d.ts"],
  module: ts.ModuleKind.NodeNext,
  moduleResolution: ts.ModuleResolutionKind.NodeNext,
  strict: true,
  exactOptionalPropertyTypes: true,
  noUncheckedIndexedAccess: true,
  skipLibCheck: true,
  noEmit: true,
  types: ["node"],
  paths: { "user-page": [INDEX] },
};
/** What is there in every block, so that a short one can be short. */
const PRELUDE = [
  'declare const machine: import("user-page").Machine;',
  'declare const current: import("user-page").Task;',
  'declare const buf: import("user-page").UserAddr;',
  'declare const disk: import("user-page").BlockDevice;',
  "declare const console: { log(...values: unknown[]): void };",
].join(" ");

/** An export of the library: its documentation, and how it is called if it is a function. */
export interface Export {
  readonly name: string;
  readonly is_type: boolean;
  readonly docs: string;
  /** null: no function */
  readonly signature: string | null;
  readonly examples: readonly Block[];
}
function export_of(checker: ts.TypeChecker, symbol: ts.Symbol): Export {
  const target = symbol.flags & ts.SymbolFlags.Alias ? checker.getAliasedSymbol(symbol) : symbol;
  const declaration = target.declarations?.[0];
  const { name } = symbol;
  const is_value = (target.flags & ts.SymbolFlags.Value) !== 0;
  const type = is_value ? checker.getTypeOfSymbol(target) : null;
  const call = type?.getCallSignatures()[0];
  const file = declaration?.getSourceFile().fileName.slice(ROOT.length) ?? "";
  const examples = target
    .getJsDocTags(checker)
    .filter((tag) => tag.name === "example")
    .map((tag) => ({
      where: `${file} ${name}()`,
      mode: "run" as const,
      code: ts.displayPartsToString(tag.text),
      shown: null,
    }));
  return {
    name,
    is_type: !is_value,
    docs: ts.displayPartsToString(target.getDocumentationComment(checker)),
    signature: call ? checker.signatureToString(call) : null,
    examples,
  };
}
let base: ts.Program | undefined;
let found: Export[] | undefined;
/** What src/index.ts exports. */
export function exports_of_index(): readonly Export[] {
  if (found) return found;
  base = ts.createProgram([INDEX], OPTIONS);
  const checker = base.getTypeChecker();
  const index = checker.getSymbolAtLocation(base.getSourceFile(INDEX)!)!;
  return (found = checker.getExportsOfModule(index).map((symbol) => export_of(checker, symbol)));
}

/**
 * A block as a module: its imports, those it does not make itself, and the rest in a function, so that `return` is
 * allowed.  Line n of the block is line n + 1 of the module.
 */
export function module_of(block: Block): string {
  const lines = block.code.split("\n");
  const imports: string[] = [];
  const body: string[] = [];
  let inside = false;
  for (const line of lines) {
    if (!inside && /^import\b/.test(line)) inside = true;
    if (inside) {
      imports.push(line);
      if (line.includes(" from ")) inside = false;
      body.push("");
    } else body.push(line);
  }
  const own = imports.join(" ");
  const names = exports_of_index()
    .filter(({ name }) => !new RegExp(`\\b${name}\\b`).test(own))
    .map(({ name, is_type }) => (is_type ? `type ${name}` : name));
  const rest = names.length > 0 ? `import { ${names.join(", ")} } from "user-page";` : "";
  return `${own} ${rest} ${PRELUDE} export function example(): unknown {\n${body.join("\n")}\nreturn;\n}\n`;
}

export interface Complaint {
  /** of the block, from 1 */
  readonly line: number;
  /** TS number and first line of the message */
  readonly text: string;
}
/** Compiles all blocks together; what the compiler says to each. */
export function compile(blocks: readonly Block[]): Map<Block, Complaint[]> {
  exports_of_index();
  const files = new Map<string, Block>();
  const sources = new Map<string, string>();
  blocks.forEach((block, index) => {
    const name = join(ROOT, "test/compilers/docs", `block-${index}.ts`);
    files.set(name, block);
    sources.set(name, module_of(block));
  });
  const host = ts.createCompilerHost(OPTIONS);
  const disk = ts.createCompilerHost(OPTIONS);
  host.fileExists = (name) => sources.has(name) || disk.fileExists(name);
  host.readFile = (name) => sources.get(name) ?? disk.readFile(name);
  host.getSourceFile = (name, version, ...rest) => {
    const source = sources.get(name);
    if (source !== undefined) return ts.createSourceFile(name, source, version);
    return base?.getSourceFile(name) ?? disk.getSourceFile(name, version, ...rest);
  };
  const program = ts.createProgram([...files.keys()], OPTIONS, host);
  const complaints = new Map<Block, Complaint[]>(blocks.map((block) => [block, []]));
  for (const [name, block] of files) {
    const file = program.getSourceFile(name)!;
    const all = [...program.getSyntacticDiagnostics(file), ...program.getSemanticDiagnostics(file)];
    for (const { start, code, messageText } of all) {
      const { line } = file.getLineAndCharacterOfPosition(start ?? 0);
      const text = ts.flattenDiagnosticMessageText(messageText, "\n").split("\n")[0]!;
      complaints.get(block)!.push({ line, text: `TS${code}: ${text}` });
    }
  }
  return complaints;
}
/** A message with the members of each union in order: compilers, and programs of one compiler, order them differently. */
export function ordered(message: string): string {
  return message.replace(
    /'([^']*)'/g,
    (_, type: string) => `'${type.split(" | ").sort().join(" | ")}'`,
  );
}
