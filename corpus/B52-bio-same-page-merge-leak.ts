/**
 * __bio_iov_iter_get_pages() of block/bio.c took a reference for each slot of its array and added the slots to a bio, which
 * merges a second piece of the same page into the last segment; the end puts each page of each segment once (5.1, repaired
 * by 5.7).  Only the merge knows that a reference is left over, and it takes none in C.  Plain pages are still so here and
 * debug mode lists the reference; a pin is moved into the bio, and the bio drops the second one at once.
 */
import {
  bio_add_page,
  bio_add_user_page,
  bio_alloc,
  bio_alloc_pinned,
  bio_for_each_segment_all,
  bio_put,
  bio_release_pages,
  bio_set_end_io,
  get_user_page,
  get_user_pages_fast,
  IS_ERR,
  ITER_SOURCE,
  put_page,
  put_user_page,
  run_softirqs,
  submit_bio,
  type Page,
} from "user-page";
import type { Bench } from "./bench.js";

const LEN = 512;
export function wrong({ machine, current, buf, disk }: Bench) {
  const pages: Page[] = [];
  for (let slot = 0; slot < 2; slot++) {
    const got: Page[] = [];
    get_user_pages_fast(current, buf, 1, 0, got); // the page both pieces lie in
    pages.push(...got);
  }
  const bio = bio_alloc(disk, 4, "REQ_OP_WRITE");
  for (const [i, page] of pages.entries()) bio_add_page(bio, page, LEN, i * LEN);
  bio_set_end_io(bio, (ended) => {
    for (const { page } of bio_for_each_segment_all(ended)) put_page(page);
    bio_put(ended);
  });
  submit_bio(bio);
  run_softirqs(machine);
}

export function right({ machine, current, buf, disk }: Bench) {
  using bio = bio_alloc_pinned(disk, 4, "REQ_OP_WRITE");
  for (let slot = 0; slot < 2; slot++) {
    const page = get_user_page(current, buf, ITER_SOURCE);
    if (IS_ERR(page)) return page;
    if (!bio_add_user_page(bio, page, LEN, slot * LEN)) put_user_page(page);
  }
  bio_set_end_io(bio, (ended) => {
    bio_release_pages(ended, false);
    bio_put(ended);
  });
  submit_bio(bio);
  run_softirqs(machine);
}
