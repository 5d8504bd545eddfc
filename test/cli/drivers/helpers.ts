// The same bugs behind helpers of another file, which says nothing of what it does with its arguments.
import {
  bio_add_user_bvecs,
  bio_alloc_pinned,
  bio_put,
  bio_release_pages,
  bio_set_end_io,
  brd_alloc,
  get_user_bvec,
  get_user_page,
  IS_ERR,
  ITER_DEST,
  submit_bio,
  type DriverWorld,
} from "user-page";
import { drop, finish } from "./helpers_of.js";

export default function driver({ machine, current, disk, buf, len }: DriverWorld) {
  const header = get_user_page(current, buf, ITER_DEST);
  if (IS_ERR(header)) return header;
  drop(header);

  const bvecs = get_user_bvec(current, buf, len, ITER_DEST); // BUG leak
  if (IS_ERR(bvecs)) return bvecs;
  const scratch = get_user_page(current, buf, ITER_DEST);
  if (IS_ERR(scratch)) return scratch;
  finish(scratch);
  const log = brd_alloc(machine, 4096);
  if (IS_ERR(log)) return log;

  while (bvecs.count > 0) {
    const bio = bio_alloc_pinned(disk, 16, "REQ_OP_READ");
    bio_add_user_bvecs(bio, bvecs);
    bio_set_end_io(bio, (ended, softirq) => {
      bio_release_pages(ended, true, softirq as never); // BUG sleep-in-atomic
      bio_put(ended);
    });
    submit_bio(bio);
  }
}
