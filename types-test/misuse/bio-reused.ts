import {
  bio_add_user_bvecs,
  bio_alloc_pinned,
  bio_put,
  bio_release_pages,
  bio_set_end_io,
  brd_alloc,
  get_user_bvec,
  IS_ERR,
  ITER_SOURCE,
  put_user_bvec,
  run_softirqs,
  submit_bio,
} from "user-page";
import type { Bench } from "./bench.js";

/** Part of a range in one bio, the rest in the next. */
export function wrong({ machine, current, buf }: Bench) {
  const disk = brd_alloc(machine, 1 << 20);
  if (IS_ERR(disk)) return disk;
  const bvecs = get_user_bvec(current, buf, 4096, ITER_SOURCE);
  if (IS_ERR(bvecs)) return bvecs;
  const bio = bio_alloc_pinned(disk, 4, "REQ_OP_WRITE");
  bio_add_user_bvecs(bio, bvecs);
  submit_bio(bio);
  // @ts-expect-error the device has it
  bio_add_user_bvecs(bio, bvecs);
  put_user_bvec(bvecs);
}
export function right({ machine, current, buf }: Bench) {
  const disk = brd_alloc(machine, 1 << 20);
  if (IS_ERR(disk)) return disk;
  const bvecs = get_user_bvec(current, buf, 4096, ITER_SOURCE);
  if (IS_ERR(bvecs)) return bvecs;
  while (bvecs.count > 0) {
    const bio = bio_alloc_pinned(disk, 4, "REQ_OP_WRITE");
    bio_add_user_bvecs(bio, bvecs);
    bio_set_end_io(bio, (ended) => {
      bio_release_pages(ended, false);
      bio_put(ended);
    });
    submit_bio(bio);
  }
  put_user_bvec(bvecs);
  run_softirqs(machine);
}
