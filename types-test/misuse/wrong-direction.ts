import {
  get_user_page,
  IS_ERR,
  ITER_DEST,
  ITER_SOURCE,
  memcpy_to_page,
  put_user_page,
} from "user-page";
import type { Bench } from "./bench.js";

export function wrong({ current, buf }: Bench) {
  const page = get_user_page(current, buf, ITER_SOURCE);
  if (IS_ERR(page)) return page;
  // @ts-expect-error pinned to be read
  memcpy_to_page(page, 0, new Uint8Array(16));
  put_user_page(page);
}
export function right({ current, buf }: Bench) {
  const page = get_user_page(current, buf, ITER_DEST);
  if (IS_ERR(page)) return page;
  memcpy_to_page(page, 0, new Uint8Array(16));
  put_user_page(page);
}
