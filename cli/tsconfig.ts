// The configuration that drivers are compiled with: the user's own where there is one, and what loading the result needs.
import { existsSync, writeFileSync } from "node:fs";
import { dirname, join, parse } from "node:path";
import { installed_folder, package_folder } from "./compiler.js";
import { in_package, ROOT } from "./root.js";

const LIBRARY = JSON.stringify(in_package("dist/index.js"));
/** Not a rule of the compiler: fails if the types of this library are not what they should be. */
export const LIBRARY_IS_READ = "user-page";
/** Rules of the compiler without which the types say less; each is asked in a line that fails where it is on. */
export const RULES: Readonly<Record<string, string>> = {
  strictNullChecks: "export const a: string = null;",
  strictFunctionTypes: "export const b: (x: string | number) => void = (x: string) => x;",
  noUncheckedIndexedAccess: "export const c: string = ([] as string[])[0];",
  [LIBRARY_IS_READ]: `export const d: import(${LIBRARY}).Page = {} as import(${LIBRARY}).UserPage;`,
};
const STRICT = {
  strict: true,
  exactOptionalPropertyTypes: true,
  noUncheckedIndexedAccess: true,
  lib: ["es2022", "esnext.disposable"],
};
/** How the code comes out, whatever the user builds for: modules that this Node can import, beside each its map. */
const EMITTED = {
  target: "es2022",
  module: "esnext",
  moduleResolution: "bundler",
  allowImportingTsExtensions: true,
  rewriteRelativeImportExtensions: true,
  noEmitOnError: false,
  sourceMap: true,
  inlineSourceMap: false,
  inlineSources: false,
  declaration: false,
  declarationMap: false,
  emitDeclarationOnly: false,
  isolatedDeclarations: false,
  composite: false,
  incremental: false,
  tsBuildInfoFile: null,
  declarationDir: null,
  outFile: null,
  skipLibCheck: true,
};
const CONSOLE = `declare const console: Record<"debug" | "error" | "info" | "log" | "table" | "warn", (...what: unknown[]) => void>;\n`;

/** The nearest tsconfig.json of a folder, or null. */
export function find_config(from: string): string | null {
  for (let folder = from; ; folder = dirname(folder)) {
    const found = join(folder, "tsconfig.json");
    if (existsSync(found)) return found;
    // Above a project's root is somebody else's project.
    if (dirname(folder) === folder || existsSync(join(folder, "package.json"))) return null;
  }
}
function above(from: string, path: string): string[] {
  const found: string[] = [];
  for (let folder = from; ; folder = dirname(folder)) {
    if (existsSync(join(folder, path))) found.push(join(folder, path));
    if (dirname(folder) === folder) return found;
  }
}
/** What the driver imports is what it will run with: this package, unless it finds the very same one itself. */
function paths_for(folder: string): Record<string, string[]> {
  const paths: Record<string, string[]> = {};
  if (package_folder("user-page", folder) !== ROOT)
    paths["user-page"] = [in_package("dist/index.d.ts")];
  const ours = installed_folder("neverthrow", ROOT);
  if (installed_folder("neverthrow", folder) === null && ours !== null)
    paths["neverthrow"] = [join(ours, "dist/index.d.ts")];
  return paths;
}
export interface Configured {
  readonly config: string;
  /** the line of the file of rules at which each fails */
  readonly rules_file: string;
}
/** Writes a configuration for these files into `work`; `user` is the one to extend, if any. */
export function write_config(
  files: readonly string[],
  user: string | null,
  work: string,
  emit: boolean,
): Configured {
  const folder = dirname(files[0]!);
  const rules_file = join(work, "rules.ts");
  const rules = Object.entries(RULES).map(
    ([name, code]) => `// @ts-expect-error ${name}\n${code}\n`,
  );
  writeFileSync(rules_file, rules.join(""));
  // The nearest first; ours are there for a driver that lies outside of every project.
  const near = above(user === null ? folder : dirname(user), "node_modules/@types");
  const type_roots = [...new Set([...near, ...above(ROOT, "node_modules/@types")])];
  const extra: string[] = [];
  const types: { types?: string[] } = {};
  if (user === null) {
    const has_node = type_roots.some((root) => existsSync(join(root, "node")));
    if (has_node) types.types = ["node"];
    else {
      types.types = [];
      extra.push(join(work, "console.d.ts"));
      writeFileSync(extra[0]!, CONSOLE);
    }
  }
  const paths = paths_for(folder);
  const config = {
    ...(user === null ? {} : { extends: user }),
    files: [...files, rules_file, ...extra],
    include: [],
    references: [],
    compilerOptions: {
      ...(user === null ? STRICT : {}),
      ...EMITTED,
      ...types,
      typeRoots: type_roots,
      ...(Object.keys(paths).length > 0 ? { paths } : {}),
      noEmit: !emit,
      rootDir: parse(folder).root,
      outDir: join(work, "out"),
    },
  };
  const file = join(work, "tsconfig.json");
  writeFileSync(file, JSON.stringify(config));
  return { config: file, rules_file };
}
