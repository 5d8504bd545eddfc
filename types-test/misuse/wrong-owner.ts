import {
  all_or_none,
  IS_ERR,
  ITER_DEST,
  put_user_page,
  vaddr_pin_pages,
  vaddr_unpin_pages,
  VaddrPin,
} from "user-page";
import type { Bench } from "./bench.js";

/** Who owns a pin is in no type: released without the token, it is outstanding for ever. */
export function wrong({ current, buf }: Bench) {
  const ours = new VaddrPin("our file");
  const pages = all_or_none(vaddr_pin_pages(current, buf, 4, ITER_DEST, ours));
  if (IS_ERR(pages)) return pages;
  for (const page of pages) put_user_page(page);
}
export function right({ current, buf }: Bench) {
  const ours = new VaddrPin("our file");
  const pages = all_or_none(vaddr_pin_pages(current, buf, 4, ITER_DEST, ours));
  if (IS_ERR(pages)) return pages;
  vaddr_unpin_pages(pages, ours);
}
