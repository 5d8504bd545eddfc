/**
 * Bios of borrowed pages: registered buffers, kernel memory.
 *
 * 1. They are filled from kernel iterators only, of their direction.
 * 2. They release nothing: there is nothing to walk, and bio_put() ends them.
 * 3. An iterator over lent extents has the direction they were pinned for.
 */
import { expectType } from "tsd";
import {
  bio_add_page,
  bio_alloc_borrowing,
  bio_for_each_segment_all,
  bio_iov_bvec_set,
  bio_put,
  bio_release_pages,
  iov_iter_bvec,
  iov_iter_ubuf,
  ITER_DEST,
  ITER_SOURCE,
  type BlockDevice,
  type BorrowedPage,
  type BorrowingBio,
  type IovIter,
  type LongtermBvecList,
  type OwnedBorrowingBio,
  type Page,
  type PlainBio,
  type Task,
  type UserAddr,
} from "user-page";

declare const bdev: BlockDevice;

// --- 1. filling ------------------------------------------------------------------------------------------
export function of_one_direction(current: Task, dest: IovIter<"dest", "kernel">) {
  expectType<OwnedBorrowingBio<"dest">>(bio_alloc_borrowing(bdev, 1, "REQ_OP_READ"));
  using bio = bio_alloc_borrowing(bdev, 1, "REQ_OP_WRITE");
  bio_iov_bvec_set(bio, dest, current); // what may be written may be read
}
export function a_read_writes_into_its_pages(current: Task, iter: IovIter<"source", "kernel">) {
  using bio = bio_alloc_borrowing(bdev, 1, "REQ_OP_READ");
  // @ts-expect-error memory that is read
  bio_iov_bvec_set(bio, iter, current);
}
export function user_memory_has_to_be_pinned(current: Task, addr: UserAddr) {
  using bio = bio_alloc_borrowing(bdev, 1, "REQ_OP_READ");
  // @ts-expect-error nobody keeps these pages
  bio_iov_bvec_set(bio, iov_iter_ubuf(ITER_DEST, addr, 512), current);
}
export function a_plain_bio_may_put_its_pages(
  bio: PlainBio,
  iter: IovIter<"dest", "kernel">,
  current: Task,
) {
  // @ts-expect-error its end_io could put what belongs to somebody else
  bio_iov_bvec_set(bio, iter, current);
}
export function no_page_is_added(bio: BorrowingBio, page: Page) {
  // @ts-expect-error whose would it be?
  bio_add_page(bio, page, 512, 0);
}

// --- 2. ending -------------------------------------------------------------------------------------------
export function it_is_just_put(bio: BorrowingBio) {
  bio_put(bio);
}
export function it_releases_nothing(bio: BorrowingBio) {
  // @ts-expect-error
  bio_release_pages(bio, false);
}
export function nor_is_it_walked(bio: BorrowingBio) {
  // @ts-expect-error
  bio_for_each_segment_all(bio);
}

// --- 3. iterators over what is lent ------------------------------------------------------------------------
export function of_a_registered_buffer(buffer: LongtermBvecList<"dest">) {
  expectType<IovIter<"dest", "kernel">>(iov_iter_bvec(ITER_DEST, [...buffer]));
  expectType<IovIter<"source", "kernel">>(iov_iter_bvec(ITER_SOURCE, [...buffer]));
}
export function what_was_pinned_to_be_read_is_not_written(buffer: LongtermBvecList<"source">) {
  // @ts-expect-error copy-on-write was never broken
  iov_iter_bvec(ITER_DEST, [...buffer]);
}
export function kernel_pages_beside_it(buffer: LongtermBvecList<"dest">, page: BorrowedPage) {
  iov_iter_bvec(ITER_DEST, [...buffer, { page, offset: 0, len: 512 }]);
}
