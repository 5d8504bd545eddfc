import {
  get_user_page,
  IS_ERR,
  ITER_SOURCE,
  mmap_read_lock,
  mmap_read_unlock,
  put_user_page,
} from "user-page";
import type { Bench } from "./bench.js";

/** That this task holds the lock already is in no type: the call takes it itself. */
export function wrong({ current, buf }: Bench) {
  using _lock = mmap_read_lock(current, current.mm);
  const page = get_user_page(current, buf, ITER_SOURCE);
  if (IS_ERR(page)) return page;
  put_user_page(page);
}
export function right({ current, buf }: Bench) {
  const lock = mmap_read_lock(current, current.mm);
  mmap_read_unlock(lock);
  const page = get_user_page(current, buf, ITER_SOURCE);
  if (IS_ERR(page)) return page;
  put_user_page(page);
}
