import { IS_ERR, IS_SHORT, ITER_SOURCE, pin_user_pages_fast, put_user_pages } from "user-page";
import type { Bench } from "./bench.js";

/** Works as long as every page is there. */
export function wrong({ current, buf }: Bench) {
  const pages = pin_user_pages_fast(current, buf, 16, ITER_SOURCE);
  if (IS_ERR(pages)) return pages;
  // @ts-expect-error perhaps not all of them
  put_user_pages(pages);
}
/** Twenty pages from the start of sixteen. */
export function right({ current, buf }: Bench) {
  const pages = pin_user_pages_fast(current, buf, 20, ITER_SOURCE);
  if (IS_ERR(pages)) return pages;
  put_user_pages(IS_SHORT(pages) ? pages.partial : pages);
}
