/** Walking iterators, and what they can be asked.  Models lib/iov_iter.c. */

import { to_iov_iter } from "../handle/cast.js";
import type { IovIter, IterKind, IterOfType, IterType } from "../handle/iov_iter.js";
import type { Dir } from "../handle/page.js";
import { PAGE_SIZE } from "../machine/limits.js";
import { check_size } from "./iov_iter_init.js";
import { iter_state } from "./iter_state.js";

// --- what it is -----------------------------------------------------------------------------------------
/** Whether the iterator is over user memory, of which pages must be pinned.  Models user_backed_iter(). */
export function user_backed_iter<D extends Dir>(iter: IovIter<D>): iter is IovIter<D, "user"> {
  return iter_state(iter, "user_backed_iter()").is_user;
}
/** Whether the iterator is over kernel memory, of which nothing is pinned (ours: the other answer of user_backed_iter()). */
export function iov_iter_is_kernel<D extends Dir>(iter: IovIter<D>): iter is IovIter<D, "kernel"> {
  return !iter_state(iter, "iov_iter_is_kernel()").is_user;
}
/** Whether pages extracted from it are pins: so for user memory.  Models iov_iter_extract_will_pin(). */
export function iov_iter_extract_will_pin(iter: IovIter): boolean {
  return iter_state(iter, "iov_iter_extract_will_pin()").is_user;
}
function is_of(iter: IovIter, type: IterType, called: string): boolean {
  return iter_state(iter, called).iter_type === type;
}
/** Models iter_is_ubuf(). */
export function iter_is_ubuf<D extends Dir>(
  iter: IovIter<D>,
): iter is IterOfType<D, "user", "ITER_UBUF"> {
  return is_of(iter, "ITER_UBUF", "iter_is_ubuf()");
}
/** Models iter_is_iovec(). */
export function iter_is_iovec<D extends Dir>(
  iter: IovIter<D>,
): iter is IterOfType<D, "user", "ITER_IOVEC"> {
  return is_of(iter, "ITER_IOVEC", "iter_is_iovec()");
}
/** Models iov_iter_is_bvec(). */
export function iov_iter_is_bvec<D extends Dir>(
  iter: IovIter<D>,
): iter is IterOfType<D, "kernel", "ITER_BVEC"> {
  return is_of(iter, "ITER_BVEC", "iov_iter_is_bvec()");
}
/** Models iov_iter_is_kvec(). */
export function iov_iter_is_kvec<D extends Dir>(
  iter: IovIter<D>,
): iter is IterOfType<D, "kernel", "ITER_KVEC"> {
  return is_of(iter, "ITER_KVEC", "iov_iter_is_kvec()");
}
/** The direction, where it is known at run time only.  Models iov_iter_rw(). */
export function iov_iter_rw<D extends Dir>(iter: IovIter<D>): D;
export function iov_iter_rw(iter: IovIter): Dir {
  return iter_state(iter, "iov_iter_rw()").dir;
}

// --- moving it ------------------------------------------------------------------------------------------
/** Whether it is for data that is written into its memory, for code that gets either direction (ours). */
export function iov_iter_is_dest<K extends IterKind>(
  iter: IovIter<Dir, K>,
): iter is IovIter<"dest", K> {
  return iter_state(iter, "iov_iter_is_dest()").dir === "dest";
}
/** Whether it is for data that is read out of its memory (ours). */
export function iov_iter_is_source<K extends IterKind>(
  iter: IovIter<Dir, K>,
): iter is IovIter<"source", K> {
  return iter_state(iter, "iov_iter_is_source()").dir === "source";
}
/** Bytes left.  Models iov_iter_count(). */
export function iov_iter_count(iter: IovIter): number {
  return iter_state(iter, "iov_iter_count()").count;
}
/**
 * Skips bytes; as many as are left, if there are fewer.  Models iov_iter_advance().  A pipe moves only by what is put in.
 *
 * @param size - bytes
 */
export function iov_iter_advance(iter: IovIter, size: number): void {
  const called = "iov_iter_advance()";
  const state = iter_state(iter, called);
  check_size(size, "bytes", called);
  if (state.pipe && size > 0) throw new RangeError(`${called}: a pipe has no bytes to skip`);
  state.move(Math.min(size, state.count));
}
/**
 * Goes back over bytes that were consumed; out of a pipe they are taken.  Models iov_iter_revert().
 *
 * @param unroll - bytes, not more than were consumed
 */
export function iov_iter_revert(iter: IovIter, unroll: number): void {
  const called = "iov_iter_revert()";
  const state = iter_state(iter, called);
  check_size(unroll, "bytes", called);
  if (unroll > state.consumed) {
    throw new RangeError(`${called}: ${unroll} bytes of ${state.consumed} that were consumed`);
  }
  state.pipe?.unappend(unroll, called);
  state.move(-unroll);
}
/** Ends the iterator after `count` bytes, unless it ends before.  Models iov_iter_truncate(). */
export function iov_iter_truncate(iter: IovIter, count: number): void {
  const called = "iov_iter_truncate()";
  const state = iter_state(iter, called);
  check_size(count, "bytes", called);
  state.count = Math.min(state.count, count);
}
/**
 * Undoes a truncation.  Models iov_iter_reexpand().
 *
 * @param count - bytes left from now on, not more than the segments have, if there are any
 */
export function iov_iter_reexpand(iter: IovIter, count: number): void {
  const called = "iov_iter_reexpand()";
  const state = iter_state(iter, called);
  check_size(count, "bytes", called);
  // Of a pipe the count is what is wished for; its ring may have room for fewer.
  if (!state.pipe && count > state.capacity) {
    throw new RangeError(`${called}: ${count} bytes of segments that have ${state.capacity}`);
  }
  state.count = count;
}
/** A second iterator at the same position, over the same memory.  Models dup_iter().  Not of a pipe. */
export function dup_iter<D extends Dir, K extends IterKind>(iter: IovIter<D, K>): IovIter<D, K> {
  const called = "dup_iter()";
  const state = iter_state(iter, called);
  if (state.pipe) throw new RangeError(`${called}: two iterators cannot fill one pipe`);
  return to_iov_iter(state.dup());
}

// --- questions ------------------------------------------------------------------------------------------
/** Pages that its bytes touch, segment by segment; `maxpages` at most.  Models iov_iter_npages(). */
export function iov_iter_npages(iter: IovIter, maxpages: number): number {
  const called = "iov_iter_npages()";
  const state = iter_state(iter, called);
  check_size(maxpages, "pages", called);
  if (state.pipe) return state.count === 0 ? 0 : Math.min(state.pipe.npages, maxpages);
  if (state.iter_type === "ITER_DISCARD") return 0;
  let npages = 0;
  for (const { at, len } of state.pieces())
    npages += Math.ceil(((at % PAGE_SIZE) + len) / PAGE_SIZE);
  return Math.min(npages, maxpages);
}
/** Addresses and lengths of all segments, or-ed: a mask for questions about alignment.  Models iov_iter_alignment(). */
export function iov_iter_alignment(iter: IovIter): number {
  const state = iter_state(iter, "iov_iter_alignment()");
  if (state.pipe) return state.count | (state.count > 0 ? state.pipe.offset : 0);
  if (state.iter_type === "ITER_DISCARD") return 0;
  // Only the lower bits matter, and addresses have more than bit operations see.
  return state.pieces().reduce((mask, { at, len }) => mask | (at % 2 ** 31) | (len % 2 ** 31), 0);
}
/** Bytes left in the first segment that has any.  Models iov_iter_single_seg_count(). */
export function iov_iter_single_seg_count(iter: IovIter): number {
  const state = iter_state(iter, "iov_iter_single_seg_count()");
  return state.pipe ? state.count : (state.piece(state.count)?.len ?? 0);
}
