/** Making a bio and filling it, with pages of the kind it was made for.  Models block/bio.c. */

import type {
  AddUserBvec,
  AddUserPage,
  BlockDevice,
  DirOf,
  HeldPlainBio,
  Holds,
  Op,
  OwnedBorrowingBio,
  OwnedPinnedBio,
  OwnedPlainBio,
  PinFor,
  PinnedBioFor,
} from "../handle/bio.js";
import type { BvecListPinnedFor, BvecPinnedFor, SpentBvec } from "../handle/bvec.js";
import { raw, to_borrowing_bio, to_pinned_bio, to_plain_bio } from "../handle/cast.js";
import type { By, EndedBy } from "../handle/kinds.js";
import type { BorrowedPage, Dir, SpentUserPage, UserPagePinnedFor } from "../handle/page.js";
import { TAG_USER } from "../handle/tags.js";
import { BIO_MAX_VECS, PAGE_SIZE } from "../machine/limits.js";
import { machine_of_handle, throw_misuse } from "../machine/machine.js";
import { fact } from "../machine/misuse.js";
import { bvec_list_state, bvec_state, type UserBvec, type UserBvecList } from "../mm/bvec_state.js";
import { used_pfn } from "../mm/page.js";
import { pin_sub } from "../mm/page_ref.js";
import { bdev_state } from "./bdev.js";
import { BioState, bio_state, pfn_of } from "./bio_state.js";

/** Models bio_alloc(); `holds` null: the first page decides. */
export function alloc_state(
  bdev: BlockDevice,
  holds: Holds | null,
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
export function bio_alloc<O extends Op>(
  bdev: BlockDevice,
  nr_vecs: number,
  opf: O,
  sector = 0,
): OwnedPlainBio<DirOf[O]> {
  return to_plain_bio(alloc_state(bdev, "plain pages", nr_vecs, opf, sector));
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
  return to_pinned_bio(alloc_state(bdev, "pinned user pages", nr_vecs, opf, sector));
}

/**
 * Makes a bio for pages that somebody else keeps until it ended: a registered buffer, kernel memory (ours: C marks it
 * BIO_CLONED as it is filled).  bio_iov_bvec_set() fills it; it releases nothing.  The caller owns it, as of bio_alloc().
 *
 * @example
 * using bio = bio_alloc_borrowing(disk, 16, "REQ_OP_WRITE");
 */
export function bio_alloc_borrowing<O extends Op>(
  bdev: BlockDevice,
  nr_vecs: number,
  opf: O,
  sector = 0,
): OwnedBorrowingBio<DirOf[O]> {
  return to_borrowing_bio(alloc_state(bdev, "borrowed pages", nr_vecs, opf, sector));
}

// --- what every way of adding has in common ---------------------------------------------------------------
function check_segment(len: number, offset: number): void {
  const inside = Number.isInteger(len) && Number.isInteger(offset) && len > 0 && offset >= 0;
  if (!inside || offset + len > PAGE_SIZE) {
    throw new RangeError(`${len} bytes at ${offset} are not inside a page`);
  }
}
/** A bio that is being filled, with this kind of pages. */
export function filling(bio: object, holds: Holds, called: string): BioState {
  const state = bio_state(bio, called);
  state.assert_phase(called, "fresh");
  state.assert_holds(holds, called);
  return state;
}
/** Adds a plain page; no reference moves.  0: there is no room. */
export function add_plain(
  state: BioState,
  page: BorrowedPage,
  len: number,
  offset: number,
  called: string,
  merge = true,
): number {
  check_segment(len, offset);
  const p = raw(page);
  const machine = machine_of_handle(p, called);
  if (p & TAG_USER) {
    throw_misuse("mixed-bio", called, state.describe(), state.machine.probe?.evidence(p));
  }
  used_pfn(page, called);
  state.assert_machine(machine, called);
  const room = merge ? state.has_room(p, "page", offset, len) : state.vecs.length < state.max_vecs;
  if (!room) return 0;
  state.add(p, "page", offset, len, merge);
  return len;
}
/**
 * Moves in the pins of pages that lie one after another.  Where the first is the page that the last segment ends in, it is
 * pinned there already: one of the two is dropped at once.
 */
export function add_pins(
  state: BioState,
  pages: readonly number[],
  len: number,
  offset: number,
  called: string,
): boolean {
  const first = pages[0]!;
  state.assert_machine(machine_of_handle(first, called), called);
  const { probe } = state.machine;
  const write = state.dir === "dest";
  if (probe) for (const p of pages) probe.used("user_page", p, called, write);
  if (!state.has_room(first, "user_page", offset, len)) return false;
  if (probe) for (const p of pages) probe.moved("user_page", p, called, state);
  if (state.add_pins(pages, offset, len)) {
    probe?.released("user_page", first, called, state);
    pin_sub(pfn_of(first), 1);
  }
  return true;
}
/** Moves a pin in. */
export function add_pin(
  state: BioState,
  page: UserPagePinnedFor<Dir>,
  len: number,
  offset: number,
  called: string,
): boolean {
  check_segment(len, offset);
  return add_pins(state, [raw(page)], len, offset, called);
}
/** Moves one extent in, which the caller checked to be held and to have room. */
export function move_in(
  state: BioState,
  handle: number,
  offset: number,
  len: number,
  called: string,
): void {
  state.machine.probe?.moved("bvec", handle, called, state);
  state.add(handle, "bvec", offset, len);
}
export function check_pins(state: BioState, pinned: UserBvec | UserBvecList, called: string): void {
  state.assert_machine(pinned.machine, called);
  if (state.dir === "dest" && pinned.dir !== "dest") {
    throw_misuse("wrong-direction", called, pinned.describe(), fact("into", state.describe()));
  }
}
export function add_extent(state: BioState, bvec: BvecPinnedFor<Dir>, by: EndedBy): boolean {
  const called = `${by}()`;
  const extent = bvec_state(bvec, called);
  check_pins(state, extent, called);
  const { handle, offset, len } = extent;
  if (!state.has_room(handle, "bvec", offset, len)) return false;
  extent.end(by);
  move_in(state, handle, offset, len, called);
  return true;
}

// --- plain pages ------------------------------------------------------------------------------------------
/**
 * Adds a plain page.  Models bio_add_page().  No reference is taken: whoever holds the page keeps it until the bio ended.
 * What follows the last segment in memory extends it.
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
  return add_plain(filling(bio, "plain pages", called), page, len, offset, called);
}
/**
 * Adds a plain page as a segment of its own, where the caller knows that there is room.  Models __bio_add_page().
 *
 * @param len - bytes, inside the page; a RangeError otherwise
 */
export function __bio_add_page(
  bio: HeldPlainBio,
  page: BorrowedPage,
  len: number,
  offset: number,
): void {
  const called = "__bio_add_page()";
  const state = filling(bio, "plain pages", called);
  if (add_plain(state, page, len, offset, called, false) === 0) {
    throw_misuse("bio-full", called, state.describe(), state.evidence(), state.machine);
  }
}

// --- pinned pages -----------------------------------------------------------------------------------------
/**
 * Moves a pinned page into the bio.  Models the bio_add_user_page() of Jan Kara's proposal of 2018.  What follows the
 * last segment in memory extends it; a second pin of the page in which the segment ends is dropped at once.
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
  return add_pin(filling(bio, "pinned user pages", called), page, len, offset, called);
}) as AddUserPage<{ is: SpentUserPage<By<"bio_add_user_page">> }>;

/**
 * Moves an extent into the bio, with its one reference (ours).
 *
 * @returns true: moved, the handle is spent.  false: the bio is full and the extent still yours
 */
export const bio_add_user_bvec: AddUserBvec<{ is: SpentBvec<By<"bio_add_user_bvec">> }> = ((
  bio: object,
  bvec: BvecPinnedFor<Dir>,
): boolean => {
  const by = "bio_add_user_bvec";
  return add_extent(filling(bio, "pinned user pages", `${by}()`), bvec, by);
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
  const state = filling(bio, "pinned user pages", called);
  const list = bvec_list_state(bvecs, called);
  check_pins(state, list, called);
  const before = state.size;
  list.move_out((handle, offset, len) => {
    if (!state.has_room(handle, "bvec", offset, len)) return false;
    move_in(state, handle, offset, len, called);
    return true;
  });
  return state.size - before;
}
