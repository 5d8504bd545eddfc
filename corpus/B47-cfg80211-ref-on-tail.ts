/**
 * __frame_add_frag() of net/wireless/util.c counted the fragment's page up by page_ref_inc(), which counts the struct page
 * it is given; for a tail page nobody reads that count, and the later put_page() drops the head's: "cfg80211: fix page
 * refcount issue in A-MSDU decap".  No call here counts a single struct page.  What is left of the mistake is a fragment
 * that keeps a page without a reference, and a page that is only lent is not what its field takes.
 */
import {
  folio_alloc,
  folio_page,
  folio_put,
  get_page,
  IS_ERR,
  memcpy_from_page,
  memcpy_to_page,
  put_page,
  type Page,
} from "user-page";
import type { Bench } from "./bench.js";

interface Skb {
  readonly frags: Page[];
}
function kfree_skb({ frags }: Skb) {
  for (let page = frags.pop(); page; page = frags.pop()) put_page(page);
}
export function wrong({ current }: Bench) {
  const frame: Skb = { frags: [] };
  const folio = folio_alloc(current, 2);
  if (IS_ERR(folio)) return folio;
  const tail = folio_page(folio, 3);
  // @ts-expect-error the folio's reference, not the fragment's
  frame.frags.push(tail);
  kfree_skb(frame);
  folio_put(folio);
}

export function right({ current }: Bench) {
  const frame: Skb = { frags: [] };
  const folio = folio_alloc(current, 2);
  if (IS_ERR(folio)) return folio;
  const tail = folio_page(folio, 3);
  memcpy_to_page(tail, 0, new Uint8Array([0xaa]));
  frame.frags.push(get_page(tail)); // counts the folio
  folio_put(folio);
  const byte = new Uint8Array(1);
  for (const page of frame.frags) memcpy_from_page(byte, page, 0);
  kfree_skb(frame);
  return byte[0] === 0xaa ? 0 : -5;
}
