import {
  bio_add_user_bvecs,
  bio_alloc_clone,
  bio_alloc_pinned,
  bio_chain,
  bio_put,
  bio_release_pages,
  brd_alloc,
  get_user_bvec,
  IS_ERR,
  ITER_SOURCE,
  submit_bio,
  submit_bio_wait,
} from "user-page";
import type { Bench } from "./bench.js";

/** One copy to each of two disks; who waits for the first knows nothing of the second. */
export function wrong({ machine, current, buf }: Bench) {
  const [disk, mirror] = [brd_alloc(machine, 1 << 20), brd_alloc(machine, 1 << 20)];
  if (IS_ERR(disk) || IS_ERR(mirror)) return;
  using bvecs = get_user_bvec(current, buf, 4096, ITER_SOURCE);
  if (IS_ERR(bvecs)) return bvecs;
  const bio = bio_alloc_pinned(disk, 4, "REQ_OP_WRITE");
  bio_add_user_bvecs(bio, bvecs);
  submit_bio(bio_alloc_clone(mirror, bio));
  bio_release_pages(bio, false);
}
export function right({ machine, current, buf }: Bench) {
  const [disk, mirror] = [brd_alloc(machine, 1 << 20), brd_alloc(machine, 1 << 20)];
  if (IS_ERR(disk) || IS_ERR(mirror)) return;
  using bvecs = get_user_bvec(current, buf, 4096, ITER_SOURCE);
  if (IS_ERR(bvecs)) return bvecs;
  const bio = bio_alloc_pinned(disk, 4, "REQ_OP_WRITE");
  bio_add_user_bvecs(bio, bvecs);
  const clone = bio_alloc_clone(mirror, bio);
  bio_chain(clone, bio);
  submit_bio(clone);
  submit_bio_wait(bio, current);
  bio_release_pages(bio, false);
  bio_put(bio);
}
