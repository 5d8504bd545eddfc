/**
 * Unconverted code: plain references in an array of the caller's, and C's results.  A negative number is -errno, a short
 * count is a short count, and nothing is tracked but the kind.  Models the get_user_pages() family of mm/gup.c.
 */

import type { UserAddr } from "../handle/addr.js";
import { raw_flags, to_page } from "../handle/cast.js";
import type { LockedMm, ProcessContext, Task } from "../handle/context.js";
import { errno_code } from "../handle/errno.js";
import type { FastGetFlags, GetFlags, GupFlagBits } from "../handle/gup_flags.js";
import type { BorrowedDestPage, BorrowedPage, Page } from "../handle/page.js";
import { might_sleep } from "../machine/context.js";
import { pages_before_fault } from "../machine/fault-inject.js";
import { PAGE_SIZE } from "../machine/limits.js";
import { EFAULT, gup_walk } from "./gup.js";
import { GUP_BATCH, gup_pages } from "./gup_fast.js";
import { FOLL, illegal_flags } from "./gup_flags.js";
import { set_folio_dirty } from "./page-writeback.js";
import { used_pfn } from "./page.js";
import { ref_sub } from "./page_ref.js";
import {
  current_caller,
  locked_caller,
  refuse_range,
  walk_of,
  type GupCaller,
} from "./pin_user_pages.js";
import { is_array } from "./unpin.js";

const EINVAL = -22;

/** All calls of the family. */
export function get_pages(
  caller: GupCaller,
  start: number,
  nr: number,
  gup_flags: GetFlags | GupFlagBits | 0,
  pages: Page[] | null,
  by: string,
): number {
  const { machine } = caller.mm;
  const bits = raw_flags(gup_flags);
  let why = illegal_flags(bits, FOLL.GET, caller.fast);
  if (pages === null && (caller.fast || bits & FOLL.GET)) why = "no array for the pages";
  if (pages !== null && !is_array(pages)) why = "what receives the pages is no array";
  if (why !== null) {
    machine.WARN_ONCE(`${by}: ${why}`);
    return EINVAL;
  }
  const refused = refuse_range(start, nr, caller.fast);
  if (refused) return errno_code(refused);
  const walk = walk_of(caller, bits | FOLL.GET | FOLL.TOUCH);
  const { probe } = machine;
  const site = probe?.site(caller.context.name);
  if (pages !== null) probe?.reserve(nr);
  const first = start - (start % PAGE_SIZE);
  const stop = machine.faults === null ? nr : pages_before_fault(machine, nr, by);
  let done = 0;
  while (done < stop) {
    const want = Math.min(stop - done, GUP_BATCH);
    const got = gup_walk(walk, first + done * PAGE_SIZE, want);
    if (got < 0) return done || got;
    for (let i = 0; i < got; i++) {
      const addr = gup_pages[i]!;
      // Without an array the pages are only faulted in.
      if (pages === null) ref_sub(addr >>> 6, 1);
      else pages[done + i] = to_page(probe ? probe.acquired("page", addr, by, site!) : addr);
    }
    done += got;
    if (got < want) break;
  }
  return done === 0 && stop < nr ? EFAULT : done;
}
/**
 * Takes plain references on user pages.  Models get_user_pages(), since Linux 6.5 without the vmas.
 * The caller owns `pages[0]` to `pages[n - 1]`: put_page() each.
 *
 * @param gup_flags - FOLL_WRITE if they will be written; 0 for none
 * @param pages - receives the pages; null only faults them in
 * @returns how many, which may be fewer than asked; or -errno when there is none
 * @example
 * using lock = mmap_read_lock(current, current.mm);
 * const pages: Page[] = [];
 * const got = get_user_pages(lock, buf, 4, FOLL_WRITE, pages);
 * console.log(got); // -> 4
 * for (let page = pages.pop(); page; page = pages.pop()) put_page(page);
 */
export function get_user_pages(
  lock: LockedMm,
  start: UserAddr,
  nr_pages: number,
  gup_flags: GetFlags | 0,
  pages: Page[] | null,
): number {
  const by = "get_user_pages()";
  return get_pages(locked_caller(lock, by), start, nr_pages, gup_flags, pages, by);
}
/**
 * get_user_pages() of another address space.  Models get_user_pages_remote(), locked == NULL.
 *
 * @example
 * using lock = mmap_read_lock(current, current.mm);
 * const pages: Page[] = [];
 * get_user_pages_remote(lock, buf, 1, 0, pages);
 * for (let page = pages.pop(); page; page = pages.pop()) put_page(page);
 */
export function get_user_pages_remote(
  lock: LockedMm,
  start: UserAddr,
  nr_pages: number,
  gup_flags: GetFlags | 0,
  pages: Page[] | null,
): number {
  const by = "get_user_pages_remote()";
  return get_pages(locked_caller(lock, by), start, nr_pages, gup_flags, pages, by);
}
/**
 * get_user_pages() that takes the lock itself.  Models get_user_pages_unlocked(), with its order of arguments.
 *
 * @example
 * const pages: Page[] = [];
 * get_user_pages_unlocked(current, buf, 1, pages, 0);
 * for (let page = pages.pop(); page; page = pages.pop()) put_page(page);
 */
export function get_user_pages_unlocked(
  current: Task,
  start: UserAddr,
  nr_pages: number,
  pages: Page[] | null,
  gup_flags: GetFlags | 0,
): number {
  const by = "get_user_pages_unlocked()";
  return get_pages(current_caller(current, by, false), start, nr_pages, gup_flags, pages, by);
}
/**
 * get_user_pages() without the lock, as far as pages are present.  Models get_user_pages_fast().
 *
 * @example
 * const pages: Page[] = [];
 * get_user_pages_fast(current, buf, 1, 0, pages);
 * for (let page = pages.pop(); page; page = pages.pop()) put_page(page);
 */
export function get_user_pages_fast(
  current: Task,
  start: UserAddr,
  nr_pages: number,
  gup_flags: FastGetFlags | 0,
  pages: Page[],
): number {
  const by = "get_user_pages_fast()";
  return get_pages(current_caller(current, by, true), start, nr_pages, gup_flags, pages, by);
}
/**
 * Marks a page dirty that was pinned to be written: its file was asked before the pin was given out (page_mkwrite), which is
 * why it takes no other page.  Models set_page_dirty().  Any context; that the page stays prepared until here is the
 * writeback policy's promise.  In Linux a lock also keeps truncation out, which cannot interleave here: where it matters, as in
 * code that is going to be C, set_page_dirty_lock().
 */
export function set_page_dirty(page: BorrowedDestPage): void {
  set_folio_dirty(used_pfn(page, "set_page_dirty()", true));
}
/**
 * Marks the folio of a page dirty, under its lock.  Models set_page_dirty_lock().  Of a plain page nobody knows whether its file
 * was asked before: this is the door of unconverted code.
 *
 * @param page - plain, or pinned to be written
 * @param current - may sleep
 */
export function set_page_dirty_lock(
  page: BorrowedPage | BorrowedDestPage,
  current: ProcessContext,
): void {
  might_sleep(current, "set_page_dirty_lock()");
  set_folio_dirty(used_pfn(page, "set_page_dirty_lock()"));
}
