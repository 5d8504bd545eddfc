import {
  bio_add_user_bvecs,
  bio_alloc_pinned,
  bio_chain,
  bio_put,
  bio_release_pages,
  bio_split,
  brd_alloc,
  get_user_bvec,
  IS_ERR,
  ITER_DEST,
  submit_bio,
  submit_bio_wait,
} from "user-page";
import type { Bench } from "./bench.js";

/** The front part is chained and forgotten: what was not done is in no type. */
export function wrong({ machine, current, buf }: Bench) {
  const disk = brd_alloc(machine, 1 << 20);
  if (IS_ERR(disk)) return disk;
  using bvecs = get_user_bvec(current, buf, 4096, ITER_DEST);
  if (IS_ERR(bvecs)) return bvecs;
  const bio = bio_alloc_pinned(disk, 4, "REQ_OP_READ");
  bio_add_user_bvecs(bio, bvecs);
  const front = bio_split(bio, 2);
  if (IS_ERR(front)) return front;
  bio_chain(front, bio);
  submit_bio_wait(bio, current);
}
export function right({ machine, current, buf }: Bench) {
  const disk = brd_alloc(machine, 1 << 20);
  if (IS_ERR(disk)) return disk;
  using bvecs = get_user_bvec(current, buf, 4096, ITER_DEST);
  if (IS_ERR(bvecs)) return bvecs;
  const bio = bio_alloc_pinned(disk, 4, "REQ_OP_READ");
  bio_add_user_bvecs(bio, bvecs);
  const front = bio_split(bio, 2);
  if (IS_ERR(front)) return front;
  bio_chain(front, bio);
  submit_bio(front);
  const error = submit_bio_wait(bio, current);
  bio_release_pages(bio, error === null, current);
  bio_put(bio);
}
