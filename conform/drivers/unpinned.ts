// Calls that look at user memory without a pin: by plain references, by faults, by copies.
import {
  account_locked_vm,
  copy_to_user,
  FOLL_FORCE,
  FOLL_NOFAULT,
  FOLL_WRITE,
  get_user_pages,
  get_user_pages_fast,
  get_user_pages_remote,
  madvise,
  MADV_POPULATE_WRITE,
  memcpy_from_page,
  mmap_read_lock,
  mmap_read_unlock,
  PAGE_SIZE,
  put_page,
  user_ptr_add,
  type Mm,
  type Page,
  type Task,
  type UserAddr,
} from "user-page";
import type { Outcome } from "./file.js";

/**
 * Wakes who waits for a word: nobody, since nobody else runs.  Models futex_wake(): the key of a shared word is its page, which a
 * plain reference keeps while it is looked at; that of a private one is its address, and no memory is touched.
 */
export function futex_wake(current: Task, addr: UserAddr, shared: boolean): Outcome {
  if (!shared) return addr % 4 === 0 ? 0 : "EINVAL";
  const pages: Page[] = [];
  if (get_user_pages_fast(current, addr, 1, FOLL_WRITE, pages) !== 1) return "EFAULT";
  for (let page = pages.pop(); page; page = pages.pop()) put_page(page);
  return 0;
}
/** Reads memory of a task through /proc/PID/mem, page by page and whatever its protection.  Models mem_read(). */
export function mem_read(
  current: Task,
  mm: Mm,
  from: UserAddr,
  to: UserAddr,
  len: number,
): Outcome {
  const bytes = new Uint8Array(PAGE_SIZE);
  for (let done = 0; done < len;) {
    const at = user_ptr_add(from, done);
    const here = Math.min(PAGE_SIZE - (at % PAGE_SIZE), len - done);
    const pages: Page[] = [];
    const lock = mmap_read_lock(current, mm);
    const got = get_user_pages_remote(lock, at, 1, FOLL_FORCE, pages);
    mmap_read_unlock(lock);
    if (got !== 1) return done || "EIO";
    for (let page = pages.pop(); page; page = pages.pop()) {
      memcpy_from_page(bytes.subarray(0, here), page, at % PAGE_SIZE);
      put_page(page);
    }
    const copied = copy_to_user(current, user_ptr_add(to, done), bytes.subarray(0, here));
    if (copied.isErr()) return done || copied.error.errno;
    done += here;
  }
  return len;
}
/** Charges a range and faults it in.  Models mlock(2), but for what keeps reclaim away, of which there is none here. */
export function mlock(current: Task, addr: UserAddr, len: number): Outcome {
  const charged = account_locked_vm(current.mm, len / PAGE_SIZE, true, current);
  if (charged.isErr()) return charged.error.errno;
  const populated = madvise(current, addr, len, MADV_POPULATE_WRITE);
  return populated.isOk() ? 0 : populated.error.errno;
}
/** Asks on which node each page of a range is.  Models move_pages(2) without nodes to move to; of the one node the number is 0. */
export function move_pages_query(current: Task, addr: UserAddr, len: number): Outcome {
  for (let done = 0; done < len; done += PAGE_SIZE) {
    const pages: Page[] = [];
    const lock = mmap_read_lock(current, current.mm);
    get_user_pages(lock, user_ptr_add(addr, done), 1, FOLL_NOFAULT, pages);
    mmap_read_unlock(lock);
    for (let page = pages.pop(); page; page = pages.pop()) put_page(page);
  }
  return 0;
}
