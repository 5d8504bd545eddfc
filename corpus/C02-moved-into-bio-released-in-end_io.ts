/**
 * bio_iov_iter_get_pages() of block/bio.c pins pages and releases none, and its caller returns after submit_bio(): the bio
 * owns every page, and its completion releases them in another context.
 */
import {
  bio_add_user_page,
  bio_alloc_pinned,
  bio_check_pages_dirty,
  bio_set_end_io,
  bio_set_pages_dirty,
  iov_iter_extract_pages,
  iov_iter_ubuf,
  IS_ERR,
  ITER_DEST,
  PAGE_SIZE,
  put_user_page,
  run_softirqs,
  submit_bio,
} from "user-page";
import type { Bench } from "./bench.js";

function submit_read({ current, buf, disk }: Bench) {
  const iter = iov_iter_ubuf(ITER_DEST, buf, 8 * PAGE_SIZE);
  using pages = iov_iter_extract_pages(iter, iter.count, 8, current);
  if (IS_ERR(pages)) return pages;
  const bio = bio_alloc_pinned(disk, 8, "REQ_OP_READ");
  for (let page = pages.shift(); page; page = pages.shift()) {
    if (!bio_add_user_page(bio, page, PAGE_SIZE, 0)) put_user_page(page);
  }
  bio_set_pages_dirty(bio, current);
  bio_set_end_io(bio, (ended) => {
    bio_check_pages_dirty(ended);
  });
  submit_bio(bio);
}
export function right(bench: Bench) {
  const error = submit_read(bench);
  run_softirqs(bench.machine);
  return error;
}
