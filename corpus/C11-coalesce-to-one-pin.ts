/**
 * io_do_coalesce_buffer() of io_uring/rsrc.c drops all pins of a huge folio but one and goes on using all its pages, since
 * one pin holds the folio.  The other pages are reached through the folio of the one that is kept.
 */
import {
  all_or_none,
  folio_page,
  FOLL_LONGTERM,
  HPAGE_PMD_NR,
  IS_ERR,
  ITER_SOURCE,
  page_folio,
  pin_user_pages_fast,
  unpin_user_folio,
  unpin_user_pages,
} from "user-page";
import { Device, dma_to_device, type Bench } from "./bench.js";

export function right({ current, huge }: Bench) {
  const device = new Device(); // the memory is not the bench's
  const pinned = pin_user_pages_fast(current, huge, HPAGE_PMD_NR, ITER_SOURCE, FOLL_LONGTERM);
  const pages = all_or_none(pinned);
  if (IS_ERR(pages)) return pages;
  unpin_user_pages(pages.splice(1));
  const folio = page_folio(pages[0]!);
  for (let i = 0; i < HPAGE_PMD_NR; i++) dma_to_device(device, folio_page(folio, i));
  unpin_user_folio(folio, 1);
  return device.log.length === HPAGE_PMD_NR ? 0 : -5;
}
