/**
 * is_2MB_gtt_possible() of drivers/gpu/drm/i915/gvt/gtt.c only wanted to know whether a page is huge, but gfn_to_pfn() takes a
 * reference, and nobody dropped it: "drm/i915/gvt: Put the page reference obtained by KVM's gfn_to_pfn()".  In C the result
 * is a number, which looks like nothing to release.  Here it is a page, and what is forgotten is the same.
 */
import {
  __free,
  ERR_PTR,
  folio_order,
  get_user_pages_fast,
  HPAGE_PMD_ORDER,
  IS_ERR,
  page_folio,
  put_page,
  type Page,
} from "user-page";
import type { Bench } from "./bench.js";

function gfn_to_page({ current, huge }: Bench) {
  const pages: Page[] = [];
  get_user_pages_fast(current, huge, 1, 0, pages);
  const [page] = pages;
  return page ?? ERR_PTR("EFAULT", "no page there");
}
export function wrong(bench: Bench) {
  const page = gfn_to_page(bench);
  if (IS_ERR(page)) return page;
  return folio_order(page_folio(page)) === HPAGE_PMD_ORDER;
}

export function right(bench: Bench) {
  using scope = __free(put_page, gfn_to_page(bench));
  if (IS_ERR(scope)) return scope;
  return folio_order(page_folio(scope.page)) === HPAGE_PMD_ORDER;
}
