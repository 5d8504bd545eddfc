/**
 * Pinned extents: get_user_bvec() gives a list that owns the extents of a range.
 *
 * 1. One acquire, one put: a list is released whole, and so is an extent that was moved out of it.
 * 2. Iterating lends: a lent extent, and the page of any extent, can be used and not released.
 * 3. pop_user_bvec() moves an extent out; split_user_bvec() gives a second one.  Both are the caller's.
 * 4. 'dest' serves as 'source'; writing and dirtying take 'dest'.  A direction known at run time is asked: is_dest().
 * 5. A field for longer than the call takes 'longterm' extents only.
 */
import { expectAssignable, expectNotAssignable, expectType } from "tsd";
import {
  FOLL_LONGTERM,
  get_user_bvec,
  get_user_bvec_remote,
  IS_ERR,
  is_dest,
  ITER_DEST,
  ITER_SOURCE,
  memcpy_from_bvec,
  memcpy_from_page,
  memcpy_to_bvec,
  pop_user_bvec,
  put_page,
  put_user_bvec,
  put_user_bvec_dirty_lock,
  put_user_page,
  split_user_bvec,
  zero_user_bvec,
  type BorrowedBvec,
  type BorrowedBvecList,
  type Dir,
  type GupError,
  type HeldBvec,
  type HeldBvecOrList,
  type LentBvec,
  type LentUserPage,
  type LongtermBvec,
  type LongtermBvecList,
  type OwnedBvec,
  type OwnedBvecList,
  type PinnedBvec,
  type PinnedBvecList,
  type ProcessContext,
  type SoftirqContext,
  type Task,
  type UserAddr,
} from "user-page";

declare function perhaps(): boolean;
declare const bytes: Uint8Array;

// --- 1. one acquire, one put ------------------------------------------------------------------------------
export function acquired_and_put(current: Task, addr: UserAddr) {
  const bvecs = get_user_bvec(current, addr, 8192, ITER_SOURCE);
  expectType<OwnedBvecList<"source", "short"> | GupError>(bvecs);
  if (IS_ERR(bvecs)) return;
  put_user_bvec(bvecs);
}
export function an_error_is_not_put(current: Task, addr: UserAddr) {
  const bvecs = get_user_bvec(current, addr, 8192, ITER_SOURCE);
  // @ts-expect-error perhaps an error
  put_user_bvec(bvecs);
}
export function the_list_is_put_also_when_all_was_moved(bvecs: PinnedBvecList) {
  for (let bvec = pop_user_bvec(bvecs); bvec; bvec = pop_user_bvec(bvecs)) put_user_bvec(bvec);
  put_user_bvec(bvecs);
}
export function one_put_serves_both(either: PinnedBvec | PinnedBvecList) {
  put_user_bvec(either);
  // @ts-expect-error released
  put_user_bvec(either);
}
export function a_list_is_no_extent(bvec: OwnedBvec, bvecs: OwnedBvecList) {
  expectNotAssignable<BorrowedBvec>(bvecs);
  expectNotAssignable<BorrowedBvecList>(bvec);
  expectNotAssignable<readonly unknown[]>(bvecs);
  // @ts-expect-error a list has no index
  bvecs[0];
  // @ts-expect-error and no slice
  bvecs.slice(1);
}
export function sizes_are_read_only(bvec: PinnedBvec, bvecs: PinnedBvecList) {
  // @ts-expect-error
  bvec.len = 0;
  // @ts-expect-error
  bvecs.count = 0;
}
export function unknown_is_no_extent(value: unknown, look_alike: { offset: number; len: number }) {
  expectNotAssignable<HeldBvecOrList>(value);
  expectNotAssignable<HeldBvecOrList>(look_alike);
  expectNotAssignable<HeldBvecOrList>(null);
}

// --- 2. lent ----------------------------------------------------------------------------------------------
export function iterating_lends(bvecs: PinnedBvecList) {
  for (const bvec of bvecs) {
    expectType<LentBvec>(bvec);
    memcpy_from_bvec(bytes, bvec);
    memcpy_from_page(bytes, bvec.page, 0);
  }
}
export function a_lent_extent_is_not_put(bvecs: PinnedBvecList) {
  for (const bvec of bvecs) {
    // @ts-expect-error the list releases it
    put_user_bvec(bvec);
  }
}
export function a_lent_extent_is_not_split(bvecs: PinnedBvecList) {
  for (const bvec of bvecs) {
    // @ts-expect-error not ours to divide
    split_user_bvec(bvec, 4096);
  }
}
export function copying_the_list_copies_no_reference(bvecs: PinnedBvecList) {
  // @ts-expect-error lent extents
  const mine: PinnedBvec[] = [...bvecs];
  return mine;
}
export function the_page_of_an_extent_is_not_put(bvec: PinnedBvec) {
  // @ts-expect-error one reference for the whole run
  put_user_page(bvec.page);
}
export function nor_as_a_plain_page(bvec: PinnedBvec) {
  // @ts-expect-error one reference for the whole run
  put_page(bvec.page);
}
export function lent_fits_borrowers_only(lent: LentBvec, page: LentUserPage) {
  expectAssignable<BorrowedBvec>(lent);
  expectNotAssignable<PinnedBvec>(lent);
  expectNotAssignable<HeldBvec>(lent);
  expectNotAssignable<HeldBvecOrList>(lent);
  expectAssignable<LentUserPage>(page);
}
export function a_borrower_does_not_put(bvec: BorrowedBvec) {
  // @ts-expect-error lent to us
  put_user_bvec(bvec);
}
export function nor_a_list(bvecs: BorrowedBvecList) {
  // @ts-expect-error lent to us
  put_user_bvec(bvecs);
}
export function nor_takes_from_it(bvecs: BorrowedBvecList) {
  // @ts-expect-error lent to us
  pop_user_bvec(bvecs);
}

// --- 3. dividing ------------------------------------------------------------------------------------------
export function popped_is_the_callers(bvecs: PinnedBvecList<"dest">) {
  const bvec = pop_user_bvec(bvecs);
  expectType<OwnedBvec<"dest"> | null>(bvec);
  if (bvec) put_user_bvec(bvec);
  put_user_bvec(bvecs);
}
export function popped_may_be_null(bvecs: PinnedBvecList) {
  const bvec = pop_user_bvec(bvecs);
  // @ts-expect-error none was left
  put_user_bvec(bvec);
}
export function split_gives_a_second(bvec: OwnedBvec<"dest", "longterm">) {
  const rest = split_user_bvec(bvec, 4096);
  expectType<OwnedBvec<"dest", "longterm"> | GupError>(rest);
  if (!IS_ERR(rest)) put_user_bvec(rest);
  put_user_bvec(bvec);
}
export function split_may_fail(bvec: PinnedBvec) {
  const rest = split_user_bvec(bvec, 4096);
  // @ts-expect-error perhaps an error
  put_user_bvec(rest);
}
export function released_is_not_split(bvec: PinnedBvec) {
  put_user_bvec(bvec);
  // @ts-expect-error released
  split_user_bvec(bvec, 4096);
}
export function released_is_not_popped(bvecs: PinnedBvecList) {
  put_user_bvec(bvecs);
  // @ts-expect-error released
  pop_user_bvec(bvecs);
}

// --- 4. direction -----------------------------------------------------------------------------------------
export function what_was_read_is_not_written(bvec: PinnedBvec<"source">) {
  // @ts-expect-error
  memcpy_to_bvec(bvec, bytes);
}
export function nor_dirtied(bvecs: PinnedBvecList<"source">, current: Task) {
  // @ts-expect-error
  put_user_bvec_dirty_lock(bvecs, current);
}
export function nor_what_is_perhaps_read(bvecs: PinnedBvecList, current: Task) {
  // @ts-expect-error
  put_user_bvec_dirty_lock(bvecs, current);
}
export function dirtying_sleeps(bvecs: PinnedBvecList<"dest">, softirq: SoftirqContext) {
  // @ts-expect-error
  put_user_bvec_dirty_lock(bvecs, softirq);
}
export function dest_serves_as_source(bvec: OwnedBvec<"dest">, bvecs: OwnedBvecList<"dest">) {
  expectAssignable<PinnedBvec>(bvec);
  expectAssignable<PinnedBvecList>(bvecs);
  expectAssignable<BorrowedBvec>(bvec);
  memcpy_from_bvec(bytes, bvec);
  memcpy_to_bvec(bvec, bytes);
}
export function a_direction_known_at_run_time_is_asked(current: Task, addr: UserAddr, dir: Dir) {
  const bvecs = get_user_bvec(current, addr, 8192, dir);
  if (IS_ERR(bvecs)) return;
  if (is_dest(bvecs)) put_user_bvec_dirty_lock(bvecs, current);
  else put_user_bvec(bvecs);
  // @ts-expect-error released on both ways
  put_user_bvec(bvecs);
}
export function a_written_list_lends_written_extents(bvecs: PinnedBvecList<"dest">) {
  for (const bvec of bvecs) memcpy_to_bvec(bvec, bytes);
}
export function the_zero_extent_is_read_only(current: Task) {
  const zeroes = zero_user_bvec(current, 512);
  if (IS_ERR(zeroes)) return;
  // @ts-expect-error everybody's zeroes
  memcpy_to_bvec(zeroes, bytes);
  put_user_bvec(zeroes);
}

// --- 5. term ----------------------------------------------------------------------------------------------
export function a_registration_takes_longterm(current: Task, addr: UserAddr) {
  const region: { bvecs: LongtermBvecList<"dest"> | null } = { bvecs: null };
  const bvecs = get_user_bvec(current, addr, 8192, ITER_DEST, FOLL_LONGTERM);
  if (IS_ERR(bvecs)) return;
  region.bvecs = bvecs;
}
export function a_registration_refuses_short(current: Task, addr: UserAddr) {
  const region: { bvecs: LongtermBvecList<"dest"> | null } = { bvecs: null };
  const bvecs = get_user_bvec(current, addr, 8192, ITER_DEST);
  if (IS_ERR(bvecs)) return;
  // @ts-expect-error pinned for the length of a call
  region.bvecs = bvecs;
}
export function remote_pins_have_terms_too(kworker: ProcessContext, current: Task, addr: UserAddr) {
  const bvecs = get_user_bvec_remote(kworker, current.mm, addr, 1, ITER_DEST, FOLL_LONGTERM);
  expectType<OwnedBvecList<"dest", "longterm"> | GupError>(bvecs);
}
export function what_leaves_a_list_keeps_its_term(bvecs: LongtermBvecList) {
  const bvec = pop_user_bvec(bvecs);
  if (bvec) expectAssignable<LongtermBvec>(bvec);
  expectAssignable<PinnedBvecList>(bvecs);
}
