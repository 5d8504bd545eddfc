/** Plain references on pages and folios, and what every page can be asked.  Models include/linux/mm.h. */
import { HANDLE_LOW_BITS, PAGE_HANDLE_SHIFT, TAG_CHECKED, TAG_USER } from "../handle/tags.js";
import type { Narrows } from "../handle/affine.js";
import {
  lend_folio,
  lend_page,
  raw,
  to_folio,
  to_page,
  to_pfn,
  to_unreferenced,
  to_user_page,
} from "../handle/cast.js";
import type { AnyContext, Machine } from "../handle/context.js";
import type { Pfn } from "../handle/addr.js";
import { ERR_PTR, type Errno } from "../handle/errno.js";
import type { By } from "../handle/kinds.js";
import type {
  BorrowedFolio,
  BorrowedPage,
  BorrowedUserPage,
  CheckedUserPage,
  Dir,
  HeldFolio,
  HeldPage,
  OwnedFolio,
  OwnedPage,
  OwnedUserPage,
  SpentFolio,
  SpentPage,
  Term,
  UnreferencedPage,
} from "../handle/page.js";
import type { Held } from "../handle/affine.js";
import type { user_page } from "../handle/page.js";
import { page_mapcount as mapcount_column, page_ref as page_ref_ } from "../machine/arena.js";
import { machine_of } from "../machine/context.js";

import {
  machine_of_handle,
  machine_of_pfn,
  machine_state,
  throw_misuse,
  type MachineState,
} from "../machine/machine.js";

import { is_countable } from "./gup.js";
import {
  describe_pfn,
  head_of,
  is_zero_pfn,
  maybe_dma_pinned,
  order_of,
  pin_add,
  pin_add_uncounted,
  pin_count,
  ref_add,
  ref_count,
  ref_freeze,
  ref_sub,
  ref_unfreeze,
  throw_no_reference,
} from "./page_ref.js";

const ref = page_ref_;

type AnyPage = BorrowedPage | BorrowedUserPage;

/** The page frame of a handle that is only used; debug mode looks whether it still may be. */
export function used_pfn(handle: AnyPage | BorrowedFolio, called: string, write = false): number {
  const p = raw(handle);
  const machine = machine_of_handle(p, called);
  if (machine.probe && p & HANDLE_LOW_BITS) {
    machine.probe.used(p & TAG_USER ? "user_page" : "page", p, called, write);
  }
  return p >>> PAGE_HANDLE_SHIFT;
}
/** The handle of a plain reference that was just taken. */
function referenced(
  machine: MachineState,
  pfn: number,
  kind: "page" | "folio",
  by: string,
): number {
  const addr = pfn << PAGE_HANDLE_SHIFT;
  const { probe } = machine;
  return probe ? probe.acquired(kind, addr, by, probe.site()) : addr;
}

// --- references on pages --------------------------------------------------------------------------------
/**
 * Takes another reference on a page that is referenced already.  Models get_page().
 * The caller owns one more: put_page().  Any context.
 *
 * @example
 * const again = get_page(page);
 * put_page(again);
 */
export function get_page(page: BorrowedPage): OwnedPage {
  const p = raw(page);
  if ((p & HANDLE_LOW_BITS) === 0) {
    const pfn = p >>> PAGE_HANDLE_SHIFT;
    const r = ref[pfn]!;
    if (r > 0 && r < 0x7fffffff) {
      ref[pfn] = r + 1;
      return to_page(p);
    }
  }
  return get_page_rare(page);
}
function get_page_rare(page: BorrowedPage): OwnedPage {
  const called = "get_page()";
  const pfn = used_pfn(page, called);
  if (ref_count(pfn) === 0) throw_no_reference(pfn, called);
  ref_add(pfn, 1);
  return to_page(referenced(machine_of_pfn(pfn)!, pfn, "page", called));
}
/**
 * Ends a plain reference; the page is freed with the last one.  Models put_page().  The handle is spent.  Any context.
 */
export const put_page: Narrows<HeldPage, { is: SpentPage<By<"put_page">> }> = (page) => {
  const p = raw(page);
  if ((p & HANDLE_LOW_BITS) === 0) {
    const pfn = p >>> PAGE_HANDLE_SHIFT;
    const r = ref[pfn]!;
    if (r > 1) {
      ref[pfn] = r - 1;
      return;
    }
  }
  put_rare(p, "page", "put_page()");
};
function put_rare(p: number, kind: "page" | "folio", called: string): void {
  const machine = machine_of_handle(p, called);
  machine.probe?.released(kind, p, called);
  ref_sub(p >>> PAGE_HANDLE_SHIFT, 1);
}
/**
 * Takes another reference unless the count is 0 or overflowed.  Models try_get_page(): for callers that own a reference
 * already, so both are worth a warning.
 *
 * @returns the reference, or null
 */
export function try_get_page(page: BorrowedPage): OwnedPage | null {
  const called = "try_get_page()";
  const pfn = used_pfn(page, called);
  const machine = machine_of_pfn(pfn)!;
  const count = ref_count(pfn);
  if (count <= 0) {
    machine.WARN_ONCE(`try_get_page(): refcount ${count} of ${describe_pfn(pfn)}`);
    return null;
  }
  ref_add(pfn, 1);
  return to_page(referenced(machine, pfn, "page", called));
}
/**
 * Takes a first reference on a page that was only found, unless it is free or frozen.  Models get_page_unless_zero(),
 * which takes one on an overflowed count as well.
 *
 * @returns the reference, or null
 */
export function get_page_unless_zero(page: UnreferencedPage): OwnedPage | null {
  const pfn = raw(page) >>> PAGE_HANDLE_SHIFT;
  const machine = machine_of_handle(raw(page), "get_page_unless_zero()");
  if (ref_count(pfn) === 0) return null;
  ref_add(pfn, 1);
  return to_page(referenced(machine, pfn, "page", "get_page_unless_zero()"));
}
/**
 * Takes `refs` references on the folio of a page that was only found.  Models try_get_folio() of mm/gup.c: silent when
 * the count is 0, a warning when it overflowed.
 *
 * @param refs - 1 and more; put as many
 * @returns the folio, or null
 */
export function try_get_folio(page: UnreferencedPage, refs: number): OwnedFolio | null {
  const called = "try_get_folio()";
  const pfn = raw(page) >>> PAGE_HANDLE_SHIFT;
  const machine = machine_of_handle(raw(page), called);
  if (!Number.isSafeInteger(refs) || refs < 1) {
    throw_misuse("not-a-handle", called, `${describe_pfn(pfn)}, ${refs} references`);
  }
  if (!is_countable(pfn, ref_count(pfn))) return null;
  ref_add(pfn, refs);
  return to_folio(referenced(machine, head_of(pfn), "folio", called));
}

// --- folios ---------------------------------------------------------------------------------------------
/** The folio a page belongs to; whoever holds the page holds it.  Models page_folio(). */
export function page_folio(page: AnyPage): BorrowedFolio {
  const pfn = used_pfn(page, "page_folio()");
  return lend_folio((head_of(pfn) << PAGE_HANDLE_SHIFT) | (raw(page) & TAG_CHECKED));
}
/** Page `n` of a folio, which whoever holds the folio holds.  Models folio_page().  n: 0 to 2^order - 1. */
export function folio_page(folio: BorrowedFolio, n: number): BorrowedPage {
  const called = "folio_page()";
  const pfn = used_pfn(folio, called);
  if (!Number.isSafeInteger(n) || n < 0 || n >= 2 ** order_of(pfn)) {
    throw_misuse("not-a-handle", called, `page ${n} of a folio of ${2 ** order_of(pfn)} pages`);
  }
  return lend_page(((head_of(pfn) + n) << PAGE_HANDLE_SHIFT) | (raw(folio) & TAG_CHECKED));
}
/** Takes another reference on a folio.  Models folio_get().  The caller owns one more: folio_put(). */
export function folio_get(folio: BorrowedFolio): OwnedFolio {
  const called = "folio_get()";
  const pfn = used_pfn(folio, called);
  if (ref_count(pfn) === 0) throw_no_reference(pfn, called);
  ref_add(pfn, 1);
  return to_folio(referenced(machine_of_pfn(pfn)!, head_of(pfn), "folio", called));
}
/** Ends a reference on a folio.  Models folio_put().  The handle is spent.  Any context. */
export const folio_put: Narrows<HeldFolio, { is: SpentFolio<By<"folio_put">> }> = (folio) => {
  put_rare(raw(folio), "folio", "folio_put()");
};
/** The order of the folio: it has 2^order pages.  Models folio_order(). */
export function folio_order(folio: BorrowedFolio): number {
  return order_of(used_pfn(folio, "folio_order()"));
}

// --- questions ------------------------------------------------------------------------------------------
/** The references on the folio of this page; signed, as the kernel's is.  Models page_ref_count(). */
export function page_ref_count(page: AnyPage): number {
  return ref_count(used_pfn(page, "page_ref_count()"));
}
/** The references on the folio.  Models folio_ref_count(). */
export function folio_ref_count(folio: BorrowedFolio): number {
  return ref_count(used_pfn(folio, "folio_ref_count()"));
}
/** The pins of a large folio, exactly; 0 for a single page, whose pins stand in its reference count. */
export function folio_pincount(folio: BorrowedFolio): number {
  return pin_count(used_pfn(folio, "folio_pincount()"));
}
/** Page-table entries that map exactly this page; a huge entry is counted on the folio.  Models _mapcount + 1. */
export function page_mapcount(page: AnyPage): number {
  return mapcount_column[used_pfn(page, "page_mapcount()")]!;
}
/**
 * Whether somebody may hold a pin.  Models folio_maybe_dma_pinned(): exact for a large folio; for a single page 1024
 * plain references look like a pin, and no pin is ever overlooked.
 */
export function folio_maybe_dma_pinned(folio: BorrowedFolio): boolean {
  return maybe_dma_pinned(used_pfn(folio, "folio_maybe_dma_pinned()"));
}
/** Whether the page is the shared zero page, on which pins count nothing.  Models is_zero_page(). */
export function is_zero_page(page: AnyPage): boolean {
  return is_zero_pfn(used_pfn(page, "is_zero_page()"));
}
/** Models page_to_pfn(). */
export function page_to_pfn(page: AnyPage): Pfn {
  return to_pfn(used_pfn(page, "page_to_pfn()"));
}
/**
 * The page with this frame number, on which nobody promised a reference.  Models pfn_to_page().
 *
 * @returns EINVAL when the machine has no such page
 */
export function pfn_to_page(machine: Machine, pfn: Pfn): UnreferencedPage | Errno<"EINVAL"> {
  const state = machine_state(machine);
  return Number.isInteger(pfn) && pfn > 0 && machine_of_pfn(pfn) === state
    ? to_unreferenced((pfn << PAGE_HANDLE_SHIFT) | (state.probe ? TAG_CHECKED : 0))
    : ERR_PTR("EINVAL", `the machine has no page with frame number ${pfn}`);
}

// --- freezing -------------------------------------------------------------------------------------------
/**
 * Sets the count to 0 if it is exactly `count`: from then on nobody can take a reference, until page_ref_unfreeze().
 * Models page_ref_freeze().  Fails while any pin or reference is out that the caller does not know of.
 */
export function page_ref_freeze(page: AnyPage, count: number): boolean {
  return ref_freeze(used_pfn(page, "page_ref_freeze()"), count);
}
/** Gives a frozen page its count back.  Models page_ref_unfreeze().  count: not 0. */
export function page_ref_unfreeze(page: AnyPage, count: number): void {
  const called = "page_ref_unfreeze()";
  const pfn = used_pfn(page, called);
  if (ref_count(pfn) !== 0 || !Number.isSafeInteger(count) || count <= 0) {
    throw_misuse(
      "page-is-free",
      called,
      `${describe_pfn(pfn)}, count ${ref_count(pfn)}, to ${count}`,
    );
  }
  ref_unfreeze(pfn, count);
}

// --- pins from a page -----------------------------------------------------------------------------------
/** The shared page full of zeroes; everybody holds it.  Models ZERO_PAGE().  Any context; it names the machine. */
export function ZERO_PAGE(context: AnyContext): BorrowedPage {
  const machine = machine_of(context, "ZERO_PAGE()");
  return lend_page((machine.zero_pfn << PAGE_HANDLE_SHIFT) | (machine.probe ? TAG_CHECKED : 0));
}
/**
 * Takes a user pin on a page the caller holds, the zero page for instance, so that it fits among pinned pages (ours:
 * the third point of Jan Kara's proposal of 2018).  The caller owns one pin: put_user_page().
 *
 * @returns ENOMEM when the count is not above 0
 * @example
 * const zero = page_to_user_page(ZERO_PAGE(current));
 */
export function page_to_user_page(
  page: BorrowedPage,
): OwnedUserPage<"source", "short"> | Errno<"ENOMEM"> {
  const called = "page_to_user_page()";
  const pfn = used_pfn(page, called);
  const machine = machine_of_pfn(pfn)!;
  if (ref_count(pfn) <= 0) {
    return ERR_PTR("ENOMEM", `refcount ${ref_count(pfn)} of ${describe_pfn(pfn)}`);
  }
  pin_add(pfn, 1);
  const addr = pfn << PAGE_HANDLE_SHIFT;
  const { probe } = machine;
  return to_user_page(probe ? probe.acquired("user_page", addr, called, probe.site()) : addr);
}
/**
 * Takes another pin on a folio that the caller holds a pin on.  Models folio_add_pin(), which does not count in
 * nr_foll_pin_acquired though its release counts.  Which handle the pin belongs to is not tracked.
 */
export function folio_add_pin(folio: BorrowedFolio): void {
  const pfn = used_pfn(folio, "folio_add_pin()");
  const machine = machine_of_pfn(pfn)!;
  if (is_zero_pfn(pfn)) return;
  if (!maybe_dma_pinned(pfn)) {
    machine.WARN_ONCE(`folio_add_pin(): no pin is held on ${describe_pfn(pfn)}`);
  }
  pin_add_uncounted(pfn, 1);
  const { probe } = machine;
  probe?.acquired("user_page", pfn << PAGE_HANDLE_SHIFT, "folio_add_pin()", probe.site());
}
/**
 * Checks that the pin is held, and makes the compiler follow the handle from here (ours): at the top of a function that
 * releases a parameter on some paths, and before a loop.
 */
export function assert_held<D extends Dir, T extends Term>(
  page: Held<user_page<D, T>>,
): asserts page is CheckedUserPage<D, T> {
  const pfn = used_pfn(page, "assert_held()");
  if (!is_zero_pfn(pfn) && !maybe_dma_pinned(pfn)) throw_no_reference(pfn, "assert_held()");
}
