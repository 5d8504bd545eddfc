/**
 * Bios over the pages of another bio: clones, and the parts of a split one.  They hold no reference; only the original
 * releases.  Models bio_alloc_clone(), bio_split() and bio_chain() of block/bio.c.
 */

import type {
  BlockDevice,
  FreshBio,
  FreshBioFor,
  HeldBio,
  OwnedBorrowingBio,
} from "../handle/bio.js";
import { to_borrowing_bio } from "../handle/cast.js";
import { ERR_PTR, type Errno } from "../handle/errno.js";
import type { Dir } from "../handle/page.js";
import { SECTOR_SIZE } from "../machine/limits.js";
import { throw_misuse } from "../machine/machine.js";
import { bdev_state, type BlockDeviceState } from "./bdev.js";
import { BioState, bio_state } from "./bio_state.js";
import { trace_split } from "./blktrace.js";

function clone(bio: BioState, bdev: BlockDeviceState, size: number): BioState {
  const { op, max_vecs, sector, origin } = bio;
  const made = new BioState(bdev, "borrowed pages", op, max_vecs, sector, origin);
  made.skip = bio.skip;
  made.size = size;
  return made;
}
/**
 * Makes a bio over the same pages, for another disk perhaps.  Models bio_alloc_clone().  The caller owns the clone, as of
 * bio_alloc(); its pages belong to the bio it was made from, which must outlive it: bio_chain().
 *
 * @param bdev - where the clone goes
 * @example
 * const bio = bio_alloc(disk, 1, "REQ_OP_WRITE");
 * bio_add_page(bio, ZERO_PAGE(current), 512, 0);
 * const clone = bio_alloc_clone(disk, bio);
 * submit_bio_wait(clone, current);
 * bio_put(clone);
 * bio_put(bio);
 */
export function bio_alloc_clone<D extends Dir>(
  bdev: BlockDevice,
  bio: FreshBioFor<D>,
): OwnedBorrowingBio<D> {
  const called = "bio_alloc_clone()";
  const state = bio_state(bio, called);
  state.assert_phase(called, "fresh");
  const disk = bdev_state(bdev, called);
  state.assert_machine(disk.machine, called);
  return to_borrowing_bio(clone(state, disk, state.size));
}
/** The front of a bio as a bio of its own; the bio begins after it from now on. */
export function split_front(bio: BioState, sectors: number): BioState {
  const bytes = sectors * SECTOR_SIZE;
  const front = clone(bio, bio.bdev, bytes);
  bio.sector += sectors;
  bio.size -= bytes;
  bio.skip += bytes;
  if (bio.machine.tracers !== null) trace_split(bio, front);
  return front;
}
/**
 * Divides a bio: what is returned transfers the first sectors, the bio the rest.  Models bio_split().  The caller owns the
 * front, as of bio_alloc(); the pages stay the bio's, which alone releases them.
 *
 * @param sectors - 1 and more, fewer than the bio has
 * @returns EINVAL for another number; nothing changed then
 * @example
 * const bio = bio_alloc(disk, 1, "REQ_OP_WRITE");
 * bio_add_page(bio, ZERO_PAGE(current), 4096, 0);
 * const front = bio_split(bio, 3);
 * if (IS_ERR(front)) return front;
 * bio_chain(front, bio); // bio ends when both are done
 * submit_bio(front);
 * submit_bio_wait(bio, current);
 * bio_put(bio);
 */
export function bio_split<D extends Dir>(
  bio: FreshBioFor<D>,
  sectors: number,
): OwnedBorrowingBio<D> | Errno<"EINVAL"> {
  const called = "bio_split()";
  const state = bio_state(bio, called);
  state.assert_phase(called, "fresh");
  const all = state.size / SECTOR_SIZE;
  if (!Number.isInteger(sectors) || sectors < 1 || sectors >= all) {
    return ERR_PTR("EINVAL", `cannot divide ${all} sectors after ${sectors}`);
  }
  return to_borrowing_bio(split_front(state, sectors));
}
export function chain(state: BioState, onto: BioState): void {
  state.parent = onto;
  onto.remaining++;
}
/**
 * Makes a bio end not before another one has: `parent` ends when both are done, with the first error of either.  Models
 * bio_chain().  The bio has no end_io of its own; it is put when it ends, so that it cannot be one with pins: nobody would
 * release them.
 */
export function bio_chain(bio: FreshBio<"plain pages" | "borrowed pages">, parent: HeldBio): void {
  const called = "bio_chain()";
  const [state, onto] = [bio_state(bio, called), bio_state(parent, called)];
  state.assert_phase(called, "fresh");
  onto.assert_phase(called, "fresh");
  onto.assert_machine(state.machine, called);
  if (state.holds !== "plain pages" && state.holds !== "borrowed pages") {
    throw_misuse("bio-put-with-pins", called, state.describe(), state.evidence(), state.machine);
  }
  for (let above: BioState | null = onto; above; above = above.parent) {
    if (above === state) throw_misuse("bio-reused", called, `${state.describe()}, its own parent`);
  }
  if (state.parent || state.end_io) {
    throw_misuse("bio-reused", called, `${state.describe()}, which has an end already`);
  }
  chain(state, onto);
}
