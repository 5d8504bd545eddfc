/**
 * madvise_hwpoison() of mm/madvise.c takes a reference and gives it to memory_failure(), which returned at once for a page
 * that was poisoned already and put nothing (3.6; the caller puts it since 3.12, commit 29b4eedee67b).  That a function ends
 * a handle is said of its callers; nothing looks whether every path of its body does.
 */
import {
  get_user_pages_fast,
  page_to_pfn,
  put_page,
  type HeldPage,
  type Narrows,
  type Page,
  type Pfn,
  type SpentPage,
} from "user-page";
import type { Bench } from "./bench.js";

type Poisoned = Set<Pfn>;
type Consumes = Narrows<HeldPage, { is: SpentPage<"taken by memory_failure()"> }, [Poisoned]>;
/** Twice the same page. */
function madvise_hwpoison({ current, buf }: Bench, memory_failure: Consumes) {
  const poisoned: Poisoned = new Set();
  for (let i = 0; i < 2; i++) {
    const pages: Page[] = [];
    const got = get_user_pages_fast(current, buf, 1, 0, pages);
    if (got < 0) return got;
    for (const page of pages) memory_failure(page, poisoned);
  }
}
export function wrong(bench: Bench) {
  return madvise_hwpoison(bench, (page, poisoned) => {
    const pfn = page_to_pfn(page);
    if (poisoned.has(pfn)) return;
    poisoned.add(pfn);
    put_page(page);
  });
}

export function right(bench: Bench) {
  return madvise_hwpoison(bench, (page, poisoned) => {
    poisoned.add(page_to_pfn(page));
    put_page(page);
  });
}
