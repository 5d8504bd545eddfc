/// <reference lib="esnext.disposable" preserve="true" />
/** One machine (ours): a range of the arena, its memory, counters and log.  `boot()` in boot.ts puts one together. */

import type { Machine } from "../handle/context.js";
import type { MisuseId } from "../handle/kinds.js";
import { show } from "../handle/show.js";
import { HANDLE_LOW_BITS, PAGE_HANDLE_SHIFT, TAG_PLAIN, TAG_USER } from "../handle/tags.js";
import type { PageAllocator } from "./allocator.js";
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
import type { FaultPlan } from "./fault-inject.js";
import {
  CHUNK_PAGES,
  CHUNK_SHIFT,
  MAX_DMESG,
  MAX_PAGES,
  PAGE_SIZE,
  SECTION_PAGES,
  SECTION_SHIFT,
} from "./limits.js";
import {
  format_report,
  make_report,
  MisuseError,
  type Evidence,
  type MisuseReport,
} from "./misuse.js";
import type { Probe } from "./probe.js";
import { reproduce_of } from "./reproduce.js";
import type { Observer, OtherCpu } from "./trace.js";
import { trace, type Tracer } from "./tracepoint.js";

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
  /** who is told of each trace event; null when nobody is */
  tracers: Tracer[] | null = null;
  /** what fails on purpose; null when nothing does */
  faults: FaultPlan | null = null;
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
  /** sizes of folios that anonymous memory gets, by their orders; set by boot() */
  huge_anon_orders: { readonly always: number; readonly madvise: number } = {
    always: 0,
    madvise: 0,
  };
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
  /** how to get here again, for reports; null when nobody said */
  reproduce: string | null = null;
  /** the call that made it; with these faults, if they are given */
  booted: (inject?: string) => string = () => "boot()";
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

  /** Who runs now, as far as the machine knows: which task it is, only calls that name it know. */
  get context_name(): "softirq" | "kworker" | "process" {
    return this.in_softirq > 0 ? "softirq" : this.in_kworker > 0 ? "kworker" : "process";
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
const running = new Set<MachineState>();

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
      running.add(machine);
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
  running.delete(machine);
  machine.drop_memory();
}

// --- what a user sees of it ----------------------------------------------------------------------------
/** Opens a machine; one that was shut down is refused. */
export function machine_state(machine: Machine): MachineState {
  if (!(machine instanceof MachineState) || !machine.alive) {
    throw new MisuseError(make_report("not-a-handle", "a machine was used", "no running machine"));
  }
  return machine;
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
    // Perhaps of a machine that is gone; which one is not known.
    throw_misuse("not-a-handle", called, describe_value(handle), undefined, null);
  }
  return machine;
}
function describe_value(value: unknown): string {
  const is_address = Number.isInteger(value) && (value as number) >= 0;
  return is_address ? `0x${(value as number).toString(16)}` : show(value);
}
/** Throws the report, in every mode: going on is not possible. */
export function throw_misuse(
  id: MisuseId,
  called: string,
  handle: string,
  evidence?: Evidence,
  machine: MachineState | null = the_machine(),
): never {
  throw new MisuseError(report_of(machine, id, called, handle, evidence));
}
/** What is passed together belongs to one machine. */
export function throw_foreign(called: string): never {
  throw_misuse("not-a-handle", called, "a context and pages of two machines");
}
/** Throws a report, or records it on a machine that goes on. */
export function warn_misuse(
  machine: MachineState,
  id: MisuseId,
  called: string,
  handle: string,
  evidence?: Evidence,
): void {
  const report = report_of(machine, id, called, handle, evidence);
  if (machine.panic_on_warn) throw new MisuseError(report);
  machine.printk(format_report(report));
}
/** Records a report where there is no call that could be told. */
export function record_misuse(
  machine: MachineState,
  id: MisuseId,
  called: string,
  handle: string,
  evidence: Evidence,
): void {
  machine.printk(format_report(report_of(machine, id, called, handle, evidence)));
}
/** The report, with what the machine knows, which keeps it; who traces it is told. */
function report_of(
  machine: MachineState | null,
  id: MisuseId,
  called: string,
  handle: string,
  evidence?: Evidence,
): MisuseReport {
  if (machine === null) return make_report(id, called, handle, evidence);
  if (machine.tracers !== null) trace(machine, "misuse", { id, called, handle });
  const evidence_of_machine = { context: machine.context_name, reproduce: reproduce_of(machine) };
  const report = make_report(id, called, handle, { ...evidence_of_machine, ...evidence });
  machine.reports.push(report);
  return report;
}
/** The machine that runs, if there is one alone: most misuse is seen where only the handle is at hand. */
function the_machine(): MachineState | null {
  return running.size === 1 ? running.values().next().value! : null;
}
