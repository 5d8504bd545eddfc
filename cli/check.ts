// user-page check: what the compiler says to drivers, with what it means in the terms of the library.
import { readFileSync } from "node:fs";
import { MISUSE, type MisuseId } from "user-page";
import { compile, type Compiled, type Diagnostic } from "./compile.js";
import { docs_of } from "./explain.js";
import { existing_driver } from "./files.js";
import { callee_at, misuse_of } from "./misuse_of.js";
import { read_options, UsageError } from "./options.js";
import { EXIT, progress, type Answer } from "./output.js";
import { shown, version } from "./root.js";

export interface Finding {
  /** as seen from the current folder; null for what concerns no file */
  readonly file: string | null;
  readonly line: number;
  readonly column: number;
  readonly source: string;
  readonly code: string;
  readonly message: string;
  readonly more: readonly string[];
  readonly id: MisuseId | null;
  readonly hint: string | null;
  /** false: this line leads to the misuse, it is none yet */
  readonly here: boolean;
  readonly docs: string | null;
}
const sources = new Map<string, string>();
function text_of(file: string): string {
  let text = sources.get(file);
  if (text === undefined) sources.set(file, (text = readFileSync(file, "utf8")));
  return text;
}
function to_finding(diagnostic: Diagnostic): Finding {
  const { file, line, column, code, message, more } = diagnostic;
  if (file === null || line === 0) {
    const nothing = { source: "", id: null, hint: null, here: false, docs: null };
    return { file, line, column, code, message, more, ...nothing };
  }
  const text = text_of(file);
  const lines = text.split("\n");
  const before = lines.slice(0, line - 1).reduce((sum, { length }) => sum + length + 1, 0);
  const { id, hint, here } = misuse_of(message, callee_at(text, before + column - 1));
  const source = (lines[line - 1] ?? "").replace(/\r$/, "");
  const docs = id === null ? null : docs_of(id).page;
  return { file: shown(file), line, column, source, code, message, more, id, hint, here, docs };
}
/** The line with a mark under the word that the compiler points to. */
function excerpt({ line, column, source }: Finding): string[] {
  const indent = /^\s*/.exec(source)![0];
  const number = String(line);
  const at = Math.max(0, column - 1 - indent.length);
  const code = source.slice(indent.length).replaceAll("\t", " ");
  const word = /^[\w$]+(?:[.!][\w$]+)*|^./.exec(code.slice(at))?.[0].length ?? 1;
  return [
    `  ${number} | ${code}`,
    `  ${" ".repeat(number.length)} | ${" ".repeat(at)}${"^".repeat(word)}`,
  ];
}
const entry = (name: string, text: string): string => `  ${name.padEnd(10)}${text}`;

function finding_text(finding: Finding): string {
  const { file, line, column, code, message, more, id, hint, here } = finding;
  if (file === null) return [`error ${code}: ${message}`, ...more].join("\n");
  const lines = [`${file}:${line}:${column}`, ...(line > 0 ? excerpt(finding) : [])];
  lines.push(`  ${code}: ${message}`);
  if (id !== null) {
    const { sentence, instead, otherwise } = MISUSE[id];
    lines.push(`  [${id}] ${here ? "" : "leads to: "}${sentence}`);
    lines.push(entry("instead", instead), entry("otherwise", `in Linux, ${otherwise}`));
    lines.push(entry("more", `${finding.docs}, or: npx user-page explain ${id}`));
  } else if (hint !== null) lines.push(entry("instead", hint));
  else lines.push(...more);
  return lines.join("\n");
}
/** What is to be said about the user's configuration. */
function configuration_notes({ config, off }: Compiled): string[] {
  if (off.length === 0) return [];
  const where = config === null ? "the configuration" : shown(config);
  const strict = off.filter((rule) => rule.startsWith("strict"));
  const names = (strict.length > 0 ? strict : off).join(", ");
  return [
    strict.length > 0
      ? `note: ${where} has "strict" off (${names}): the rules of this library are not followed then, and little is refused.`
      : `note: ${where} has ${names} off: an index behind the end of an array is not refused.`,
  ];
}
const SHAPES = { json: "flag", help: "flag" } as const;

export async function check(args: readonly string[]): Promise<Answer> {
  const { rest } = read_options(args, SHAPES);
  if (rest.length === 0) throw new UsageError("which driver? user-page check DRIVER.ts");
  const files = [...new Set(rest.map(existing_driver))];
  using doing = progress();
  doing.now(`compiling ${rest.join(", ")}`);
  using compiled = await compile(files);
  const findings = compiled.diagnostics.map(to_finding);
  const notes = configuration_notes(compiled);
  const misuses = findings.filter(({ id }) => id !== null).length;
  const by = `TypeScript ${compiled.compiler.version}`;
  const others = findings.length - misuses;
  const total =
    findings.length === 0
      ? `${rest.join(", ")}: nothing is refused (${by}). What types cannot see: user-page run ${rest[0]} --debug --inject all`
      : `${findings.length} refused: ${misuses} misuse${misuses === 1 ? "" : "s"} of pages${others > 0 ? `, ${others} other error${others === 1 ? "" : "s"}` : ""} (${by}).`;
  return {
    exit: findings.length === 0 ? EXIT.fine : EXIT.findings,
    text: [...findings.map((one) => `${finding_text(one)}\n`), ...notes, total].join("\n"),
    json: {
      command: "check",
      version: version(),
      compiler: compiled.compiler.version,
      config: compiled.config === null ? null : shown(compiled.config),
      off: compiled.off,
      findings: findings.map((one) =>
        one.id === null ? one : { ...one, ...MISUSE[one.id], seen_by: undefined },
      ),
    },
  };
}
