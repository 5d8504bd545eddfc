/**
 * mm/khugepaged.c traced the page it stopped at after it had put it: "mm: khugepaged: fix folio is used after
 * folio_put/unlock()" saves the frame number before.  The put and the trace are far apart, and only one of the ways there puts.
 * The compiler follows all of them.
 */
import {
  folio_order,
  get_user_pages_fast,
  page_folio,
  page_mapcount,
  page_to_pfn,
  put_page,
  type BorrowedPage,
  type HeldPage,
  type Narrows,
  type Page,
  type Pfn,
  type SpentPage,
} from "user-page";
import { dma_to_device, type Bench } from "./bench.js";

const is_suitable = (page: BorrowedPage) =>
  folio_order(page_folio(page)) > 0 && page_mapcount(page) === 1;
/** It puts the page. */
const collapse: Narrows<HeldPage, { is: SpentPage<"taken by collapse()"> }> = (page) => {
  put_page(page);
};
function trace_scan(log: string[], pfn: Pfn, result: string) {
  log.push(`${pfn} ${result}`);
}
export function wrong({ current, buf }: Bench) {
  const pages: Page[] = [];
  get_user_pages_fast(current, buf, 1, 0, pages);
  const log: string[] = [];
  for (const page of pages) {
    let result = "succeed";
    if (is_suitable(page)) {
      trace_scan(log, page_to_pfn(page), result);
      collapse(page);
      continue;
    }
    result = "fail";
    put_page(page);
    // @ts-expect-error put above
    trace_scan(log, page_to_pfn(page), result);
  }
}

export function right({ current, buf, device }: Bench) {
  const pages: Page[] = [];
  get_user_pages_fast(current, buf, 1, 0, pages);
  const log: string[] = [];
  for (const page of pages) {
    const pfn = page_to_pfn(page);
    dma_to_device(device, page);
    const suitable = is_suitable(page);
    if (suitable) collapse(page);
    else put_page(page);
    trace_scan(log, pfn, suitable ? "succeed" : "fail");
  }
}
