/// <reference lib="esnext.disposable" preserve="true" />
/** Shared memory: a file whose pages live nowhere else.  Models mm/shmem.c and memfd_create(). */

import { to_memfd } from "../handle/cast.js";
import type { Memfd, ProcessContext } from "../handle/context.js";
import { ERR_PTR, type Errno } from "../handle/errno.js";
import { PG_swapbacked, page_flags } from "../machine/arena.js";
import { might_sleep } from "../machine/context.js";
import { HPAGE_PMD_NR, HPAGE_PMD_ORDER, PAGE_SIZE } from "../machine/limits.js";
import { type MachineState } from "../machine/machine.js";
import { OpenFile, type MappedFile } from "./mm_types.js";
import { clear_pages } from "./page_alloc.js";
import { ref_add, ref_count, ref_sub } from "./page_ref.js";

/** Its folios are 2 MiB where they fit.  Models MFD_HUGETLB in effect, without a pool. */
export const MFD_HUGE = 4;

/** A file in memory; each page of it holds one reference of the file. */
export class ShmemFile extends OpenFile implements MappedFile {
  readonly machine: MachineState;
  readonly nr_pages: number;
  readonly huge: boolean;
  readonly tracks_dirty = false;
  readonly is_dax = false;
  readonly #pages = new Map<number, number>();
  /** mappings, and the descriptor while it is open */
  #users = 1;
  #open = true;
  readonly #at_exit = (): void => {
    this.#truncate();
  };

  constructor(machine: MachineState, bytes: number, huge: boolean) {
    super();
    this.machine = machine;
    this.nr_pages = Math.ceil(bytes / PAGE_SIZE);
    this.huge = huge;
    machine.at_exit.add(this.#at_exit);
    shmem_files_of(machine).add(this);
  }
  /** The page at this index, allocated and zeroed at first use; 0 when memory is out. */
  page(index: number): number {
    const found = this.#pages.get(index);
    if (found !== undefined) return found;
    const first = index - (index % HPAGE_PMD_NR);
    if (this.huge && first + HPAGE_PMD_NR <= this.nr_pages && this.#is_hole(first)) {
      const head = this.machine.allocator.alloc(HPAGE_PMD_ORDER, true, "shmem_alloc_folio()");
      if (head !== 0) {
        clear_pages(this.machine, head, HPAGE_PMD_NR);
        ref_add(head, HPAGE_PMD_NR - 1);
        for (let i = 0; i < HPAGE_PMD_NR; i++) this.#add(first + i, head + i);
        return head + index - first;
      }
    }
    const pfn = this.machine.allocator.alloc(0, true, "shmem_alloc_folio()");
    if (pfn === 0) return 0;
    clear_pages(this.machine, pfn, 1);
    this.#add(index, pfn);
    return pfn;
  }
  /** Calls `to` for each page; what it answers, unless 0, is the page from now on. */
  replace_pages(to: (pfn: number) => number): void {
    for (const [index, pfn] of this.#pages) {
      const now = to(pfn);
      if (now !== 0) this.#pages.set(index, now);
    }
  }
  /** Small pages that came when no huge one was free stay where they are. */
  #is_hole(first: number): boolean {
    for (let i = first; i < first + HPAGE_PMD_NR; i++) if (this.#pages.has(i)) return false;
    return true;
  }
  #add(index: number, pfn: number): void {
    page_flags[pfn] = page_flags[pfn]! | PG_swapbacked;
    this.#pages.set(index, pfn);
  }
  get mapping(): MappedFile {
    return this;
  }
  page_mkwrite(): number {
    return 0;
  }
  open_vma(): void {
    this.#users++;
  }
  close_vma(): void {
    this.#put();
  }
  #put(): void {
    if (--this.#users === 0) this.#truncate();
  }
  get open(): boolean {
    return this.#open;
  }
  /** Closes the descriptor. */
  [Symbol.dispose](): void {
    if (!this.#open) return;
    this.#open = false;
    this.#put();
  }
  #truncate(): void {
    // A page that somebody put once too often is gone already.
    for (const pfn of this.#pages.values()) if (ref_count(pfn) !== 0) ref_sub(pfn, 1);
    this.#pages.clear();
    shmem_files_of(this.machine).delete(this);
    this.machine.at_exit.delete(this.#at_exit);
  }
}

const all_files = new WeakMap<MachineState, Set<ShmemFile>>();
/** The files in memory of a machine that hold pages. */
export function shmem_files_of(machine: MachineState): Set<ShmemFile> {
  let files = all_files.get(machine);
  if (!files) all_files.set(machine, (files = new Set()));
  return files;
}

/**
 * Makes a file in memory that several address spaces can map.  Models memfd_create() and ftruncate().
 * The caller owns the descriptor: `using`, or the machine's end.
 *
 * @param current - may sleep
 * @param bytes - its size; rounded up to pages
 * @param flags - MFD_HUGE for folios of 2 MiB; 0 for none
 * @returns EINVAL for a size that is not above 0, or other flags
 * @example
 * using memfd = memfd_create(current, 4 << 20, MFD_HUGE);
 */
export function memfd_create(
  current: ProcessContext,
  bytes: number,
  flags = 0,
): Memfd | Errno<"EINVAL"> {
  const machine = might_sleep(current, "memfd_create()");
  if (!Number.isSafeInteger(bytes) || bytes <= 0 || (flags !== 0 && flags !== MFD_HUGE)) {
    return ERR_PTR("EINVAL", `${bytes} bytes, flags ${flags}`);
  }
  return to_memfd(new ShmemFile(machine, bytes, (flags & MFD_HUGE) !== 0));
}
