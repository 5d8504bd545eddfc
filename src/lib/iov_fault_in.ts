/**
 * Faulting the memory of an iterator in before it is used where no fault may happen.  Models fault_in_iov_iter_readable() and
 * fault_in_iov_iter_writeable() of lib/iov_iter.c.
 */

import type { Task } from "../handle/context.js";
import type { IovIter } from "../handle/iov_iter.js";
import { might_sleep, task_state } from "../machine/context.js";
import { PAGE_SIZE } from "../machine/limits.js";
import { mm_state } from "../mm/mm_types.js";
import { fault_in_page } from "../mm/uaccess.js";
import { check_size } from "./iov_iter_init.js";
import { iter_state } from "./iter_state.js";

/** Bytes that could not be faulted in, of the first `size`. */
function fault_in(
  iter: IovIter,
  size: number,
  current: Task,
  write: boolean,
  called: string,
): number {
  const state = iter_state(iter, called);
  check_size(size, "bytes", called);
  state.assert_of(might_sleep(current, called), called);
  const mm = mm_state(task_state(current, called).mm, called);
  if ((state.dir === "dest") !== write) {
    throw new RangeError(`${called}: an iterator of the other direction`);
  }
  if (!state.is_user) return 0;
  let left = Math.min(size, state.count);
  const behind = size - left;
  for (const { at, len } of state.pieces(left)) {
    for (let done = 0; done < len;) {
      if (!fault_in_page(mm, at + done, write)) return behind + left;
      const here = Math.min(PAGE_SIZE - ((at + done) % PAGE_SIZE), len - done);
      done += here;
      left -= here;
    }
  }
  return behind + left;
}
/**
 * Makes the pages of what comes next readable, as far as that goes; neither bytes nor the iterator change.  Models
 * fault_in_iov_iter_readable().  The caller owns nothing: the pages may be gone again when they are used.
 *
 * @param size - bytes, 0 and more
 * @param current - may sleep
 * @returns the bytes of `size` that are not there: 0 if all are, and of kernel memory
 * @example
 * const iter = iov_iter_ubuf(ITER_SOURCE, buf, 8192);
 * console.log(fault_in_iov_iter_readable(iter, 8192, current)); // -> 0
 */
export function fault_in_iov_iter_readable(
  iter: IovIter<"source">,
  size: number,
  current: Task,
): number {
  return fault_in(iter, size, current, false, "fault_in_iov_iter_readable()");
}
/**
 * The same for writing: pages that are shared until somebody writes are copied.  Models fault_in_iov_iter_writeable().
 *
 * @param size - bytes, 0 and more
 * @param current - may sleep
 * @returns the bytes of `size` that are not there: 0 if all are, and of kernel memory
 */
export function fault_in_iov_iter_writeable(
  iter: IovIter<"dest">,
  size: number,
  current: Task,
): number {
  return fault_in(iter, size, current, true, "fault_in_iov_iter_writeable()");
}
