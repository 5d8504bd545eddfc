/**
 * xdp_umem_pin_pages() of net/xdp/xdp_umem.c held pages until the socket closed with plain get_user_pages(), which lets them
 * lie in CMA or in a DAX file (4.19; pinned with FOLL_LONGTERM since 5.7).  How long a page is kept is nobody's business in
 * C.  Here a field that outlives the call asks for long-term pins, and the flag is in the type of what was acquired.  At
 * run time nothing is noticed: the pages are ordinary ones as long as nobody wants to move them.
 */
import {
  all_or_none,
  FOLL_LONGTERM,
  IS_ERR,
  ITER_DEST,
  mmap_read_lock,
  mmap_read_unlock,
  pin_user_pages,
  unpin_user_pages_dirty_lock,
  type LongtermUserPage,
} from "user-page";
import { dma_from_device, type Bench } from "./bench.js";

interface XdpUmem {
  pgs: ReadonlyArray<LongtermUserPage<"dest">>;
}
export function wrong({ current, buf }: Bench) {
  const umem: XdpUmem = { pgs: [] };
  const lock = mmap_read_lock(current, current.mm);
  const pgs = all_or_none(pin_user_pages(lock, buf, 4, ITER_DEST));
  mmap_read_unlock(lock);
  if (IS_ERR(pgs)) return pgs;
  // @ts-expect-error FOLL_LONGTERM is missing
  umem.pgs = pgs;
  unpin_user_pages_dirty_lock(umem.pgs, true, current); // the socket is closed
}

export function right({ current, buf, device }: Bench) {
  const umem: XdpUmem = { pgs: [] };
  const lock = mmap_read_lock(current, current.mm);
  const pgs = all_or_none(pin_user_pages(lock, buf, 4, ITER_DEST, FOLL_LONGTERM));
  mmap_read_unlock(lock);
  if (IS_ERR(pgs)) return pgs;
  umem.pgs = pgs;
  for (const page of umem.pgs) dma_from_device(device, page);
  unpin_user_pages_dirty_lock(umem.pgs, true, current);
}
