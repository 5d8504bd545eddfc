// The same driver with the mistakes that C accepts today.  It does not compile, and is not meant to: `npm start` prints
// what the compiler says to each line marked MISTAKE, then runs two of the functions all the same.
import { ok, type Result } from "neverthrow";
import {
  all_or_none,
  bio_add_page,
  bio_add_user_bvecs,
  bio_alloc,
  bio_alloc_pinned,
  bio_put,
  bio_release_pages,
  bio_set_end_io,
  get_user_bvec,
  IS_ERR,
  ITER_DEST,
  ITER_SOURCE,
  pin_user_pages_fast,
  PTR_ERR,
  put_page,
  put_user_bvec,
  put_user_pages,
  submit_bio,
  submit_bio_wait,
  ZERO_PAGE,
  type BlockDevice,
  type GupError,
  type Task,
  type UserAddr,
} from "user-page";

const PAGE_SIZE = 4096;

/** Pins are released with the function for plain pages. */
export function dio_write_puts(
  current: Task,
  disk: BlockDevice,
  buf: UserAddr,
  len: number,
): Result<number, GupError> {
  const pages = all_or_none(pin_user_pages_fast(current, buf, len / PAGE_SIZE, ITER_SOURCE));
  if (IS_ERR(pages)) return PTR_ERR(pages);
  for (const page of pages) put_page(page); // MISTAKE pin-to-put_page
  return ok(len);
}

/** Pages are released when the I/O was submitted, not when it ended. */
export function dio_read_early(
  current: Task,
  disk: BlockDevice,
  buf: UserAddr,
  len: number,
): Result<number, GupError> {
  const pages = all_or_none(pin_user_pages_fast(current, buf, len / PAGE_SIZE, ITER_DEST));
  if (IS_ERR(pages)) return PTR_ERR(pages);
  const bio = bio_alloc(disk, 256, "REQ_OP_READ");
  for (const page of pages) bio_add_page(bio, page, PAGE_SIZE, 0); // MISTAKE mixed-bio
  bio_set_end_io(bio, (ended) => {
    bio_put(ended);
  });
  submit_bio(bio);
  put_user_pages(pages);
  return ok(len);
}

/** The error path releases, and so does the end of the function. */
export function dio_write_twice(current: Task, disk: BlockDevice, buf: UserAddr): void {
  const bvecs = get_user_bvec(current, buf, PAGE_SIZE, ITER_SOURCE);
  if (IS_ERR(bvecs)) return;
  const bio = bio_alloc_pinned(disk, 16, "REQ_OP_WRITE");
  bio_add_user_bvecs(bio, bvecs);
  if (submit_bio_wait(bio, current)) put_user_bvec(bvecs);
  bio_release_pages(bio, false);
  bio_put(bio);
  put_user_bvec(bvecs); // MISTAKE double-release
}

/** Memory that was pinned for reading is written by the disk. */
export function dio_read_into_source(current: Task, disk: BlockDevice, buf: UserAddr): void {
  const bvecs = get_user_bvec(current, buf, PAGE_SIZE, ITER_SOURCE);
  if (IS_ERR(bvecs)) return;
  const bio = bio_alloc_pinned(disk, 16, "REQ_OP_READ");
  bio_add_user_bvecs(bio, bvecs); // MISTAKE wrong-direction
  submit_bio(bio);
  put_user_bvec(bvecs);
}

/** The zero page pads the last block, among pinned pages. */
export function dio_pads(current: Task, disk: BlockDevice): void {
  const bio = bio_alloc_pinned(disk, 16, "REQ_OP_WRITE");
  bio_add_page(bio, ZERO_PAGE(current), 512, 0); // MISTAKE mixed-bio
  submit_bio(bio);
}

/** Dirtying a page takes its lock, and end_io may not sleep. */
export function dio_dirties_in_softirq(disk: BlockDevice): void {
  const bio = bio_alloc_pinned(disk, 16, "REQ_OP_READ");
  bio_set_end_io(bio, (ended, softirq) => {
    bio_release_pages(ended, true, softirq); // MISTAKE sleep-in-atomic
    bio_put(ended);
  });
  submit_bio(bio);
}

/** The pages stay pinned forever. */
export function dio_forgets(current: Task, disk: BlockDevice): void {
  const bio = bio_alloc_pinned(disk, 16, "REQ_OP_READ");
  if (!submit_bio_wait(bio, current)) bio_release_pages(bio, true, current);
  bio_put(bio); // MISTAKE bio-put-with-pins
}

/** Fewer pages were pinned than asked for. */
export function dio_takes_short(current: Task, buf: UserAddr): void {
  const pages = pin_user_pages_fast(current, buf, 8, ITER_DEST);
  if (IS_ERR(pages)) return;
  put_user_pages(pages); // MISTAKE short-pin
}
