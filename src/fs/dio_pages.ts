/** Direct I/O with a pin for each page, as Linux does it, or with kernel pages.  Models iomap_dio_bio_iter(). */

import type { Result } from "neverthrow";
import { bio_add_page, bio_alloc, bio_alloc_borrowing, bio_alloc_pinned } from "../block/bio.js";
import { bio_iov_bvec_set, bio_iov_iter_get_pages } from "../block/bio_iov_iter.js";
import { bio_set_pages_dirty } from "../block/bio_pages.js";
import type { PlainBio } from "../handle/bio.js";
import type { GupError } from "../handle/errno.js";
import type { IovIter } from "../handle/iov_iter.js";
import { iov_iter_is_kernel, iov_iter_npages, user_backed_iter } from "../lib/iov_iter.js";
import { BIO_MAX_VECS, PAGE_SIZE } from "../machine/limits.js";
import { ZERO_PAGE } from "../mm/page_pin.js";
import {
  sector_of,
  was_read,
  was_written,
  zero_front,
  zero_tail,
  type Dio,
  type Run,
} from "./dio.js";
import { read_extents, write_extents } from "./dio_extents.js";

const nr_vecs_of = (iter: IovIter): number => Math.max(1, iov_iter_npages(iter, BIO_MAX_VECS));
// --- a pin for each page ----------------------------------------------------------------------------------
/** Bytes of one bio, or why there is none. */
type Filled = Result<number, GupError>;
function read_pages(dio: Dio, iter: IovIter<"dest", "user">, position: number): Filled {
  const nr_vecs = nr_vecs_of(iter);
  using bio = bio_alloc_pinned(dio.bdev, nr_vecs, "REQ_OP_READ", sector_of(position));
  const got = bio_iov_iter_get_pages(bio, iter, dio.current);
  if (got.isErr()) return got;
  bio_set_pages_dirty(bio, dio.current);
  dio.submit_pinned(bio, got.value, was_read);
  return got;
}
function write_pages(dio: Dio, iter: IovIter<"source", "user">, position: number): Filled {
  const nr_vecs = nr_vecs_of(iter);
  using bio = bio_alloc_pinned(dio.bdev, nr_vecs, "REQ_OP_WRITE", sector_of(position));
  const got = bio_iov_iter_get_pages(bio, iter, dio.current);
  if (got.isErr()) return got;
  dio.submit_pinned(bio, got.value, was_written);
  return got;
}
/** Kernel memory: nothing is pinned, nothing dirtied, nothing released. */
function read_kernel(dio: Dio, iter: IovIter<"dest", "kernel">, position: number): Filled {
  const nr_vecs = nr_vecs_of(iter);
  using bio = bio_alloc_borrowing(dio.bdev, nr_vecs, "REQ_OP_READ", sector_of(position));
  const got = bio_iov_bvec_set(bio, iter, dio.current);
  if (got.isOk()) dio.submit_unpinned(bio, got.value);
  return got;
}
function write_kernel(dio: Dio, iter: IovIter<"source", "kernel">, position: number): Filled {
  const nr_vecs = nr_vecs_of(iter);
  using bio = bio_alloc_borrowing(dio.bdev, nr_vecs, "REQ_OP_WRITE", sector_of(position));
  const got = bio_iov_bvec_set(bio, iter, dio.current);
  if (got.isOk()) dio.submit_unpinned(bio, got.value);
  return got;
}
/** Zeroes that no user gave: plain bios of the zero page, with nothing to release. */
function zero_pages(dio: Dio, position: number, len: number): void {
  for (let done = 0; done < len;) {
    using bio = bio_alloc(dio.bdev, BIO_MAX_VECS, "REQ_OP_WRITE", sector_of(position + done));
    const bytes = add_zero_pages(dio, bio, len - done);
    done += bytes;
    dio.submit_unpinned(bio, 0);
  }
}
function add_zero_pages(dio: Dio, bio: PlainBio, len: number): number {
  for (let done = 0; ;) {
    const here = Math.min(PAGE_SIZE, len - done);
    if (here === 0 || bio_add_page(bio, ZERO_PAGE(dio.current), here, 0) === 0) return done;
    done += here;
  }
}
/** Bio after bio until the run is through; what was submitted. */
function by_pages(len: number, dio: Dio, one_bio: (done: number) => Filled): number {
  for (let done = 0; ;) {
    if (done === len || dio.over) return done;
    const got = one_bio(done);
    if (got.isErr()) dio.fault(got.error);
    else done += got.value;
  }
}

// --- a run ------------------------------------------------------------------------------------------------
/** Reads a run of the disk into what the iterator comes to next; bytes that were submitted. */
export function dio_read(dio: Dio, iter: IovIter<"dest">, run: Run): number {
  const { len, position } = run;
  if (user_backed_iter(iter)) {
    if (!dio.per_page) return read_extents(dio, iter, run);
    return by_pages(len, dio, (done) => read_pages(dio, iter, position + done));
  }
  if (!iov_iter_is_kernel(iter)) return 0;
  return by_pages(len, dio, (done) => read_kernel(dio, iter, position + done));
}
/** Writes it. */
export function dio_write(dio: Dio, iter: IovIter<"source">, run: Run): number {
  const { position, len } = run;
  if (user_backed_iter(iter) && !dio.per_page) return write_extents(dio, iter, run);
  const front = zero_front(run);
  zero_pages(dio, position - front, front);
  const done = user_backed_iter(iter)
    ? by_pages(len, dio, (at) => write_pages(dio, iter, position + at))
    : !iov_iter_is_kernel(iter)
      ? 0
      : by_pages(len, dio, (at) => write_kernel(dio, iter, position + at));
  // Also where a fault ended the write: its last block may not keep what was on the disk before.
  zero_pages(dio, position + done, zero_tail(run, done));
  return done;
}
