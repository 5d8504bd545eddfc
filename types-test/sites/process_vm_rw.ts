/**
 * Mistakes at one call site, process_vm_readv() and process_vm_writev(): each refused where it is made.  The site itself is call-sites/process_vm_rw.
 */
import {
  FOLL_WRITE,
  IS_ERR,
  IS_SHORT,
  ITER_SOURCE,
  memcpy_from_page,
  pin_user_pages_remote,
  put_user_pages,
  put_user_pages_dirty_lock,
  type BorrowedDestPage,
  type MmapLock,
  type Task,
  type UserAddr,
} from "user-page";

export function writes_through_a_flag(lock: MmapLock, at: UserAddr) {
  // @ts-expect-error the direction is an argument of its own, and FOLL_WRITE no flag beside it
  return pin_user_pages_remote(lock, at, 4, ITER_SOURCE, FOLL_WRITE);
}
export function dirties_what_it_read(lock: MmapLock, at: UserAddr, current: Task) {
  const pinned = pin_user_pages_remote(lock, at, 4, ITER_SOURCE);
  if (IS_ERR(pinned)) return;
  const pages = IS_SHORT(pinned) ? pinned.partial : pinned;
  // @ts-expect-error pinned to be read
  put_user_pages_dirty_lock(pages, current);
}
export function copies_into_what_it_reads(lock: MmapLock, at: UserAddr) {
  const pinned = pin_user_pages_remote(lock, at, 4, ITER_SOURCE);
  if (IS_ERR(pinned) || IS_SHORT(pinned)) return;
  for (const page of pinned) {
    // @ts-expect-error pinned to be read
    copy_page_from_iter(page);
  }
}
declare function copy_page_from_iter(page: BorrowedDestPage): boolean;
export function counts_a_batch_it_has_put(lock: MmapLock, at: UserAddr) {
  const pinned = pin_user_pages_remote(lock, at, 4, ITER_SOURCE);
  if (IS_ERR(pinned) || IS_SHORT(pinned)) return;
  put_user_pages(pinned);
  for (const page of pinned) {
    // @ts-expect-error released with its batch
    memcpy_from_page(new Uint8Array(1), page, 0);
  }
}
