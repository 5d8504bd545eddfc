/// <reference lib="esnext.disposable" preserve="true" />
/**
 * The two objectives of the discussion of 2018 as a check that runs (ours): it hears every event of a machine, and says after
 * each whether one was violated, by which, and what led there.
 */

import type { Machine } from "../handle/context.js";
import { PAGE_SIZE } from "../machine/limits.js";
import { observe, type PageEvent } from "../machine/trace.js";

export const OBJECTIVES = {
  O1: "no page is written back while somebody may still write to it through a pin",
  O2: "no page becomes dirty without page_mkwrite() before",
} as const;
export type Objective = keyof typeof OBJECTIVES;

/** One event that broke an objective. */
export interface Violation {
  readonly objective: Objective;
  /** what happened, in a sentence */
  readonly what: string;
  /** how many events of the machine came before */
  readonly step: number;
  /** what happened to the page until then, oldest first, a line each */
  readonly history: readonly string[];
}
/** The end of a `using` block ends the check. */
export interface ObjectivesCheck extends Disposable {
  /** events heard so far */
  readonly steps: number;
  readonly violations: readonly Violation[];
}
/** Lines kept for each page. */
const MAX_HISTORY = 16;

function describe(event: PageEvent): string {
  const marks = [
    event.dirty ? "dirty" : "clean",
    event.prepared ? "a block is reserved" : "no block is reserved",
    ...(event.pinned ? [event.pinned_to_write ? "pinned to be written" : "pinned"] : []),
    ...(event.writeback ? ["under writeback"] : []),
  ];
  return `${event.name.padEnd(24)} page ${event.index} of the file: ${marks.join(", ")}`;
}
function violated(event: PageEvent): readonly [Objective, string] | null {
  switch (event.name) {
    case "folio_start_writeback":
      // A copy that was made before the checksum is nobody's to change.
      return event.pinned_to_write && !event.stable
        ? ["O1", "writeback sends the page to the disk while it is pinned to be written"]
        : null;
    case "store":
      return event.writeback
        ? ["O1", `up to ${PAGE_SIZE} bytes were stored while the disk was reading the page`]
        : null;
    case "folio_mark_dirty":
      return event.prepared
        ? null
        : ["O2", "the page became dirty, and its file system reserved no block for it"];
    default:
      return null;
  }
}
/**
 * Checks both objectives from now on (ours).  The caller owns the check: the end of a `using` block.
 *
 * @example
 * using objectives = check_objectives(machine);
 * console.log(objectives.violations.length); // -> 0
 */
export function check_objectives(machine: Machine): ObjectivesCheck {
  const histories = new Map<number, string[]>();
  const violations: Violation[] = [];
  let steps = 0;
  const watching = observe(machine, (event) => {
    steps++;
    let history = histories.get(event.pfn);
    if (!history) histories.set(event.pfn, (history = []));
    if (history.length === MAX_HISTORY) history.shift();
    history.push(describe(event));
    const found = violated(event);
    if (found) {
      const [objective, what] = found;
      violations.push({ objective, what, step: steps, history: [...history] });
    }
    // The page is the file's no more; whoever has the memory next begins anew.
    if (event.name === "truncate") histories.delete(event.pfn);
  });
  return {
    get steps() {
      return steps;
    },
    violations,
    [Symbol.dispose]() {
      watching[Symbol.dispose]();
    },
  };
}
