/**
 * lock_pages() of drivers/xen/privcmd.c went on to the next buffer after a short pin, and its caller unpinned as many pages
 * as had been requested (repaired in 6.8).  A short count is no error in C unless somebody compares it.  Here a short pin
 * is no array of pages, and a list of such arrays does not take it.
 */
import {
  all_or_none,
  IS_ERR,
  ITER_DEST,
  PAGE_SIZE,
  pin_user_pages_fast,
  unpin_user_pages,
  unpin_user_pages_dirty_lock,
  user_ptr_add,
  type OwnedUserPages,
  type UserAddr,
} from "user-page";
import { dma_from_device, type Bench } from "./bench.js";

interface DmOpBuf {
  readonly uptr: UserAddr;
  readonly nr: number;
}
/** The second one is longer than its mapping, if something fails. */
function bufs_of({ buf, fails }: Bench): DmOpBuf[] {
  const second = user_ptr_add(buf, 12 * PAGE_SIZE);
  return [
    { uptr: buf, nr: 4 },
    { uptr: second, nr: fails ? 8 : 4 },
  ];
}
export function wrong(bench: Bench) {
  const locked: Array<OwnedUserPages<"dest">> = [];
  for (const { uptr, nr } of bufs_of(bench)) {
    const got = pin_user_pages_fast(bench.current, uptr, nr, ITER_DEST);
    if (IS_ERR(got)) return got;
    // @ts-expect-error perhaps fewer than the buffer has
    locked.push(got);
  }
  for (const pages of locked) unpin_user_pages(pages);
}

export function right(bench: Bench) {
  const locked: Array<OwnedUserPages<"dest">> = [];
  const unlock_pages = (dirty: boolean): void => {
    for (const pages of locked) unpin_user_pages_dirty_lock(pages, dirty, bench.current);
  };
  for (const { uptr, nr } of bufs_of(bench)) {
    const got = all_or_none(pin_user_pages_fast(bench.current, uptr, nr, ITER_DEST));
    if (IS_ERR(got)) {
      unlock_pages(false);
      return got;
    }
    locked.push(got);
  }
  for (const page of locked[0] ?? []) dma_from_device(bench.device, page);
  unlock_pages(true);
}
