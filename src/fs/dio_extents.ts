/** Direct I/O with one reference for each extent of memory (ours). */

import { ok } from "neverthrow";
import { bio_add_user_bvec, bio_alloc_pinned } from "../block/bio.js";
import { bio_add_user_blocks } from "../block/bio_iov_iter.js";
import { bio_set_pages_dirty } from "../block/bio_pages.js";
import type { PinnedBioFor } from "../handle/bio.js";
import { IS_ERR } from "../handle/errno.js";
import type { IovIter } from "../handle/iov_iter.js";
import { iov_iter_revert } from "../lib/iov_iter.js";
import { iov_iter_extract_bvecs } from "../lib/iov_iter_bvecs.js";
import { BIO_MAX_VECS, PAGE_SIZE } from "../machine/limits.js";
import { put_user_bvec, zero_user_bvec } from "../mm/user_bvec.js";
import {
  sector_of,
  was_read,
  was_written,
  zero_front,
  zero_tail,
  type Dio,
  type Run,
} from "./dio.js";

/** Bytes of the run that were submitted: all, or none where a page cannot be accessed. */
export function read_extents(
  dio: Dio,
  iter: IovIter<"dest", "user">,
  { position, len }: Run,
): number {
  using bvecs = iov_iter_extract_bvecs(iter, len, dio.current);
  if (IS_ERR(bvecs)) {
    dio.fault(bvecs);
    return 0;
  }
  while (bvecs.count > 0 && !dio.over) {
    const sector = sector_of(position + len - bvecs.count);
    using bio = bio_alloc_pinned(dio.bdev, BIO_MAX_VECS, "REQ_OP_READ", sector);
    const added = bio_add_user_blocks(bio, bvecs); // what does not fit stays in bvecs
    if (added.isErr()) {
      dio.fail(added.error);
      break;
    }
    bio_set_pages_dirty(bio, dio.current);
    dio.submit_pinned(bio, added.value, was_read);
  }
  iov_iter_revert(iter, bvecs.count);
  return len - bvecs.count;
}
/** Zeroes and data in the same bios: the zero page is a pinned extent there, as everything else. */
export function write_extents(dio: Dio, iter: IovIter<"source", "user">, run: Run): number {
  using bvecs = iov_iter_extract_bvecs(iter, run.len, dio.current);
  if (IS_ERR(bvecs)) {
    dio.fault(bvecs);
    return 0;
  }
  let [front, tail] = [zero_front(run), zero_tail(run, run.len)];
  let position = run.position - front;
  while (front + bvecs.count + tail > 0 && !dio.over) {
    using bio = bio_alloc_pinned(dio.bdev, BIO_MAX_VECS, "REQ_OP_WRITE", sector_of(position));
    const before = front + bvecs.count + tail;
    front -= add_zero_extents(dio, bio, front);
    const added = front === 0 ? bio_add_user_blocks(bio, bvecs) : ok(0);
    if (added.isErr()) {
      dio.fail(added.error);
      break;
    }
    if (bvecs.count === 0) tail -= add_zero_extents(dio, bio, tail);
    position += before - front - bvecs.count - tail;
    dio.submit_pinned(bio, added.value, was_written);
  }
  iov_iter_revert(iter, bvecs.count);
  return run.len - bvecs.count;
}
function add_zero_extents(dio: Dio, bio: PinnedBioFor<"source">, len: number): number {
  for (let done = 0; ;) {
    if (done === len) return done;
    const zero = zero_user_bvec(dio.current, Math.min(PAGE_SIZE, len - done));
    if (IS_ERR(zero)) {
      dio.fail(zero);
      return done;
    }
    const here = zero.len;
    if (!bio_add_user_bvec(bio, zero)) {
      put_user_bvec(zero);
      return done;
    }
    done += here;
  }
}
