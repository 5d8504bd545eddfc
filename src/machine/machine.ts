/// <reference lib="esnext.disposable" preserve="true" />
/** One machine (ours): a range of the arena, its memory, counters and log.  `boot()` in boot.ts puts one together. */

import type { Machine } from "../handle/context.js";
import type { MisuseId } from "../handle/kinds.js";
import { HANDLE_LOW_BITS, PAGE_HANDLE_SHIFT, TAG_PLAIN, TAG_USER } from "../handle/tags.js";
import type { Arch } from "./arch.js";
import {
  foll_pin_acquired,
  foll_pin_released,
  folio_table,
  FOLIO_HEAD,
  free_folio_id,
  page_flags,
  page_mapcount,
  page_ref,
} from "./arena.js";
import {
  CHUNK_PAGES,
  CHUNK_SHIFT,
  MAX_DMESG,
  MAX_PAGES,
  PAGE_SIZE,
  SECTION_PAGES,
  SECTION_SHIFT,
} from "./limits.js";
import { format_report, make_report, MisuseError, type MisuseReport } from "./misuse.js";
import type { Probe } from "./probe.js";
import type { Observer, OtherCpu } from "./trace.js";
import type { VmStat } from "./vmstat.js";

/** What the allocator of mm/ gives to the machine: freeing is reached from a put, which knows no allocator. */
export interface PageAllocator {
  readonly free_pages: number;
  /** of them, those that the kernel's own allocations can have */
  readonly free_kernel_pages: number;
  /** the area of cma_alloc(), [first, end) */
  readonly cma: readonly [first: number, end: number];
  /** A block of 2^order pages; `movable` for pages of users, which may come from where they must be movable. */
  alloc(order: number, movable?: boolean): number;
  /** one free page of the CMA area, or false */
  take_cma_page(pfn: number): boolean;
  /** the last reference went: `pfn` is the head */
  free(pfn: number): void;
}

/** The machine as the library sees it. */
export class MachineState {
  /** first page frame number */
  readonly base: number;
  readonly nr_pages: number;
  readonly panic_on_warn: boolean;
  alive = true;
  /** debug mode, or nobody */
  probe: Probe | null = null;
  /** what the architecture adds; null for one that adds nothing */
  arch: Arch | null = null;
  /** who is told what happens to pages; null when nobody is */
  observers: Observer[] | null = null;
  /** who runs at preemption points; null when nobody does */
  other_cpus: OtherCpu[] | null = null;
  /** The low bits of every handle of a plain page: 0 when nobody looks. */
  page_tags = 0;
  allocator!: PageAllocator;
  /** From this page on nothing may be pinned long-term: the CMA area and ZONE_MOVABLE. */
  unpinnable_from: number;
  /** above 0 while a long-term pin is taken: pages of users are not movable then (PF_MEMALLOC_PIN) */
  memalloc_pin = 0;
  /** the last pin of a page of a file went; set by the page cache */
  unpinned_file_page: (pfn: number) => void = () => undefined;
  zero_pfn = 0;
  /** head of the huge zero folio, 0 before its first use */
  huge_zero_pfn = 0;
  nr_user_bvec_acquired = 0;
  nr_user_bvec_released = 0;
  pgfault = 0;
  thp_fault_alloc = 0;
  thp_fault_fallback = 0;
  nr_bad_pages = 0;
  /** depth of softirqs running: nothing may sleep */
  in_softirq = 0;
  /** depth of kworkers running: one that waits lets others run */
  in_kworker = 0;
  /** calls under way that another CPU, an observer or a plan interrupts */
  interrupted = 0;
  readonly reports: MisuseReport[] = [];
  readonly log: string[] = [];
  readonly #warned = new Set<string>();
  readonly #chunks: Array<Uint8Array | undefined> = [];
  /** runs at shutdown, before the memory goes */
  readonly at_exit: Set<() => void> = new Set();
  next_pid = 1;

  constructor(base: number, nr_pages: number, panic_on_warn: boolean) {
    this.base = base;
    this.nr_pages = nr_pages;
    this.unpinnable_from = base + nr_pages;
    this.panic_on_warn = panic_on_warn;
  }

  /** The low bits of the handle of a pin. */
  get user_tags(): number {
    return this.page_tags === 0 ? 0 : this.page_tags ^ (TAG_PLAIN | TAG_USER);
  }
  /** The host memory that holds page `pfn`; folios never straddle two of these. */
  chunk(pfn: number): Uint8Array {
    const index = (pfn - this.base) >>> CHUNK_SHIFT;
    const chunk = this.#chunks[index];
    if (chunk) return chunk;
    const pages = Math.min(CHUNK_PAGES, this.nr_pages - index * CHUNK_PAGES);
    return (this.#chunks[index] = new Uint8Array(pages * PAGE_SIZE));
  }
  /** Where page `pfn` begins in its chunk. */
  chunk_offset(pfn: number): number {
    return ((pfn - this.base) & (CHUNK_PAGES - 1)) * PAGE_SIZE;
  }

  printk(line: string): void {
    if (this.log.length >= MAX_DMESG) this.log.shift();
    this.log.push(line);
  }
  WARN_ONCE(line: string): void {
    if (this.#warned.has(line)) return;
    this.#warned.add(line);
    this.printk(`WARNING: ${line}`);
  }
  drop_memory(): void {
    this.#chunks.length = 0;
  }
  [Symbol.dispose](): void {
    release_machine(this);
  }
}

// --- which machine a page belongs to -------------------------------------------------------------------
const sections: Array<MachineState | undefined> = new Array<MachineState | undefined>(
  MAX_PAGES >> SECTION_SHIFT,
).fill(undefined);
let next_section = 1; // section 0 stays empty: handle 0 is NULL

/** The running machine that owns the page, or undefined. */
export function machine_of_pfn(pfn: number): MachineState | undefined {
  const machine = sections[pfn >>> SECTION_SHIFT];
  return machine && pfn - machine.base < machine.nr_pages ? machine : undefined;
}

/** Claims a range of the arena; addresses of machines that are gone are used again as late as possible. */
export function claim_machine(nr_pages: number, panic_on_warn: boolean): MachineState {
  const wanted = Math.ceil(nr_pages / SECTION_PAGES);
  for (let tries = 0; tries < 2; tries++) {
    for (let first = next_section; first + wanted <= sections.length; first++) {
      let n = 0;
      while (n < wanted && sections[first + n] === undefined) n++;
      if (n < wanted) {
        first += n;
        continue;
      }
      const machine = new MachineState(first * SECTION_PAGES, nr_pages, panic_on_warn);
      sections.fill(machine, first, first + wanted);
      next_section = first + wanted;
      return machine;
    }
    next_section = 1;
  }
  throw new RangeError(
    `no room for a machine of ${nr_pages} pages: the running machines use most of ${MAX_PAGES} pages; shut some down`,
  );
}

/** Tasks exit, files and disks close. */
export function run_at_exit(machine: MachineState): void {
  for (const exit of machine.at_exit) exit();
  machine.at_exit.clear();
}
/** The end of a machine would wait for what it interrupts. */
export function assert_may_end(machine: MachineState): void {
  if (machine.in_softirq > 0) throw_misuse("sleep-in-atomic", "shutdown()", "softirq");
  if (machine.interrupted > 0 || machine.in_kworker > 0) {
    throw_misuse("hung-task", "shutdown()", "a call that was interrupted here");
  }
}
/** Ends a machine: its handles are no handles any more, its memory is gone.  Idempotent. */
export function release_machine(machine: MachineState): void {
  if (!machine.alive) return;
  assert_may_end(machine);
  run_at_exit(machine);
  machine.alive = false;
  const { base, nr_pages } = machine;
  for (let pfn = base; pfn < base + nr_pages; pfn++) {
    const v = page_ref[pfn]!;
    if (v < 0 && folio_table[(~v << 2) + FOLIO_HEAD] === pfn) free_folio_id(~v);
  }
  page_ref.fill(0, base, base + nr_pages);
  page_flags.fill(0, base, base + nr_pages);
  page_mapcount.fill(0, base, base + nr_pages);
  const first = base >>> SECTION_SHIFT;
  const last = first + Math.ceil(nr_pages / SECTION_PAGES);
  foll_pin_acquired.fill(0, first, last);
  foll_pin_released.fill(0, first, last);
  sections.fill(undefined, first, last);
  machine.drop_memory();
}

// --- what a user sees of it ----------------------------------------------------------------------------
/** Opens a machine; one that was shut down is refused. */
export function machine_state(machine: Machine): MachineState {
  if (!(machine instanceof MachineState) || !machine.alive) {
    throw new MisuseError(
      make_report("not-a-handle", "a machine was used", "no running machine", []),
    );
  }
  return machine;
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
/** What the machine logged: warnings and bad pages, oldest first, the last 1000 lines.  Models dmesg(1). */
export function dmesg(machine: Machine): readonly string[] {
  return machine_state(machine).log;
}
/** Misuse that was recorded (ours); only a machine with `panic_on_warn: false` goes on after one. */
export function misuse_reports(machine: Machine): readonly MisuseReport[] {
  return machine_state(machine).reports;
}

// --- misuse that needs no debug mode to be seen ----------------------------------------------------------
/** The page address in a handle, without its low bits and serial number. */
function handle_pfn(handle: number): number {
  return handle >>> PAGE_HANDLE_SHIFT;
}
/** Whether there is anything left to release: not after shutdown(). */
export function is_of_running_machine(handle: number): boolean {
  return machine_of_pfn(handle_pfn(handle)) !== undefined;
}
/** The machine of a handle, which must be one. */
export function machine_of_handle(handle: number, called: string): MachineState {
  const machine = typeof handle === "number" ? machine_of_pfn(handle_pfn(handle)) : undefined;
  // What is no number is not to be calculated with: that throws something else.
  const low = machine ? handle & HANDLE_LOW_BITS : 0;
  if (!machine || handle < 0 || (low !== machine.page_tags && low !== machine.user_tags)) {
    throw new MisuseError(make_report("not-a-handle", called, describe_value(handle), []));
  }
  return machine;
}
function describe_value(value: unknown): string {
  if (typeof value === "number") {
    return Number.isInteger(value) && value >= 0 ? `0x${value.toString(16)}` : String(value);
  }
  return value === null ? "null" : typeof value;
}
/** Throws the report, in every mode: going on is not possible. */
export function throw_misuse(
  id: MisuseId,
  called: string,
  handle: string,
  facts: readonly string[] = [],
): never {
  throw new MisuseError(make_report(id, called, handle, facts));
}
/** What is passed together belongs to one machine. */
export function throw_foreign(called: string): never {
  throw_misuse("not-a-handle", called, "a context and pages of two machines");
}
/** Throws the report, or records it on a machine that goes on. */
export function warn_misuse(machine: MachineState, report: MisuseReport): void {
  if (machine.panic_on_warn) throw new MisuseError(report);
  machine.reports.push(report);
  machine.printk(format_report(report));
}
