import {
  all_or_none,
  IS_ERR,
  ITER_SOURCE,
  mmap_read_lock,
  mmap_read_unlock,
  pin_user_pages,
  put_user_pages,
} from "user-page";
import type { Bench } from "./bench.js";

export function wrong({ current, buf }: Bench) {
  const lock = mmap_read_lock(current, current.mm);
  mmap_read_unlock(lock);
  // @ts-expect-error unlocked above
  const pages = all_or_none(pin_user_pages(lock, buf, 4, ITER_SOURCE));
  if (IS_ERR(pages)) return pages;
  put_user_pages(pages);
}
export function right({ current, buf }: Bench) {
  const lock = mmap_read_lock(current, current.mm);
  const pages = all_or_none(pin_user_pages(lock, buf, 4, ITER_SOURCE));
  mmap_read_unlock(lock);
  if (IS_ERR(pages)) return pages;
  put_user_pages(pages);
}
