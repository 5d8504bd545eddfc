/**
 * The arithmetic of reference counts and pins, on page frame numbers.  Models include/linux/page_ref.h and
 * the counting part of mm/gup.c.  Nothing here checks a handle; page.ts, folio.ts and unpin.ts do.
 */

import {
  foll_pin_acquired,
  foll_pin_released,
  folio_table,
  FOLIO_HEAD,
  FOLIO_ORDER,
  FOLIO_PIN,
  FOLIO_REF,
  new_folio_id,
  page_flags,
  page_ref,
  PG_file,
} from "../machine/arena.js";
import { GUP_PIN_COUNTING_BIAS, SECTION_SHIFT } from "../machine/limits.js";
import { machine_of_pfn, throw_misuse } from "../machine/machine.js";
import type { PageCounts } from "../machine/misuse.js";
import { trace } from "../machine/tracepoint.js";

const INT_MAX = 0x7fffffff;
/** Counts from here on would overflow with one more pin. */
export const REF_MAX: number = INT_MAX - GUP_PIN_COUNTING_BIAS;
/** FOLIO_ORDER of the 4 KiB zero page: pins on it count nothing.  It lives in the folio table, so the order-0 path need not ask. */
export const ORDER_ZERO_PAGE = -1;

/** The count, as page_ref_count() shows it: signed. */
export function ref_count(pfn: number): number {
  const r = page_ref[pfn]!;
  return r >= 0 ? r : folio_table[(~r << 2) + FOLIO_REF]!;
}
/** Pins of a large folio; a page of order 0 has no such counter, its pins stand in the reference count. */
export function pin_count(pfn: number): number {
  const r = page_ref[pfn]!;
  return r >= 0 ? 0 : folio_table[(~r << 2) + FOLIO_PIN]!;
}
/** 0 for a single page. */
export function order_of(pfn: number): number {
  const r = page_ref[pfn]!;
  const order = r >= 0 ? 0 : folio_table[(~r << 2) + FOLIO_ORDER]!;
  return order > 0 ? order : 0;
}
/** The first page of the folio. */
export function head_of(pfn: number): number {
  const r = page_ref[pfn]!;
  return r >= 0 ? pfn : folio_table[(~r << 2) + FOLIO_HEAD]!;
}
export function is_zero_pfn(pfn: number): boolean {
  const r = page_ref[pfn]!;
  return r < 0 && folio_table[(~r << 2) + FOLIO_ORDER] === ORDER_ZERO_PAGE;
}
/** Whether somebody may be writing to or reading from the folio by physical address.  May be wrong in one direction only: true. */
export function maybe_dma_pinned(pfn: number): boolean {
  const r = page_ref[pfn]!;
  if (r >= 0) return r >= GUP_PIN_COUNTING_BIAS;
  const f = ~r << 2;
  if (folio_table[f + FOLIO_ORDER]! > 0) return folio_table[f + FOLIO_PIN]! > 0;
  // unsigned, so that a count that overflowed still looks pinned
  return folio_table[f + FOLIO_REF]! >>> 0 >= GUP_PIN_COUNTING_BIAS;
}

/** A page of order 0 whose count leaves 1…INT_MAX gets an entry that can hold any count. */
function store_odd_count(pfn: number, count: number): void {
  page_ref[pfn] = ~new_folio_id(count, 0, pfn, 0);
}
/** Gives a page of order 0 an entry of its own: from now on its counts take the careful path, which looks at its flags. */
export function count_carefully(pfn: number): void {
  const r = page_ref[pfn]!;
  if (r > 0) store_odd_count(pfn, r);
}
/** Adds `n` references without asking, as page_ref_add() does: wraps at 2^31. */
export function ref_add(pfn: number, n: number): void {
  const r = page_ref[pfn]!;
  if (r < 0) {
    const f = ~r << 2;
    folio_table[f] = folio_table[f]! + n;
  } else if (r <= INT_MAX - n) {
    page_ref[pfn] = r + n;
  } else {
    store_odd_count(pfn, (r + n) | 0);
  }
}
/** Drops `n` references without asking; frees at exactly 0, wraps and goes negative otherwise. */
export function ref_sub(pfn: number, n: number): void {
  const r = page_ref[pfn]!;
  if (r > n) {
    page_ref[pfn] = r - n;
  } else if (r > 0) {
    if (r === n) {
      page_ref[pfn] = 0;
      free_folio(pfn);
    } else store_odd_count(pfn, r - n);
  } else if (r < 0) {
    const f = ~r << 2;
    const count = (folio_table[f]! - n) | 0;
    folio_table[f] = count;
    if (count === 0) free_folio(folio_table[f + FOLIO_HEAD]!);
  } else {
    throw_no_reference(pfn, "a reference was dropped");
  }
}
/** A count that is 0: nothing is counted. */
export function throw_no_reference(pfn: number, called: string): never {
  throw_misuse("page-is-free", called, describe_pfn(pfn));
}
function free_folio(head: number): void {
  machine_of_pfn(head)!.allocator.free(head);
}

/** Pins `n` pages of the folio; the caller made sure that the count is above 0.  Models try_grab_folio(FOLL_PIN). */
export function pin_add(pfn: number, n: number): void {
  if (is_zero_pfn(pfn)) return;
  pin_add_uncounted(pfn, n);
  foll_pin_acquired[pfn >>> SECTION_SHIFT] = foll_pin_acquired[pfn >>> SECTION_SHIFT]! + n;
}
/** The same without nr_foll_pin_acquired, as folio_add_pin() does; not for the zero page. */
export function pin_add_uncounted(pfn: number, n: number): void {
  const r = page_ref[pfn]!;
  const f = ~r << 2;
  if (r < 0 && folio_table[f + FOLIO_ORDER]! > 0) {
    folio_table[f] = folio_table[f]! + n;
    folio_table[f + FOLIO_PIN] = folio_table[f + FOLIO_PIN]! + n;
  } else ref_add(pfn, n * GUP_PIN_COUNTING_BIAS);
}
/** Unpins `n` pages of the folio, whoever pinned them.  Models gup_put_folio(FOLL_PIN). */
export function pin_sub(pfn: number, n: number): void {
  const r = page_ref[pfn]!;
  if (r < 0) {
    const f = ~r << 2;
    const order = folio_table[f + FOLIO_ORDER]!;
    if (order < 0) return;
    foll_pin_released[pfn >>> SECTION_SHIFT] = foll_pin_released[pfn >>> SECTION_SHIFT]! + n;
    if (order > 0) {
      folio_table[f + FOLIO_PIN] = folio_table[f + FOLIO_PIN]! - n;
      ref_sub(pfn, n);
    } else {
      ref_sub(pfn, n * GUP_PIN_COUNTING_BIAS);
      if (page_flags[pfn]! & PG_file && !maybe_dma_pinned(pfn)) {
        machine_of_pfn(pfn)!.unpinned_file_page(pfn);
      }
    }
    return;
  }
  ref_sub(pfn, n * GUP_PIN_COUNTING_BIAS);
  foll_pin_released[pfn >>> SECTION_SHIFT] = foll_pin_released[pfn >>> SECTION_SHIFT]! + n;
}

/** cmpxchg(expected -> 0): true iff the count was exactly that.  Models page_ref_freeze(). */
export function ref_freeze(pfn: number, expected: number): boolean {
  const ret = freeze(pfn, expected);
  const machine = machine_of_pfn(pfn);
  if (machine && machine.tracers !== null) {
    trace(machine, "page_ref_freeze", { pfn, count: ref_count(pfn), val: expected, ret });
  }
  return ret;
}
function freeze(pfn: number, expected: number): boolean {
  const r = page_ref[pfn]!;
  if (r < 0) {
    const f = ~r << 2;
    if (folio_table[f] !== expected) return false;
    folio_table[f] = 0;
    return true;
  }
  if (r !== expected) return false;
  page_ref[pfn] = 0;
  return true;
}
/** Gives a frozen page its count back.  Models page_ref_unfreeze(). */
export function ref_unfreeze(pfn: number, count: number): void {
  const r = page_ref[pfn]!;
  if (r < 0) folio_table[~r << 2] = count;
  else page_ref[pfn] = count;
  const machine = machine_of_pfn(pfn);
  if (machine && machine.tracers !== null) {
    trace(machine, "page_ref_unfreeze", { pfn, count, val: count });
  }
}

export function describe_pfn(pfn: number): string {
  return `page at 0x${(pfn * 64).toString(16)} (pfn ${pfn})`;
}
/** The counts of a page, as a report lists them. */
export function page_counts(pfn: number): PageCounts {
  const order = order_of(pfn);
  return {
    refcount: ref_count(pfn),
    pincount: order > 0 ? pin_count(pfn) : null,
    maybe_pinned: maybe_dma_pinned(pfn),
    is_zero: is_zero_pfn(pfn),
    pages: 2 ** order,
  };
}
