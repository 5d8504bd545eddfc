/**
 * What happens to pages, for who listens, and the places where another CPU may run (ours).  Both cost one comparison with
 * null while nobody listens.
 */

import type { Machine } from "../handle/context.js";
import { machine_state, type MachineState } from "./machine.js";

/** What can happen to a page of a file; named as the kernel's functions. */
export type PageEventName =
  /** its file system was asked before a store: blocks are reserved, or the store fails */
  | "page_mkwrite"
  /** it is dirty from now on; `prepared` says whether page_mkwrite() or write_begin() came before */
  | "folio_mark_dirty"
  /** writeback takes the dirty bit; entries that map it are read-only from now on, unless the policy keeps them */
  | "folio_clear_dirty_for_io"
  /** its bytes are on their way to the disk; `stable` if they are those of a copy */
  | "folio_start_writeback"
  | "folio_end_writeback"
  /** somebody stored into it */
  | "store"
  /** a user pin was taken, or the last one went */
  | "pin"
  | "unpin"
  /** writeback passed it over */
  | "skip"
  /** it left its file */
  | "truncate";
export interface PageEvent {
  readonly name: PageEventName;
  readonly pfn: number;
  /** the page of the file, or -1 */
  readonly index: number;
  readonly pinned: boolean;
  /** with FOLL_WRITE, since it was last free of pins */
  readonly pinned_to_write: boolean;
  readonly dirty: boolean;
  /** a block is reserved for what is stored */
  readonly prepared: boolean;
  /** nobody can change what the disk is given */
  readonly stable: boolean;
  /** under writeback */
  readonly writeback: boolean;
}
/** Hears each event of one machine, in order. */
export type Observer = (event: PageEvent) => void;

/** Where another CPU may run, by the function it interrupts. */
export const PREEMPTION_POINTS = {
  "gup_fast: entry read": "gup_fast() has read an entry and not taken its reference yet",
  "gup_fast: reference taken": "gup_fast() has its reference and has not looked at the entry again",
  "fork: entry copied": "fork() has copied an entry; write_protect_seq is odd",
  "make_secure: frozen": "the count of the page is 0 and its entries are still present",
  "make_accessible: exported": "the page was exported and the caller has not begun its I/O",
  "writeback: dirty bit cleared": "the entries are write-protected, the checksum is not taken yet",
  "writeback: checksum taken": "the bio is not submitted yet",
  "migrate: unpinned": "everything was unpinned, and the pages are about to move",
} as const;
export type PreemptionPoint = keyof typeof PREEMPTION_POINTS;
/** Another CPU, which runs where the one it interrupts has got to. */
export type OtherCpu = (point: PreemptionPoint, pfn: number) => void;

function listen<K extends "observers" | "other_cpus">(
  machine: MachineState,
  key: K,
  listener: NonNullable<MachineState[K]>[number],
): Disposable {
  const list: unknown[] = (machine[key] ??= []);
  list.push(listener);
  return {
    [Symbol.dispose]() {
      const at = list.indexOf(listener);
      if (at < 0) return;
      list.splice(at, 1);
      if (list.length === 0) machine[key] = null;
    },
  };
}
/**
 * Tells `observer` each event of the machine from now on (ours).  The end of a `using` block ends that.
 *
 * @example
 * using watching = observe(machine, (event) => console.log(event.name));
 */
export function observe(machine: Machine, observer: Observer): Disposable {
  if (typeof observer !== "function") throw new RangeError("observe(): observer is no function");
  return listen(machine_state(machine), "observers", observer);
}
/**
 * Calls `cpu` at each preemption point from now on (ours): what it does happens there, on another CPU.  It is not called
 * for points that it reaches itself.  The end of a `using` block ends that.
 *
 * @example
 * using racing = on_preemption(machine, (point) => console.log(point));
 */
export function on_preemption(machine: Machine, cpu: OtherCpu): Disposable {
  if (typeof cpu !== "function") throw new RangeError("on_preemption(): cpu is no function");
  return listen(machine_state(machine), "other_cpus", cpu);
}
/** Call as `if (machine.other_cpus !== null) preempt(…)`. */
export function preempt(machine: MachineState, point: PreemptionPoint, pfn = 0): void {
  const cpus = machine.other_cpus;
  const { memalloc_pin } = machine; // a flag of the task that is interrupted
  machine.other_cpus = null;
  machine.memalloc_pin = 0;
  machine.interrupted++;
  try {
    for (const cpu of [...(cpus ?? [])]) cpu(point, pfn);
  } finally {
    machine.interrupted--;
    machine.memalloc_pin = memalloc_pin;
    machine.other_cpus = cpus && cpus.length > 0 ? cpus : null;
  }
}
