/**
 * Bios of either kind, and what ends them.
 *
 * 1. A bio of either kind takes pages by the functions that may refuse them, and is asked before it is released.
 * 2. A completion is of the kind of its bio; that of either kind gets a union, which must be divided.
 */
import { expectAssignable, expectType } from "tsd";
import {
  bio_add_page,
  bio_add_user_page,
  bio_alloc_any,
  bio_alloc_pinned,
  bio_for_each_bvec_all,
  bio_for_each_segment_all,
  bio_is_pinned,
  bio_put,
  bio_release_pages,
  bio_set_end_io,
  bio_set_end_io_pair,
  bio_try_add_page,
  bio_try_add_user_bvec,
  bio_try_add_user_page,
  end_io_pair,
  put_page,
  put_user_bvec,
  put_user_page,
  submit_bio,
  type BlockDevice,
  type EndedBio,
  type LentUserPage,
  type OwnedAnyBio,
  type OwnedPinnedBio,
  type Page,
  type PinnedBio,
  type PinnedBvec,
  type PlainBio,
  type SpentBvec,
  type SpentUserPageRef,
  type UserPage,
} from "user-page";

declare const bdev: BlockDevice;

// --- 1. either kind ---------------------------------------------------------------------------------------
export function either_kind_takes_nothing_for_sure(page: Page) {
  const bio = bio_alloc_any(bdev, 1, "REQ_OP_READ");
  expectType<OwnedAnyBio<"dest">>(bio);
  // @ts-expect-error which kind?
  bio_add_page(bio, page, 512, 0);
}
export function nor_pins_for_sure(pin: UserPage<"dest">) {
  const bio = bio_alloc_any(bdev, 1, "REQ_OP_READ");
  // @ts-expect-error
  return bio_add_user_page(bio, pin, 512, 0);
}
export function a_spent_one_is_not_asked() {
  const bio = bio_alloc_any(bdev, 1, "REQ_OP_READ");
  submit_bio(bio);
  // @ts-expect-error it is the device's
  return bio_is_pinned(bio);
}
export function one_type_for_both_kinds_is_divided_too(
  bio: EndedBio<"plain pages" | "pinned user pages">,
) {
  if (!bio_is_pinned(bio)) return;
  // @ts-expect-error its pins first
  bio_put(bio);
}
export const so_is_the_one_of_a_pair = end_io_pair((bio) => {
  // @ts-expect-error the pair releases, after what both have in common
  if (bio_is_pinned(bio)) bio_release_pages(bio, false);
  // @ts-expect-error
  bio_put(bio);
});
export function what_came_back_is_not_sent_again(bio: PinnedBio, plain: PlainBio) {
  bio_set_end_io(bio, (ended) => {
    // @ts-expect-error start another one
    const again: PinnedBio = ended;
    submit_bio(again);
  });
  bio_set_end_io(plain, (ended) => {
    // @ts-expect-error
    const again: PlainBio = ended;
    submit_bio(again);
  });
}
export function either_kind_is_not_just_put() {
  const bio = bio_alloc_any(bdev, 1, "REQ_OP_READ");
  // @ts-expect-error perhaps it has pins
  bio_put(bio);
}
export function nor_just_released() {
  const bio = bio_alloc_any(bdev, 1, "REQ_OP_READ");
  // @ts-expect-error perhaps it has plain pages
  bio_release_pages(bio, false);
}
export function asked_it_may_be() {
  const bio = bio_alloc_any(bdev, 1, "REQ_OP_READ");
  if (bio_is_pinned(bio)) bio_release_pages(bio, false);
  bio_put(bio);
}
export function refused_it_is_still_mine(bio: OwnedAnyBio<"dest">, pin: UserPage<"dest">) {
  if (!bio_try_add_user_page(bio, pin, 512, 0)) put_user_page(pin);
}
export function taken_it_is_spent(bio: OwnedAnyBio<"dest">, pin: UserPage<"dest">) {
  if (!bio_try_add_user_page(bio, pin, 512, 0)) return;
  expectType<SpentUserPageRef<"moved into bio by bio_try_add_user_page()">>(pin);
  // @ts-expect-error the bio has it
  put_user_page(pin);
}
export function a_taken_extent_is_spent(bio: OwnedAnyBio<"dest">, bvec: PinnedBvec<"dest">) {
  if (!bio_try_add_user_bvec(bio, bvec)) return put_user_bvec(bvec);
  expectAssignable<SpentBvec<"moved into bio by bio_try_add_user_bvec()">>(bvec);
  // @ts-expect-error the bio has it
  put_user_bvec(bvec);
}
export function a_spent_page_is_not_tried(bio: OwnedAnyBio<"dest">, pin: UserPage<"dest">) {
  put_user_page(pin);
  // @ts-expect-error
  return bio_try_add_user_page(bio, pin, 512, 0);
}
export function nor_a_spent_plain_one(bio: OwnedAnyBio, page: Page) {
  put_page(page);
  // @ts-expect-error
  bio_try_add_page(bio, page, 512, 0);
}
export function a_page_is_no_pin(bio: OwnedAnyBio<"source">, page: Page) {
  // @ts-expect-error the bio would unpin it
  return bio_try_add_user_page(bio, page, 512, 0);
}
export function a_pin_is_no_page(bio: OwnedAnyBio, pin: UserPage) {
  // @ts-expect-error nobody would unpin it
  bio_try_add_page(bio, pin, 512, 0);
}
export function a_read_takes_no_source(bio: OwnedAnyBio<"dest">, pin: UserPage<"source">) {
  // @ts-expect-error the device would write into a page pinned to be read
  return bio_try_add_user_page(bio, pin, 512, 0);
}
export function nor_a_source_extent(bio: OwnedAnyBio<"dest">, bvec: PinnedBvec<"source">) {
  // @ts-expect-error
  return bio_try_add_user_bvec(bio, bvec);
}
export function nor_one_of_unknown_direction(bio: OwnedAnyBio, pin: UserPage<"source">) {
  // @ts-expect-error perhaps it reads
  return bio_try_add_user_page(bio, pin, 512, 0);
}
export function a_write_takes_both(bio: OwnedAnyBio<"source">, pin: UserPage<"source">) {
  return bio_try_add_user_page(bio, pin, 512, 0);
}
export function nothing_is_tried_on_a_submitted_bio(page: Page) {
  const bio = bio_alloc_any(bdev, 1, "REQ_OP_READ");
  submit_bio(bio);
  // @ts-expect-error the device has it
  bio_try_add_page(bio, page, 512, 0);
}

// --- 2. completions ---------------------------------------------------------------------------------------
export function end_io_of_either_kind_is_a_union(
  ended: EndedBio<"plain pages"> | EndedBio<"pinned user pages">,
) {
  // @ts-expect-error perhaps it has pins
  bio_put(ended);
}
export function divided_it_is_released(
  ended: EndedBio<"plain pages"> | EndedBio<"pinned user pages">,
) {
  if (bio_is_pinned(ended)) bio_release_pages(ended, false);
  bio_put(ended);
}
export function the_pair_does_not_fit_the_other_kind(plain: PlainBio, pinned: PinnedBio) {
  const { normal, user_page } = end_io_pair(() => undefined);
  bio_set_end_io(plain, normal);
  bio_set_end_io(pinned, user_page);
  // @ts-expect-error it would unpin plain pages
  bio_set_end_io(plain, user_page);
}
export function nor_the_plain_one_to_pins(pinned: PinnedBio) {
  const { normal } = end_io_pair(() => undefined);
  // @ts-expect-error it would put what is pinned
  bio_set_end_io(pinned, normal);
}
export function the_common_part_releases_nothing() {
  return end_io_pair((bio) => {
    // @ts-expect-error perhaps it has plain pages
    bio_release_pages(bio, false);
  });
}
export function nor_puts() {
  return end_io_pair((bio) => {
    // @ts-expect-error
    bio_put(bio);
  });
}
export function a_pair_is_for_both(plain: PlainBio, pinned: PinnedBio, any: OwnedAnyBio) {
  const pair = end_io_pair(() => undefined, put_page);
  bio_set_end_io_pair(plain, pair);
  bio_set_end_io_pair(pinned, pair);
  bio_set_end_io_pair(any, pair);
}
export function segments_are_lent(bio: OwnedPinnedBio) {
  for (const { page } of bio_for_each_bvec_all(bio)) {
    expectType<LentUserPage>(page);
    // @ts-expect-error the bio releases it
    put_user_page(page);
  }
}
export function an_emptied_bio_is_not_walked() {
  const bio = bio_alloc_pinned(bdev, 1, "REQ_OP_READ");
  bio_release_pages(bio, false);
  // @ts-expect-error its pages are gone
  bio_for_each_segment_all(bio);
}
