/**
 * Mistakes at one call site, fixed buffers of io_uring: each refused where it is made.  The site itself is call-sites/io_uring_rsrc.
 */
import {
  bio_add_page,
  bio_add_user_bvec,
  bio_add_user_page,
  iov_iter_bvec,
  ITER_DEST,
  put_user_bvec,
  put_user_page,
  put_user_pages,
  type BorrowedUserPage,
  type LongtermBvecList,
  type LongtermUserPage,
  type PinnedBio,
  type PlainBio,
} from "user-page";

export function gives_a_buffer_to_a_bio(bio: PinnedBio<"dest">, buffer: LongtermBvecList<"dest">) {
  for (const bvec of buffer) {
    // @ts-expect-error lent: the bio would release what the buffer keeps
    bio_add_user_bvec(bio, bvec);
    // @ts-expect-error the same, of its page
    bio_add_user_page(bio, bvec.page, 4096, 0);
  }
}
export function mixes_a_buffer_into_plain_pages(bio: PlainBio, buffer: LongtermBvecList) {
  for (const { page } of buffer) {
    // @ts-expect-error a pinned page, where a plain one is wanted
    bio_add_page(bio, page, 4096, 0);
  }
}
export function reads_into_a_buffer_that_was_pinned_to_be_read(buffer: LongtermBvecList) {
  // @ts-expect-error perhaps only for reading
  return iov_iter_bvec(ITER_DEST, [...buffer]);
}
export function trims_an_extent_page_by_page(buffer: LongtermBvecList) {
  for (const { page } of buffer) {
    // @ts-expect-error an extent has one reference, and no surplus
    put_user_page(page);
  }
}
export function transfers_after_unregister(buffer: LongtermBvecList) {
  put_user_bvec(buffer);
  // @ts-expect-error
  for (const { page } of buffer) use(page);
}
declare function use(page: BorrowedUserPage): void;
export function keeps_one_pin_of_a_folio_after_giving_all_back(
  pages: Array<LongtermUserPage<"dest">>,
) {
  put_user_pages(pages);
  const [first] = pages;
  // @ts-expect-error
  if (first) use(first);
}
