/**
 * Bios whose kind is not known where they are filled, and Jan Kara's protocol for them: what does not belong into the bio
 * is answered like a full one, submit it and start another (ours; seed of 2018).
 */

import type { DirOf, Op, OwnBioFor, OwnedAnyBio, OwnPages } from "../handle/bio.js";
import type { BlockDevice, TryAddUserBvec, TryAddUserPage } from "../handle/bio.js";
import type { BvecPinnedFor, SpentBvec } from "../handle/bvec.js";
import { to_any_bio } from "../handle/cast.js";
import type { By } from "../handle/kinds.js";
import type { BorrowedPage, Dir, SpentUserPage, UserPagePinnedFor } from "../handle/page.js";
import { add_extent, add_pin, add_plain, alloc_state } from "./bio.js";
import { bio_state, type BioState } from "./bio_state.js";

/**
 * Makes a bio whose first page decides what it holds (ours).  The caller owns it, as of bio_alloc().
 *
 * @param nr_vecs - segments it has room for, 1 to 256; a RangeError otherwise
 * @param sector - where on the disk, in units of 512 bytes
 * @example
 * const bio = bio_alloc_any(disk, 4, "REQ_OP_WRITE");
 * bio_try_add_page(bio, ZERO_PAGE(current), 512, 0); // plain from now on
 * submit_bio_wait(bio, current);
 * if (bio_is_pinned(bio)) bio_release_pages(bio, false);
 * bio_put(bio);
 */
export function bio_alloc_any<O extends Op>(
  bdev: BlockDevice,
  nr_vecs: number,
  opf: O,
  sector = 0,
): OwnedAnyBio<DirOf[O]> {
  return to_any_bio(alloc_state(bdev, null, nr_vecs, opf, sector));
}
/** The bio, if it holds this kind or nothing yet; null if it holds the other. */
function of_kind(bio: object, holds: OwnPages, called: string): BioState | null {
  const state = bio_state(bio, called);
  state.assert_phase(called, "fresh");
  return state.holds === null || state.holds === holds ? state : null;
}
/**
 * Adds a plain page to a bio that may hold either kind (ours).  No reference is taken, as by bio_add_page().
 *
 * @param len - bytes, inside the page; a RangeError otherwise
 * @returns len; 0 when the bio is full or holds pinned pages: submit it and start another
 */
export function bio_try_add_page(
  bio: OwnBioFor<Dir>,
  page: BorrowedPage,
  len: number,
  offset: number,
): number {
  const called = "bio_try_add_page()";
  const state = of_kind(bio, "plain pages", called);
  const added = state ? add_plain(state, page, len, offset, called) : 0;
  if (state && added > 0) state.holds = "plain pages";
  return added;
}
/**
 * Moves a pinned page into a bio that may hold either kind (ours).
 *
 * @param len - bytes, inside the page; a RangeError otherwise
 * @returns true: moved, the handle is spent.  false: the bio is full or holds plain pages, and the page is still yours
 */
export const bio_try_add_user_page: TryAddUserPage<{
  is: SpentUserPage<By<"bio_try_add_user_page">>;
}> = ((bio: object, page: UserPagePinnedFor<Dir>, len: number, offset: number): boolean => {
  const called = "bio_try_add_user_page()";
  const state = of_kind(bio, "pinned user pages", called);
  if (!state || !add_pin(state, page, len, offset, called)) return false;
  state.holds = "pinned user pages";
  return true;
}) as TryAddUserPage<{ is: SpentUserPage<By<"bio_try_add_user_page">> }>;
/**
 * Moves an extent into a bio that may hold either kind (ours).
 *
 * @returns true: moved, the handle is spent.  false: the bio is full or holds plain pages, and the extent is still yours
 */
export const bio_try_add_user_bvec: TryAddUserBvec<{
  is: SpentBvec<By<"bio_try_add_user_bvec">>;
}> = ((bio: object, bvec: BvecPinnedFor<Dir>): boolean => {
  const by = "bio_try_add_user_bvec";
  const state = of_kind(bio, "pinned user pages", `${by}()`);
  if (!state || !add_extent(state, bvec, by)) return false;
  state.holds = "pinned user pages";
  return true;
}) as TryAddUserBvec<{ is: SpentBvec<By<"bio_try_add_user_bvec">> }>;
