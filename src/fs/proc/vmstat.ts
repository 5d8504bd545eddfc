/** The counters of a machine and its free blocks, as text.  Models the files of mm/vmstat.c. */

import type { Machine } from "../../handle/context.js";
import { machine_state } from "../../machine/machine.js";
import { vmstat } from "../../machine/vmstat.js";

/** What vmstat() answers, a line for each counter.  Models /proc/vmstat. */
export function proc_vmstat(machine: Machine): string {
  return Object.entries(vmstat(machine))
    .map(([name, value]) => `${name} ${value}\n`)
    .join("");
}
/**
 * How many free blocks of 1, 2, 4, … 1024 pages there are.  Models /proc/buddyinfo.  The area of cma_alloc() is part of the
 * zone Normal, ZONE_MOVABLE has a line if the machine has one.
 */
export function proc_buddyinfo(machine: Machine): string {
  const [normal = [], cma = [], movable = []] = machine_state(machine).allocator.free_areas();
  const zones: Array<readonly [string, number[]]> = [
    ["Normal", normal.map((nr, order) => nr + (cma[order] ?? 0))],
  ];
  if (movable.some((nr) => nr > 0)) zones.push(["Movable", [...movable]]);
  return zones
    .map(([name, areas]) => {
      const columns = areas.map((nr) => `${String(nr).padStart(6)} `).join("");
      return `Node 0, zone ${name.padStart(8)} ${columns}\n`;
    })
    .join("");
}
