/**
 * "mm/gup: remove try_get_page(), call try_get_compound_head() directly" took two acquisitions for one: the second is for a
 * page that was only found and asks for a context in which pages are not freed, the first is for a page that is held (taken
 * back by cd1adf1b63a1).  Both take a struct page * in C.  Here they take two types.  That context is not modelled, so the
 * machine takes the reference when it is forced to.
 */
import {
  get_page_unless_zero,
  get_user_pages_fast,
  IS_ERR,
  pfn_to_page,
  put_page,
  try_get_page,
  type OwnedPage,
  type Page,
} from "user-page";
import { dma_to_device, frame_at, type Bench } from "./bench.js";

function with_page({ current, buf }: Bench, dup: (page: Page) => OwnedPage | null) {
  const pages: Page[] = [];
  const got = get_user_pages_fast(current, buf, 1, 0, pages);
  for (const page of pages) {
    const again = dup(page);
    if (again) put_page(again);
    put_page(page);
  }
  return got;
}
export function wrong(bench: Bench) {
  return with_page(bench, (page) => {
    // @ts-expect-error held already
    return get_page_unless_zero(page);
  });
}

/** For a page that is only found. */
function lookup({ machine, current, buf }: Bench) {
  const pfn = frame_at(current, buf);
  const found = pfn === null ? null : pfn_to_page(machine, pfn);
  const page = found === null || IS_ERR(found) ? null : get_page_unless_zero(found);
  if (!page || frame_at(current, buf) === pfn) return page;
  put_page(page);
  return null;
}
export function right(bench: Bench) {
  const page = lookup(bench);
  if (!page) return;
  dma_to_device(bench.device, page);
  put_page(page);
  return with_page(bench, try_get_page);
}
