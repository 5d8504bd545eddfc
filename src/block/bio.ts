/** Filling a bio, and releasing what it carried.  Models block/bio.c. */

import type { Narrows } from "../handle/affine.js";
import type {
  AddUserBvec,
  AddUserPage,
  BioBackFromDevice,
  BioOf,
  BioWithoutPins,
  BioWithPins,
  BlockDevice,
  DirOf,
  EmptiedBio,
  EndIo,
  FreshBio,
  HeldPlainBio,
  Holds,
  Op,
  OwnedPinnedBio,
  OwnedPlainBio,
  PinFor,
  PinnedBioFor,
  PinnedOf,
  Segment,
  SpentBio,
} from "../handle/bio.js";
import type { BvecListPinnedFor, BvecPinnedFor, SpentBvec } from "../handle/bvec.js";
import { segment_page, raw, to_pinned_bio, to_plain_bio } from "../handle/cast.js";
import type { ProcessContext } from "../handle/context.js";
import type { BlkError } from "../handle/errno.js";
import type { By } from "../handle/kinds.js";
import type { BorrowedPage, Dir, SpentUserPage, UserPagePinnedFor } from "../handle/page.js";
import { TAG_USER } from "../handle/tags.js";
import { might_sleep, schedule_work_on } from "../machine/context.js";
import { BIO_MAX_VECS, PAGE_SIZE } from "../machine/limits.js";
import { machine_of_handle, throw_misuse } from "../machine/machine.js";
import { bvec_list_state, bvec_state, type UserBvec, type UserBvecList } from "../mm/bvec_state.js";
import { used_pfn } from "../mm/page.js";
import { bdev_state } from "./bdev.js";
import { BioState, bio_state } from "./bio_state.js";

function alloc(
  bdev: BlockDevice,
  holds: Holds,
  nr_vecs: number,
  opf: Op,
  sector: number,
): BioState {
  if (!Number.isInteger(nr_vecs) || nr_vecs < 1 || nr_vecs > BIO_MAX_VECS) {
    throw new RangeError(`a bio has 1 to ${BIO_MAX_VECS} segments, not ${nr_vecs}`);
  }
  if (!Number.isSafeInteger(sector) || sector < 0) {
    throw new RangeError(`${sector} is no sector`);
  }
  if (opf !== "REQ_OP_READ" && opf !== "REQ_OP_WRITE") {
    throw new RangeError(`${String(opf)} is neither REQ_OP_READ nor REQ_OP_WRITE`);
  }
  return new BioState(bdev_state(bdev, "bio_alloc()"), holds, opf, nr_vecs, sector);
}
/**
 * Makes a bio for plain pages.  Models bio_alloc().  The caller owns it: submit_bio(), bio_put(), or a `using` block.
 *
 * @param nr_vecs - segments it has room for, 1 to 256; a RangeError otherwise
 * @param sector - where on the disk, in units of 512 bytes; C sets bi_iter.bi_sector
 * @example
 * const page = alloc_page(current);
 * if (IS_ERR(page)) return page;
 * const bio = bio_alloc(disk, 1, "REQ_OP_READ");
 * bio_add_page(bio, page, PAGE_SIZE, 0);
 * submit_bio_wait(bio, current);
 * bio_put(bio);
 * put_page(page);
 */
export function bio_alloc(bdev: BlockDevice, nr_vecs: number, opf: Op, sector = 0): OwnedPlainBio {
  return to_plain_bio(alloc(bdev, "plain pages", nr_vecs, opf, sector));
}
/**
 * Makes a bio for pinned user pages (ours: C sets BIO_PAGE_PINNED later, if it does).  A READ writes into the pages and
 * takes only pins for 'dest'.  The caller owns it, as of bio_alloc().
 *
 * @example
 * using disk = brd_alloc(machine, 1 << 20);
 * if (IS_ERR(disk)) return disk;
 * using bio = bio_alloc_pinned(disk, 16, "REQ_OP_WRITE");
 */
export function bio_alloc_pinned<O extends Op>(
  bdev: BlockDevice,
  nr_vecs: number,
  opf: O,
  sector = 0,
): OwnedPinnedBio<DirOf[O]> {
  return to_pinned_bio(alloc(bdev, "pinned user pages", nr_vecs, opf, sector));
}

// --- adding -----------------------------------------------------------------------------------------------
function check_segment(len: number, offset: number): void {
  const inside = Number.isInteger(len) && Number.isInteger(offset) && len > 0 && offset >= 0;
  if (!inside || offset + len > PAGE_SIZE) {
    throw new RangeError(`${len} bytes at ${offset} are not inside a page`);
  }
}
function fresh(bio: object, holds: Holds, called: string): BioState {
  const state = bio_state(bio, called);
  state.assert_phase(called, "fresh");
  state.assert_holds(holds, called);
  return state;
}
/**
 * Adds a plain page.  Models bio_add_page().  No reference is taken: whoever holds the page keeps it until the bio ended.
 *
 * @param len - bytes, inside the page; a RangeError otherwise
 * @returns len, or 0 when the bio is full: submit it and start another
 */
export function bio_add_page(
  bio: HeldPlainBio,
  page: BorrowedPage,
  len: number,
  offset: number,
): number {
  const called = "bio_add_page()";
  const state = fresh(bio, "plain pages", called);
  check_segment(len, offset);
  const p = raw(page);
  if (p & TAG_USER) {
    throw_misuse("mixed-bio", called, state.describe(), [
      ...(state.machine.probe?.history(p) ?? []),
    ]);
  }
  used_pfn(page, called);
  state.assert_machine(machine_of_handle(p, called), called);
  if (state.full) return 0;
  state.add(p, "page", offset, len);
  return len;
}
/**
 * Moves a pinned page into the bio.  Models the bio_add_user_page() of Jan Kara's proposal of 2018.
 *
 * @param len - bytes, inside the page; a RangeError otherwise
 * @returns true: moved, the handle is spent.  false: the bio is full and the page still yours: submit, start another
 */
export const bio_add_user_page: AddUserPage<{ is: SpentUserPage<By<"bio_add_user_page">> }> = ((
  bio: object,
  page: UserPagePinnedFor<Dir>,
  len: number,
  offset: number,
): boolean => {
  const called = "bio_add_user_page()";
  const state = fresh(bio, "pinned user pages", called);
  check_segment(len, offset);
  const p = raw(page);
  state.assert_machine(machine_of_handle(p, called), called);
  state.machine.probe?.used("user_page", p, called, state.dir === "dest");
  if (state.full) return false;
  state.machine.probe?.moved("user_page", p, called, state);
  state.add(p, "user_page", offset, len);
  return true;
}) as AddUserPage<{ is: SpentUserPage<By<"bio_add_user_page">> }>;

/** Moves one extent in, which the caller checked to be held. */
function move_in(state: BioState, bvec: UserBvec, called: string): void {
  state.machine.probe?.moved("bvec", bvec.handle, called, state);
  state.add(bvec.handle, "bvec", bvec.offset, bvec.len);
}
function check_pins(state: BioState, pinned: UserBvec | UserBvecList, by: string): void {
  state.assert_machine(pinned.machine, by);
  if (state.dir === "dest" && pinned.dir !== "dest") {
    throw_misuse("wrong-direction", by, pinned.describe(), [`into      ${state.describe()}`]);
  }
}
/**
 * Moves an extent into the bio, with its one reference (ours).
 *
 * @returns true: moved, the handle is spent.  false: the bio is full and the extent still yours
 */
export const bio_add_user_bvec: AddUserBvec<{ is: SpentBvec<By<"bio_add_user_bvec">> }> = ((
  bio: object,
  bvec: BvecPinnedFor<Dir>,
): boolean => {
  const called = "bio_add_user_bvec()";
  const state = fresh(bio, "pinned user pages", called);
  const extent = bvec_state(bvec, called);
  check_pins(state, extent, called);
  if (state.full) return false;
  extent.end("bio_add_user_bvec");
  move_in(state, extent, called);
  return true;
}) as AddUserBvec<{ is: SpentBvec<By<"bio_add_user_bvec">> }>;

/**
 * Moves extents from the front of a list into the bio, as many as fit (ours); the rest stays in the list, which the
 * caller still owns.
 *
 * @returns bytes moved; 0 when the bio is full or the list empty
 */
export function bio_add_user_bvecs<D extends Dir>(
  bio: PinnedBioFor<D>,
  bvecs: BvecListPinnedFor<PinFor<NoInfer<D>>>,
): number {
  const called = "bio_add_user_bvecs()";
  const state = fresh(bio, "pinned user pages", called);
  const list = bvec_list_state(bvecs, called);
  check_pins(state, list, called);
  const before = state.size;
  while (!state.full) {
    const extent = list.shift();
    if (!extent) break;
    move_in(state, extent, called);
  }
  return state.size - before;
}

// --- looking ----------------------------------------------------------------------------------------------
/** Whether the bio holds pinned pages, for code that gets either kind (ours; C asks for BIO_PAGE_PINNED). */
export function bio_is_pinned<T extends object>(bio: T): bio is PinnedOf<T> {
  return bio_state(bio, "bio_is_pinned()").holds === "pinned user pages";
}
/** Why the transfer failed, or null.  Models bio->bi_status. */
export function bio_error(bio: BioBackFromDevice): BlkError | null {
  return bio_state(bio, "bio_error()").error;
}
/** The segments as they were added.  Models bio_for_each_segment_all(): the pages of a pinned bio are lent. */
export function bio_for_each_segment_all<H extends Holds>(bio: BioOf<H>): Iterable<Segment<H>> {
  const state = bio_state(bio, "bio_for_each_segment_all()");
  state.assert_phase("bio_for_each_segment_all()", "fresh", "ended");
  return state.vecs.map(({ handle, kind, offset, len }) => ({
    page: segment_page<H>(handle, kind !== "page"),
    offset,
    len,
  }));
}
/** What runs in softirq context when the device is done.  Models bio->bi_end_io. */
export function bio_set_end_io<H extends Holds>(bio: FreshBio<H>, end_io: EndIo<NoInfer<H>>): void {
  const state = bio_state(bio, "bio_set_end_io()");
  state.assert_phase("bio_set_end_io()", "fresh");
  if (typeof end_io !== "function") throw new RangeError("bio_set_end_io(): no function");
  state.end_io = end_io;
}

// --- releasing --------------------------------------------------------------------------------------------
function with_pins(bio: object, called: string): BioState {
  const state = bio_state(bio, called);
  state.assert_phase(called, "fresh", "ended");
  state.assert_holds("pinned user pages", called);
  if (state.emptied) throw_misuse("double-release", called, state.describe(), state.facts());
  return state;
}
/**
 * Dirties the pages of a READ before it is submitted.  Models bio_set_pages_dirty().
 *
 * @param current - locks each folio: may sleep
 */
export function bio_set_pages_dirty(bio: PinnedBioFor<"dest">, current: ProcessContext): void {
  const called = "bio_set_pages_dirty()";
  const machine = might_sleep(current, called);
  const state = fresh(bio, "pinned user pages", called);
  state.assert_machine(machine, called);
  state.set_dirty();
}
/**
 * Unpins the pages of a bio.  Models bio_release_pages().  The bio is empty afterwards: bio_put() it.
 *
 * @param mark_dirty - whether they were written; locks each folio, so it takes a context that may sleep
 */
export const bio_release_pages: Narrows<
  BioWithPins,
  { is: EmptiedBio },
  [mark_dirty: false] | [mark_dirty: boolean, current: ProcessContext]
> = (bio, mark_dirty, current?: ProcessContext) => {
  const state = with_pins(bio, "bio_release_pages()");
  if (mark_dirty) {
    if (!current) throw_misuse("sleep-in-atomic", "bio_release_pages()", "no context");
    state.assert_machine(might_sleep(current, "bio_release_pages()"), "bio_release_pages()");
    state.set_dirty();
  }
  state.release("bio_release_pages");
};
/**
 * Ends a READ whose pages were dirtied before: unpins them now or, if one was cleaned meanwhile, dirties and unpins in a
 * kworker.  Puts the bio either way.  Models bio_check_pages_dirty().  The bio is spent.  Any context.
 */
export const bio_check_pages_dirty: Narrows<
  BioWithPins,
  { is: SpentBio<By<"bio_check_pages_dirty">> }
> = (bio) => {
  const by = "bio_check_pages_dirty";
  const state = with_pins(bio, `${by}()`);
  const finish = (): void => {
    state.release(by);
    state.hand_over(by, "gone");
  };
  if (state.all_dirty()) {
    finish();
    return;
  }
  state.hand_over(by, "submitted");
  schedule_work_on(state.machine, () => {
    state.set_dirty();
    finish();
  });
};
/** Ends a bio.  Models bio_put().  One with pinned pages must have been emptied by bio_release_pages().  Any context. */
export const bio_put: Narrows<BioWithoutPins, { is: SpentBio<By<"bio_put">> }> = (bio) => {
  const state = bio_state(bio, "bio_put()");
  state.assert_phase("bio_put()", "fresh", "ended");
  if (state.holds === "pinned user pages" && !state.emptied && state.vecs.length > 0) {
    throw_misuse("bio-put-with-pins", "bio_put()", state.describe(), state.facts());
  }
  state.hand_over("bio_put", "gone");
};
