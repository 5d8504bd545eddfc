/** The buddy allocator: blocks of 2^order pages, split and merged.  Models mm/page_alloc.c, one zone, no pcp lists. */

import { to_folio, to_page } from "../handle/cast.js";
import type { Machine, ProcessContext } from "../handle/context.js";
import { ERR_PTR, type Errno } from "../handle/errno.js";
import type { OwnedFolio, OwnedPage } from "../handle/page.js";
import { PAGE_HANDLE_SHIFT } from "../handle/tags.js";
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
import { might_sleep } from "../machine/context.js";
import { MAX_PAGE_ORDER, PAGE_SIZE } from "../machine/limits.js";
import { machine_state, type MachineState, type PageAllocator } from "../machine/machine.js";
import { describe_counts, describe_pfn, ref_sub } from "./page_ref.js";

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

export class BuddyAllocator implements PageAllocator {
  free_pages = 0;
  readonly #machine: MachineState;
  // free lists, doubly linked through page indexes, as page->lru
  readonly #first: Int32Array = new Int32Array(MAX_PAGE_ORDER + 1).fill(NONE);
  readonly #last: Int32Array = new Int32Array(MAX_PAGE_ORDER + 1).fill(NONE);
  readonly #next: Int32Array;
  readonly #prev: Int32Array;
  /** order + 1 of the free block that begins here, 0 elsewhere */
  readonly #block: Uint8Array;
  readonly #random: (() => number) | null;

  /** Owns the whole memory of the machine; a seed shuffles it as CONFIG_SHUFFLE_PAGE_ALLOCATOR does. */
  constructor(machine: MachineState, shuffle: number | undefined) {
    this.#machine = machine;
    const { nr_pages } = machine;
    this.#next = new Int32Array(nr_pages);
    this.#prev = new Int32Array(nr_pages);
    this.#block = new Uint8Array(nr_pages);
    this.#random = shuffle === undefined ? null : xorshift(shuffle);
    for (let index = 0; index < nr_pages;) {
      let order = MAX_PAGE_ORDER;
      while ((index & ((1 << order) - 1)) !== 0 || index + (1 << order) > nr_pages) order--;
      this.#add_tail_or_shuffled(index, order);
      index += 1 << order;
    }
    this.free_pages = nr_pages;
  }

  /** Takes a block; its pages have one reference on the head.  0 when nothing that large is free. */
  alloc(order: number): number {
    let from = order;
    while (from <= MAX_PAGE_ORDER && this.#first[from] === NONE) from++;
    if (from > MAX_PAGE_ORDER) return 0;
    let index = this.#first[from]!;
    this.#unlink(index, from);
    while (from > order) {
      from--;
      const upper = index + (1 << from);
      // The lower half is kept, so that pages come in ascending order; shuffled, either half.
      if (this.#random && this.#random() & 1) {
        this.#add_head(index, from);
        index = upper;
      } else this.#add_head(upper, from);
    }
    this.free_pages -= 1 << order;
    return this.#prepare(this.#machine.base + index, order);
  }

  #prepare(pfn: number, order: number): number {
    const nr = 1 << order;
    if (order === 0) page_ref[pfn] = 1;
    else page_ref.fill(~new_folio_id(1, 0, pfn, order), pfn, pfn + nr);
    for (let i = pfn; i < pfn + nr; i++)
      page_flags[i] = (page_flags[i]! & PG_touched) | PG_allocated;
    return pfn;
  }

  /** The last reference went.  A page that is found bad is reported and lost, never handed out again. */
  free(pfn: number): void {
    const v = page_ref[pfn]!;
    const id = v < 0 ? ~v : 0;
    const order = id ? folio_table[(id << 2) + FOLIO_ORDER]! : 0;
    const nr = 1 << Math.max(order, 0);
    const why = this.#bad(pfn, nr, id);
    if (why !== null) {
      this.#machine.nr_bad_pages += nr;
      for (let i = pfn; i < pfn + nr; i++) page_flags[i] = page_flags[i]! & ~PG_allocated;
      this.#machine.printk(
        `BUG: bad page, ${why}: ${describe_pfn(pfn)}, ${nr} page(s) are lost; ${describe_counts(pfn)}`,
      );
      return;
    }
    if (id) {
      free_folio_id(id);
      page_ref.fill(0, pfn, pfn + nr);
    }
    for (let i = pfn; i < pfn + nr; i++) page_flags[i] = page_flags[i]! & PG_touched;
    this.free_pages += nr;
    this.#merge(pfn - this.#machine.base, Math.max(order, 0));
  }
  #bad(pfn: number, nr: number, id: number): string | null {
    if (id && folio_table[(id << 2) + FOLIO_ORDER] === -1) return "the zero page was freed";
    if (id && folio_table[(id << 2) + FOLIO_PIN] !== 0) return "nonzero pincount";
    if (id && entire_mapcount[id] !== 0) return "nonzero mapcount";
    for (let i = pfn; i < pfn + nr; i++) if (page_mapcount[i] !== 0) return "nonzero mapcount";
    return null;
  }
  #merge(index: number, order: number): void {
    while (order < MAX_PAGE_ORDER) {
      const buddy = index ^ (1 << order);
      if (this.#block[buddy] !== order + 1) break;
      this.#unlink(buddy, order);
      index = Math.min(index, buddy);
      order++;
    }
    if (this.#random && this.#random() & 1) this.#add_tail(index, order);
    else this.#add_head(index, order);
  }

  #add_tail_or_shuffled(index: number, order: number): void {
    if (this.#random && this.#random() & 1) this.#add_head(index, order);
    else this.#add_tail(index, order);
  }
  #add_head(index: number, order: number): void {
    const first = this.#first[order]!;
    this.#next[index] = first;
    this.#prev[index] = NONE;
    if (first === NONE) this.#last[order] = index;
    else this.#prev[first] = index;
    this.#first[order] = index;
    this.#block[index] = order + 1;
  }
  #add_tail(index: number, order: number): void {
    const last = this.#last[order]!;
    this.#prev[index] = last;
    this.#next[index] = NONE;
    if (last === NONE) this.#first[order] = index;
    else this.#next[last] = index;
    this.#last[order] = index;
    this.#block[index] = order + 1;
  }
  #unlink(index: number, order: number): void {
    const next = this.#next[index]!;
    const prev = this.#prev[index]!;
    if (prev === NONE) this.#first[order] = next;
    else this.#next[prev] = next;
    if (next === NONE) this.#last[order] = prev;
    else this.#prev[next] = prev;
    this.#block[index] = 0;
  }
}

// --- bytes -------------------------------------------------------------------------------------------
/** The bytes of a page range inside one folio, to read. */
export function bytes_to_read(
  machine: MachineState,
  pfn: number,
  offset: number,
  len: number,
): Uint8Array {
  const at = machine.chunk_offset(pfn) + offset;
  return machine.chunk(pfn).subarray(at, at + len);
}
/** The same to write: from now on the pages may hold something. */
export function bytes_to_write(
  machine: MachineState,
  pfn: number,
  offset: number,
  len: number,
): Uint8Array {
  const last = pfn + Math.floor((offset + Math.max(len, 1) - 1) / PAGE_SIZE);
  for (let i = pfn + Math.floor(offset / PAGE_SIZE); i <= last; i++) {
    page_flags[i] = page_flags[i]! | PG_touched;
  }
  return bytes_to_read(machine, pfn, offset, len);
}
/** Zeroes fresh pages; those nobody ever wrote to are zero already. */
export function clear_pages(machine: MachineState, pfn: number, nr: number): void {
  for (let i = pfn; i < pfn + nr; i++) {
    if ((page_flags[i]! & PG_touched) === 0) continue;
    bytes_to_read(machine, i, 0, PAGE_SIZE).fill(0);
    page_flags[i] = page_flags[i]! & ~PG_touched;
  }
}

// --- for callers -------------------------------------------------------------------------------------
function alloc_error(order: number): Errno<"ENOMEM"> {
  return ERR_PTR("ENOMEM", `no free block of ${2 ** order} page(s)`);
}
/**
 * Allocates one page.  Models alloc_page(GFP_KERNEL); its bytes are whatever the last owner left.
 * The caller owns one reference: put_page().
 *
 * @param current - may sleep
 * @returns ENOMEM when no page is free
 * @example
 * const page = alloc_page(current);
 * if (IS_ERR(page)) return page;
 * put_page(page);
 */
export function alloc_page(current: ProcessContext): OwnedPage | Errno<"ENOMEM"> {
  const machine = might_sleep(current, "alloc_page()");
  const pfn = machine.allocator.alloc(0);
  if (pfn === 0) return alloc_error(0);
  const addr = pfn << PAGE_HANDLE_SHIFT;
  const { probe } = machine;
  return to_page(probe ? probe.acquired("page", addr, "alloc_page()", probe.site()) : addr);
}
/**
 * Allocates a folio of 2^order contiguous pages.  Models folio_alloc(GFP_KERNEL, order).
 * The caller owns one reference on the whole: folio_put().
 *
 * @param current - may sleep
 * @param order - 0 to 10
 * @returns ENOMEM when no block that large is free, EINVAL for another order
 * @example
 * const folio = folio_alloc(current, 9);
 * if (IS_ERR(folio)) return folio;
 * folio_put(folio);
 */
export function folio_alloc(
  current: ProcessContext,
  order: number,
): OwnedFolio | Errno<"ENOMEM" | "EINVAL"> {
  const machine = might_sleep(current, "folio_alloc()");
  if (!Number.isInteger(order) || order < 0 || order > MAX_PAGE_ORDER) {
    return ERR_PTR("EINVAL", `order ${order} is not 0 to ${MAX_PAGE_ORDER}`);
  }
  const pfn = machine.allocator.alloc(order);
  if (pfn === 0) return alloc_error(order);
  const addr = pfn << PAGE_HANDLE_SHIFT;
  const { probe } = machine;
  return to_folio(probe ? probe.acquired("folio", addr, "folio_alloc()", probe.site()) : addr);
}

/** Pages withheld from the allocator; disposing gives them back. */
export interface Fragmentation extends Disposable {
  /** pages withheld */
  readonly nr_pages: number;
}
/**
 * Fragments free memory (ours): withholds each free page for which `keep` says so, by its index from the start of
 * memory.  Keeping every odd page leaves no two free pages adjacent.
 *
 * @example
 * using fragments = fragment_memory(machine, (index) => index % 2 === 1);
 */
export function fragment_memory(machine: Machine, keep: (index: number) => boolean): Fragmentation {
  const state = machine_state(machine);
  if (typeof keep !== "function") throw new RangeError("fragment_memory(): keep is no function");
  const all: number[] = [];
  for (let pfn = state.allocator.alloc(0); pfn !== 0; pfn = state.allocator.alloc(0)) all.push(pfn);
  let kept: number[] = [];
  try {
    kept = all.filter((pfn) => keep(pfn - state.base));
  } finally {
    const withheld = new Set(kept);
    for (const pfn of all) if (!withheld.has(pfn)) ref_sub(pfn, 1);
  }
  return {
    nr_pages: kept.length,
    [Symbol.dispose]() {
      if (state.alive) for (const pfn of kept.splice(0)) ref_sub(pfn, 1);
    },
  };
}
