/** Releasing single pins and whole folios.  Models the unpin_user_*() of mm/gup.c and the put_user_page() of 2018. */

import type { Narrows } from "../handle/affine.js";
import { raw } from "../handle/cast.js";
import type { By } from "../handle/kinds.js";
import type { BorrowedFolio, HeldUserPage, SpentUserPage } from "../handle/page.js";
import { is_pin_handle, PAGE_HANDLE_SHIFT } from "../handle/tags.js";
import { foll_pin_released, page_ref } from "../machine/arena.js";
import { GUP_PIN_COUNTING_BIAS, SECTION_SHIFT } from "../machine/limits.js";
import { machine_of_handle, throw_misuse } from "../machine/machine.js";
import type { Site } from "../machine/site.js";
import { describe_pfn, head_of, order_of, pin_sub } from "./page_ref.js";

/** One pin less, of a handle as it comes: the common case inline, everything else below. */
function unpin(p: number, by: string): void {
  if (is_pin_handle(p)) {
    const pfn = p >>> PAGE_HANDLE_SHIFT;
    const r = page_ref[pfn]!;
    if (r > GUP_PIN_COUNTING_BIAS) {
      page_ref[pfn] = r - GUP_PIN_COUNTING_BIAS;
      foll_pin_released[pfn >>> SECTION_SHIFT] = foll_pin_released[pfn >>> SECTION_SHIFT]! + 1;
    } else unpin_rare(p, pfn, by);
  } else unpin_checked(p, by);
}
function unpin_rare(p: number, pfn: number, by: string): void {
  if (!(page_ref[pfn]! < 0)) machine_of_handle(p, by);
  pin_sub(pfn, 1);
}
/** Where the call was made: found once, for all pages of an array. */
function unpin_checked(p: number, by: string, owner?: object, site?: Site): Site {
  const probe = machine_of_handle(p, by).probe!;
  const at = site ?? probe.site();
  probe.released("user_page", p, by, owner, at);
  pin_sub(p >>> PAGE_HANDLE_SHIFT, 1);
  return at;
}
/** Unpins single pages from the one at `j` on, while they are ordinary and of one section; how many. */
function unpin_run(pages: readonly HeldUserPage[], j: number, nr: number): number {
  const section = raw(pages[j]!) >>> (PAGE_HANDLE_SHIFT + SECTION_SHIFT);
  let n = 0;
  for (; j + n < nr; n++) {
    const p = raw(pages[j + n]!);
    const pfn = p >>> PAGE_HANDLE_SHIFT;
    const r = page_ref[pfn]!;
    if (!is_pin_handle(p) || !(r > GUP_PIN_COUNTING_BIAS)) break;
    if (pfn >>> SECTION_SHIFT !== section) break;
    page_ref[pfn] = r - GUP_PIN_COUNTING_BIAS;
  }
  if (n > 0) foll_pin_released[section] = foll_pin_released[section]! + n;
  return n;
}
/** Whether it is one at run time; says nothing about the type, which callers know better. */
export function is_array(value: unknown): boolean {
  return Array.isArray(value);
}
/** Unpins every page of an array; consecutive pages of one folio together.  NULL entries are passed over. */
export function unpin_each(
  pages: readonly HeldUserPage[],
  by: string,
  owner: object | undefined,
): void {
  if (!is_array(pages)) throw_misuse("not-a-handle", by, "no array of pins");
  const nr = pages.length;
  let site: Site | undefined;
  for (let j = 0; j < nr;) {
    const p = raw(pages[j]!);
    if (!is_pin_handle(p)) {
      site = unpin_checked(p, by, owner, site);
      j++;
      continue;
    }
    let run = unpin_run(pages, j, nr);
    if (run > 0) {
      j += run;
      continue;
    }
    const v = page_ref[p >>> PAGE_HANDLE_SHIFT]!;
    run = 1;
    if (v < 0) {
      while (j + run < nr) {
        const next = raw(pages[j + run]!);
        if (!is_pin_handle(next) || page_ref[next >>> PAGE_HANDLE_SHIFT] !== v) break;
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
/**
 * Releases one pin: put_user_page() by the name it has since Linux 5.6.  Models unpin_user_page().  The handle is spent.  Any
 * context.
 */
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
  const nr = 2 ** order_of(pfn);
  machine.probe?.released_among("user_page", head, nr, called, npages);
  pin_sub(pfn, npages);
}
