/** What a machine said. */

import type { Machine } from "../handle/context.js";
import { machine_state } from "./machine.js";
import type { MisuseReport } from "./misuse.js";

/** What the machine logged: warnings and bad pages, oldest first, the last 1000 lines.  Models dmesg(1). */
export function dmesg(machine: Machine): readonly string[] {
  return machine_state(machine).log;
}
/**
 * Every misuse that this machine reported (ours), in order: thrown, also where the program caught it, or recorded by a machine
 * with `panic_on_warn: false`, which goes on.  One that cannot be said to be of one machine is thrown only.
 */
export function misuse_reports(machine: Machine): readonly MisuseReport[] {
  return machine_state(machine).reports;
}
