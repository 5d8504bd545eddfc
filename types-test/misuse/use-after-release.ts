import { get_user_page, IS_ERR, ITER_SOURCE, memcpy_from_page, put_user_page } from "user-page";
import type { Bench } from "./bench.js";

export function wrong({ current, buf }: Bench) {
  const page = get_user_page(current, buf, ITER_SOURCE);
  if (IS_ERR(page)) return page;
  put_user_page(page);
  // @ts-expect-error released above
  memcpy_from_page(new Uint8Array(16), page, 0);
}
export function right({ current, buf }: Bench) {
  const page = get_user_page(current, buf, ITER_SOURCE);
  if (IS_ERR(page)) return page;
  memcpy_from_page(new Uint8Array(16), page, 0);
  put_user_page(page);
}
