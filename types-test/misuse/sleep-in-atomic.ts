import {
  bio_alloc_pinned,
  bio_put,
  bio_release_pages,
  bio_set_end_io,
  brd_alloc,
  flush_work,
  IS_ERR,
  put_user_bvec_dirty_lock,
  get_user_bvec,
  ITER_DEST,
  run_softirqs,
  schedule_work,
  submit_bio,
} from "user-page";
import type { Bench } from "./bench.js";

/** The driver keeps the extents and releases them when the device is done. */
export function wrong({ machine, current, buf }: Bench) {
  const disk = brd_alloc(machine, 1 << 20);
  if (IS_ERR(disk)) return disk;
  const bvecs = get_user_bvec(current, buf, 4096, ITER_DEST);
  if (IS_ERR(bvecs)) return bvecs;
  const bio = bio_alloc_pinned(disk, 4, "REQ_OP_READ");
  bio_set_end_io(bio, (ended, softirq) => {
    bio_release_pages(ended, false);
    bio_put(ended);
    // @ts-expect-error dirtying locks each folio, and this is an interrupt
    put_user_bvec_dirty_lock(bvecs, softirq);
  });
  submit_bio(bio);
  run_softirqs(machine);
}
export function right({ machine, current, buf }: Bench) {
  const disk = brd_alloc(machine, 1 << 20);
  if (IS_ERR(disk)) return disk;
  const bvecs = get_user_bvec(current, buf, 4096, ITER_DEST);
  if (IS_ERR(bvecs)) return bvecs;
  const bio = bio_alloc_pinned(disk, 4, "REQ_OP_READ");
  bio_set_end_io(bio, (ended, softirq) => {
    bio_release_pages(ended, false);
    bio_put(ended);
    schedule_work(softirq, (kworker) => {
      put_user_bvec_dirty_lock(bvecs, kworker);
    });
  });
  submit_bio(bio);
  flush_work(machine);
}
