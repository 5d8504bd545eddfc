import {
  bio_add_page,
  bio_add_user_bvecs,
  bio_add_user_page,
  bio_alloc_pinned,
  brd_alloc,
  get_user_bvec,
  IS_ERR,
  ITER_SOURCE,
  page_to_user_page,
  put_user_page,
  ZERO_PAGE,
} from "user-page";
import type { Bench } from "./bench.js";

/** Zero padding behind user memory, in one bio. */
export function wrong({ machine, current, buf }: Bench) {
  using disk = brd_alloc(machine, 1 << 20);
  if (IS_ERR(disk)) return disk;
  using bvecs = get_user_bvec(current, buf, 512, ITER_SOURCE);
  if (IS_ERR(bvecs)) return bvecs;
  using bio = bio_alloc_pinned(disk, 4, "REQ_OP_WRITE");
  bio_add_user_bvecs(bio, bvecs);
  // @ts-expect-error a plain page, in a bio that unpins its pages
  bio_add_page(bio, ZERO_PAGE(current), 512, 0);
}
export function right({ machine, current, buf }: Bench) {
  using disk = brd_alloc(machine, 1 << 20);
  if (IS_ERR(disk)) return disk;
  using bvecs = get_user_bvec(current, buf, 512, ITER_SOURCE);
  if (IS_ERR(bvecs)) return bvecs;
  using bio = bio_alloc_pinned(disk, 4, "REQ_OP_WRITE");
  bio_add_user_bvecs(bio, bvecs);
  const zero = page_to_user_page(ZERO_PAGE(current));
  if (IS_ERR(zero)) return zero;
  if (!bio_add_user_page(bio, zero, 512, 0)) put_user_page(zero);
}
