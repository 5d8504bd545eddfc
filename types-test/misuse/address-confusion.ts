import { get_user_page, IS_ERR, ITER_SOURCE, page_to_pfn, put_user_page } from "user-page";
import type { Bench } from "./bench.js";

export function wrong({ current, buf }: Bench) {
  const page = get_user_page(current, buf, ITER_SOURCE);
  if (IS_ERR(page)) return page;
  const pfn = page_to_pfn(page);
  put_user_page(page);
  // @ts-expect-error a frame number is no address
  const again = get_user_page(current, pfn, ITER_SOURCE);
  if (IS_ERR(again)) return again;
  put_user_page(again);
}
export function right({ current, buf }: Bench) {
  const page = get_user_page(current, buf, ITER_SOURCE);
  if (IS_ERR(page)) return page;
  put_user_page(page);
  const again = get_user_page(current, buf, ITER_SOURCE);
  if (IS_ERR(again)) return again;
  put_user_page(again);
}
