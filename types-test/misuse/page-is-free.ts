import {
  alloc_page,
  get_page,
  IS_ERR,
  page_ref_freeze,
  page_ref_unfreeze,
  put_page,
} from "user-page";
import type { Bench } from "./bench.js";

/** How many references a page has is in no type. */
export function wrong({ current }: Bench) {
  const page = alloc_page(current);
  if (IS_ERR(page)) return page;
  page_ref_freeze(page, 1);
  put_page(get_page(page));
}
export function right({ current }: Bench) {
  const page = alloc_page(current);
  if (IS_ERR(page)) return page;
  if (page_ref_freeze(page, 1)) page_ref_unfreeze(page, 1);
  put_page(get_page(page));
  put_page(page);
}
