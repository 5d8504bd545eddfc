/**
 * Clones, and the parts of a bio: they hold nothing.
 *
 * A clone is not filled, walked or released, only submitted, chained and put.
 */
import { expectNotAssignable, expectType } from "tsd";
import {
  __bio_add_page,
  bio_add_page,
  bio_add_user_bvec,
  bio_add_user_bvecs,
  bio_add_user_page,
  bio_alloc_clone,
  bio_chain,
  bio_check_pages_dirty,
  bio_for_each_bvec_all,
  bio_for_each_segment_all,
  bio_put,
  bio_release_pages,
  bio_set_end_io,
  bio_set_end_io_pair,
  bio_split,
  bio_try_add_page,
  bio_try_add_user_bvec,
  bio_try_add_user_page,
  end_io_pair,
  IS_ERR,
  submit_bio,
  type AnyBio,
  type BlockDevice,
  type BorrowingBio,
  type EndedBio,
  type Errno,
  type OwnedBorrowingBio,
  type OwnPages,
  type Page,
  type PinnedBio,
  type PinnedBvec,
  type PinnedBvecList,
  type PlainBio,
  type UserPage,
} from "user-page";

declare const bdev: BlockDevice;

export function a_clone_has_the_direction_of_its_bio(bio: PinnedBio<"dest">, plain: PlainBio) {
  expectType<OwnedBorrowingBio<"dest">>(bio_alloc_clone(bdev, bio));
  expectType<OwnedBorrowingBio>(bio_alloc_clone(bdev, plain));
  expectType<OwnedBorrowingBio<"dest"> | Errno<"EINVAL">>(bio_split(bio, 1));
}
export function a_clone_takes_no_page(clone: BorrowingBio, page: Page) {
  // @ts-expect-error its pages are another bio's
  bio_add_page(clone, page, 512, 0);
}
export function nor_without_merging(clone: BorrowingBio, page: Page) {
  // @ts-expect-error
  __bio_add_page(clone, page, 512, 0);
}
export function nor_a_pin(clone: BorrowingBio<"dest">, pin: UserPage<"dest">) {
  // @ts-expect-error
  return bio_add_user_page(clone, pin, 512, 0);
}
export function nor_an_extent(clone: BorrowingBio<"dest">, bvec: PinnedBvec<"dest">) {
  // @ts-expect-error
  return bio_add_user_bvec(clone, bvec);
}
export function nor_a_list(clone: BorrowingBio<"dest">, bvecs: PinnedBvecList<"dest">) {
  // @ts-expect-error
  return bio_add_user_bvecs(clone, bvecs);
}
export function nor_on_trial(clone: BorrowingBio, page: Page) {
  // @ts-expect-error
  bio_try_add_page(clone, page, 512, 0);
}
export function nor_a_pin_on_trial(clone: BorrowingBio<"dest">, pin: UserPage<"dest">) {
  // @ts-expect-error
  return bio_try_add_user_page(clone, pin, 512, 0);
}
export function nor_an_extent_on_trial(clone: BorrowingBio<"dest">, bvec: PinnedBvec<"dest">) {
  // @ts-expect-error
  return bio_try_add_user_bvec(clone, bvec);
}
export function a_clone_releases_nothing(clone: BorrowingBio) {
  // @ts-expect-error the original does
  bio_release_pages(clone, false);
}
export function nor_in_end_io(clone: EndedBio<"borrowed pages">) {
  // @ts-expect-error
  bio_check_pages_dirty(clone);
}
export function a_clone_is_not_walked(clone: BorrowingBio) {
  // @ts-expect-error
  bio_for_each_segment_all(clone);
}
export function nor_by_segments(clone: BorrowingBio) {
  // @ts-expect-error
  bio_for_each_bvec_all(clone);
}
export function a_clone_takes_no_pair(clone: BorrowingBio) {
  const pair = end_io_pair(() => undefined);
  // @ts-expect-error neither of the two fits it
  bio_set_end_io_pair(clone, pair);
}
export function a_clone_is_just_put(clone: BorrowingBio) {
  bio_put(clone);
  // @ts-expect-error put
  submit_bio(clone);
}
export function an_ended_clone_is_put(clone: BorrowingBio) {
  bio_set_end_io(clone, (ended) => bio_put(ended));
}
export function a_plain_one_is_chained_too(plain: PlainBio, parent: PlainBio) {
  bio_chain(plain, parent);
}
export function a_pinned_one_is_not(pinned: PinnedBio, parent: PlainBio) {
  // @ts-expect-error nobody would release its pins
  bio_chain(pinned, parent);
}
export function nor_one_that_may_be(bio: AnyBio, parent: PlainBio) {
  // @ts-expect-error
  bio_chain(bio, parent);
}
export function a_clone_may_be_chained_to_any(
  clone: BorrowingBio,
  onto: BorrowingBio,
  bio: PinnedBio,
) {
  bio_chain(clone, onto);
  bio_chain(onto, bio);
}
export function what_was_submitted_is_not_chained(clone: BorrowingBio, bio: PinnedBio) {
  submit_bio(clone);
  // @ts-expect-error the device has it
  bio_chain(clone, bio);
}
export function nor_chained_to(clone: BorrowingBio, bio: PinnedBio) {
  submit_bio(bio);
  // @ts-expect-error perhaps it ended
  bio_chain(clone, bio);
}
export function nor_cloned(bio: PinnedBio) {
  submit_bio(bio);
  // @ts-expect-error
  bio_alloc_clone(bdev, bio);
}
export function nor_split(bio: PinnedBio) {
  submit_bio(bio);
  // @ts-expect-error
  bio_split(bio, 1);
}
export function an_emptied_bio_is_not_cloned(bio: PinnedBio) {
  bio_release_pages(bio, false);
  // @ts-expect-error
  bio_alloc_clone(bdev, bio);
}
export function a_front_may_be_missing(bio: PinnedBio) {
  const front = bio_split(bio, 1);
  // @ts-expect-error perhaps EINVAL
  bio_chain(front, bio);
}
export function a_front_that_is_there(bio: PinnedBio) {
  const front = bio_split(bio, 1);
  if (IS_ERR(front)) return;
  bio_chain(front, bio);
  submit_bio(front);
}
export function clones_are_no_own_pages(clone: OwnedBorrowingBio) {
  expectNotAssignable<PlainBio>(clone);
  expectNotAssignable<PinnedBio>(clone);
  expectNotAssignable<OwnPages>("borrowed pages" as const);
}
