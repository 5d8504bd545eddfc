/**
 * Mistakes at one call site, the memory of an RDMA region: each refused where it is made.  The site itself is call-sites/rdma_umem.
 */
import {
  FOLL_LONGTERM,
  get_user_bvec,
  IS_ERR,
  ITER_DEST,
  put_user_bvec,
  put_user_bvec_dirty_lock,
  put_user_page,
  unpin_user_page_range_dirty_lock,
  type PinnedBvec,
  type Task,
  type UserAddr,
} from "user-page";

export function releases_its_entries_one_by_one(current: Task, at: UserAddr) {
  using bvecs = get_user_bvec(current, at, 8192, ITER_DEST, FOLL_LONGTERM);
  if (IS_ERR(bvecs)) return;
  for (const bvec of bvecs) {
    // @ts-expect-error lent by its list
    put_user_bvec(bvec);
  }
}
export function releases_a_range_by_length(current: Task, bvec: PinnedBvec<"dest">) {
  const pages = Math.ceil(bvec.len / 4096);
  // @ts-expect-error the page is lent by its extent, which has one reference, not one for each page
  unpin_user_page_range_dirty_lock(bvec.page, pages, true, current);
}
export function releases_each_page_of_an_entry(bvec: PinnedBvec) {
  // @ts-expect-error the same, a page at a time
  put_user_page(bvec.page);
}
export function releases_on_the_error_path_too(current: Task, at: UserAddr, mapped: boolean) {
  const bvecs = get_user_bvec(current, at, 8192, ITER_DEST, FOLL_LONGTERM);
  if (IS_ERR(bvecs)) return;
  if (!mapped) put_user_bvec(bvecs);
  // @ts-expect-error perhaps released: the failed mapping does not return
  put_user_bvec_dirty_lock(bvecs, current);
}
