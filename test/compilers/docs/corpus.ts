/** docs/corpus.md, made of the table of the corpus and of what is said to its programs. */
import { MISUSE } from "user-page";
import { BUGS, NOT_MODELLED, SHAPES, type Bug, type Verdict } from "../../../corpus/index.js";
import messages from "../corpus.json" with { type: "json" };

export const CORPUS_PAGE = "docs/corpus.md";
const INDEXED = BUGS.filter(({ needs }) => needs !== undefined).length;
const HEAD = `<!-- Made by \`node scripts/corpus-docs.mjs\`; a test fails when it is stale. -->

# The corpus of real bugs

Bugs that were made in Linux and its drivers with page references, pins and bios, written once more with this library: \`wrong()\` as a driver author
would write the bug, \`right()\` as it should be. Every wrong program is compiled, and run in both modes past the compiler where that refuses it; every
right one compiles, moves its bytes, is not reported and leaves nothing behind. The programs are in [corpus/](../corpus/), with what happened in the
kernel in their first lines.

- **types**: \`tsc\` refuses it, under \`strict\`; ${INDEXED} of them, which index an array beyond its end, under \`noUncheckedIndexedAccess\`.
- **every mode**: it compiles; the handle is an array, a list or a bio, which knows that it ended, with debug mode off too.
- **debug mode**: it compiles; debug mode reports it, leaks when the machine is shut down.
- **escapes**: nobody notices.
`;
const pinned: Partial<Record<string, string | string[]>> = messages;
const VERDICTS: Record<Verdict, string> = {
  types: "types",
  always: "every mode",
  debug: "debug mode",
  escapes: "escapes",
};
const COLUMNS = Object.keys(VERDICTS) as Verdict[];

function table(head: readonly string[], rows: ReadonlyArray<readonly string[]>): string {
  const cells = [head, ...rows].map((row) => row.map((cell) => cell.replaceAll("|", "\\|")));
  const widths = head.map((_, i) => Math.max(3, ...cells.map((row) => row[i]!.length)));
  const lines = cells.map((row) => `| ${row.map((c, i) => c.padEnd(widths[i]!)).join(" | ")} |`);
  lines.splice(1, 0, `| ${widths.map((width) => "-".repeat(width)).join(" | ")} |`);
  return lines.join("\n");
}
function share(name: string, bugs: readonly Bug[]): string[] {
  const counts = COLUMNS.map((verdict) => bugs.filter((bug) => bug.verdict === verdict).length);
  return [name, String(bugs.length), ...counts.map(String)];
}
/** A bug that is only suspected tells nothing of how many are found. */
const REAL = BUGS.filter(({ suspected }) => !suspected);
function shares(): string {
  const classes = [...new Set(REAL.flatMap((bug) => bug.classes))];
  const rows = classes.map((name) =>
    share(
      name,
      REAL.filter((bug) => bug.classes.includes(name)),
    ),
  );
  return table(
    ["class", "bugs", ...COLUMNS.map((verdict) => VERDICTS[verdict])],
    [...rows, share("all", REAL)],
  );
}
/** Calls, types with parameters and names with an underscore, as code. */
const with_code = (text: string): string =>
  text.replace(/\b\w+\(\)|\b\w+<>|\b\w+_\w+\b(?!\()|\b_\w+/g, "`$&`");
const number_of = (name: string): string => /^[BC]\d+/.exec(name)![0];
const link = (name: string): string => `[${number_of(name)}](../corpus/${name}.ts)`;
function report_of({ reported }: Bug): string {
  if (reported === null) return "nothing";
  return reported === "leak"
    ? "`shutdown()` lists the references that leaked"
    : `\`[${reported}] ${MISUSE[reported].sentence}\``;
}
function entry(bug: Bug): string {
  const { name, title, classes, verdict, damage, harm, why, needs, stricter } = bug;
  const lines = [
    `### ${number_of(name)}`,
    `${with_code(title)} ([${name}](../corpus/${name}.ts); ${classes.join(", ")}${bug.suspected ? "; suspected" : ""}).`,
  ];
  if (verdict === "types") {
    lines.push(`The compiler: \`${[pinned[name]].flat()[0]}\``);
    lines.push(
      `Forced past it, ${bug.always ? "the machine" : "debug mode"} says: ${report_of(bug)}.`,
    );
  } else if (verdict !== "escapes") {
    const who = verdict === "always" ? "The machine, in every mode" : "Debug mode";
    lines.push(`${who}: ${report_of(bug)}.`);
  } else lines.push("Nobody notices.");
  if (damage) lines.push(`Unnoticed, it changes counts: ${damage}.`);
  if (harm) lines.push(`Unnoticed, it leaves ${harm[0]} ${harm[1]}.`);
  if (needs) lines.push(`Only with the compiler option \`${needs}\`.`);
  if (why) lines.push(with_code(why));
  if (stricter) {
    lines.push(`With ${with_code(stricter)}, the compiler: \`${[pinned[name]].flat()[0]}\``);
  }
  return lines.join("\n\n");
}
/** The whole page. */
export function corpus_page(): string {
  const bugs = BUGS.map((bug) => [
    link(bug.name),
    bug.title,
    bug.classes[0]!,
    VERDICTS[bug.verdict],
  ]);
  const shapes = SHAPES.map(({ name, looks_like }) => [link(name), looks_like]);
  return `${[
    `${HEAD}\nA bug of two classes is counted in both. ${BUGS.length - REAL.length} that are only suspected are in no share.`,
    shares(),
    "## The bugs",
    table(["bug", "title", "class", "seen by"], bugs),
    ...BUGS.map(entry),
    "## Not modelled",
    "Bugs of the same collection that cannot be written with this library.",
    table(
      ["bug", "title", "class", "why"],
      NOT_MODELLED.map(({ number, title, classes, why }) => [
        number,
        title,
        classes[0]!,
        with_code(why),
      ]),
    ),
    "## Correct shapes",
    "They look like bugs and are none: all of them compile and run silently.",
    table(["shape", "looks like a bug for"], shapes),
  ].join("\n\n")}\n`;
}
