/** References on folios, and what a folio can be asked.  Models include/linux/mm.h. */

import type { Narrows } from "../handle/affine.js";
import { lend_folio, lend_page, raw, to_folio } from "../handle/cast.js";
import type { By } from "../handle/kinds.js";
import type {
  BorrowedFolio,
  BorrowedPage,
  HeldFolio,
  OwnedFolio,
  SpentFolio,
  UnreferencedPage,
} from "../handle/page.js";
import { PAGE_HANDLE_SHIFT } from "../handle/tags.js";
import { machine_of_handle, machine_of_pfn, throw_misuse } from "../machine/machine.js";
import { is_countable } from "./gup_fast.js";
import { put_rare, referenced, used_pfn, type AnyPage } from "./page.js";
import {
  head_of,
  maybe_dma_pinned,
  order_of,
  pin_count,
  ref_add,
  ref_count,
  throw_no_reference,
} from "./page_ref.js";

/** The tags of a handle on which nobody took a reference of its own. */
const tags_of_plain = (pfn: number): number => machine_of_pfn(pfn)!.page_tags;
/** The folio a page belongs to; whoever holds the page holds it.  Models page_folio(). */
export function page_folio(page: AnyPage): BorrowedFolio {
  const pfn = used_pfn(page, "page_folio()");
  return lend_folio((head_of(pfn) << PAGE_HANDLE_SHIFT) | tags_of_plain(pfn));
}
/** Page `n` of a folio, which whoever holds the folio holds.  Models folio_page().  n: 0 to 2^order - 1. */
export function folio_page(folio: BorrowedFolio, n: number): BorrowedPage {
  const called = "folio_page()";
  const pfn = used_pfn(folio, called);
  if (!Number.isSafeInteger(n) || n < 0 || n >= 2 ** order_of(pfn)) {
    throw_misuse("not-a-handle", called, `page ${n} of a folio of ${2 ** order_of(pfn)} pages`);
  }
  return lend_page(((head_of(pfn) + n) << PAGE_HANDLE_SHIFT) | tags_of_plain(pfn));
}
/**
 * Takes another reference on a folio.  Models folio_get().  The caller owns one more: folio_put().
 *
 * @example
 * const folio = folio_alloc(current, 2);
 * if (IS_ERR(folio)) return folio;
 * const again = folio_get(folio);
 * folio_put(again);
 * folio_put(folio);
 */
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

/**
 * Takes a reference on the folio of a page that was only found.  Models try_get_folio(page, 1) of mm/gup.c: silent when the
 * count is 0, a warning when it overflowed.
 *
 * @returns the folio, or null
 * @example
 * const held = folio_alloc(current, 2);
 * if (IS_ERR(held)) return held;
 * const found = pfn_to_page(machine, page_to_pfn(folio_page(held, 3)));
 * if (IS_ERR(found)) return found;
 * const folio = try_get_folio(found);
 * if (folio) folio_put(folio);
 * folio_put(held);
 */
export function try_get_folio(page: UnreferencedPage): OwnedFolio | null {
  const called = "try_get_folio()";
  const machine = machine_of_handle(raw(page), called);
  const pfn = raw(page) >>> PAGE_HANDLE_SHIFT;
  if (!is_countable(pfn, ref_count(pfn))) return null;
  ref_add(pfn, 1);
  return to_folio(referenced(machine, head_of(pfn), "folio", called));
}
/** The references on the folio.  Models folio_ref_count(). */
export function folio_ref_count(folio: BorrowedFolio): number {
  return ref_count(used_pfn(folio, "folio_ref_count()"));
}
/**
 * The pins of a large folio, exactly; 0 for a single page, whose pins stand in its reference count.  Models a read of
 * folio->_pincount.
 */
export function folio_pincount(folio: BorrowedFolio): number {
  return pin_count(used_pfn(folio, "folio_pincount()"));
}
/**
 * Whether somebody may hold a pin.  Models folio_maybe_dma_pinned(): exact for a large folio; for a single page 1024
 * plain references look like a pin, and no pin is ever overlooked.
 */
export function folio_maybe_dma_pinned(folio: BorrowedFolio): boolean {
  return maybe_dma_pinned(used_pfn(folio, "folio_maybe_dma_pinned()"));
}
