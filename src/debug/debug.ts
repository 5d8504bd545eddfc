/** Debug mode, CONFIG_DEBUG_USER_PAGE_REFERENCES: the sole entry.  It observes and reports; it changes no result. */

import type { MachineState } from "../machine/machine.js";
import type { PageCounts } from "../machine/misuse.js";
import type { Probe } from "../machine/probe.js";
import { Ledger } from "./ledger.js";
import { TagProbe } from "./tags.js";

/** Bit 0 only, or an identity for each acquisition; `true` adds where it happened. */
export type DebugLevel = "tags" | "owners";

export function debug_probe(
  machine: MachineState,
  level: true | DebugLevel,
  counts: (pfn: number) => PageCounts,
): Probe {
  return level === "tags"
    ? new TagProbe(machine, counts)
    : new Ledger(machine, level === true, counts);
}
