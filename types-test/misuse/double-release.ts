import { get_user_page, IS_ERR, ITER_SOURCE, put_user_page } from "user-page";
import type { Bench } from "./bench.js";

export function wrong({ current, buf }: Bench) {
  const page = get_user_page(current, buf, ITER_SOURCE);
  if (IS_ERR(page)) return page;
  put_user_page(page);
  // @ts-expect-error released above
  put_user_page(page);
}
/** Two pins on one page are two handles. */
export function right({ current, buf }: Bench) {
  const page = get_user_page(current, buf, ITER_SOURCE);
  if (IS_ERR(page)) return page;
  const again = get_user_page(current, buf, ITER_SOURCE);
  put_user_page(page);
  if (IS_ERR(again)) return again;
  put_user_page(again);
}
