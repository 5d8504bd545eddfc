/**
 * What types cannot see of bios and iterators, continued from limits_more.ts: every program here is wrong and compiles.
 *
 * 1. Parameters whose type begins with Held: what the library asks for, not what one writes.
 * 2. Bios whose state is behind another name, or known to another bio only.
 * 3. Memory that somebody else keeps: its direction, and for how long.
 * 4. Answers that are not looked at in the usual way.
 */
import {
  bio_add_page,
  bio_add_user_bvec,
  bio_alloc,
  bio_alloc_pinned,
  bio_chain,
  bio_for_each_segment_all,
  bio_put,
  bio_release_pages,
  bio_split,
  IS_ERR,
  iov_iter_bvec,
  ITER_DEST,
  memcpy_to_page,
  put_page,
  put_user_bvec,
  submit_bio,
  submit_bio_wait,
  ZERO_PAGE,
  bio_add_user_bvecs,
  type BlockDevice,
  type HeldBio,
  type HeldUserPage,
  type KernelPages,
  type PinnedBio,
  type PinnedBvec,
  type PinnedBvecList,
  type ReleasesBvec,
  type Task,
  put_user_page,
} from "user-page";

declare const bdev: BlockDevice;
declare const current: Task;

// --- 1. Held parameters -----------------------------------------------------------------------------------
export function held_bio(bio: HeldBio) {
  submit_bio(bio);
  submit_bio(bio);
}
export function held_page(page: HeldUserPage) {
  put_user_page(page);
  put_user_page(page);
}
export const not_annotated: ReleasesBvec<"not_annotated()"> = (bvecs) => {
  put_user_bvec(bvecs);
  put_user_bvec(bvecs);
};
export const annotated: ReleasesBvec<"annotated()"> = (bvecs: PinnedBvec | PinnedBvecList) => {
  put_user_bvec(bvecs);
  // @ts-expect-error this one is followed
  put_user_bvec(bvecs);
};

// --- 2. bios ----------------------------------------------------------------------------------------------
export function emptied_and_kept(owner: { bio: PinnedBio | null }) {
  const bio = bio_alloc_pinned(bdev, 1, "REQ_OP_READ");
  bio_release_pages(bio, false);
  owner.bio = bio;
  submit_bio(owner.bio);
}
export function put_though_a_parent_waits(bio: PinnedBio) {
  const front = bio_split(bio, 1);
  if (IS_ERR(front)) return;
  bio_chain(front, bio);
  bio_put(front);
  submit_bio(bio);
}
export function dirties_what_was_only_read(bvecs: PinnedBvecList<"source">) {
  using bio = bio_alloc_pinned(bdev, 1, "REQ_OP_WRITE");
  bio_add_user_bvecs(bio, bvecs);
  submit_bio_wait(bio, current);
  bio_release_pages(bio, true, current);
}

// --- 3. borrowed memory -----------------------------------------------------------------------------------
export function lent_pages_come_out_owned(got: KernelPages) {
  const bio = bio_alloc(bdev, 1, "REQ_OP_WRITE");
  for (const page of got.kernel) bio_add_page(bio, page, 512, 0);
  for (const { page } of bio_for_each_segment_all(bio)) put_page(page);
}
export function the_page_of_an_extent_has_no_direction(got: KernelPages) {
  memcpy_to_page(got.kernel[0]!, 0, new Uint8Array(1));
}
export function everybodys_zero_page() {
  memcpy_to_page(ZERO_PAGE(current), 0, new Uint8Array(1));
  return iov_iter_bvec(ITER_DEST, [{ page: ZERO_PAGE(current), offset: 0, len: 512 }]);
}

// --- 4. answers -------------------------------------------------------------------------------------------
export function in_a_let(bio: PinnedBio<"dest">, bvec: PinnedBvec<"dest">) {
  let moved = bio_add_user_bvec(bio, bvec);
  if (moved) put_user_bvec(bvec);
  moved = false;
}
export function in_a_switch(bio: PinnedBio<"dest">, bvec: PinnedBvec<"dest">) {
  switch (bio_add_user_bvec(bio, bvec)) {
    case true:
      put_user_bvec(bvec);
  }
}
