/** What an architecture adds to the memory manager (ours): a machine that has none keeps null in its place. */

import type { MachineState } from "./machine.js";

/** Asked only about pages with PG_arch_1, but for devices. */
export interface Arch {
  /** From now on CPUs and devices can access the page: 0, or -errno.  The caller keeps it from changing back. */
  make_folio_accessible(pfn: number): number;
  /** A CPU is about to access the page: false if that ends with a signal. */
  cpu_access(pfn: number): boolean;
  /** Why a device cannot access the page, or null. */
  device_access(pfn: number): string | null;
}

/**
 * A CPU that runs at a preemption point has to wait for the one it interrupts (ours): this order of events cannot happen.
 * Nothing is held or changed by the call that throws it.
 */
export class WouldSpin extends Error {
  override readonly name = "WouldSpin";
}
/** The lock of page tables is held by a CPU that was interrupted, or a count is 0 until it goes on. */
export function throw_would_spin(what: string, holder: string): never {
  throw new WouldSpin(`${what} waits for ${holder}, which was interrupted here`);
}
/** Records what Linux ends with VM_BUG_ON_FOLIO() or BUG_ON(). */
export function vm_bug(machine: MachineState, line: string): void {
  machine.printk(`kernel BUG: ${line}`);
}
