import { alloc_page, IS_ERR, put_page } from "user-page";
import type { Bench } from "./bench.js";

export function wrong(_bench: Bench) {
  // @ts-expect-error a number is no page
  put_page(0x1000);
}
export function right({ current }: Bench) {
  const page = alloc_page(current);
  if (IS_ERR(page)) return page;
  put_page(page);
}
