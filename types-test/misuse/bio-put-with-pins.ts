import {
  bio_add_user_bvecs,
  bio_alloc_pinned,
  bio_put,
  bio_release_pages,
  brd_alloc,
  get_user_bvec,
  IS_ERR,
  ITER_DEST,
  put_user_bvec,
  submit_bio_wait,
} from "user-page";
import type { Bench } from "./bench.js";

export function wrong({ machine, current, buf }: Bench) {
  const disk = brd_alloc(machine, 1 << 20);
  if (IS_ERR(disk)) return disk;
  const bvecs = get_user_bvec(current, buf, 4096, ITER_DEST);
  if (IS_ERR(bvecs)) return bvecs;
  const bio = bio_alloc_pinned(disk, 4, "REQ_OP_READ");
  bio_add_user_bvecs(bio, bvecs);
  put_user_bvec(bvecs);
  submit_bio_wait(bio, current);
  // @ts-expect-error its pages are still pinned: they would stay so
  bio_put(bio);
}
export function right({ machine, current, buf }: Bench) {
  const disk = brd_alloc(machine, 1 << 20);
  if (IS_ERR(disk)) return disk;
  const bvecs = get_user_bvec(current, buf, 4096, ITER_DEST);
  if (IS_ERR(bvecs)) return bvecs;
  const bio = bio_alloc_pinned(disk, 4, "REQ_OP_READ");
  bio_add_user_bvecs(bio, bvecs);
  put_user_bvec(bvecs);
  const error = submit_bio_wait(bio, current);
  bio_release_pages(bio, error === null, current);
  bio_put(bio);
}
