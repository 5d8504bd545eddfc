/**
 * afu_dma_pin_pages() of drivers/fpga/dfl-afu-dma-region.c releases a different number of pages at each label and keeps all
 * of them on success.  Each label releases what is held there; the success return keeps the pins on purpose.
 */
import {
  ERR_PTR,
  IS_ERR,
  IS_SHORT,
  ITER_DEST,
  pin_user_pages_fast,
  unpin_user_pages,
  type UserPage,
} from "user-page";
import { dma_from_device, type Bench } from "./bench.js";

interface Region {
  pages: ReadonlyArray<UserPage<"dest">>;
}
function afu_dma_pin_pages({ current, buf, fails }: Bench, region: Region) {
  const pinned = pin_user_pages_fast(current, buf, fails ? 20 : 16, ITER_DEST);
  if (IS_ERR(pinned)) return pinned;
  if (IS_SHORT(pinned)) {
    unpin_user_pages(pinned.partial);
    return ERR_PTR("EFAULT", "fewer pages than the region has");
  }
  region.pages = pinned;
}
export function right(bench: Bench) {
  const region: Region = { pages: [] };
  const error = afu_dma_pin_pages(bench, region);
  if (error) return error;
  for (const page of region.pages) dma_from_device(bench.device, page);
  unpin_user_pages(region.pages);
}
