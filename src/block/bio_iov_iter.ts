/** Filling a bio from an iterator.  Models bio_iov_iter_get_pages() and bio_iov_bvec_set() of block/bio.c. */

import { ok, type Result } from "neverthrow";
import type { BorrowingBioFor, PinFor, PinnedBioFor } from "../handle/bio.js";
import type { BvecListPinnedFor } from "../handle/bvec.js";
import { raw, to_bvec } from "../handle/cast.js";
import type { Task } from "../handle/context.js";
import { ERR_PTR, IS_ERR, PTR_ERR, type GupError } from "../handle/errno.js";
import type { IovIter } from "../handle/iov_iter.js";
import type { BorrowedUserPage, Dir } from "../handle/page.js";
import { iov_iter_revert } from "../lib/iov_iter.js";
import { iov_iter_extract_pages } from "../lib/iov_iter_pages.js";
import { iter_state } from "../lib/iter_state.js";
import { machine_of } from "../machine/context.js";
import { MAX_BIO_BYTES, PAGE_SIZE } from "../machine/limits.js";
import { throw_misuse } from "../machine/machine.js";
import { fact } from "../machine/misuse.js";
import { bvec_list_state, bvec_state, type UserBvecList } from "../mm/bvec_state.js";
import { split_user_bvec } from "../mm/user_bvec.js";
import { add_pins, add_plain, check_pins, filling, move_in } from "./bio.js";
import { pfn_of, type BioState } from "./bio_state.js";

/** Adds page after page while `add` takes them: bytes that were added. */
function add_pages<P>(
  pages: Iterable<P>,
  offset: number,
  bytes: number,
  add: (page: P, len: number, offset: number) => boolean,
): number {
  let done = 0;
  for (const page of pages) {
    const at = (offset + done) % PAGE_SIZE;
    const len = Math.min(PAGE_SIZE - at, bytes - done);
    if (!add(page, len, at)) break;
    done += len;
  }
  return done;
}
/** The handles of the pages that lie one after another from the one at `from` on. */
function run_from(pages: readonly BorrowedUserPage[], from: number): number[] {
  const run = [raw(pages[from]!)];
  for (let i = from + 1; i < pages.length; i++) {
    const page = raw(pages[i]!);
    if (pfn_of(page) !== pfn_of(run.at(-1)!) + 1) break;
    run.push(page);
  }
  return run;
}
/** What can be said before anything is extracted, and the iterator moves. */
function check_iter(bio: BioState, iter: IovIter, current: Task, called: string): void {
  const { is_user, dir, iter_type } = iter_state(iter, called);
  bio.assert_machine(machine_of(current, called), called);
  if (is_user !== (bio.holds === "pinned user pages")) {
    throw_misuse("mixed-bio", called, bio.describe(), fact("from", `an ${iter_type}`));
  }
  if (bio.dir === "dest" && dir === "source") {
    throw_misuse(
      "wrong-direction",
      called,
      "an iterator over memory that is read",
      fact("into", bio.describe()),
    );
  }
}
/** Gives the bytes of a last, unfinished block back to the iterator, and their pins. */
function align_down(bio: BioState, iter: IovIter, before: number, called: string): void {
  const { logical_block_size } = bio.bdev.limits;
  // What was in the bio before is not the iterator's.
  const rest = Math.min(bio.size % logical_block_size, bio.size - before);
  if (rest === 0) return;
  bio.trim_end(rest, called);
  iov_iter_revert(iter, rest);
}
/** Until the iterator is empty or the bio full: `take` adds what one extraction gives.  What was added, or why nothing. */
function fill(
  bio: BioState,
  iter: IovIter,
  called: string,
  take: (maxsize: number, maxpages: number) => number | GupError,
): Result<number, GupError> {
  const before = bio.size;
  let error: GupError | null = null;
  while (iter.count > 0 && bio.vecs.length < bio.max_vecs && bio.size < MAX_BIO_BYTES) {
    const added = take(MAX_BIO_BYTES - bio.size, bio.max_vecs - bio.vecs.length);
    if (typeof added === "number" && added > 0) continue;
    if (typeof added !== "number") error = added;
    break;
  }
  align_down(bio, iter, before, called);
  const bytes = bio.size - before;
  if (bytes > 0) return ok(bytes);
  return PTR_ERR(error ?? no_block(bio));
}
const no_block = (bio: BioState): GupError =>
  ERR_PTR(
    "EFAULT",
    `up to ${bio.max_vecs} pieces of the memory are less than a block of ${bio.bdev.name}`,
  );
/**
 * Pins what comes next of user memory into the bio, as much as has room, one pin for each page, and advances the iterator
 * past it.  Models bio_iov_iter_get_pages().  The bio owns the pins.  What is no whole block at the end is given back.
 *
 * @param iter - over user memory, of the direction of the bio
 * @returns the bytes that were added, fewer than asked for when the bio is full or a page cannot be accessed; the error if none
 *   were: EFAULT, ENOMEM, EAGAIN after a SIGKILL
 * @example
 * using bio = bio_alloc_pinned(disk, 16, "REQ_OP_WRITE");
 * const iter = iov_iter_ubuf(ITER_SOURCE, buf, 8192);
 * console.log(bio_iov_iter_get_pages(bio, iter, current).unwrapOr(0)); // -> 8192
 */
export function bio_iov_iter_get_pages<D extends Dir>(
  bio: PinnedBioFor<D>,
  iter: IovIter<PinFor<NoInfer<D>>, "user">,
  current: Task,
): Result<number, GupError> {
  const called = "bio_iov_iter_get_pages()";
  const state = filling(bio, "pinned user pages", called);
  check_iter(state, iter, current, called);
  return fill(state, iter, called, (maxsize, maxpages) => {
    using pages = iov_iter_extract_pages(iter, maxsize, maxpages, current);
    if (IS_ERR(pages)) return pages;
    const { offset, bytes } = pages;
    let moved = 0;
    let done = 0;
    while (done < bytes) {
      const run = run_from(pages, moved);
      const at = (offset + done) % PAGE_SIZE;
      const len = Math.min(run.length * PAGE_SIZE - at, bytes - done);
      if (!add_pins(state, run, len, at, called)) break;
      done += len;
      moved += run.length;
    }
    // The others end with the block.  Where there are none, no element has to be moved.
    if (moved === pages.length) pages.length = 0;
    else pages.splice(0, moved);
    iov_iter_revert(iter, bytes - done);
    return done;
  });
}
/**
 * Fills a bio with pages that belong to whoever made the iterator, as much as has room, and advances past them.  Models
 * bio_iov_bvec_set(), and bio_iov_iter_get_pages() where it pins nothing.  Nothing has to be released.
 *
 * @param iter - over kernel memory or what somebody keeps pinned, of the direction of the bio
 * @returns the bytes that were added; EFAULT when there are none
 * @example
 * const bio = bio_alloc_borrowing(disk, 4, "REQ_OP_WRITE");
 * const iter = iov_iter_bvec(ITER_SOURCE, [{ page: ZERO_PAGE(current), offset: 0, len: 4096 }]);
 * console.log(bio_iov_bvec_set(bio, iter, current).unwrapOr(0)); // -> 4096
 * bio_put(bio);
 */
export function bio_iov_bvec_set<D extends Dir>(
  bio: BorrowingBioFor<D>,
  iter: IovIter<PinFor<NoInfer<D>>, "kernel">,
  current: Task,
): Result<number, GupError> {
  const called = "bio_iov_bvec_set()";
  const state = filling(bio, "borrowed pages", called);
  if (state.is_clone) throw_misuse("bio-reused", called, `${state.describe()}, a clone`);
  check_iter(state, iter, current, called);
  return fill(state, iter, called, (maxsize, maxpages) => {
    const pages = iov_iter_extract_pages(iter, maxsize, maxpages, current);
    if (IS_ERR(pages)) return pages;
    const { kernel, offset, bytes } = pages;
    if (bytes === 0) return ERR_PTR("EFAULT", "the iterator has no page there");
    const done = add_pages(
      kernel,
      offset,
      bytes,
      (page, len, at) => add_plain(state, page, len, at, called) > 0,
    );
    iov_iter_revert(iter, bytes - done);
    return done;
  });
}
/** Bytes of the list that have room in the bio: all, or whole blocks. */
function bytes_with_room(bio: BioState, list: UserBvecList): number {
  const last = bio.vecs.at(-1);
  let end = last ? last.pfn * PAGE_SIZE + last.offset + last.len : -1;
  let nr_vecs = bio.vecs.length;
  let size = bio.size;
  list.look((handle, offset, len) => {
    const start = pfn_of(handle) * PAGE_SIZE + offset;
    if (start !== end && ++nr_vecs > bio.max_vecs) return false;
    if (size + len > MAX_BIO_BYTES) return false;
    size += len;
    end = start + len;
    return true;
  });
  const all = size - bio.size === list.count;
  return all ? list.count : size - (size % bio.bdev.limits.logical_block_size) - bio.size;
}
/**
 * Moves extents from the front of a list into the bio, as much as has room; the rest stays in the list, which the caller still
 * owns (ours: bio_add_user_bvecs() for direct I/O, where a bio ends with a block).  An extent that a block ends in is divided.
 *
 * @returns the bytes that were moved, 0 when the bio is full or the list empty; EFAULT when an empty bio has no room for the pieces
 *   of a block, ENOMEM as of split_user_bvec()
 */
export function bio_add_user_blocks<D extends Dir>(
  bio: PinnedBioFor<D>,
  bvecs: BvecListPinnedFor<PinFor<NoInfer<D>>>,
): Result<number, GupError> {
  const called = "bio_add_user_blocks()";
  const state = filling(bio, "pinned user pages", called);
  const list = bvec_list_state(bvecs, called);
  check_pins(state, list, called);
  const bytes = Math.max(0, bytes_with_room(state, list));
  if (bytes === 0 && list.count > 0 && state.vecs.length === 0) return PTR_ERR(no_block(state));
  let left = bytes;
  const move = (handle: number, offset: number, len: number): boolean => {
    if (len > left) return false;
    move_in(state, handle, offset, len, called);
    left -= len;
    return true;
  };
  list.move_out(move);
  const front = left > 0 ? list.shift() : null;
  if (front) {
    const rest = split_user_bvec(to_bvec(front), left);
    list.unshift(IS_ERR(rest) ? front : bvec_state(rest, called));
    if (IS_ERR(rest)) return PTR_ERR(rest);
    move(front.handle, front.offset, front.len);
  }
  return ok(bytes);
}
