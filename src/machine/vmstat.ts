/** The counters of a machine.  Models those of include/linux/vm_event_item.h and mmzone.h that concern pins. */

import type { Machine } from "../handle/context.js";
import { foll_pin_acquired, foll_pin_released } from "./arena.js";
import { SECTION_PAGES, SECTION_SHIFT } from "./limits.js";
import { machine_state, type MachineState } from "./machine.js";

/** Event counters of a machine, in pages unless said otherwise.  Those with a kernel name count as the kernel does. */
export interface VmStat {
  readonly nr_free_pages: number;
  /** references taken with FOLL_PIN */
  readonly nr_foll_pin_acquired: number;
  readonly nr_foll_pin_released: number;
  /** extents handed out by get_user_bvec(), split_user_bvec() and zero_user_bvec() (ours) */
  readonly nr_user_bvec_acquired: number;
  readonly nr_user_bvec_released: number;
  /** page faults handled */
  readonly pgfault: number;
  /** huge pages allocated by a fault */
  readonly thp_fault_alloc: number;
  /** faults that wanted a huge page and got a small one */
  readonly thp_fault_fallback: number;
  /** pages that were found bad when freed and are lost (ours) */
  readonly nr_bad_pages: number;
}

function sum(column: Float64Array, machine: MachineState): number {
  const first = machine.base >>> SECTION_SHIFT;
  const last = first + Math.ceil(machine.nr_pages / SECTION_PAGES);
  let total = 0;
  for (let section = first; section < last; section++) total += column[section]!;
  return total;
}
/**
 * The counters that concern pins, and ours beside them.  Models `/proc/vmstat`.
 *
 * @example
 * const before = vmstat(machine).nr_foll_pin_acquired;
 */
export function vmstat(machine: Machine): VmStat {
  const m = machine_state(machine);
  return {
    nr_free_pages: m.allocator.free_pages,
    nr_foll_pin_acquired: sum(foll_pin_acquired, m),
    nr_foll_pin_released: sum(foll_pin_released, m),
    nr_user_bvec_acquired: m.nr_user_bvec_acquired,
    nr_user_bvec_released: m.nr_user_bvec_released,
    pgfault: m.pgfault,
    thp_fault_alloc: m.thp_fault_alloc,
    thp_fault_fallback: m.thp_fault_fallback,
    nr_bad_pages: m.nr_bad_pages,
  };
}
