/** Copying between bytes and the memory of an iterator.  Models copy_to_iter() and its kind of lib/iov_iter.c. */

import { ok, type Result } from "neverthrow";
import { to_user_addr } from "../handle/cast.js";
import type { Task } from "../handle/context.js";
import { ERR_PTR, PTR_ERR, type Errno } from "../handle/errno.js";
import type { IovIter } from "../handle/iov_iter.js";
import type { Dir } from "../handle/page.js";
import { might_sleep, task_state } from "../machine/context.js";
import { PAGE_SIZE } from "../machine/limits.js";
import { throw_misuse } from "../machine/machine.js";
import { bytes_to_read, bytes_to_write } from "../mm/page_alloc.js";
import { copy_from_user, copy_to_user } from "../mm/uaccess.js";
import { check_size } from "./iov_iter_init.js";
import { iter_state, page_index, type IterState } from "./iter_state.js";

type Copied = Result<number, Errno<"EFAULT">>;
/** What iov_iter_zero() copies from. */
const ZEROES = new Uint8Array(PAGE_SIZE);

function state_for(iter: IovIter, dir: Dir, current: Task, called: string): IterState {
  const state = iter_state(iter, called);
  state.assert_of(might_sleep(current, called), called);
  task_state(current, called);
  state.pipe?.inode.assert_held(called);
  if (state.dir === dir) return state;
  if (dir === "dest") {
    throw_misuse("wrong-direction", called, `${state.iter_type} of ${state.count} bytes`);
  }
  throw new RangeError(`${called}: the iterator is one to write into`);
}
/** A place of one page at most: a user address, the bytes of a kernel page, or nowhere. */
interface Place {
  readonly len: number;
  readonly user: number | null;
  readonly bytes: Uint8Array | null;
}
function next_place(iter: IterState, max: number, called: string): Place | null {
  const { machine, pipe, dir } = iter;
  const at_pfn = (pfn: number, offset: number, len: number): Place => {
    const access = dir === "dest" ? bytes_to_write : bytes_to_read;
    return { len, user: null, bytes: access(machine!, pfn, offset, len) };
  };
  if (pipe) {
    const appended = pipe.append(max, called);
    return appended && at_pfn(appended.pfn, appended.offset, appended.len);
  }
  const piece = iter.piece(max);
  if (!piece) return null;
  const { segment, at } = piece;
  const offset = at % PAGE_SIZE;
  const len = Math.min(piece.len, PAGE_SIZE - offset);
  if (iter.is_user) return { len, user: at, bytes: null };
  if (!segment.page) return { len, user: null, bytes: null };
  const pfn = segment.page(page_index(at), called);
  return pfn === 0 ? null : at_pfn(pfn, offset, len);
}
/** Copies place by place as far as that goes; the iterator moves by what was copied. */
function copy(
  iter: IterState,
  total: number,
  called: string,
  step: (place: Place, done: number) => boolean,
): Copied {
  const size = Math.min(total, iter.count);
  let done = 0;
  while (done < size) {
    const place = next_place(iter, size - done, called);
    if (!place || !step(place, done)) break;
    if (iter.pipe) iter.count -= place.len;
    else iter.move(place.len);
    done += place.len;
  }
  if (done > 0 || size === 0) return ok(done);
  return PTR_ERR(ERR_PTR("EFAULT", `no byte of ${iter.iter_type} can be accessed that way`));
}
/** Puts bytes into one place. */
function put(place: Place, from: Uint8Array, current: Task): boolean {
  if (place.user !== null) return copy_to_user(current, to_user_addr(place.user), from).isOk();
  place.bytes?.set(from);
  return true;
}
function check_bytes(bytes: Uint8Array, called: string): void {
  if (!(bytes instanceof Uint8Array)) throw new RangeError(`${called}: the buffer is no bytes`);
}

/**
 * Writes bytes to what comes next, faulting user pages in, and advances by what was written.  Models copy_to_iter().
 *
 * @returns the bytes written: fewer where the iterator ends, a later page cannot be written or a pipe is full; EFAULT when
 *   that is so of the first byte
 * @example
 * const iter = iov_iter_ubuf(ITER_DEST, buf, 100);
 * console.log(copy_to_iter(new Uint8Array(64), iter, current).unwrapOr(0), iter.count); // -> 64 36
 */
export function copy_to_iter(bytes: Uint8Array, iter: IovIter<"dest">, current: Task): Copied {
  const called = "copy_to_iter()";
  check_bytes(bytes, called);
  const state = state_for(iter, "dest", current, called);
  return copy(state, bytes.length, called, (place, done) =>
    put(place, bytes.subarray(done, done + place.len), current),
  );
}
/**
 * Reads bytes of what comes next, faulting user pages in, and advances by what was read.  Models copy_from_iter().
 *
 * @returns the bytes read: fewer where the iterator ends or a later page cannot be read; EFAULT when that is so of the first
 */
export function copy_from_iter(bytes: Uint8Array, iter: IovIter<"source">, current: Task): Copied {
  const called = "copy_from_iter()";
  check_bytes(bytes, called);
  const state = state_for(iter, "source", current, called);
  return copy(state, bytes.length, called, (place, done) => {
    const to = bytes.subarray(done, done + place.len);
    if (place.user !== null) return copy_from_user(current, to, to_user_addr(place.user)).isOk();
    if (place.bytes) to.set(place.bytes);
    return true;
  });
}
/**
 * Writes zeroes to what comes next, and advances.  Models iov_iter_zero().
 *
 * @param bytes - how many
 * @returns as copy_to_iter()
 */
export function iov_iter_zero(bytes: number, iter: IovIter<"dest">, current: Task): Copied {
  const called = "iov_iter_zero()";
  check_size(bytes, "bytes", called);
  const state = state_for(iter, "dest", current, called);
  return copy(state, bytes, called, (place) => put(place, ZEROES.subarray(0, place.len), current));
}
