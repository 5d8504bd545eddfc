/// <reference lib="esnext.disposable" preserve="true" />
/**
 * Extents of an iterator, one reference each: what get_user_bvec() is for one range (ours; Linux 7 has a function of this name
 * that takes a pin for each page below it).
 */

import { to_extracted } from "../handle/cast.js";
import type { Task } from "../handle/context.js";
import { ERR_PTR, IS_ERR, type GupError } from "../handle/errno.js";
import type { Extracted, IovIter, IterKind, KernelBvec, KernelBvecs } from "../handle/iov_iter.js";
import type { Dir } from "../handle/page.js";
import { MAX_RW_COUNT, PAGE_SIZE } from "../machine/limits.js";
import type { UserBvecList } from "../mm/bvec_state.js";
import { EFAULT } from "../mm/gup.js";
import { bytes_before_fault, gup_bvec, gup_bvec_failed } from "../mm/gup_bvec.js";
import { FOLL } from "../mm/gup_flags.js";
import { head_of } from "../mm/page_ref.js";
import {
  current_caller,
  dir_flag,
  refuse_range,
  walk_of,
  type GupCaller,
} from "../mm/pin_user_pages.js";
import { owned_extents } from "../mm/user_bvec.js";
import { pages_of } from "../mm/user_pages.js";
import { iter_state, lent, page_index, type IterState, type Piece } from "./iter_state.js";

/** Extents of a kernel iterator, to use. */
class LentBvecs implements KernelBvecs {
  readonly kernel: readonly KernelBvec[];
  constructor(kernel: readonly KernelBvec[]) {
    this.kernel = kernel;
  }
  [Symbol.dispose](): void {
    // whoever made the iterator keeps them
  }
}
/** Pins all pieces or none. */
function pin_pieces(
  iter: IterState,
  pieces: readonly Piece[],
  caller: GupCaller,
  by: string,
): UserBvecList | GupError {
  const { machine } = caller.mm;
  let bytes = 0;
  let nr = 0;
  for (const { at, len } of pieces) {
    const refused = refuse_range(at, pages_of(at, len), true);
    if (refused) return refused;
    bytes += len;
    nr += pages_of(at, len);
  }
  machine.probe?.reserve(nr);
  const nofault = iter.nofault ? FOLL.NOFAULT : 0;
  const walk = walk_of(caller, FOLL.PIN | dir_flag(iter.dir) | nofault);
  const extents: number[] = [];
  let before = 0;
  for (const { at, len } of pieces) {
    const here = machine.faults === null ? len : bytes_before_fault(machine, at, len, by);
    const failed = gup_bvec(walk, at, here, extents) || (here < len ? EFAULT : 0);
    if (failed !== 0) return gup_bvec_failed(failed, at, extents, before);
    before += len;
  }
  return owned_extents(caller, iter.dir, extents, bytes, by);
}
/** Runs of pages of one folio; of what was given as a bvec, whose maker says that it is contiguous, all of it. */
function extents_of({ segment, at, len }: Piece, iter: IterState, by: string): KernelBvec[] | null {
  const found: KernelBvec[] = [];
  const whole = iter.iter_type === "ITER_BVEC";
  for (let done = 0; done < len;) {
    const start = page_index(at + done);
    const pfn = segment.page?.(start, by) ?? 0;
    if (pfn === 0) return null;
    const offset = (at + done) % PAGE_SIZE;
    let room = Math.min(PAGE_SIZE - offset, len - done);
    for (let n = 1; done + room < len; n++) {
      const next = segment.page?.(start + n, by) ?? 0;
      if (next !== pfn + n || (!whole && head_of(next) !== head_of(pfn))) break;
      room = Math.min(room + PAGE_SIZE, len - done);
    }
    found.push({ page: lent(iter.machine!, pfn), offset, len: room });
    done += room;
  }
  return found;
}
function lend_pieces(iter: IterState, pieces: readonly Piece[], by: string): LentBvecs | GupError {
  const extents: KernelBvec[] = [];
  for (const piece of pieces) {
    const found = extents_of(piece, iter, by);
    if (!found) return ERR_PTR("EFAULT", `${iter.iter_type} has no page there`);
    extents.push(...found);
  }
  return new LentBvecs(extents);
}
/**
 * Gives what comes next as extents (ours), over all segments, and advances past it: all or nothing.  User memory is pinned, one
 * reference for each contiguous run inside one folio and one segment; kernel memory is used as it is.
 * Of user memory the caller owns the list: put_user_bvec(), or the end of a `using` block.  Where the kind of the iterator is
 * known at run time only, is_pinned() tells.
 *
 * @param maxsize - bytes, 0 and more
 * @returns EFAULT where a page cannot be accessed that way, and of ITER_DISCARD and ITER_PIPE unless nothing is asked for; ENOMEM
 *   without memory, EAGAIN after a SIGKILL, EINVAL for a bad number, EOVERFLOW for a range that wraps
 * @example
 * const iov = [
 *   { iov_base: buf, iov_len: 512 },
 *   { iov_base: user_ptr_add(buf, 512), iov_len: 512 },
 * ];
 * using bvecs = iov_iter_extract_bvecs(iov_iter_init(ITER_SOURCE, iov), 1024, current);
 * if (IS_ERR(bvecs)) return bvecs;
 * console.log(bvecs.nr_segs, bvecs.count); // -> 2 1024
 */
export function iov_iter_extract_bvecs<D extends Dir, K extends IterKind>(
  iter: IovIter<D, K>,
  maxsize: number,
  current: Task,
): Extracted<D, K> | GupError {
  const by = "iov_iter_extract_bvecs()";
  const state = iter_state(iter, by);
  const caller = current_caller(current, by, true);
  state.assert_of(caller.mm.machine, by);
  if (!Number.isSafeInteger(maxsize) || maxsize < 0) {
    return ERR_PTR("EINVAL", `${String(maxsize)} bytes`);
  }
  const size = Math.min(maxsize, state.count, MAX_RW_COUNT);
  if (state.pipe && size > 0) return ERR_PTR("EFAULT", "ITER_PIPE has no pages to give");
  const pieces = state.pieces(size);
  const got = state.is_user
    ? pin_pieces(state, pieces, caller, by)
    : lend_pieces(state, pieces, by);
  if (IS_ERR(got)) return got;
  state.move(size);
  return to_extracted<D, K>(got);
}
