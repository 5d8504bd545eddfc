/**
 * How the life of a bio ends.
 *
 * 1. A bio that was handed over is spent.
 * 2. A pinned bio is put only after its pages were released, once, on every path.
 * 3. end_io gets the bio of its own kind, in softirq context; what it does there must not sleep.
 */
import { expectAssignable, expectNotAssignable, expectType } from "tsd";
import {
  bio_add_user_bvec,
  bio_add_user_bvecs,
  bio_alloc,
  bio_alloc_pinned,
  bio_check_pages_dirty,
  bio_error,
  bio_for_each_segment_all,
  bio_put,
  bio_release_pages,
  bio_set_end_io,
  bio_set_pages_dirty,
  get_user_bvec,
  IS_ERR,
  ITER_DEST,
  pop_user_bvec,
  put_page,
  put_user_bvec,
  put_user_page,
  submit_bio,
  submit_bio_wait,
  type BlkError,
  type BlockDevice,
  type EmptiedBio,
  type EndedBio,
  type HeldBio,
  type LentUserPage,
  type OwnedPinnedBio,
  type OwnedPlainBio,
  type PinnedBio,
  type PinnedBvecList,
  type PlainBio,
  type SoftirqContext,
  type SpentBio,
  type SpentBioRef,
  type Task,
  type UserAddr,
} from "user-page";

declare function perhaps(): boolean;
declare const bdev: BlockDevice;
declare function end_pinned(bio: EndedBio<"pinned user pages">, softirq: SoftirqContext): void;

// --- 1. handed over ---------------------------------------------------------------------------------------
export function submitted_once(bio: PlainBio) {
  submit_bio(bio);
  // @ts-expect-error the device has it
  submit_bio(bio);
}
export function nothing_is_added_after(bvecs: PinnedBvecList<"dest">) {
  const bio = bio_alloc_pinned(bdev, 1, "REQ_OP_READ");
  submit_bio(bio);
  expectType<SpentBio<"submitted by submit_bio()">>(bio);
  // @ts-expect-error the device has it
  bio_add_user_bvecs(bio, bvecs);
}
export function nor_end_io_set() {
  const bio = bio_alloc_pinned(bdev, 1, "REQ_OP_READ");
  submit_bio(bio);
  // @ts-expect-error the device has it
  bio_set_end_io(bio, end_pinned);
}
export function submitted_in_an_earlier_round(bvecs: PinnedBvecList<"source">) {
  let bio: PinnedBio<"source"> | null = null;
  for (let bvec = pop_user_bvec(bvecs); bvec; bvec = pop_user_bvec(bvecs)) {
    bio ??= bio_alloc_pinned(bdev, 256, "REQ_OP_WRITE");
    // @ts-expect-error submitted below, and not replaced
    if (bio_add_user_bvec(bio, bvec)) continue;
    // @ts-expect-error the same
    submit_bio(bio);
    put_user_bvec(bvec);
  }
}
export function perhaps_submitted() {
  const bio = bio_alloc(bdev, 1, "REQ_OP_READ");
  if (perhaps()) submit_bio(bio);
  // @ts-expect-error
  submit_bio(bio);
}
export function put_is_not_submitted(bio: PlainBio) {
  bio_put(bio);
  // @ts-expect-error
  submit_bio(bio);
}

// --- 2. released before put -------------------------------------------------------------------------------
export function released_then_put(bio: PinnedBio<"dest">, current: Task) {
  const error = submit_bio_wait(bio, current);
  expectType<BlkError | null>(error);
  bio_release_pages(bio, error === null, current);
  expectAssignable<EmptiedBio>(bio);
  bio_put(bio);
}
export function a_plain_bio_is_just_put(bio: PlainBio) {
  bio_put(bio);
}
export function put_with_pins_is_a_leak(bio: PinnedBio) {
  // @ts-expect-error
  bio_put(bio);
}
export function released_on_one_path_is_a_leak(bio: PinnedBio<"dest">, current: Task) {
  if (!submit_bio_wait(bio, current)) bio_release_pages(bio, true, current);
  // @ts-expect-error on the error path its pages are pinned still
  bio_put(bio);
}
export function released_twice(bio: PinnedBio<"dest">) {
  bio_release_pages(bio, false);
  // @ts-expect-error
  bio_release_pages(bio, false);
}
export function perhaps_released_twice(current: Task) {
  const bio = bio_alloc_pinned(bdev, 1, "REQ_OP_READ");
  if (submit_bio_wait(bio, current)) bio_release_pages(bio, false);
  // @ts-expect-error
  bio_release_pages(bio, true, current);
}
export function perhaps_put_twice() {
  const bio = bio_alloc_pinned(bdev, 1, "REQ_OP_READ");
  bio_release_pages(bio, false);
  if (perhaps()) bio_put(bio);
  // @ts-expect-error put on one of the two
  bio_put(bio);
}
export function put_in_an_earlier_round() {
  const bio = bio_alloc_pinned(bdev, 1, "REQ_OP_READ");
  bio_release_pages(bio, false);
  // @ts-expect-error the first round put it
  while (perhaps()) bio_put(bio);
}
export function plain_pages_are_not_unpinned(bio: PlainBio) {
  // @ts-expect-error
  bio_release_pages(bio, false);
}
export function an_emptied_bio_is_not_submitted() {
  const bio = bio_alloc_pinned(bdev, 1, "REQ_OP_READ");
  bio_release_pages(bio, false);
  // @ts-expect-error
  submit_bio(bio);
}

// --- 3. end_io --------------------------------------------------------------------------------------------
export function end_io_releases_and_puts(bio: PinnedBio) {
  bio_set_end_io(bio, (ended) => {
    if (!bio_error(ended)) perhaps();
    bio_release_pages(ended, false);
    bio_put(ended);
  });
}
export function end_io_does_not_dirty(bio: PinnedBio) {
  bio_set_end_io(bio, (ended, softirq) => {
    // @ts-expect-error dirtying sleeps
    bio_release_pages(ended, true, softirq);
  });
}
export function nor_without_a_context(bio: PinnedBio) {
  bio_set_end_io(bio, (ended) => {
    // @ts-expect-error which context?
    bio_release_pages(ended, true);
  });
}
export function end_io_does_not_leak(bio: PinnedBio) {
  bio_set_end_io(bio, (ended) => {
    // @ts-expect-error
    bio_put(ended);
  });
}
export function checked_is_taken(bio: PinnedBio) {
  bio_set_end_io(bio, (ended) => {
    bio_check_pages_dirty(ended);
    // @ts-expect-error taken, and put later
    bio_put(ended);
  });
}
export function end_io_is_of_the_bios_kind(bio: PlainBio) {
  // @ts-expect-error the other kind
  bio_set_end_io(bio, end_pinned);
}
export function an_ended_bio_is_not_filled(bio: PinnedBio<"dest">, bvecs: PinnedBvecList<"dest">) {
  bio_set_end_io(bio, (ended) => {
    // @ts-expect-error it came back
    bio_add_user_bvecs(ended, bvecs);
  });
}
export function only_an_ended_bio_has_an_error(bio: PinnedBio) {
  // @ts-expect-error not back yet
  bio_error(bio);
}
export function segments_of_a_pinned_bio_are_lent(ended: EndedBio<"pinned user pages">) {
  for (const { page } of bio_for_each_segment_all(ended)) {
    expectType<LentUserPage>(page);
    // @ts-expect-error the bio releases its pages
    put_user_page(page);
  }
}
export function old_end_io_does_not_put_pins(ended: EndedBio<"pinned user pages">) {
  for (const { page } of bio_for_each_segment_all(ended)) {
    // @ts-expect-error put_page() on a pin
    put_page(page);
  }
}
export function segments_of_a_plain_bio_are_end_ios(ended: EndedBio<"plain pages">) {
  for (const { page } of bio_for_each_segment_all(ended)) put_page(page);
  bio_put(ended);
}

// --- names ------------------------------------------------------------------------------------------------
export function spent_shapes_fit_the_live_ones(
  spent: SpentBio<"x">,
  spent_ref: SpentBioRef<"x">,
  emptied: EmptiedBio,
) {
  expectAssignable<OwnedPlainBio>(spent);
  expectAssignable<OwnedPinnedBio<"dest">>(spent);
  expectAssignable<OwnedPinnedBio<"source">>(spent);
  expectAssignable<PlainBio>(spent_ref);
  expectAssignable<PinnedBio<"dest">>(spent_ref);
  expectAssignable<EndedBio<"plain pages">>(spent_ref);
  expectAssignable<EndedBio<"pinned user pages">>(spent_ref);
  expectNotAssignable<HeldBio>(spent);
  expectNotAssignable<HeldBio>(spent_ref);
  expectNotAssignable<HeldBio>(emptied);
}
export function dest_by_name(current: Task, addr: UserAddr) {
  const bvecs = get_user_bvec(current, addr, 4096, ITER_DEST);
  if (IS_ERR(bvecs)) return;
  const bio = bio_alloc_pinned(bdev, 1, "REQ_OP_READ");
  bio_add_user_bvecs(bio, bvecs);
  put_user_bvec(bvecs);
  bio_set_pages_dirty(bio, current);
  bio_set_end_io(bio, end_pinned);
  submit_bio(bio);
}
