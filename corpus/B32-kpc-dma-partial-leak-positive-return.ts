/**
 * kpc_dma_transfer() of drivers/staging/kpc2000 left at once when fewer pages came than asked, freed the array and returned
 * the positive count: the pins leaked and the caller read success (5.7, repaired in 5.9).  The count cannot be mistaken
 * here, since a short pin is no number; leaving without releasing `partial` still compiles, and debug mode lists the
 * pins.  all_or_none() and `using` leave nothing to forget.
 */
import {
  all_or_none,
  IS_ERR,
  IS_SHORT,
  ITER_DEST,
  pin_user_pages_fast,
  unpin_user_pages,
  unpin_user_pages_dirty_lock,
} from "user-page";
import { dma_from_device, type Bench } from "./bench.js";

export function wrong({ current, buf, fails }: Bench) {
  const pages = pin_user_pages_fast(current, buf, fails ? 20 : 16, ITER_DEST);
  if (IS_ERR(pages)) return -14;
  if (IS_SHORT(pages)) return pages.partial.length; // err_gup
  unpin_user_pages(pages);
  return 0;
}

export function right({ current, buf, device, fails }: Bench) {
  using pages = all_or_none(pin_user_pages_fast(current, buf, fails ? 20 : 16, ITER_DEST));
  if (IS_ERR(pages)) return pages;
  for (const page of pages) dma_from_device(device, page);
  unpin_user_pages_dirty_lock(pages, true, current);
}
