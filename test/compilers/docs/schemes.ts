/** The tables of docs/accounting.md, made by running the four schemes. */
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { PAGE_SIZE } from "user-page";
import {
  cost_of,
  cost_of_another,
  overflow_of,
  release_by_page,
  type RangeCost,
} from "../../../schemes/cost.js";
import { SCHEMES } from "../../../schemes/index.js";
import { damage_of, debug_report, type Damage } from "../../../schemes/mispairing.js";
import { replay, type Question, type Tally } from "../../../schemes/run.js";
import { MISPAIRINGS, type Mispairing, type SchemeOf } from "../../../schemes/scheme.js";
import { all_do_io, workload } from "../../../schemes/workload.js";
import { ROOT } from "./blocks.js";

export const ACCOUNTING_PAGE = "docs/accounting.md";
export const SEED = 1;
export const STEPS = 1500;
const MIB = 1 << 20;
const GIB = 1 << 30;

const whole = (n: number): string => n.toLocaleString("en-US");
function table(corner: string, rows: ReadonlyArray<readonly string[]>): string {
  const head = [corner, ...SCHEMES.map(({ name }) => name)];
  const cells = [head, ...rows];
  const widths = head.map((_, i) => Math.max(3, ...cells.map((row) => row[i]!.length)));
  const lines = cells.map((row) => `| ${row.map((c, i) => c.padEnd(widths[i]!)).join(" | ")} |`);
  lines.splice(1, 0, `| ${widths.map((width) => "-".repeat(width)).join(" | ")} |`);
  return lines.join("\n");
}
const row = (name: string, of: (scheme: SchemeOf) => string): string[] => [
  name,
  ...SCHEMES.map(of),
];

function verdict({ asked, false_yes, false_no, none }: Tally, high: string, low: string): string {
  const wrong = [
    false_yes > 0 ? `${whole(false_yes)} ${high}` : "",
    false_no > 0 ? `${whole(false_no)} ${low}` : "",
    none > 0 ? `no answer to ${whole(none)}` : "",
  ].filter((part) => part !== "");
  return wrong.length === 0 ? "right" : `${wrong.join(", ")} of ${whole(asked)}`;
}
function questions(): string {
  const events = workload(SEED, STEPS);
  const all = new Map(SCHEMES.map((of) => [of, replay(of, events).score]));
  const io = new Map(SCHEMES.map((of) => [of, replay(of, all_do_io(events)).score]));
  const yes_no = (name: string, question: Question, scores = io) =>
    row(name, (of) => verdict(scores.get(of)![question], "false yes", "false no"));
  const number = (name: string, question: Question) =>
    row(name, (of) => verdict(io.get(of)![question], "too high", "too low"));
  return table("question", [
    yes_no("Is this folio pinned?", "pinned"),
    yes_no("The same, while another CPU maps or unmaps it", "raced"),
    yes_no("The same, where some callers of get_user_pages() do no I/O", "pinned", all),
    yes_no("Is this page of the folio pinned?", "page"),
    number("How many pages of it are pinned?", "pages"),
    number("By how many holders?", "holders"),
    yes_no("Does somebody write into it?", "written"),
    yes_no("Is every reference known, so that it may be frozen?", "frozen"),
  ]);
}
function costs(): string {
  const measure = (bytes: number, size: 1 | 512, mappings?: number) =>
    new Map(SCHEMES.map((of) => [of, cost_of(of, bytes, size, mappings)]));
  const ranges = {
    "2 MiB of a huge page": measure(2 * MIB, 512, 4),
    "2 MiB of small pages": measure(2 * MIB, 1),
    "1 GiB of huge pages": measure(GIB, 512),
    "1 GiB of small pages": measure(GIB, 1),
  };
  const each = (what: string, of: (cost: RangeCost, scheme: SchemeOf) => string) =>
    Object.entries(ranges).map(([name, found]) =>
      row(`${name}: ${what}`, (scheme) => of(found.get(scheme)!, scheme)),
    );
  const huge = ranges["2 MiB of a huge page"];
  return table("cost", [
    ...each("handles", ({ handles }) => whole(handles)),
    ...each(
      "atomics, pin + unpin",
      ({ acquire, release }) => `${whole(acquire)} + ${whole(release)}`,
    ),
    row("2 MiB of a huge page: atomics, unpinned page by page", (of) => whole(release_by_page(of))),
    row("2 MiB of a huge page, pinned already: atomics, pin + unpin", (of) => {
      const { acquire, release } = cost_of_another(of);
      return `${acquire} + ${release}`;
    }),
    row("2 MiB of a huge page in 4 address spaces: loads to ask", (of) =>
      whole(huge.get(of)!.loads),
    ),
    row("bytes of handles for 2 MiB of a huge page", (of) =>
      whole(huge.get(of)!.handles * of.bytes_per_handle),
    ),
    row("bytes for each page of memory, beside struct page", (of) => String(of.bytes_per_page)),
    row("and of 1 GiB of memory", (of) => whole((of.bytes_per_page * GIB) / PAGE_SIZE)),
  ]);
}
function overflows(): string {
  const small = new Map(SCHEMES.map((of) => [of, overflow_of(of)]));
  const answer = (yes: boolean): string => (yes ? "yes" : "no");
  return table("overflow", [
    row("pins of one small page, until one is refused", (of) => {
      const { accepted, refused } = small.get(of)!;
      return refused ? whole(accepted) : "none is refused";
    }),
    row("it looks pinned then", (of) => answer(small.get(of)!.still_pinned)),
    row("the counts are right when all pins ended", (of) => answer(small.get(of)!.recovers)),
    row("what one pin of a whole huge page adds to its reference count", (of) =>
      whole(cost_of(of, 2 * MIB, 512).added),
    ),
  ]);
}

function harm(damage: Damage): string {
  const parts = [
    damage.looks_pinned ? "looks pinned for ever" : "",
    damage.hides_a_pin ? "hides a pin" : "",
    damage.freed_under_a_pin ? "freed under a pin" : "",
    damage.lost ? "page lost" : "",
    damage.later_pins_refused ? "later pins refused" : "",
    damage.zero_drift === 0 ? "" : `count ${damage.zero_drift > 0 ? "+" : ""}${damage.zero_drift}`,
  ].filter((part) => part !== "");
  if (parts.length === 0) return "no harm";
  return `${parts.join(", ")}; ${damage.noticed === "never" ? "silent" : `noticed ${damage.noticed}`}`;
}
function mispairings(): string {
  const rows = (Object.keys(MISPAIRINGS) as Mispairing[]).flatMap((what) =>
    what.includes("zero page")
      ? [row(what, (of) => harm(damage_of(of, what, 1)))]
      : [
          row(`${what}, small page`, (of) => harm(damage_of(of, what, 1))),
          row(`${what}, huge page`, (of) => harm(damage_of(of, what, 512))),
        ],
  );
  return table("wrong release", rows);
}
function reports(): string {
  const rows = (Object.keys(MISPAIRINGS) as Mispairing[]).map((what) =>
    row(what, (of) => {
      const id = debug_report(of, what);
      return id === null ? "no code to ask" : `[${id}](misuse.md#${id})`;
    }),
  );
  return table("wrong release, in debug mode", rows);
}

const TABLES: Readonly<Record<string, () => string>> = {
  questions,
  costs,
  overflows,
  mispairings,
  reports,
};
/** The page as it stands, with its tables made anew. */
export function accounting_page(): string {
  let text = readFileSync(join(ROOT, ACCOUNTING_PAGE), "utf8");
  for (const [name, make] of Object.entries(TABLES)) {
    const [begin, end] = [`<!-- ${name}: begin -->`, `<!-- ${name}: end -->`];
    const from = text.indexOf(begin);
    const to = text.indexOf(end);
    if (from < 0 || to < from) throw new Error(`${ACCOUNTING_PAGE} has no place for ${name}`);
    text = `${text.slice(0, from)}${begin}\n\n${make()}\n\n${text.slice(to)}`;
  }
  return text;
}
