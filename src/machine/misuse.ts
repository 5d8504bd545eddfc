/** What misuse of the API throws (ours): the sentence of the table, the handle, its history and what to call instead. */

import { MISUSE, type MisuseId } from "../handle/kinds.js";
import type { Probe } from "./probe.js";
import { place_of, type Site } from "./site.js";

/** One thing that happened to a reference. */
export interface Step {
  readonly what: "acquired" | "moved" | "submitted" | "completed" | "ended";
  /** the call, or a sentence of the table: "by get_user_page()", "released by put_user_page()" */
  readonly how: string;
  /** "task 1", "process", "softirq", "kworker"; "" where it is not recorded */
  readonly context: string;
  /** file:line:column; "" where it is not recorded */
  readonly at: string;
}
/** Another reference to the same page. */
export interface OtherReference {
  /** the serial number of its acquisition */
  readonly acquisition: number;
  /** what it is, from the table */
  readonly is: string;
  readonly history: readonly Step[];
}
/** The counts of a folio. */
export interface PageCounts {
  readonly refcount: number;
  /** null for a single page, whose pins are 1024 each in refcount */
  readonly pincount: number | null;
  readonly maybe_pinned: boolean;
  /** of the zero page pins are not counted */
  readonly is_zero: boolean;
  /** pages of the folio */
  readonly pages: number;
}
export interface Counts {
  readonly before: PageCounts;
  /** what the call would leave, with the arithmetic of Linux; null if it counts nothing */
  readonly after: PageCounts | null;
}
/** Something else that is known, a word for what it is and a sentence. */
export interface Fact {
  readonly what: string;
  readonly text: string;
}
/** One misuse, as plain data: JSON.stringify() gives all of it. */
export interface MisuseReport {
  readonly id: MisuseId;
  /** one sentence, from the table */
  readonly sentence: string;
  /** the call that was made */
  readonly called: string;
  /** where, file:line:column of the first line outside this library */
  readonly called_at: string;
  /** in which context: "task 1", "process", "softirq", "kworker"; "" where that is not known */
  readonly context: string;
  readonly handle: string;
  /** of this handle, oldest first; debug mode records it */
  readonly history: readonly Step[];
  /** other references to the same page, oldest first, the last few; debug mode records them */
  readonly others: readonly OtherReference[];
  /** of the page, before and after; null where the misuse is about no single page */
  readonly counts: Counts | null;
  readonly facts: readonly Fact[];
  /** what to do instead, from the table */
  readonly instead: string;
  /** what happens where nobody notices, from the table */
  readonly otherwise: string;
  /** the page and the heading that explain the rule */
  readonly docs: string;
  /** what to run to see it again */
  readonly reproduce: string;
}
/** What whoever sees a misuse knows beside its id, the call and the handle. */
export type Evidence = Partial<
  Pick<
    MisuseReport,
    "called_at" | "context" | "history" | "others" | "counts" | "facts" | "reproduce"
  >
>;
export const NO_EVIDENCE: Evidence = {};
/** Evidence of one ending, where debug mode recorded nothing. */
export function ended(how: string): Evidence {
  return { history: [{ what: "ended", how, context: "", at: "" }] };
}
/** Evidence of the end of what `handle` was the first of: all that debug mode knows of it, else how it ended. */
export function ended_with(
  machine: { readonly probe: Probe | null } | undefined,
  handle: number | undefined,
  how: string,
): Evidence {
  const known = handle === undefined ? undefined : machine?.probe?.evidence(handle);
  return known?.history ? known : ended(how);
}
/** Evidence of one fact. */
export function fact(what: string, text: string): Evidence {
  return { facts: [{ what, text }] };
}

/** A misuse of the API (ours): never an error of the modelled world. */
export class MisuseError extends Error {
  override readonly name = "MisuseError";
  readonly report: MisuseReport;
  constructor(report: MisuseReport) {
    super(format_report(report));
    this.report = report;
  }
  get id(): MisuseId {
    return this.report.id;
  }
}

/** `here`: the stack of the call, where it was captured already. */
export function make_report(
  id: MisuseId,
  called: string,
  handle: string,
  evidence: Evidence = NO_EVIDENCE,
  here?: Site,
): MisuseReport {
  const { sentence, instead, otherwise } = MISUSE[id];
  const { called_at = place_of(here), context = "", history = [], others = [] } = evidence;
  const { counts = null, facts = [], reproduce = "" } = evidence;
  const docs = `docs/misuse.md#${id}`;
  // In the order in which people read it.
  return {
    ...{ id, sentence, called, called_at, context, handle, history, others, counts, facts },
    ...{ instead, otherwise, docs, reproduce },
  };
}

// --- as text --------------------------------------------------------------------------------------------
const line = (what: string, text: string): string => `  ${what.padEnd(10)}${text}`;

function where({ context, at }: { context: string; at: string }): string {
  return `${context && ` in ${context}`}${at && ` at ${at}`}`;
}
function of_step(step: Step): string {
  // "moved     into bio by …": the word is the label already
  const how = step.how.startsWith(`${step.what} `)
    ? step.how.slice(step.what.length + 1)
    : step.how;
  return line(step.what, `${how}${where(step)}`);
}
function of_other({ acquisition, is, history }: OtherReference): string {
  const [name] = is.split(",");
  const steps = history.map((step) => `${step.how}${where(step)}`);
  return line("also", `acquisition ${acquisition}: ${name!}, ${steps.join(", then ")}`);
}
export function describe_page_counts({
  refcount,
  pincount,
  maybe_pinned,
  pages,
}: PageCounts): string {
  return pincount === null
    ? `refcount ${refcount}${maybe_pinned ? ", maybe pinned" : ""}`
    : `refcount ${refcount}, pincount ${pincount}, folio of ${pages} pages`;
}
function of_counts({ before, after }: Counts): string {
  return line(
    "counts",
    `${describe_page_counts(before)}${after ? `; the call would leave ${describe_page_counts(after)}` : ""}`,
  );
}
/** The report as people read it (ours): a headline, and a line for each thing that is known. */
export function format_report(report: MisuseReport): string {
  const { id, called, sentence, handle, history, others, counts, facts } = report;
  // The headline says what it is, the handle's line how it ends too.
  const short = handle.replace(/, \S+\(\) releases .*$/, "");
  const called_in = where({ context: report.context, at: report.called_at });
  const lines = [
    `[${id}] ${called}: ${sentence} (${short})`,
    line("handle", handle),
    ...history.map(of_step),
    ...(called_in ? [line("called", called_in.trimStart())] : []),
    ...(counts ? [of_counts(counts)] : []),
    ...others.map(of_other),
    ...facts.map(({ what, text }) => line(what, text)),
    line("instead", report.instead),
  ];
  if (report.reproduce) lines.push(line("reproduce", report.reproduce));
  return lines.join("\n");
}
