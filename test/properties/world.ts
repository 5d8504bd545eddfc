/**
 * A reference model of counts, kept beside a machine: what is held, by whom, and how many references that must be.  It
 * shares no arithmetic with the library; from it it reads the counts to judge, and the page tables.
 */
import {
  boot,
  brd_alloc,
  copy_to_user,
  create_task,
  memfd_create,
  MFD_HUGE,
  vmstat,
  type BlockDevice,
  type Fragmentation,
  type Machine,
  type MachineOptions,
  type Memfd,
  type Task,
} from "user-page";
import {
  page_flags,
  page_ref,
  page_tables,
  PG_huge_zero,
  PG_swapbacked,
} from "../../src/machine/arena.js";
import { machine_state, type MachineState } from "../../src/machine/machine.js";
import { mm_state } from "../../src/mm/mm_types.js";
import {
  head_of,
  maybe_dma_pinned,
  order_of,
  pin_count,
  ref_count,
} from "../../src/mm/page_ref.js";
import { pmd_slot } from "../../src/mm/pgtable.js";
import { must } from "../fixtures.js";

export const PAGE = 4096;
/** Each task has four ranges of 4 MiB: small pages, huge pages, a shared file, a private mapping of a huge file. */
export const SLOTS = 4;
export const SLOT_PAGES = 1024;
export const slot_addr = (slot: number): number => 0x40000000 + slot * SLOT_PAGES * PAGE;
export const UNMAPPED = 255;

/** Something the program owns: one entry in `plain` or `pins` for each reference. */
export interface Holding {
  readonly what: string;
  plain: number[];
  pins: number[];
  /** how many of the pins are extents */
  bvecs: number;
  readonly handle: unknown;
  readonly dest: boolean;
  release(variant: number): void;
}

export class World {
  readonly machine: Machine;
  readonly state: MachineState;
  readonly tasks: readonly [Task, Task];
  killed = false;
  /** what each page of each slot of each task may be used for: PROT_ bits, or UNMAPPED */
  readonly prot: readonly Uint8Array[];
  readonly files: readonly [small: Memfd, huge: Memfd];
  readonly holdings: Holding[] = [];
  readonly free_at_start: number;
  disk: BlockDevice;
  fragments: Fragmentation | null = null;
  readonly withheld = new Set<number>();
  /** how bios ended since the last step */
  readonly completed: string[] = [];

  constructor(options: MachineOptions) {
    this.machine = boot({ mem: 16 << 20, ...options });
    this.state = machine_state(this.machine);
    this.free_at_start = vmstat(this.machine).nr_free_pages;
    this.tasks = [create_task(this.machine), create_task(this.machine)];
    this.files = [
      must(memfd_create(this.tasks[0], SLOT_PAGES * PAGE)),
      must(memfd_create(this.tasks[0], SLOT_PAGES * PAGE, MFD_HUGE)),
    ];
    this.prot = Array.from({ length: 2 * SLOTS }, () => new Uint8Array(SLOT_PAGES).fill(UNMAPPED));
    this.disk = must(brd_alloc(this.machine, 1 << 20));
  }
  /** There was enough memory for any one step before this one. */
  roomy_before = true;
  #roomy(): boolean {
    return this.fragments === null && this.state.allocator.free_pages > 1300;
  }
  begin_step(): void {
    this.roomy_before = this.#roomy();
  }
  hold(holding: Holding): void {
    this.holdings.push(holding);
  }
  drop(holding: Holding): void {
    this.holdings.splice(this.holdings.indexOf(holding), 1);
  }
  pick(n: number, ...what: string[]): Holding | undefined {
    const fitting = this.holdings.filter((h) => what.includes(h.what));
    return fitting[n % Math.max(1, fitting.length)];
  }
  /** Pages from `page` on that allow `bits`. */
  accessible(task: number, slot: number, page: number, nr: number, bits: number): number {
    const prot = this.prot[task * SLOTS + slot]!;
    let n = 0;
    while (n < nr && prot[page + n] !== UNMAPPED && (prot[page + n]! & bits) === bits) n++;
    return n;
  }
  write(task: number, addr: number, bytes: Uint8Array): boolean {
    return copy_to_user(this.tasks[task]!, addr as never, bytes).isOk();
  }

  /** Compares every count of the machine with what the model says; throws the first difference. */
  check(): void {
    const { base, nr_pages } = this.state;
    const refs = new Int32Array(nr_pages);
    const pins = new Int32Array(nr_pages);
    let live_pins = 0;
    let live_bvecs = 0;
    const head = (pfn: number): number => head_of(pfn) - base;
    const zero = this.state.zero_pfn;
    for (const holding of this.holdings) {
      for (const pfn of holding.plain) refs[head(pfn)]!++;
      live_bvecs += holding.bvecs;
      for (const pfn of holding.pins) {
        if (pfn === zero) continue;
        live_pins++;
        if (order_of(pfn) > 0) {
          refs[head(pfn)]!++;
          pins[head(pfn)]!++;
        } else refs[head(pfn)]! += 1024;
        if (!maybe_dma_pinned(pfn)) throw new Error(`pfn ${pfn} is pinned and does not look it`);
        if (ref_count(pfn) === 0) throw new Error(`pfn ${pfn} is pinned and free`);
      }
    }
    for (const task of this.tasks) this.#count_mappings(task, refs);
    for (let i = 0; i < nr_pages; i++) {
      if (page_flags[base + i]! & PG_swapbacked) refs[head(base + i)]!++;
      if (page_flags[base + i]! & PG_huge_zero && i === head(base + i)) refs[i]!++;
    }
    for (const index of this.withheld) refs[index]!++;
    refs[zero - base]!++;
    let used = 0;
    for (let i = 0; i < nr_pages; i++) {
      if (page_ref[base + i] !== 0) used++;
      if (head(base + i) !== i) continue;
      const [r, p] = [ref_count(base + i), pin_count(base + i)];
      if (r === refs[i] && p === pins[i]) continue;
      throw new Error(`page ${i}: ${r} refs and ${p} pins; the model says ${refs[i]}, ${pins[i]}`);
    }
    const stat = vmstat(this.machine);
    const differs = (name: string, is: number, should: number): void => {
      if (is !== should) throw new Error(`${name}: ${is}; the model says ${should}`);
    };
    differs("live pins", stat.nr_foll_pin_acquired - stat.nr_foll_pin_released, live_pins);
    differs("live extents", stat.nr_user_bvec_acquired - stat.nr_user_bvec_released, live_bvecs);
    differs("free pages", stat.nr_free_pages, nr_pages - used);
    differs("bad pages", stat.nr_bad_pages, 0);
  }
  #count_mappings(task: Task, refs: Int32Array): void {
    const { pgd } = mm_state(task.mm, "check()");
    const { base, zero_pfn } = this.state;
    for (let pmd = slot_addr(0) >>> 21; pmd < slot_addr(SLOTS) >>> 21; pmd++) {
      const slot = pmd_slot(pgd, pmd);
      const entry = slot === 0 ? 0 : page_tables[slot]!;
      if (entry === 0) continue;
      if (entry & 32) {
        refs[head_of(entry >>> 6) - base]!++;
        continue;
      }
      for (let i = 0; i < 512; i++) {
        const pte = page_tables[((entry >>> 6) << 9) + i]!;
        if (pte !== 0 && pte >>> 6 !== zero_pfn) refs[head_of(pte >>> 6) - base]!++;
      }
    }
  }
}
