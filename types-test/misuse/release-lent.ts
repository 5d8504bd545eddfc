import { get_user_bvec, IS_ERR, ITER_SOURCE, put_user_bvec, put_user_page } from "user-page";
import type { Bench } from "./bench.js";

export function wrong({ current, buf }: Bench) {
  const bvecs = get_user_bvec(current, buf, 4096, ITER_SOURCE);
  if (IS_ERR(bvecs)) return bvecs;
  for (const bvec of bvecs) {
    // @ts-expect-error the page belongs to the extent, and that to the list
    put_user_page(bvec.page);
  }
  put_user_bvec(bvecs);
}
export function right({ current, buf }: Bench) {
  const bvecs = get_user_bvec(current, buf, 4096, ITER_SOURCE);
  if (IS_ERR(bvecs)) return bvecs;
  put_user_bvec(bvecs);
}
