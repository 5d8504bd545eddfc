import { get_user_page, IS_ERR, ITER_SOURCE, put_page, put_user_page } from "user-page";
import type { Bench } from "./bench.js";

export function wrong({ current, buf }: Bench) {
  const page = get_user_page(current, buf, ITER_SOURCE);
  if (IS_ERR(page)) return page;
  // @ts-expect-error a pin is no plain reference
  put_page(page);
}
export function right({ current, buf }: Bench) {
  const page = get_user_page(current, buf, ITER_SOURCE);
  if (IS_ERR(page)) return page;
  put_user_page(page);
}
