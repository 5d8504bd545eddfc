// One run of a driver, as people read it.
import type { Ran } from "./outcome.js";
import { EXIT, type Exit } from "./output.js";

const n = (value: number): string => value.toLocaleString("en-US");
const plural = (count: number, what: string): string =>
  `${n(count)} ${what}${count === 1 ? "" : "s"}`;
const entry = (name: string, text: string): string => `  ${name.padEnd(10)}${text}`;

/** References that are held though the driver came to its end. */
const leaked = (ran: Ran): number => (ran.stopped ? 0 : (ran.leaks?.count ?? 0));
/** Without debug mode nobody knows what is held: then pages that are lost and pins that are left say so. */
const lost = (ran: Ran): boolean => ran.lost_pages > 0 || ran.pins.taken !== ran.pins.released;

export function exit_of(ran: Ran): Exit {
  if (ran.threw) return EXIT.driver;
  const wrong = ran.reports.length > 0 || leaked(ran) > 0 || lost(ran) || ran.data?.right === false;
  return wrong ? EXIT.findings : EXIT.fine;
}
function conclusion(ran: Ran): string {
  const found: string[] = [];
  const misuses = ran.reports.reduce((sum, { count }) => sum + count, 0);
  if (misuses > 0) {
    const places = ran.reports.length;
    found.push(
      `${plural(misuses, "report")}${places < misuses ? ` from ${plural(places, "place")}` : ""}`,
    );
  }
  if (leaked(ran) > 0) found.push(`${plural(leaked(ran), "reference")} leaked`);
  if (ran.lost_pages > 0) found.push(`${plural(ran.lost_pages, "page")} lost`);
  const left = ran.pins.taken - ran.pins.released;
  if (left !== 0 && found.length === 0)
    found.push(
      `${plural(Math.abs(left), "pin")} ${left > 0 ? "never released" : "released too often"}`,
    );
  if (ran.data?.right === false) found.push("wrong data");
  if (ran.threw) found.push("the driver threw");
  if (found.length === 0) {
    const more =
      ran.debug === false
        ? "; --debug looks at every call"
        : ran.inject === null
          ? "; --inject all lets each call fail once"
          : "";
    const answer = ran.failed && ran.inject === null ? ", but the driver failed" : "";
    return `Nothing was found${answer}${more}.`;
  }
  const more =
    ran.debug === false && (lost(ran) || ran.reports.length === 0) && !ran.threw
      ? ` To see where: ${ran.reproduce} --debug`
      : "";
  return `Found: ${found.join(", ")}.${more}`;
}
function nothing_failed(spec: string): string {
  if (spec === "") return "nothing was asked for";
  return /^\d+$/.test(spec)
    ? `nothing: seed ${spec} drew no failure`
    : `nothing: the driver did not come to ${spec}`;
}
export function ran_text(ran: Ran): string {
  const lines: string[] = [];
  for (const { count, text } of ran.reports) {
    lines.push(text);
    if (count > 1) lines.push(entry("again", `${n(count - 1)} more like it`));
    lines.push("");
  }
  if (ran.threw) {
    const { text, at } = ran.threw;
    lines.push(`the driver threw ${text}`, ...(at === null ? [] : [entry("at", at)]), "");
  }
  if (ran.leaks) {
    const [first, ...rest] = ran.leaks_text.split("\n");
    lines.push(ran.stopped ? `when it stopped ${first}` : `[leak] at shutdown ${first}`, ...rest);
    lines.push(entry("reproduce", ran.reproduce), "");
  }
  for (const failed of ran.injected) lines.push(entry("injected", failed));
  if (ran.inject !== null && ran.injected.length === 0)
    lines.push(entry("injected", nothing_failed(ran.inject)));
  lines.push(entry("driver", ran.answered));
  if (ran.data) lines.push(entry("data", ran.data.text));
  lines.push(entry("pins", `${n(ran.pins.taken)} taken, ${n(ran.pins.released)} released`));
  lines.push(
    entry(
      "pages",
      ran.lost_pages === 0
        ? "none lost"
        : `${n(ran.lost_pages)} lost: nobody maps them, and they never came back`,
    ),
  );
  if (ran.trace !== null) lines.push(entry("trace", ran.trace));
  for (const [name, text] of Object.entries(ran.proc)) lines.push("", `${name}:`, text.trimEnd());
  return [...lines, "", conclusion(ran)].join("\n");
}
