/**
 * __bio_iov_append_get_pages() of block/bio.c left its loop when the bio did not take a page, and that page and those behind
 * it belonged to nobody: "bio: fix page leak bio_add_hw_page failure".  In C the pages lie in an array that is about to be
 * forgotten.  bio_add_user_page() says by its type that a page it did not take is still the caller's, but leaving it alone
 * is not refused; debug mode lists the tail, and the array releases what is left in it at the end of a `using` block.
 */
import {
  bio_add_user_page,
  bio_alloc_pinned,
  bio_put,
  bio_release_pages,
  iov_iter_extract_pages,
  iov_iter_ubuf,
  IS_ERR,
  ITER_SOURCE,
  PAGE_SIZE,
  put_user_page,
  submit_bio_wait,
} from "user-page";
import type { Bench } from "./bench.js";

/** The segments are no longer than this, so that pages do not merge. */
const LEN = 512;
export function wrong({ current, buf, disk, fails }: Bench) {
  const iter = iov_iter_ubuf(ITER_SOURCE, buf, 4 * PAGE_SIZE);
  const pages = iov_iter_extract_pages(iter, 4 * PAGE_SIZE, 4, current);
  if (IS_ERR(pages)) return pages;
  const bio = bio_alloc_pinned(disk, fails ? 2 : 4, "REQ_OP_WRITE");
  let error = 0;
  for (const page of pages) {
    if (bio_add_user_page(bio, page, LEN, 0)) continue;
    error = -22;
    break;
  }
  bio_release_pages(bio, false);
  bio_put(bio);
  return error;
}

export function right({ current, buf, disk, fails }: Bench) {
  const iter = iov_iter_ubuf(ITER_SOURCE, buf, 4 * PAGE_SIZE);
  using pages = iov_iter_extract_pages(iter, 4 * PAGE_SIZE, 4, current);
  if (IS_ERR(pages)) return pages;
  using bio = bio_alloc_pinned(disk, fails ? 2 : 4, "REQ_OP_WRITE");
  for (let page = pages.shift(); page; page = pages.shift()) {
    if (bio_add_user_page(bio, page, LEN, 0)) continue;
    put_user_page(page);
    return -22;
  }
  return submit_bio_wait(bio, current) ?? undefined;
}
