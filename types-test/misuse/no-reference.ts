import {
  alloc_page,
  get_page_unless_zero,
  IS_ERR,
  memcpy_from_page,
  page_to_pfn,
  pfn_to_page,
  put_page,
} from "user-page";
import type { Bench } from "./bench.js";

/** A page found by its number: between the look-up and the use it may have been freed. */
export function wrong({ machine, current }: Bench) {
  const page = alloc_page(current);
  if (IS_ERR(page)) return page;
  const found = pfn_to_page(machine, page_to_pfn(page));
  put_page(page);
  if (IS_ERR(found)) return found;
  // @ts-expect-error nobody holds it for us
  memcpy_from_page(new Uint8Array(16), found, 0);
}
export function right({ machine, current }: Bench) {
  const page = alloc_page(current);
  if (IS_ERR(page)) return page;
  const found = pfn_to_page(machine, page_to_pfn(page));
  put_page(page);
  if (IS_ERR(found)) return found;
  const held = get_page_unless_zero(found);
  if (!held) return;
  memcpy_from_page(new Uint8Array(16), held, 0);
  put_page(held);
}
