/** Releasing single pins and whole folios.  Models the unpin_user_*() of mm/gup.c and the put_user_page() of 2018. */

import type { Narrows } from "../handle/affine.js";
import { raw } from "../handle/cast.js";
import type { By } from "../handle/kinds.js";
import type { BorrowedFolio, HeldUserPage, SpentUserPage } from "../handle/page.js";
import { HANDLE_LOW_BITS, PAGE_HANDLE_SHIFT } from "../handle/tags.js";
import { foll_pin_released as released_, page_ref as page_ref_ } from "../machine/arena.js";
import { GUP_PIN_COUNTING_BIAS, SECTION_SHIFT } from "../machine/limits.js";
import { machine_of_handle, throw_misuse } from "../machine/machine.js";
import { describe_pfn, head_of, order_of, pin_sub } from "./page_ref.js";

const ref = page_ref_;
const released = released_;

/** One pin less, of a handle as it comes: the common case inline, everything else below. */
function unpin(p: number, by: string): void {
  if ((p & HANDLE_LOW_BITS) === 0) {
    const pfn = p >>> PAGE_HANDLE_SHIFT;
    const r = ref[pfn]!;
    if (r > GUP_PIN_COUNTING_BIAS) {
      ref[pfn] = r - GUP_PIN_COUNTING_BIAS;
      released[pfn >>> SECTION_SHIFT] = released[pfn >>> SECTION_SHIFT]! + 1;
    } else unpin_rare(p, pfn, by);
  } else unpin_checked(p, by, undefined);
}
function unpin_rare(p: number, pfn: number, by: string): void {
  if (!(ref[pfn]! < 0)) machine_of_handle(p, by);
  pin_sub(pfn, 1);
}
function unpin_checked(p: number, by: string, owner: object | undefined): void {
  machine_of_handle(p, by).probe!.released("user_page", p, by, owner);
  pin_sub(p >>> PAGE_HANDLE_SHIFT, 1);
}
/** Unpins every page of an array; consecutive pages of one folio together.  NULL entries are passed over. */
export function unpin_each(
  pages: readonly HeldUserPage[],
  by: string,
  owner: object | undefined,
): void {
  if (!Array.isArray(pages as unknown)) throw_misuse("not-a-handle", by, "no array of pins");
  const nr = pages.length;
  for (let j = 0; j < nr;) {
    const p = raw(pages[j]!);
    if ((p & HANDLE_LOW_BITS) !== 0) {
      unpin_checked(p, by, owner);
      j++;
      continue;
    }
    const v = ref[p >>> PAGE_HANDLE_SHIFT]!;
    let run = 1;
    if (v < 0) {
      while (j + run < nr) {
        const next = raw(pages[j + run]!);
        if ((next & HANDLE_LOW_BITS) !== 0 || ref[next >>> PAGE_HANDLE_SHIFT] !== v) break;
        run++;
      }
      pin_sub(p >>> PAGE_HANDLE_SHIFT, run);
    } else if (p !== 0 && pages[j] !== null) unpin(p, by);
    j += run;
  }
}

/**
 * Releases one pin.  Models put_user_page() of Linux 5.2 to 5.5, later renamed unpin_user_page().
 * The handle is spent.  Any context.
 *
 * @example
 * const page = get_user_page(current, buf, ITER_SOURCE);
 * if (IS_ERR(page)) return page;
 * put_user_page(page);
 */
export const put_user_page: Narrows<HeldUserPage, { is: SpentUserPage<By<"put_user_page">> }> = (
  page,
) => {
  unpin(raw(page), "put_user_page()");
};
/** Releases one pin: put_user_page() by the name it has since Linux 5.6.  The handle is spent.  Any context. */
export const unpin_user_page: Narrows<
  HeldUserPage,
  { is: SpentUserPage<By<"unpin_user_page">> }
> = (page) => {
  unpin(raw(page), "unpin_user_page()");
};
/**
 * Releases `npages` pins of one folio at once.  Models unpin_user_folio().  Which handles they belong to is not tracked:
 * the caller answers for the number.  Any context.
 *
 * @param folio - a folio with at least that many pins
 * @param npages - 1 and more
 */
export function unpin_user_folio(folio: BorrowedFolio, npages: number): void {
  const called = "unpin_user_folio()";
  const p = raw(folio);
  const machine = machine_of_handle(p, called);
  const pfn = p >>> PAGE_HANDLE_SHIFT;
  if (!Number.isSafeInteger(npages) || npages < 1) {
    throw_misuse("not-a-handle", called, `${describe_pfn(pfn)}, ${npages} pages`);
  }
  const head = head_of(pfn) << PAGE_HANDLE_SHIFT;
  for (let i = 0; machine.probe && i < npages; i++) {
    machine.probe.released_among("user_page", head, 2 ** order_of(pfn), called);
  }
  pin_sub(pfn, npages);
}
