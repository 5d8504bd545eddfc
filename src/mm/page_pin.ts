/** Pins taken from a page the caller holds already, and the check that one is held. */

import type { Held } from "../handle/affine.js";
import { lend_page, raw, to_user_page } from "../handle/cast.js";
import type { AnyContext } from "../handle/context.js";
import { ERR_PTR, type Errno } from "../handle/errno.js";
import type {
  BorrowedFolio,
  BorrowedPage,
  CheckedUserPage,
  Dir,
  OwnedUserPage,
  Term,
} from "../handle/page.js";
import type { user_page } from "../handle/page.js";
import { is_plain, PAGE_HANDLE_SHIFT, TAG_PLAIN, TAG_USER } from "../handle/tags.js";
import { foll_pin_acquired, page_ref } from "../machine/arena.js";
import { machine_of } from "../machine/context.js";
import { GUP_PIN_COUNTING_BIAS, SECTION_SHIFT } from "../machine/limits.js";
import { machine_of_pfn } from "../machine/machine.js";
import { pinned_accessible } from "./accessible.js";
import { used_pfn } from "./page.js";
import {
  describe_pfn,
  is_zero_pfn,
  maybe_dma_pinned,
  pin_add,
  pin_add_uncounted,
  ref_count,
  throw_no_reference,
  REF_MAX,
} from "./page_ref.js";

/** The shared page full of zeroes; everybody holds it.  Models ZERO_PAGE().  Any context; it names the machine. */
export function ZERO_PAGE(context: AnyContext): BorrowedPage {
  const machine = machine_of(context, "ZERO_PAGE()");
  return lend_page((machine.zero_pfn << PAGE_HANDLE_SHIFT) | machine.page_tags);
}
/**
 * Takes a user pin on a page the caller holds, the zero page for instance, so that it fits among pinned pages (ours:
 * the third point of Jan Kara's proposal of 2018).  The caller owns one pin: put_user_page().
 *
 * @returns ENOMEM when the count is not above 0; EINVAL when the page is secure and cannot be exported
 * @example
 * const zero = page_to_user_page(ZERO_PAGE(current));
 * if (IS_ERR(zero)) return zero;
 * put_user_page(zero);
 */
export function page_to_user_page(
  page: BorrowedPage,
): OwnedUserPage<"source", "short"> | Errno<"ENOMEM" | "EINVAL"> {
  const p = raw(page);
  if (is_plain(p)) {
    const pfn = p >>> PAGE_HANDLE_SHIFT;
    const r = page_ref[pfn]!;
    if (r > 0 && r < REF_MAX) {
      page_ref[pfn] = r + GUP_PIN_COUNTING_BIAS;
      foll_pin_acquired[pfn >>> SECTION_SHIFT] = foll_pin_acquired[pfn >>> SECTION_SHIFT]! + 1;
      return to_user_page(p & TAG_PLAIN ? p ^ (TAG_PLAIN | TAG_USER) : p);
    }
  }
  return page_to_user_page_rare(page);
}
function page_to_user_page_rare(
  page: BorrowedPage,
): OwnedUserPage<"source", "short"> | Errno<"ENOMEM" | "EINVAL"> {
  const called = "page_to_user_page()";
  const pfn = used_pfn(page, called);
  const machine = machine_of_pfn(pfn)!;
  if (ref_count(pfn) <= 0) {
    return ERR_PTR("ENOMEM", `refcount ${ref_count(pfn)} of ${describe_pfn(pfn)}`);
  }
  pin_add(pfn, 1);
  if (pinned_accessible(pfn) !== 0) {
    return ERR_PTR("EINVAL", `${describe_pfn(pfn)} cannot be made accessible`);
  }
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
  if (ref_count(pfn) === 0) throw_no_reference(pfn, "folio_add_pin()");
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
