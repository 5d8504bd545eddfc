/**
 * alloc_user_pages() of drivers/staging/media/atomisp/pci/hmm/hmm_bo.c locked the address space to find its mapping, unlocked
 * it, and then looked into the mapping and pinned with a call that needs the lock (5.9 and 6.0-rc1).  The lock that was
 * released is no lock for the compiler, on any path.  A mapping that outlives the lock is not modelled: the API gives none.
 */
import {
  all_or_none,
  FOLL_LONGTERM,
  IS_ERR,
  ITER_DEST,
  mmap_read_lock,
  mmap_read_unlock,
  pin_user_pages,
  pin_user_pages_fast,
  unpin_user_pages_dirty_lock,
} from "user-page";
import { dma_from_device, type Bench } from "./bench.js";

export function wrong({ current, buf }: Bench) {
  const lock = mmap_read_lock(current, current.mm);
  mmap_read_unlock(lock); // find_vma() was done
  // @ts-expect-error the lock was released
  const pages = all_or_none(pin_user_pages(lock, buf, 4, ITER_DEST, FOLL_LONGTERM));
  if (IS_ERR(pages)) return pages;
  unpin_user_pages_dirty_lock(pages, true, current);
}

export function right({ current, buf, device }: Bench) {
  const pages = all_or_none(pin_user_pages_fast(current, buf, 4, ITER_DEST, FOLL_LONGTERM));
  if (IS_ERR(pages)) return pages;
  for (const page of pages) dma_from_device(device, page);
  unpin_user_pages_dirty_lock(pages, true, current);
}
