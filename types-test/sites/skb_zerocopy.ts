/**
 * Mistakes at one call site, zero-copy send: each refused where it is made.  The site itself is call-sites/skb_zerocopy.
 */
import {
  iov_iter_extract_bvecs,
  iov_iter_get_pages2,
  iov_iter_put_pages,
  IS_ERR,
  memcpy_to_bvec,
  page_folio,
  pop_iter_page,
  pop_user_bvec,
  put_page,
  put_user_bvec,
  folio_put,
  type IovIter,
  type PinnedBvec,
  type Task,
} from "user-page";

type Iter = IovIter<"source", "user">;
interface SharedInfo {
  readonly frags: Array<PinnedBvec<"source">>;
}
export function drops_the_surplus_of_a_folio(current: Task, iter: Iter) {
  const pages = iov_iter_get_pages2(iter, 8192, 2, current);
  if (IS_ERR(pages)) return;
  for (const page of pages) {
    // @ts-expect-error whoever looked it up holds nothing
    folio_put(page_folio(page));
  }
  iov_iter_put_pages(pages);
}
export function puts_a_page_of_the_array_and_the_array(current: Task, iter: Iter) {
  const pages = iov_iter_get_pages2(iter, 8192, 2, current);
  if (IS_ERR(pages)) return;
  for (const page of pages) {
    // @ts-expect-error lent: pop_iter_page() moves one out
    put_page(page);
  }
  iov_iter_put_pages(pages);
  // @ts-expect-error released
  pop_iter_page(pages);
}
export function puts_the_page_of_a_fragment({ frags }: SharedInfo) {
  for (const { page } of frags) {
    // @ts-expect-error the fragment has one reference, whole
    put_page(page);
  }
}
export function writes_into_what_is_sent({ frags }: SharedInfo) {
  for (const frag of frags) {
    // @ts-expect-error pinned to be read
    memcpy_to_bvec(frag, new Uint8Array(1));
  }
}
export function drops_what_did_not_fit_twice(current: Task, iter: Iter, shinfo: SharedInfo) {
  const bvecs = iov_iter_extract_bvecs(iter, 8192, current);
  if (IS_ERR(bvecs)) return;
  put_user_bvec(bvecs);
  // @ts-expect-error released
  pop_user_bvec(bvecs);
}
export function keeps_a_lent_fragment(current: Task, iter: Iter, shinfo: SharedInfo) {
  using bvecs = iov_iter_extract_bvecs(iter, 8192, current);
  if (IS_ERR(bvecs)) return;
  for (const frag of bvecs) {
    // @ts-expect-error the list ends with the block: pop_user_bvec() moves one out
    shinfo.frags.push(frag);
  }
}
