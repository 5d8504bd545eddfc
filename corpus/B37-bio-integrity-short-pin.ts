/**
 * bio_integrity_map_user() of block/bio-integrity.c built its segments for the bytes it had asked for, whatever
 * iov_iter_extract_pages() had pinned (6.8 and 6.19; 6.12.117 handles partial pinning).  The count of bytes is a return
 * value beside an array of unknown length in C.  Here the array has its length, and a loop that counts bytes meets
 * elements that may not be there.
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

export function wrong({ current, buf, disk, fails }: Bench) {
  const bytes = (fails ? 20 : 16) * PAGE_SIZE;
  const iter = iov_iter_ubuf(ITER_SOURCE, buf, bytes);
  const pages = iov_iter_extract_pages(iter, bytes, 32, current);
  if (IS_ERR(pages)) return pages;
  const bio = bio_alloc_pinned(disk, 32, "REQ_OP_WRITE");
  for (let i = 0; i < bytes / PAGE_SIZE; i++) {
    // @ts-expect-error fewer pages perhaps than bytes were asked for
    bio_add_user_page(bio, pages[i], PAGE_SIZE, 0);
  }
  submit_bio_wait(bio, current);
  bio_release_pages(bio, false);
  bio_put(bio);
}

export function right({ current, buf, disk, fails }: Bench) {
  const bytes = (fails ? 20 : 16) * PAGE_SIZE;
  const iter = iov_iter_ubuf(ITER_SOURCE, buf, bytes);
  using pages = iov_iter_extract_pages(iter, bytes, 32, current);
  if (IS_ERR(pages)) return pages;
  if (pages.bytes !== bytes) return -14;
  using bio = bio_alloc_pinned(disk, 32, "REQ_OP_WRITE");
  for (let page = pages.shift(); page; page = pages.shift()) {
    if (bio_add_user_page(bio, page, PAGE_SIZE, 0)) continue;
    put_user_page(page);
    return -22;
  }
  return submit_bio_wait(bio, current) ?? undefined;
}
