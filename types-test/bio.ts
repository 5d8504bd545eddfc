/**
 * Filling a bio.
 *
 * 1. A bio is for plain pages or for pinned ones from its allocation on, and takes no other.
 * 2. A READ writes into the pages: it takes 'dest' pins only.  A WRITE takes both; an op known at run time, 'dest'.
 * 3. Adding a pin may find the bio full: moved where the answer is true, still the caller's where it is false.
 */
import { expectAssignable, expectNotAssignable, expectType } from "tsd";
import {
  bio_add_page,
  bio_add_user_bvec,
  bio_add_user_bvecs,
  bio_add_user_page,
  bio_alloc,
  bio_alloc_pinned,
  bio_is_pinned,
  bio_set_pages_dirty,
  brd_alloc,
  get_user_bvec,
  IS_ERR,
  ITER_SOURCE,
  page_to_user_page,
  pop_user_bvec,
  put_user_bvec,
  put_user_page,
  submit_bio,
  ZERO_PAGE,
  type AnyBio,
  type BioOf,
  type BioWithPins,
  type BlockDevice,
  type EndedBio,
  type FreshBio,
  type HeldBio,
  type Machine,
  type Op,
  type OwnedPinnedBio,
  type OwnedPlainBio,
  type Page,
  type PinnedBio,
  type PinnedBvec,
  type PinnedBvecList,
  type PlainBio,
  type SpentBvec,
  type SpentUserPageRef,
  type Task,
  type UserAddr,
  type UserPage,
} from "user-page";

declare function perhaps(): boolean;
declare const bdev: BlockDevice;

// --- 1. kinds ---------------------------------------------------------------------------------------------
export function allocated_as_one_kind() {
  expectType<OwnedPlainBio<"dest">>(bio_alloc(bdev, 1, "REQ_OP_READ"));
  expectType<OwnedPinnedBio<"dest">>(bio_alloc_pinned(bdev, 1, "REQ_OP_READ"));
  expectType<OwnedPinnedBio<"source">>(bio_alloc_pinned(bdev, 1, "REQ_OP_WRITE"));
}
export function a_pinned_bio_takes_no_plain_page(bio: PinnedBio, page: Page) {
  // @ts-expect-error its pages would all be unpinned
  bio_add_page(bio, page, 512, 0);
}
export function a_plain_bio_takes_no_pin(bio: PlainBio, pin: UserPage<"dest">) {
  // @ts-expect-error its pages would never be unpinned
  return bio_add_user_page(bio, pin, 512, 0);
}
export function a_plain_bio_takes_no_extent(bio: PlainBio, bvec: PinnedBvec<"dest">) {
  // @ts-expect-error
  return bio_add_user_bvec(bio, bvec);
}
export function a_plain_bio_takes_no_list(bio: PlainBio, bvecs: PinnedBvecList<"dest">) {
  // @ts-expect-error
  return bio_add_user_bvecs(bio, bvecs);
}
export function a_pin_is_no_plain_page(bio: PlainBio, pin: UserPage) {
  // @ts-expect-error an unconverted bio
  bio_add_page(bio, pin, 512, 0);
}
export function a_page_is_no_pin(bio: PinnedBio<"source">, page: Page) {
  // @ts-expect-error an unconverted page
  return bio_add_user_page(bio, page, 512, 0);
}
export function the_zero_page_joins_as_a_pin(bio: PinnedBio<"source">, current: Task) {
  const zero = page_to_user_page(ZERO_PAGE(current));
  if (IS_ERR(zero)) return;
  if (!bio_add_user_page(bio, zero, 512, 0)) put_user_page(zero);
}
export function the_kind_is_known_far_away(
  seg: { bio: PlainBio | null },
  bvec: PinnedBvec<"dest">,
) {
  if (!seg.bio) return;
  // @ts-expect-error allocated for plain pages, somewhere else
  return bio_add_user_bvec(seg.bio, bvec);
}
export function either_kind_is_asked(bio: AnyBio, page: Page) {
  // @ts-expect-error which kind?
  bio_add_page(bio, page, 512, 0);
}
export function asked_it_is_known(bio: OwnedPlainBio | OwnedPinnedBio<"dest">, page: Page) {
  if (bio_is_pinned(bio)) expectType<OwnedPinnedBio<"dest">>(bio);
  else bio_add_page(bio, page, 512, 0);
}
export function kinds_do_not_mix(
  plain: OwnedPlainBio,
  pinned: OwnedPinnedBio,
  ended: EndedBio<never>,
) {
  expectAssignable<PlainBio>(plain);
  expectNotAssignable<PinnedBio>(plain);
  expectNotAssignable<PlainBio>(pinned);
  expectAssignable<AnyBio>(pinned);
  expectNotAssignable<HeldBio>(ended);
  expectNotAssignable<HeldBio>({});
}
export function a_disk_may_be_missing(machine: Machine) {
  const disk = brd_alloc(machine, 1 << 20);
  // @ts-expect-error perhaps EINVAL
  bio_alloc(disk, 1, "REQ_OP_READ");
}
export function an_op_is_one_of_two() {
  // @ts-expect-error
  bio_alloc(bdev, 1, "REQ_OP_FLUSH");
}

// --- 2. direction -----------------------------------------------------------------------------------------
export function a_read_takes_no_source(read: PinnedBio<"dest">, bvecs: PinnedBvecList<"source">) {
  // @ts-expect-error the device would write into pages pinned to be read
  bio_add_user_bvecs(read, bvecs);
}
export function nor_an_extent(read: PinnedBio<"dest">, bvec: PinnedBvec<"source">) {
  // @ts-expect-error
  return bio_add_user_bvec(read, bvec);
}
export function nor_a_page(read: PinnedBio<"dest">, pin: UserPage<"source">) {
  // @ts-expect-error
  return bio_add_user_page(read, pin, 512, 0);
}
export function a_write_takes_both(
  write: PinnedBio<"source">,
  source: PinnedBvecList<"source">,
  dest: PinnedBvecList<"dest">,
) {
  expectType<number>(bio_add_user_bvecs(write, source));
  expectType<number>(bio_add_user_bvecs(write, dest));
}
export function an_op_known_at_run_time_takes_dest(
  op: Op,
  source: PinnedBvecList<"source">,
  dest: PinnedBvecList<"dest">,
) {
  const bio = bio_alloc_pinned(bdev, 1, op);
  bio_add_user_bvecs(bio, dest);
  // @ts-expect-error it may be a READ
  bio_add_user_bvecs(bio, source);
}
export function a_bio_of_unknown_direction_takes_dest(
  fresh: FreshBio<"pinned user pages">,
  any: BioOf<"pinned user pages">,
  full: BioWithPins,
  bvec: PinnedBvec<"source">,
  bvecs: PinnedBvecList<"source">,
  pin: UserPage<"source">,
  dest: PinnedBvecList<"dest">,
) {
  bio_add_user_bvecs(fresh, dest);
  // @ts-expect-error perhaps it reads
  bio_add_user_bvecs(fresh, bvecs);
  // @ts-expect-error
  if (bio_add_user_bvec(any, bvec)) return;
  // @ts-expect-error
  if (bio_add_user_page(full, pin, 512, 0)) return;
}
export function a_bio_of_unknown_direction_is_not_dirtied(
  fresh: FreshBio<"pinned user pages">,
  current: Task,
) {
  // @ts-expect-error perhaps it writes
  bio_set_pages_dirty(fresh, current);
}
export function a_write_is_not_dirtied(write: PinnedBio<"source">, current: Task) {
  // @ts-expect-error nothing was written into its pages
  bio_set_pages_dirty(write, current);
}
export function longterm_pins_serve(bio: PinnedBio<"dest">, pin: UserPage<"dest", "longterm">) {
  return bio_add_user_page(bio, pin, 512, 0);
}

// --- 3. moved or full -------------------------------------------------------------------------------------
export function moved_is_spent(bio: PinnedBio<"dest">, bvec: PinnedBvec<"dest">) {
  if (bio_add_user_bvec(bio, bvec)) {
    // @ts-expect-error the bio has it
    put_user_bvec(bvec);
  } else put_user_bvec(bvec);
}
export function after_both_ways_it_is_perhaps_moved(
  current: Task,
  addr: UserAddr,
  bio: PinnedBio<"source">,
) {
  const bvecs = get_user_bvec(current, addr, 4096, ITER_SOURCE);
  if (IS_ERR(bvecs)) return;
  const bvec = pop_user_bvec(bvecs);
  put_user_bvec(bvecs);
  if (!bvec) return;
  if (bio_add_user_bvec(bio, bvec)) perhaps();
  // @ts-expect-error perhaps moved
  put_user_bvec(bvec);
}
export function a_full_bio_is_followed_by_another(bvec: PinnedBvec<"source">) {
  let bio: PinnedBio<"source"> | null = null;
  for (;;) {
    bio ??= bio_alloc_pinned(bdev, 1, "REQ_OP_WRITE");
    if (bio_add_user_bvec(bio, bvec)) break;
    submit_bio(bio);
    bio = null;
  }
  submit_bio(bio);
}
export function the_answer_may_have_a_name(bio: PinnedBio<"dest">, pin: UserPage<"dest">) {
  const added = bio_add_user_page(bio, pin, 512, 0);
  if (!added) return put_user_page(pin);
  // @ts-expect-error moved
  put_user_page(pin);
}
export function moved_twice(x: PinnedBio<"dest">, y: PinnedBio<"dest">, bvec: PinnedBvec<"dest">) {
  // @ts-expect-error moved already when the second is asked
  return bio_add_user_bvec(x, bvec) && bio_add_user_bvec(y, bvec);
}
export function one_bio_or_the_other(
  x: PinnedBio<"dest">,
  y: PinnedBio<"dest">,
  b: PinnedBvec<"dest">,
) {
  if (!bio_add_user_bvec(x, b) && !bio_add_user_bvec(y, b)) put_user_bvec(b);
}
export function moved_has_its_name(bio: PinnedBio<"dest">, pin: UserPage<"dest">) {
  if (bio_add_user_page(bio, pin, 512, 0)) {
    expectType<SpentUserPageRef<"moved into bio by bio_add_user_page()">>(pin);
  }
}
export function a_moved_extent_has_its_name(bio: PinnedBio<"dest">, bvecs: PinnedBvecList<"dest">) {
  const bvec = pop_user_bvec(bvecs);
  if (bvec && bio_add_user_bvec(bio, bvec)) {
    expectType<SpentBvec<"moved into bio by bio_add_user_bvec()">>(bvec);
  }
}
export function a_list_moves_what_fits(bvecs: PinnedBvecList<"source">) {
  while (bvecs.count > 0) {
    const bio = bio_alloc_pinned(bdev, 256, "REQ_OP_WRITE");
    bio_add_user_bvecs(bio, bvecs);
    submit_bio(bio);
  }
  put_user_bvec(bvecs);
}
