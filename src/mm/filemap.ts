/** The page cache of a file.  Models struct address_space and mm/filemap.c; its folios are single pages. */

import { lend_page } from "../handle/cast.js";
import { ERR_PTR, type Errno } from "../handle/errno.js";
import type { BorrowedPage } from "../handle/page.js";
import { PAGE_HANDLE_SHIFT } from "../handle/tags.js";
import { throw_would_spin } from "../machine/arch.js";
import {
  new_folio_id,
  page_flags,
  page_ref,
  PG_arch_1,
  PG_allocated,
  PG_dest,
  PG_dirty,
  PG_file,
  PG_private,
  PG_writeback,
} from "../machine/arena.js";
import { wait_for_completion } from "../machine/context.js";
import { PAGE_SIZE } from "../machine/limits.js";
import type { MachineState } from "../machine/machine.js";
import { arch_make_folio_accessible } from "./accessible.js";
import {
  cached_page,
  file_page_unpinned,
  set_cached_page,
  tell,
  trace_folio,
} from "./address_space.js";
import { VM_FAULT_SIGBUS } from "./memory.js";
import type { MappedFile, Vma } from "./mm_types.js";
import { clear_pages } from "./page_alloc.js";
import { ref_add, ref_count, ref_sub } from "./page_ref.js";
import { type WritebackPolicy, type WritebackStats } from "./writeback_policy.js";

export type FileError = Errno<"EIO" | "ENOSPC" | "ENOMEM">;
const no_page = (index: number): FileError =>
  ERR_PTR("ENOMEM", `no page for page ${index} of the file`);

/** What a file system does for its page cache.  Models struct address_space_operations. */
export interface AddressSpaceOps {
  /** Fills a page that is new in the cache; nothing is said of bytes behind the end of the file.  Sleeps. */
  read_folio(index: number, to: BorrowedPage): FileError | null;
  /** Makes sure that what is stored into this page has a place: once before it is dirty.  May fail, changes nothing then. */
  prepare(index: number): FileError | null;
  /** As many places are free again, all of them by default: the page will not be written. */
  unprepare(index: number, nr?: number): void;
  /** The checksum of bytes that are going to be written. */
  checksum(bytes: Uint8Array): number;
  /**
   * Sends a page to the oldest place prepared for it; `done` runs once, in softirq context unless there is no such place.
   * What throws sent nothing, and the place is there as before.  Sleeps.
   */
  writepage(
    index: number,
    from: BorrowedPage,
    checksum: number,
    done: (error: FileError | null) => void,
  ): void;
}

export class AddressSpace implements MappedFile {
  readonly machine: MachineState;
  readonly a_ops: AddressSpaceOps;
  readonly tracks_dirty = true;
  readonly is_dax = false;
  readonly policy: WritebackPolicy;
  /** mappings of it */
  readonly i_mmap: Set<Vma> = new Set();
  /** its pages by index */
  readonly i_pages: Map<number, number> = new Map();
  /** bytes */
  i_size = 0;
  /** indexes of pages on their way to the disk, copies among them */
  readonly in_flight: Set<number> = new Set();
  /** the first error of writeback that nobody was told yet */
  wb_err: FileError | null = null;
  readonly stats: WritebackStats;

  constructor(
    machine: MachineState,
    a_ops: AddressSpaceOps,
    policy: WritebackPolicy,
    stats: WritebackStats,
  ) {
    this.machine = machine;
    this.a_ops = a_ops;
    this.policy = policy;
    this.stats = stats;
    machine.unpinned_file_page = file_page_unpinned;
  }
  get refuses_longterm(): boolean {
    return this.policy.refuse_longterm;
  }
  get nr_pages(): number {
    return Math.ceil(this.i_size / PAGE_SIZE);
  }
  open_vma(vma: Vma): void {
    this.i_mmap.add(vma);
  }
  close_vma(vma: Vma): void {
    this.i_mmap.delete(vma);
  }

  // --- pages -----------------------------------------------------------------------------------------------
  page(index: number): number {
    const pfn = this.read_page(index);
    // Reading sleeps: the file may be shorter by now.
    if (typeof pfn === "number") return index < this.nr_pages ? pfn : -1;
    return pfn.errno === "ENOMEM" ? 0 : -1;
  }
  /** The page at this index, read if it is not here.  Models read_mapping_folio(). */
  read_page(index: number): number | FileError {
    const found = this.i_pages.get(index);
    if (found !== undefined) {
      // Models filemap_get_entry(), which tries until the page is not frozen any more.
      const frozen = ref_count(found) === 0 && (page_flags[found]! & PG_allocated) !== 0;
      if (frozen) throw_would_spin("a lookup in the page cache", "the CPU that froze the page");
      return found;
    }
    const pfn = this.machine.allocator.alloc(0, true, "filemap_alloc_folio()");
    if (pfn === 0) return no_page(index);
    const to = lend_page((pfn << PAGE_HANDLE_SHIFT) | this.machine.page_tags);
    let kept = false;
    try {
      const failed = this.a_ops.read_folio(index, to);
      if (failed) return failed;
      // Nobody finds it before it is read.  Meanwhile somebody else may have read it, and stored to it.
      const first = this.i_pages.get(index);
      if (first !== undefined) return first;
      this.#insert(index, pfn);
      kept = true;
      return pfn;
    } finally {
      // Also when the wait for the disk threw.
      if (!kept) ref_sub(pfn, 1);
    }
  }
  /** A page of zeroes that was not in the cache; 0 when memory is out. */
  add_page(index: number): number {
    const pfn = this.machine.allocator.alloc(0, true, "filemap_alloc_folio()");
    if (pfn === 0) return 0;
    clear_pages(this.machine, pfn, 1);
    this.#insert(index, pfn);
    return pfn;
  }
  /** The page gets into the cache, which takes over its reference.  Models filemap_add_folio(). */
  #insert(index: number, pfn: number): void {
    // An entry of its own in the folio table: its counts take the careful path, which looks at PG_file.
    page_ref[pfn] = ~new_folio_id(1, 0, pfn, 0);
    page_flags[pfn] = page_flags[pfn]! | PG_file;
    this.i_pages.set(index, pfn);
    set_cached_page(pfn, { mapping: this, index });
    const { machine } = this;
    if (machine.tracers !== null) trace_folio(machine, pfn, "mm_filemap_add_to_page_cache");
  }
  /** The page leaves the file, whoever holds it keeps the memory.  Models filemap_remove_folio(). */
  remove_page(index: number, pfn: number): void {
    const flags = page_flags[pfn]!;
    if (flags & PG_private) this.a_ops.unprepare(index);
    tell(pfn, "truncate");
    this.i_pages.delete(index);
    set_cached_page(pfn, null);
    page_flags[pfn] = flags & ~(PG_file | PG_dest | PG_dirty | PG_private | PG_writeback);
    if (ref_count(pfn) !== 0) ref_sub(pfn, 1);
  }

  // --- dirty -----------------------------------------------------------------------------------------------
  /** The fault of a store: waits until the disk has the old bytes, asks for a place, and makes the page dirty. */
  page_mkwrite(index: number, pfn: number): number {
    return this.make_writable(index, pfn) === null ? 0 : VM_FAULT_SIGBUS;
  }
  /**
   * The page at this index, with a place for what is going to be stored, and dirty; read unless all of it is overwritten at
   * once.  Models a_ops->write_begin().
   */
  write_begin(index: number, whole = false): number | FileError {
    for (;;) {
      const is_new = whole && !this.i_pages.has(index);
      const pfn = is_new ? this.add_page(index) || no_page(index) : this.read_page(index);
      if (typeof pfn !== "number") return pfn;
      const failed = this.make_writable(index, pfn);
      if (failed === null) {
        // Others ran: they may have written it, or taken it from the file.
        if (this.export_page(pfn)) continue;
        return pfn;
      }
      if (this.i_pages.get(index) !== pfn) continue;
      if (is_new) this.remove_page(index, pfn);
      return failed;
    }
  }
  make_writable(index: number, pfn: number): FileError | null {
    this.wait_for_stable(pfn);
    if (this.i_pages.get(index) !== pfn) return ERR_PTR("EIO", `page ${index} left the file`);
    if ((page_flags[pfn]! & PG_private) === 0) {
      const failed = this.a_ops.prepare(index);
      if (failed) return failed;
      page_flags[pfn] = page_flags[pfn]! | PG_private;
    }
    tell(pfn, "page_mkwrite");
    if ((page_flags[pfn]! & PG_dirty) === 0) this.dirty_folio(pfn);
    return null;
  }
  /** The last pin of a page of this file went. */
  unpinned(pfn: number): void {
    if (this.policy.dirty_on_unpin && (page_flags[pfn]! & PG_dirty) === 0) this.dirty_folio(pfn);
  }
  /** Makes a page accessible that may be secure, before it is stored to; true if that let other CPUs run. */
  export_page(pfn: number): boolean {
    if ((page_flags[pfn]! & PG_arch_1) === 0) return false;
    ref_add(pfn, 1);
    try {
      return arch_make_folio_accessible(pfn) === 0;
    } finally {
      ref_sub(pfn, 1);
    }
  }
  /** Models folio_wait_stable(). */
  wait_for_stable(pfn: number): void {
    if ((page_flags[pfn]! & PG_writeback) === 0) return;
    if (this.machine.tracers !== null) trace_folio(this.machine, pfn, "folio_wait_writeback");
    const done = (): boolean => (page_flags[pfn]! & PG_writeback) === 0;
    wait_for_completion(this.machine, done, "folio_wait_stable()");
  }
  /** A clean page becomes dirty, with its file asked or not.  Models a_ops->dirty_folio(). */
  dirty_folio(pfn: number): void {
    if ((page_flags[pfn]! & PG_private) === 0) this.#dirty_unprepared(pfn);
    page_flags[pfn] = page_flags[pfn]! | PG_dirty;
    tell(pfn, "folio_mark_dirty");
  }
  #dirty_unprepared(pfn: number): void {
    this.stats.unprepared++;
    if (!this.policy.page_mkwrite_on_put) return;
    // Asking a file sleeps, which whoever releases a pin often cannot.
    if (this.machine.in_softirq > 0) return;
    const { index } = cached_page(pfn)!;
    if (this.a_ops.prepare(index) === null) page_flags[pfn] = page_flags[pfn]! | PG_private;
  }
}
