/** Releasing arrays of pins.  Models unpin_user_pages() and its kind, and their names of 2018 and 2019. */

import type { Narrows } from "../handle/affine.js";
import { raw } from "../handle/cast.js";
import type { ProcessContext } from "../handle/context.js";
import type { By, EndedBy } from "../handle/kinds.js";
import type {
  HeldDestPage,
  HeldDestPages,
  HeldUserPage,
  HeldUserPages,
  SpentUserPage,
  SpentUserPages,
} from "../handle/page.js";
import { PAGE_HANDLE_SHIFT, SERIAL_UNIT } from "../handle/tags.js";
import { might_sleep } from "../machine/context.js";
import { machine_of_handle, throw_foreign, throw_misuse } from "../machine/machine.js";
import { set_folio_dirty } from "./page-writeback.js";
import { describe_pfn, pin_sub } from "./page_ref.js";
import { is_array, unpin_each } from "./unpin.js";
import { end_array, UserPages } from "./user_pages.js";

function release(pages: HeldUserPages, by: EndedBy): void {
  if (pages instanceof UserPages && pages.owner) {
    throw_misuse("wrong-owner", `${by}()`, `${pages.length} pages pinned by ${pages.owner.name}`);
  }
  end_array(pages, by);
  unpin_each(pages, `${by}()`, undefined);
}
/** Dirties each page, then unpins them: in that order, else the page may be written back clean in between. */
function release_dirty(
  pages: readonly HeldUserPage[],
  by: EndedBy,
  make_dirty: boolean,
  current: ProcessContext,
): void {
  if (make_dirty) {
    const machine = might_sleep(current, `${by}()`);
    if (!is_array(pages)) throw_misuse("not-a-handle", `${by}()`, "no array of pins");
    for (const page of pages) {
      if (machine_of_handle(raw(page), `${by}()`) !== machine) throw_foreign(`${by}()`);
    }
  }
  if (make_dirty) for (const page of pages) set_folio_dirty(raw(page) >>> PAGE_HANDLE_SHIFT);
  release(pages, by);
}

/**
 * Releases an array of pins.  Models put_user_pages() of Linux 5.2 to 5.5.  The array is spent.  Any context.
 *
 * @example
 * const pages = all_or_none(pin_user_pages_fast(current, buf, 4, ITER_SOURCE));
 * if (IS_ERR(pages)) return pages;
 * put_user_pages(pages);
 */
export const put_user_pages: Narrows<
  HeldUserPages,
  { is: SpentUserPages<By<"put_user_pages">> }
> = (pages) => {
  release(pages, "put_user_pages");
};
/** put_user_pages() by its name since Linux 5.6.  Models unpin_user_pages().  The array is spent.  Any context. */
export const unpin_user_pages: Narrows<
  HeldUserPages,
  { is: SpentUserPages<By<"unpin_user_pages">> }
> = (pages) => {
  release(pages, "unpin_user_pages");
};
/**
 * Dirties and releases an array of pins taken with 'dest'.  Models put_user_pages_dirty_lock().  The array is spent.
 *
 * @param current - dirtying locks each folio: may sleep
 */
export const put_user_pages_dirty_lock: Narrows<
  HeldDestPages,
  { is: SpentUserPages<By<"put_user_pages_dirty_lock">> },
  [current: ProcessContext]
> = (pages, current) => {
  release_dirty(pages, "put_user_pages_dirty_lock", true, current);
};
/**
 * Releases an array of pins taken with 'dest', dirtied if they were written.  Models unpin_user_pages_dirty_lock().
 *
 * @param make_dirty - whether anything was written
 * @param current - may sleep
 */
export const unpin_user_pages_dirty_lock: Narrows<
  HeldDestPages,
  { is: SpentUserPages<By<"unpin_user_pages_dirty_lock">> },
  [make_dirty: boolean, current: ProcessContext]
> = (pages, make_dirty, current) => {
  release_dirty(pages, "unpin_user_pages_dirty_lock", make_dirty, current);
};
/**
 * Releases the pins of `npages` consecutive pages, from the first one's handle; the others' are not tracked.  Models
 * unpin_user_page_range_dirty_lock().
 *
 * @param npages - 1 and more, contiguous in memory
 * @param make_dirty - whether anything was written
 * @param current - may sleep
 */
export const unpin_user_page_range_dirty_lock: Narrows<
  HeldDestPage,
  { is: SpentUserPage<By<"unpin_user_page_range_dirty_lock">> },
  [npages: number, make_dirty: boolean, current: ProcessContext]
> = (page, npages, make_dirty, current) => {
  const called = "unpin_user_page_range_dirty_lock()";
  const p = raw(page);
  const machine = machine_of_handle(p, called);
  const first = p >>> PAGE_HANDLE_SHIFT;
  const end = first + npages;
  if (!Number.isSafeInteger(npages) || npages < 1 || end > machine.base + machine.nr_pages) {
    throw_misuse("not-a-handle", called, `${describe_pfn(first)}, ${npages} pages`);
  }
  if (make_dirty && might_sleep(current, called) !== machine) throw_foreign(called);
  const { probe } = machine;
  // Most likely all were acquired by one call, one after the other.
  const serial = Math.floor(p / SERIAL_UNIT);
  for (let pfn = first; pfn < end; pfn++) {
    if (make_dirty) set_folio_dirty(pfn);
    if (pfn === first) probe?.released("user_page", p, called);
    else {
      const likely = serial + pfn - first;
      probe?.released_among("user_page", pfn << PAGE_HANDLE_SHIFT, 1, called, 1, likely);
    }
    pin_sub(pfn, 1);
  }
};
