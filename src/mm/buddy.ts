/**
 * The buddy allocator: blocks of 2^order pages, split and merged.  Models mm/page_alloc.c without pcp lists.
 *
 * Memory has three parts, in this order: normal memory, one area for contiguous allocations (CMA), ZONE_MOVABLE.  The kernel's
 * own pages come from the first only.  Pages of users come from ZONE_MOVABLE, then from the CMA area, then from normal
 * memory; from normal memory only while a long-term pin is taken (PF_MEMALLOC_PIN), since it may not keep the others.
 */

import type { PageAllocator } from "../machine/allocator.js";
import {
  entire_mapcount,
  folio_table,
  FOLIO_ORDER,
  FOLIO_PIN,
  free_folio_id,
  new_folio_id,
  page_flags,
  page_mapcount,
  page_ref,
  PG_allocated,
  PG_touched,
} from "../machine/arena.js";
import { MAX_PAGE_ORDER } from "../machine/limits.js";
import type { MachineState } from "../machine/machine.js";
import { describe_page_counts } from "../machine/misuse.js";
import { trace } from "../machine/tracepoint.js";
import { describe_pfn, page_counts } from "./page_ref.js";

const NONE = -1;

/** A small generator with good low bits (xorshift32); only the order of free blocks depends on it. */
function xorshift(seed: number): () => number {
  let x = seed | 0 || 1;
  return () => {
    x ^= x << 13;
    x ^= x >>> 17;
    x ^= x << 5;
    return x >>> 0;
  };
}
/** What the lists of a machine share. */
interface Lists {
  // doubly linked through page indexes, as page->lru
  readonly next: Int32Array;
  readonly prev: Int32Array;
  /** order + 1 of the free block that begins here, 0 elsewhere */
  readonly block: Uint8Array;
  readonly random: (() => number) | null;
}

/** One part of memory, by page indexes: [start, end).  Blocks do not merge across its ends. */
class Zone {
  readonly start: number;
  readonly end: number;
  free_pages = 0;
  readonly #lists: Lists;
  readonly #first: Int32Array = new Int32Array(MAX_PAGE_ORDER + 1).fill(NONE);
  readonly #last: Int32Array = new Int32Array(MAX_PAGE_ORDER + 1).fill(NONE);

  constructor(lists: Lists, start: number, end: number) {
    this.#lists = lists;
    this.start = start;
    this.end = end;
    for (let index = start; index < end;) {
      let order = MAX_PAGE_ORDER;
      while ((index & ((1 << order) - 1)) !== 0 || index + (1 << order) > end) order--;
      if (this.#heads()) this.#add_head(index, order);
      else this.#add_tail(index, order);
      index += 1 << order;
    }
    this.free_pages = end - start;
  }
  /** Whether the page is in a free block of the zone. */
  has(index: number): boolean {
    if (index < this.start || index >= this.end) return false;
    const { block } = this.#lists;
    for (let order = 0; order <= MAX_PAGE_ORDER; order++) {
      if (block[index & ~((1 << order) - 1)] === order + 1) return true;
    }
    return false;
  }
  /** Free blocks of each order. */
  free_area(): number[] {
    const { next } = this.#lists;
    return Array.from(this.#first, (first) => {
      let nr = 0;
      for (let index = first; index !== NONE; index = next[index]!) nr++;
      return nr;
    });
  }
  /** Shuffled, either end of a list. */
  #heads(): boolean {
    return this.#lists.random !== null && (this.#lists.random() & 1) === 1;
  }
  /** Takes a block: the index of its first page, or NONE. */
  take(order: number): number {
    let from = order;
    while (from <= MAX_PAGE_ORDER && this.#first[from] === NONE) from++;
    if (from > MAX_PAGE_ORDER) return NONE;
    let index = this.#first[from]!;
    this.#unlink(index, from);
    while (from > order) {
      from--;
      const upper = index + (1 << from);
      // The lower half is kept, so that pages come in ascending order; shuffled, either half.
      if (this.#heads()) {
        this.#add_head(index, from);
        index = upper;
      } else this.#add_head(upper, from);
    }
    this.free_pages -= 1 << order;
    return index;
  }
  /** Takes this page out of the free block that contains it; false if it is in none. */
  take_page(index: number): boolean {
    const { block } = this.#lists;
    let order = 0;
    let first = index;
    while (block[first] !== order + 1) {
      if (++order > MAX_PAGE_ORDER) return false;
      first = index & ~((1 << order) - 1);
    }
    this.#unlink(first, order);
    while (order > 0) {
      order--;
      const upper = first + (1 << order);
      this.#add_head(index < upper ? upper : first, order);
      if (index >= upper) first = upper;
    }
    this.free_pages--;
    return true;
  }
  give(index: number, order: number): void {
    const { block } = this.#lists;
    this.free_pages += 1 << order;
    while (order < MAX_PAGE_ORDER) {
      const buddy = index ^ (1 << order);
      if (buddy < this.start || buddy >= this.end || block[buddy] !== order + 1) break;
      this.#unlink(buddy, order);
      index = Math.min(index, buddy);
      order++;
    }
    if (this.#heads()) this.#add_tail(index, order);
    else this.#add_head(index, order);
  }

  #add_head(index: number, order: number): void {
    const { next, prev, block } = this.#lists;
    const first = this.#first[order]!;
    next[index] = first;
    prev[index] = NONE;
    if (first === NONE) this.#last[order] = index;
    else prev[first] = index;
    this.#first[order] = index;
    block[index] = order + 1;
  }
  #add_tail(index: number, order: number): void {
    const { next, prev, block } = this.#lists;
    const last = this.#last[order]!;
    prev[index] = last;
    next[index] = NONE;
    if (last === NONE) this.#first[order] = index;
    else next[last] = index;
    this.#last[order] = index;
    block[index] = order + 1;
  }
  #unlink(index: number, order: number): void {
    const { next, prev, block } = this.#lists;
    const after = next[index]!;
    const before = prev[index]!;
    if (before === NONE) this.#first[order] = after;
    else next[before] = after;
    if (after === NONE) this.#last[order] = before;
    else prev[after] = before;
    block[index] = 0;
  }
}

export class BuddyAllocator implements PageAllocator {
  readonly #machine: MachineState;
  readonly #normal: Zone;
  readonly #cma: Zone;
  readonly #movable: Zone;

  /**
   * Owns the whole memory of the machine; a seed shuffles it as CONFIG_SHUFFLE_PAGE_ALLOCATOR does.  `cma` and `movable` are
   * pages.
   */
  constructor(machine: MachineState, shuffle: number | undefined, cma = 0, movable = 0) {
    this.#machine = machine;
    const { nr_pages } = machine;
    const lists: Lists = {
      next: new Int32Array(nr_pages),
      prev: new Int32Array(nr_pages),
      block: new Uint8Array(nr_pages),
      random: shuffle === undefined ? null : xorshift(shuffle),
    };
    const movable_from = nr_pages - movable;
    this.#normal = new Zone(lists, 0, movable_from - cma);
    this.#cma = new Zone(lists, movable_from - cma, movable_from);
    this.#movable = new Zone(lists, movable_from, nr_pages);
  }
  get free_pages(): number {
    return this.#normal.free_pages + this.#cma.free_pages + this.#movable.free_pages;
  }
  get free_kernel_pages(): number {
    return this.#normal.free_pages;
  }
  /** The CMA area, [first, end), as page frame numbers. */
  get cma(): readonly [first: number, end: number] {
    return [this.#machine.base + this.#cma.start, this.#machine.base + this.#cma.end];
  }

  /**
   * Takes a block; its pages have one reference on the head.  0 when nothing that large is free.
   *
   * @param movable - for a user, whose page can be moved
   * @param by - who asks and can do without; see fault-inject.ts
   */
  alloc(order: number, movable = false, by = ""): number {
    const { faults } = this.#machine;
    if (faults !== null && by !== "" && faults.ask(this.#machine, "fail_page_alloc", by)) return 0;
    let index = NONE;
    if (movable && this.#machine.memalloc_pin === 0) {
      index = this.#movable.take(order);
      if (index === NONE) index = this.#cma.take(order);
    }
    if (index === NONE) index = this.#normal.take(order);
    return index === NONE ? 0 : this.#prepare(this.#machine.base + index, order, movable);
  }
  free_areas(): ReadonlyArray<readonly number[]> {
    return [this.#normal, this.#cma, this.#movable].map((zone) => zone.free_area());
  }
  is_free(pfn: number): boolean {
    const index = pfn - this.#machine.base;
    return [this.#normal, this.#cma, this.#movable].some((zone) => zone.has(index));
  }
  /** Takes one free page of the CMA area; false if it is not free. */
  take_cma_page(pfn: number): boolean {
    if (!this.#cma.take_page(pfn - this.#machine.base)) return false;
    this.#prepare(pfn, 0, false);
    return true;
  }
  #prepare(pfn: number, order: number, movable: boolean): number {
    const nr = 1 << order;
    if (order === 0) page_ref[pfn] = 1;
    else page_ref.fill(~new_folio_id(1, 0, pfn, order), pfn, pfn + nr);
    for (let i = pfn; i < pfn + nr; i++)
      page_flags[i] = (page_flags[i]! & PG_touched) | PG_allocated;
    const machine = this.#machine;
    if (machine.tracers !== null) {
      trace(machine, "mm_page_alloc", { pfn, order, migratetype: movable ? 1 : 0 });
      trace(machine, "page_ref_set", { pfn, count: 1, val: 1 });
    }
    return pfn;
  }

  /** The last reference went.  A page that is found bad is reported and lost, never handed out again. */
  free(pfn: number): void {
    const v = page_ref[pfn]!;
    const id = v < 0 ? ~v : 0;
    const order = id ? folio_table[(id << 2) + FOLIO_ORDER]! : 0;
    const nr = 1 << Math.max(order, 0);
    const why = this.#bad(pfn, nr, id);
    const machine = this.#machine;
    if (machine.tracers !== null) {
      const block = { pfn, order: Math.max(order, 0) };
      if (why === null) trace(machine, "mm_page_free", block);
      else trace(machine, "bad_page", { ...block, reason: why });
    }
    if (why !== null) {
      this.#machine.nr_bad_pages += nr;
      for (let i = pfn; i < pfn + nr; i++) page_flags[i] = page_flags[i]! & ~PG_allocated;
      this.#machine.printk(
        `BUG: bad page, ${why}: ${describe_pfn(pfn)}, ${nr} page(s) are lost; ${describe_page_counts(page_counts(pfn))}`,
      );
      return;
    }
    if (id) {
      free_folio_id(id);
      page_ref.fill(0, pfn, pfn + nr);
    }
    for (let i = pfn; i < pfn + nr; i++) page_flags[i] = page_flags[i]! & PG_touched;
    const index = pfn - this.#machine.base;
    const zone =
      index < this.#cma.start ? this.#normal : index < this.#cma.end ? this.#cma : this.#movable;
    zone.give(index, Math.max(order, 0));
  }
  #bad(pfn: number, nr: number, id: number): string | null {
    if (id && folio_table[(id << 2) + FOLIO_ORDER] === -1) return "the zero page was freed";
    if (id && folio_table[(id << 2) + FOLIO_PIN] !== 0) return "nonzero pincount";
    if (id && entire_mapcount[id] !== 0) return "nonzero mapcount";
    for (let i = pfn; i < pfn + nr; i++) if (page_mapcount[i] !== 0) return "nonzero mapcount";
    return null;
  }
}
