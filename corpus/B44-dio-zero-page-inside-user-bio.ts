/**
 * dio_refill_pages() of fs/direct-io.c puts the zero page among user pages; when those became pins, the reference taken on it
 * to make it equal was one of the other kind, in the same bio (Jan Kara and Jerome Glisse said so before it was written).
 * A bio of C holds struct page * of any kind.  Here a bio is of pinned pages or of plain ones, and page_to_user_page()
 * gives a pin on the zero page that counts nothing.
 */
import {
  bio_add_user_page,
  bio_alloc_pinned,
  get_page,
  get_user_page,
  IS_ERR,
  ITER_SOURCE,
  PAGE_SIZE,
  page_to_user_page,
  put_user_page,
  submit_bio_wait,
  ZERO_PAGE,
} from "user-page";
import type { Bench } from "./bench.js";

export function wrong({ current, buf, disk }: Bench) {
  using bio = bio_alloc_pinned(disk, 4, "REQ_OP_WRITE");
  const page = get_user_page(current, buf, ITER_SOURCE);
  if (IS_ERR(page)) return page;
  if (!bio_add_user_page(bio, page, PAGE_SIZE, 0)) put_user_page(page);
  const zero = get_page(ZERO_PAGE(current));
  // @ts-expect-error a plain reference
  bio_add_user_page(bio, zero, 512, 0);
  return submit_bio_wait(bio, current) ?? undefined;
}

export function right({ current, buf, disk }: Bench) {
  using bio = bio_alloc_pinned(disk, 4, "REQ_OP_WRITE");
  const page = get_user_page(current, buf, ITER_SOURCE);
  if (IS_ERR(page)) return page;
  if (!bio_add_user_page(bio, page, PAGE_SIZE, 0)) put_user_page(page);
  const zero = page_to_user_page(ZERO_PAGE(current));
  if (IS_ERR(zero)) return zero;
  if (!bio_add_user_page(bio, zero, 512, 0)) put_user_page(zero);
  return submit_bio_wait(bio, current) ?? undefined;
}
