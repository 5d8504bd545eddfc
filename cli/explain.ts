// user-page explain: one misuse of the table, with the programs of docs/misuse.md, or all of them in a line each.
import { readFileSync } from "node:fs";
import { MISUSE, type MisuseId } from "user-page";
import { read_options, suggestion, UsageError } from "./options.js";
import { EXIT, type Answer } from "./output.js";
import { in_package, shown, version } from "./root.js";

const PAGE = "docs/misuse.md";
const IDS = Object.keys(MISUSE) as MisuseId[];

/** Where the page about a misuse is. */
export const docs_of = (id: MisuseId): { readonly page: string } => ({
  page: `${shown(in_package(PAGE))}#${id}`,
});
/** The part of the page between one heading and the next, without the heading. */
function section_of(id: MisuseId): string {
  const lines = readFileSync(in_package(PAGE), "utf8").split("\n");
  const first = lines.indexOf(`## ${id}`) + 1;
  if (first === 0) return "";
  const end = lines.findIndex((line, i) => i >= first && line.startsWith("## "));
  return lines
    .slice(first, end === -1 ? undefined : end)
    .join("\n")
    .trim();
}
interface Part {
  readonly language: string;
  readonly text: string;
}
/** Text and fenced code in their order; text has no language. */
function parts_of(section: string): Part[] {
  return section.split(/^```/m).flatMap((piece, i) => {
    if (i % 2 === 0) return piece.trim() === "" ? [] : [{ language: "", text: piece.trim() }];
    const end = piece.indexOf("\n");
    return [{ language: piece.slice(0, end).trim(), text: piece.slice(end + 1).trimEnd() }];
  });
}
function explain_one(id: MisuseId): Answer {
  const { sentence, instead, otherwise, seen_by } = MISUSE[id];
  const parts = parts_of(section_of(id));
  const code = parts.filter(({ language }) => language === "ts").map(({ text }) => text);
  const said = (before: string): string | null => {
    const at = parts.findIndex(({ text }) => text.endsWith(before));
    return at === -1 ? null : (parts[at + 1]?.text ?? null);
  };
  // The sentences in front of the first program stand above already.
  const rest = parts
    .slice(parts[0]?.language === "" ? 1 : 0)
    .filter(({ text }) => !/^Instead: /.test(text));
  const shown_parts = rest.map(({ language, text }, i) => {
    if (language === "") return text;
    const title = language !== "ts" ? "" : i === 0 ? "Wrong:\n\n" : "Right:\n\n";
    return `${title}${text.replace(/^(?=.)/gm, "    ")}`;
  });
  const SEERS = {
    types: "the compiler",
    debug: "debug mode",
    always: "the machine, in every mode",
  };
  return {
    exit: EXIT.fine,
    text: [
      `[${id}] ${sentence}`,
      `  instead   ${instead}`,
      `  otherwise in Linux, ${otherwise}`,
      `  seen by   ${seen_by.map((who) => SEERS[who]).join("; ")}`,
      `  page      ${docs_of(id).page}`,
      "",
      shown_parts.join("\n\n"),
    ]
      .join("\n")
      .trimEnd(),
    json: {
      command: "explain",
      version: version(),
      id,
      sentence,
      instead,
      otherwise,
      seen_by,
      page: docs_of(id).page,
      wrong: code[0] ?? null,
      compiler: said("The compiler:"),
      report: said("Debug mode:") ?? said("Every mode:"),
      right: code.at(-1) ?? null,
    },
  };
}
function list(): Answer {
  const width = Math.max(...IDS.map(({ length }) => length)) + 2;
  const lines = IDS.map((id) => `${id.padEnd(width)}${MISUSE[id].sentence}`);
  return {
    exit: EXIT.fine,
    text: [...lines, "", "More about one: user-page explain ID"].join("\n"),
    json: {
      command: "explain",
      version: version(),
      misuses: IDS.map((id) => ({ id, ...MISUSE[id], page: docs_of(id).page })),
    },
  };
}
const SHAPES = { json: "flag", help: "flag" } as const;

export function explain(args: readonly string[]): Answer {
  const { rest } = read_options(args, SHAPES);
  if (rest.length > 1) throw new UsageError(`one id at a time: ${rest.join(", ")}`);
  const [given] = rest;
  if (given === undefined) return list();
  // A report prints the id in brackets, and so it is copied.
  const id = IDS.find((one) => one === given.replace(/^\[|\]$/g, ""));
  if (id === undefined) {
    throw new UsageError(
      `no such misuse: ${given}${suggestion(given, IDS)} "user-page explain" lists them`.replace(
        /(?<!\?) "/,
        '; "',
      ),
    );
  }
  return explain_one(id);
}
