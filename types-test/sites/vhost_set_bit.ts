/**
 * Mistakes at one call site, the dirty log of vhost: each refused where it is made.  The site itself is call-sites/vhost_set_bit.
 */
import {
  FOLL_WRITE,
  get_user_bvec,
  get_user_pages_fast,
  IS_ERR,
  ITER_DEST,
  ITER_SOURCE,
  memcpy_to_bvec,
  put_page,
  put_user_bvec,
  put_user_bvec_dirty_lock,
  set_page_dirty_lock,
  type Page,
  type Task,
  type UserAddr,
} from "user-page";

export function sets_a_bit_in_what_it_reads(current: Task, log: UserAddr) {
  using bvecs = get_user_bvec(current, log, 1, ITER_SOURCE);
  if (IS_ERR(bvecs)) return;
  for (const bvec of bvecs) {
    // @ts-expect-error pinned to be read: a shared page would get the bit
    memcpy_to_bvec(bvec, new Uint8Array(1));
  }
}
export function does_not_look_at_the_error(current: Task, log: UserAddr) {
  using bvecs = get_user_bvec(current, log, 1, ITER_DEST);
  // @ts-expect-error
  for (const bvec of bvecs) memcpy_to_bvec(bvec, new Uint8Array(1));
}
export function puts_then_dirties(current: Task, log: UserAddr) {
  using bvecs = get_user_bvec(current, log, 1, ITER_DEST);
  if (IS_ERR(bvecs)) return;
  put_user_bvec(bvecs);
  // @ts-expect-error
  put_user_bvec_dirty_lock(bvecs, current);
}
export function puts_then_dirties_a_plain_page(current: Task, log: UserAddr) {
  const pages: Page[] = [];
  get_user_pages_fast(current, log, 1, FOLL_WRITE, pages);
  put_page(pages[0]!);
  // @ts-expect-error an element with a literal index is followed
  set_page_dirty_lock(pages[0]!, current);
}
export function sets_a_bit_after_the_put(current: Task, log: UserAddr) {
  const bvecs = get_user_bvec(current, log, 1, ITER_DEST);
  if (IS_ERR(bvecs)) return;
  put_user_bvec_dirty_lock(bvecs, current);
  // @ts-expect-error
  for (const bvec of bvecs) memcpy_to_bvec(bvec, new Uint8Array(1));
}
