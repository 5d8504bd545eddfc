/**
 * __get_user_pages_locked() of mm/gup.c takes references or pins, by a flag; its caller for long-term pins put whatever
 * came back with put_page() when it had to give up: "mm/gup: use unpin_user_pages() in __gup_longterm_locked()", fixed in
 * 5.11.  One array of struct page * serves both kinds.  Here the result of such a function is one of two types, and the
 * release has to ask which.
 */
import {
  all_or_none,
  get_user_pages_fast,
  IS_ERR,
  ITER_SOURCE,
  pin_user_pages_fast,
  put_page,
  unpin_user_pages,
  type Page,
  type UserPage,
} from "user-page";
import { dma_to_device, type Bench } from "./bench.js";

type Got =
  | { readonly foll_pin: true; pages: UserPage[] }
  | { readonly foll_pin: false; pages: Page[] };
/** One walk for both flags. */
function gup_locked({ current, buf }: Bench, foll_pin: boolean) {
  if (foll_pin) {
    const pages = all_or_none(pin_user_pages_fast(current, buf, 4, ITER_SOURCE));
    return IS_ERR(pages) ? pages : ({ foll_pin, pages } satisfies Got);
  }
  const pages: Page[] = [];
  get_user_pages_fast(current, buf, 4, 0, pages);
  return { foll_pin, pages } satisfies Got;
}
export function wrong(bench: Bench) {
  const got = gup_locked(bench, true);
  if (IS_ERR(got)) return got;
  for (const page of got.pages) {
    // @ts-expect-error a pin, if foll_pin was set
    put_page(page);
  }
}

export function right(bench: Bench) {
  for (const foll_pin of [true, false]) {
    const got = gup_locked(bench, foll_pin);
    if (IS_ERR(got)) return got;
    if (foll_pin) for (const page of got.pages) dma_to_device(bench.device, page);
    if (got.foll_pin) unpin_user_pages(got.pages);
    else for (const page of got.pages) put_page(page);
  }
}
