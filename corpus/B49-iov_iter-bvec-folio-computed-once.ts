/**
 * __iov_iter_get_pages_alloc() of lib/iov_iter.c looked for the folio of the first page and took the references of all pages
 * on it, though the segment went on into another folio, and its user put each page by itself.  What is counted up and what
 * is counted down are two calls on two kinds of pointer in C.  Here a reference on a folio is one handle and belongs to that
 * folio; the pages that were only lent are not what an array of references takes.
 */
import {
  __free,
  alloc_page,
  folio_get,
  get_page,
  iov_iter_bvec,
  iov_iter_extract_pages,
  iov_iter_get_pages2,
  iov_iter_put_pages,
  IS_ERR,
  ITER_SOURCE,
  memcpy_from_page,
  page_folio,
  PAGE_SIZE,
  put_page,
  type BorrowedPage,
  type Page,
} from "user-page";
import type { Bench } from "./bench.js";

/** A consumer that puts page by page. */
function p9_release_pages(pages: Page[]) {
  for (let page = pages.pop(); page; page = pages.pop()) put_page(page);
}
function get_pages_of_bvec(kernel: readonly BorrowedPage[]): Page[] {
  const pages: Page[] = [];
  const folio = page_folio(kernel[0]!);
  for (const page of kernel) {
    folio_get(folio); // of the first page, for all of them
    // @ts-expect-error no reference on this page
    pages.push(page);
  }
  return pages;
}
export function wrong({ current }: Bench) {
  const first = alloc_page(current);
  const second = alloc_page(current);
  if (IS_ERR(first)) return first;
  if (IS_ERR(second)) return second;
  const bvecs = [first, second].map((page) => ({ page, offset: 0, len: PAGE_SIZE }));
  const iter = iov_iter_bvec(ITER_SOURCE, bvecs);
  const lent: BorrowedPage[] = [];
  while (iter.count > 0) {
    const got = iov_iter_extract_pages(iter, PAGE_SIZE, 1, current);
    if (IS_ERR(got)) return got;
    lent.push(...got.kernel);
  }
  p9_release_pages(get_pages_of_bvec(lent));
  put_page(first);
  put_page(second);
}

export function right({ current }: Bench) {
  using first = __free(put_page, alloc_page(current));
  using second = __free(put_page, alloc_page(current));
  if (IS_ERR(first)) return first;
  if (IS_ERR(second)) return second;
  const kernel = [first.page, second.page];
  p9_release_pages(kernel.map((page) => get_page(page)));
  const bvecs = kernel.map((page) => ({ page, offset: 0, len: PAGE_SIZE }));
  const pages = iov_iter_get_pages2(iov_iter_bvec(ITER_SOURCE, bvecs), PAGE_SIZE, 1, current);
  if (IS_ERR(pages)) return pages;
  const byte = new Uint8Array(1);
  for (const page of pages) memcpy_from_page(byte, page, 0);
  iov_iter_put_pages(pages);
}
