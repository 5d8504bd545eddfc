import { alloc_page, IS_ERR, put_page, put_user_page } from "user-page";
import type { Bench } from "./bench.js";

export function wrong({ current }: Bench) {
  const page = alloc_page(current);
  if (IS_ERR(page)) return page;
  // @ts-expect-error a plain reference is no pin
  put_user_page(page);
}
export function right({ current }: Bench) {
  const page = alloc_page(current);
  if (IS_ERR(page)) return page;
  put_page(page);
}
