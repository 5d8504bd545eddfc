/**
 * process_vm_rw_single_vec() of mm/process_vm_access.c pins and unpins in a loop, takes a short pin as a short batch and
 * returns in the middle: each batch is released before anything is looked at, so the return holds nothing.
 */
import {
  IS_ERR,
  IS_SHORT,
  ITER_SOURCE,
  mmap_read_lock,
  mmap_read_unlock,
  PAGE_SIZE,
  pin_user_pages_remote,
  unpin_user_pages,
  user_ptr_add,
} from "user-page";
import { dma_to_device, type Bench } from "./bench.js";

const MAX = 6;
export function right({ current, buf, device, fails }: Bench) {
  const nr_pages = fails ? 20 : 16;
  for (let done = 0; done < nr_pages;) {
    const lock = mmap_read_lock(current, current.mm);
    const addr = user_ptr_add(buf, done * PAGE_SIZE);
    const pinned = pin_user_pages_remote(lock, addr, Math.min(MAX, nr_pages - done), ITER_SOURCE);
    mmap_read_unlock(lock);
    if (IS_ERR(pinned)) return pinned;
    const pages = IS_SHORT(pinned) ? pinned.partial : pinned;
    for (const page of pages) dma_to_device(device, page);
    done += pages.length;
    unpin_user_pages(pages);
  }
}
