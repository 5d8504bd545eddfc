/**
 * dio_refill_pages() of fs/direct-io.c puts the zero page, unpinned, among pinned pages and unpins them all: on the zero page
 * both are defined to do nothing.  The types here want a pin there, and page_to_user_page() gives one that counts
 * nothing.
 */
import {
  all_or_none,
  IS_ERR,
  ITER_SOURCE,
  page_to_user_page,
  pin_user_pages_fast,
  unpin_user_pages,
  ZERO_PAGE,
  type UserPage,
} from "user-page";
import { dma_to_device, type Bench } from "./bench.js";

function dio_refill_pages({ current, buf, hole, fails }: Bench): UserPage[] {
  const pages = all_or_none(pin_user_pages_fast(current, fails ? hole : buf, 2, ITER_SOURCE));
  if (!IS_ERR(pages)) return pages;
  const zero = page_to_user_page(ZERO_PAGE(current));
  return IS_ERR(zero) ? [] : [zero];
}
export function right(bench: Bench) {
  const pages = dio_refill_pages(bench);
  if (!bench.fails) for (const page of pages) dma_to_device(bench.device, page);
  unpin_user_pages(pages);
}
