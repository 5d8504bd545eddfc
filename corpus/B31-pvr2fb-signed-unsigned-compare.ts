/**
 * pvr2fb_write() of drivers/video/fbdev/pvr2fb.c compares the int that pin_user_pages_fast() returned with an unsigned
 * count, so that -EFAULT is a large number and no error (read from 3.12 to 6.19; the check added later sits in a branch
 * an errno cannot enter).  Then the device gets a pointer nobody stored.  Here a check for "fewer" leaves the error in the
 * type, and what wants pages does not take it.
 */
import {
  IS_ERR,
  IS_SHORT,
  ITER_SOURCE,
  pin_user_pages_fast,
  unpin_user_pages,
  type UserPage,
} from "user-page";
import { dma_to_device, type Bench, type Device } from "./bench.js";

function dma(device: Device, pages: readonly UserPage[]) {
  dma_to_device(device, pages[0]!);
}
export function wrong({ current, buf, hole, device, fails }: Bench) {
  const pages = pin_user_pages_fast(current, fails ? hole : buf, 4, ITER_SOURCE);
  if (IS_SHORT(pages)) {
    unpin_user_pages(pages.partial); // "error handling", for fewer pages only
    return -22;
  }
  // @ts-expect-error perhaps an error
  dma(device, pages);
  return 0;
}

export function right({ current, buf, hole, device, fails }: Bench) {
  const pages = pin_user_pages_fast(current, fails ? hole : buf, 4, ITER_SOURCE);
  if (IS_ERR(pages)) return pages;
  if (IS_SHORT(pages)) {
    unpin_user_pages(pages.partial);
    return -22;
  }
  dma(device, pages);
  unpin_user_pages(pages);
}
