// A driver prototype: direct I/O between user memory and a disk, with one reference per contiguous run of pages.
import { err, ok, type Result } from "neverthrow";
import {
  bio_add_user_bvecs,
  bio_alloc_pinned,
  BIO_MAX_VECS,
  bio_put,
  bio_release_pages,
  get_user_bvec,
  IS_ERR,
  ITER_DEST,
  ITER_SOURCE,
  PTR_ERR,
  SECTOR_SIZE,
  submit_bio_wait,
  type BlkError,
  type BlockDevice,
  type GupError,
  type Task,
  type UserAddr,
} from "user-page";

type Transferred = Result<number, GupError | BlkError>;

/** read(2): the disk writes into user memory. */
export function dio_read(
  current: Task,
  disk: BlockDevice,
  buf: UserAddr,
  len: number,
  position: number,
): Transferred {
  using bvecs = get_user_bvec(current, buf, len, ITER_DEST);
  if (IS_ERR(bvecs)) return PTR_ERR(bvecs);
  let done = 0;
  while (bvecs.count > 0) {
    const sector = (position + done) / SECTOR_SIZE;
    const bio = bio_alloc_pinned(disk, BIO_MAX_VECS, "REQ_OP_READ", sector);
    const bytes = bio_add_user_bvecs(bio, bvecs); // what does not fit stays in bvecs
    const error = submit_bio_wait(bio, current);
    bio_release_pages(bio, !error, current);
    bio_put(bio);
    if (error) return done > 0 ? ok(done) : err(error); // what is left in bvecs is released here
    done += bytes;
  }
  return ok(done);
}

/** write(2): the disk reads user memory. */
export function dio_write(
  current: Task,
  disk: BlockDevice,
  buf: UserAddr,
  len: number,
  position: number,
): Transferred {
  using bvecs = get_user_bvec(current, buf, len, ITER_SOURCE);
  if (IS_ERR(bvecs)) return PTR_ERR(bvecs);
  let done = 0;
  while (bvecs.count > 0) {
    const sector = (position + done) / SECTOR_SIZE;
    const bio = bio_alloc_pinned(disk, BIO_MAX_VECS, "REQ_OP_WRITE", sector);
    const bytes = bio_add_user_bvecs(bio, bvecs);
    const error = submit_bio_wait(bio, current);
    bio_release_pages(bio, false);
    bio_put(bio);
    if (error) return done > 0 ? ok(done) : err(error);
    done += bytes;
  }
  return ok(done);
}
