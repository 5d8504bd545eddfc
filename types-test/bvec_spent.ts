/**
 * Released extents and lists: spent with their pages, whichever way they were reached.  What is perhaps spent counts as
 * spent.  One spent shape fits both, so one release serves both.
 */
import { expectAssignable, expectNotAssignable, expectType } from "tsd";
import {
  get_user_bvec,
  IS_ERR,
  is_dest,
  ITER_SOURCE,
  memcpy_from_bvec,
  memcpy_from_page,
  put_user_bvec,
  type BorrowedBvec,
  type BorrowedBvecList,
  type HeldBvec,
  type HeldBvecList,
  type LongtermBvecList,
  type OwnedBvec,
  type OwnedBvecList,
  type PinnedBvec,
  type PinnedBvecList,
  type ProcessContext,
  type ReleasesBvec,
  type SpentBvec,
  type SpentBvecRef,
  type Task,
  type UserAddr,
} from "user-page";

declare function perhaps(): boolean;
declare const bytes: Uint8Array;
type Put = "released by put_user_bvec()";

// --- spent ---------------------------------------------------------------------------------------------
export function released_is_not_used(current: Task, addr: UserAddr) {
  const bvecs = get_user_bvec(current, addr, 8192, ITER_SOURCE);
  if (IS_ERR(bvecs)) return;
  put_user_bvec(bvecs);
  // @ts-expect-error
  for (const bvec of bvecs) memcpy_from_bvec(bytes, bvec);
  // @ts-expect-error
  is_dest(bvecs);
  expectNotAssignable<PinnedBvecList>(bvecs);
  expectNotAssignable<BorrowedBvecList>(bvecs);
}
export function the_page_of_a_released_extent_is_spent(bvec: PinnedBvec) {
  put_user_bvec(bvec);
  // @ts-expect-error
  memcpy_from_page(bytes, bvec.page, 0);
}
export function released_in_every_round(current: Task, addr: UserAddr) {
  const bvecs = get_user_bvec(current, addr, 8192, ITER_SOURCE);
  if (IS_ERR(bvecs)) return;
  // @ts-expect-error released in the round before
  while (perhaps()) put_user_bvec(bvecs);
}
export function perhaps_released(current: Task, addr: UserAddr) {
  const bvecs = get_user_bvec(current, addr, 8192, ITER_SOURCE);
  if (IS_ERR(bvecs)) return;
  if (perhaps()) put_user_bvec(bvecs);
  // @ts-expect-error perhaps released
  put_user_bvec(bvecs);
}
export function a_field_is_emptied_first(region: { bvecs: PinnedBvecList | null }) {
  const { bvecs } = region;
  region.bvecs = null;
  if (!bvecs) return;
  if (perhaps()) put_user_bvec(bvecs);
  // @ts-expect-error perhaps released
  put_user_bvec(bvecs);
}
export function a_released_field_is_spent(region: { bvecs: PinnedBvecList | null }) {
  if (!region.bvecs) return;
  put_user_bvec(region.bvecs);
  // @ts-expect-error released, and still in the field
  put_user_bvec(region.bvecs);
}
export function released_goes_into_no_table(
  current: Task,
  addr: UserAddr,
  table: PinnedBvecList[],
) {
  const bvecs = get_user_bvec(current, addr, 8192, ITER_SOURCE);
  if (IS_ERR(bvecs)) return;
  put_user_bvec(bvecs);
  // @ts-expect-error
  table.push(bvecs);
}
export const mr_free: ReleasesBvec<"mr_free()", [current: ProcessContext]> = (bvecs, current) => {
  void current;
  put_user_bvec(bvecs);
};
export function users_own_release_spends(current: Task, bvecs: PinnedBvecList) {
  mr_free(bvecs, current);
  // @ts-expect-error released by mr_free()
  put_user_bvec(bvecs);
}
export function using_releases_what_is_left(current: Task, addr: UserAddr) {
  using bvecs = get_user_bvec(current, addr, 8192, ITER_SOURCE);
  if (IS_ERR(bvecs)) return bvecs;
  return bvecs.count;
}
export function released_early_in_its_scope(current: Task, addr: UserAddr) {
  using bvecs = get_user_bvec(current, addr, 8192, ITER_SOURCE);
  if (IS_ERR(bvecs)) return;
  put_user_bvec(bvecs);
  // @ts-expect-error released
  for (const bvec of bvecs) memcpy_from_bvec(bytes, bvec);
}

// --- names ------------------------------------------------------------------------------------------------
/** One spent shape fits extents and lists, so one release serves both and the name is kept. */
export function spent_shapes_fit_the_live_ones(
  spent: SpentBvec<"x">,
  spent_ref: SpentBvecRef<"x">,
) {
  expectAssignable<OwnedBvec<"source", "short">>(spent);
  expectAssignable<OwnedBvec<"dest", "longterm">>(spent);
  expectAssignable<OwnedBvecList<"source", "short">>(spent);
  expectAssignable<PinnedBvec<"dest">>(spent_ref);
  expectAssignable<PinnedBvecList<"source">>(spent_ref);
  expectAssignable<LongtermBvecList<"dest">>(spent_ref);
  expectNotAssignable<HeldBvec>(spent);
  expectNotAssignable<HeldBvecList>(spent_ref);
  expectNotAssignable<BorrowedBvec>(spent_ref);
}
export function a_spent_variable_has_its_name(current: Task, addr: UserAddr) {
  const bvecs = get_user_bvec(current, addr, 8192, ITER_SOURCE);
  if (IS_ERR(bvecs)) return;
  put_user_bvec(bvecs);
  expectType<SpentBvec<Put>>(bvecs);
}
export function a_spent_parameter_has_its_name(bvec: PinnedBvec, bvecs: PinnedBvecList<"dest">) {
  put_user_bvec(bvec);
  expectType<SpentBvecRef<Put>>(bvec);
  put_user_bvec(bvecs);
  expectType<SpentBvecRef<Put>>(bvecs);
}
