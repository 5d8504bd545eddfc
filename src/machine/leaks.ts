/** What is still held, by the place that acquired it: what a list of leaks has to say (ours). */

import type { Machine } from "../handle/context.js";
import type { Kind } from "../handle/kinds.js";
import { PAGE_SIZE } from "./limits.js";
import { machine_state, type MachineState } from "./machine.js";
import type { HeldReference } from "./probe.js";

/** References of one kind that one line acquired. */
export interface LeakGroup {
  readonly kind: Kind;
  /** what they are and how they end, from the table */
  readonly is: string;
  readonly acquired_by: string;
  /** file:line:column; "" where debug mode does not record it */
  readonly acquired_at: string;
  readonly acquired_in: string;
  readonly count: number;
  readonly bytes: number;
  /** acquisitions of the machine since the oldest of them, and since the youngest */
  readonly age: readonly [oldest: number, youngest: number];
  /** of them, those that were moved into a bio which never ended */
  readonly in_bios: number;
  /** of them, those whose object was dropped and collected */
  readonly dropped: number;
  /** the first of them, with its whole history */
  readonly first: HeldReference;
}
/** What is held, as plain data: JSON.stringify() gives all of it. */
export interface LeakReport {
  readonly count: number;
  readonly bytes: number;
  /** most bytes first */
  readonly groups: readonly LeakGroup[];
}

/** Groups what is held by the place that acquired it (ours). */
export function group_leaks(held: readonly HeldReference[]): LeakReport {
  const groups = new Map<string, HeldReference[]>();
  for (const one of held) {
    const key = [one.kind, one.acquired_by, one.acquired_at, one.acquired_in].join("\n");
    const group = groups.get(key);
    if (group) group.push(one);
    else groups.set(key, [one]);
  }
  const bytes_of = (all: readonly HeldReference[]): number =>
    all.reduce((sum, { bytes }) => sum + bytes, 0);
  const listed = [...groups.values()].map((all): LeakGroup => {
    const first = all[0]!;
    const ages = all.map(({ age }) => age);
    return {
      kind: first.kind,
      is: first.is,
      acquired_by: first.acquired_by,
      acquired_at: first.acquired_at,
      acquired_in: first.acquired_in,
      count: all.length,
      bytes: bytes_of(all),
      age: [Math.max(...ages), Math.min(...ages)],
      in_bios: all.filter(({ history }) => history.some(({ what }) => what === "moved")).length,
      dropped: all.filter(({ dropped }) => dropped).length,
      first,
    };
  });
  listed.sort((a, b) => b.bytes - a.bytes);
  return { count: held.length, bytes: bytes_of(held), groups: listed };
}
/**
 * What is held now, by the place that acquired it (ours).  Only debug mode knows, at level "owners" or true; else the list is
 * empty.  Whether it is a leak is for the caller to say: a driver that works on something holds references.
 *
 * @example
 * const { count, groups } = leaks(machine);
 * console.log(count, groups.length); // -> 0 0
 */
export function leaks(machine: Machine): LeakReport {
  return group_leaks(machine_state(machine).probe?.leaks() ?? []);
}

/** What a task that exits acquired and leaves behind is logged: nobody but a device may hold it now. */
export function report_left(machine: MachineState, who: string): void {
  const held = machine.probe?.leaks(who) ?? [];
  if (held.length === 0) return;
  machine.printk(`${who} exits, and of what it acquired ${format_leaks(group_leaks(held))}`);
}

const counted = (n: number, what: string): string => `${n} ${what}${n === 1 ? "" : "s"}`;
function age_of([oldest, youngest]: LeakGroup["age"]): string {
  const range = oldest === youngest ? String(oldest) : `${youngest} to ${oldest}`;
  return `${range} acquisition${range === "1" ? "" : "s"} ago`;
}
/** One place as people read it (ours): what is held, then the life of the first of them, and what to call instead. */
export function format_leak(group: LeakGroup): string {
  const [name = "", release = ""] = group.is.split(", ");
  const at = group.acquired_at && ` at ${group.acquired_at}`;
  const lines = [
    `${group.count} x ${name}, ${group.bytes} bytes, ${age_of(group.age)}`,
    `  acquired  by ${group.acquired_by} in ${group.acquired_in}${at}`,
  ];
  for (const { what, how, context, at: place } of group.first.history.slice(1)) {
    const text = how.startsWith(`${what} `) ? how.slice(what.length + 1) : how;
    lines.push(
      `  ${what.padEnd(9)} ${text}${context && ` in ${context}`}${place && ` at ${place}`}`,
    );
  }
  if (group.in_bios > 0)
    lines.push(`  instead   release it when its bio ended: bio_release_pages()`);
  else if (release) lines.push(`  instead   ${release}`);
  if (group.dropped > 0) {
    lines.push(`  dropped   ${group.dropped} of them: the object that had it was collected`);
  }
  return lines.join("\n");
}
/** The report as people read it (ours): how much is held, and format_leak() of each place. */
export function format_leaks({ count, bytes, groups }: LeakReport): string {
  if (count === 0) return "nothing is held";
  const held = `${counted(count, "reference")} ${count === 1 ? "is" : "are"} held`;
  const total = `${held}, ${counted(bytes / PAGE_SIZE, "page")}, from ${counted(groups.length, "place")}`;
  return [total, ...groups.map((group) => format_leak(group).replace(/^/gm, "  "))].join("\n");
}
