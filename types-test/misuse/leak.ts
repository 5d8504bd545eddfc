import { get_user_bvec, get_user_page, IS_ERR, ITER_SOURCE, user_ptr_add } from "user-page";
import type { Bench } from "./bench.js";

/** The first pin stays when the second fails: the types follow what is done, not what is left undone. */
export function wrong({ current, buf }: Bench) {
  const first = get_user_page(current, buf, ITER_SOURCE);
  if (IS_ERR(first)) return first;
  const second = get_user_page(current, user_ptr_add(buf, 1 << 30), ITER_SOURCE);
  if (IS_ERR(second)) return;
}
export function right({ current, buf }: Bench) {
  using first = get_user_bvec(current, buf, 4096, ITER_SOURCE);
  if (IS_ERR(first)) return first;
  using second = get_user_bvec(current, user_ptr_add(buf, 1 << 30), 4096, ITER_SOURCE);
  if (IS_ERR(second)) return;
}
