/**
 * adapter_indicators_set() of arch/s390/kvm/interrupt.c acquires two pages and releases the first when the second cannot be
 * had; then dirties and puts both.  Every way out releases what is held.
 */
import {
  FOLL_WRITE,
  get_user_pages_unlocked,
  memcpy_to_page,
  PAGE_SIZE,
  put_page,
  set_page_dirty_lock,
  user_ptr_add,
  type Page,
  type Task,
  type UserAddr,
} from "user-page";
import type { Bench } from "./bench.js";

function get_map_page(current: Task, addr: UserAddr): Page | null {
  const pages: Page[] = [];
  get_user_pages_unlocked(current, addr, 1, pages, FOLL_WRITE);
  return pages[0] ?? null;
}
export function right({ current, buf, hole, fails }: Bench) {
  const ind = get_map_page(current, buf);
  if (!ind) return -1;
  const sum = get_map_page(current, fails ? hole : user_ptr_add(buf, PAGE_SIZE));
  if (!sum) {
    put_page(ind);
    return -1;
  }
  memcpy_to_page(ind, 0, new Uint8Array([7]));
  set_page_dirty_lock(ind, current);
  memcpy_to_page(sum, 0, new Uint8Array([1]));
  set_page_dirty_lock(sum, current);
  put_page(ind);
  put_page(sum);
}
