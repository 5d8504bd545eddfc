/**
 * transfer_max_buffers() of drivers/platform/goldfish/goldfish_pipe.c says at run time whether the pages were written: only
 * a read writes user memory, and only if anything was consumed.
 */
import {
  all_or_none,
  IS_ERR,
  ITER_DEST,
  ITER_SOURCE,
  pages_are_dest,
  pin_user_pages_fast,
  unpin_user_pages,
  unpin_user_pages_dirty_lock,
} from "user-page";
import { dma_from_device, type Bench } from "./bench.js";

function transfer({ current, buf, device }: Bench, is_write: boolean, consumed: number) {
  const dir = is_write ? ITER_SOURCE : ITER_DEST;
  const pages = all_or_none(pin_user_pages_fast(current, buf, 2, dir));
  if (IS_ERR(pages)) return pages;
  if (pages_are_dest(pages, dir)) {
    let left = consumed;
    for (const page of pages) if (left-- > 0) dma_from_device(device, page);
    unpin_user_pages_dirty_lock(pages, consumed > 0, current);
  } else unpin_user_pages(pages);
}
export function right(bench: Bench) {
  return transfer(bench, true, 0) ?? transfer(bench, false, bench.fails ? 0 : 2);
}
