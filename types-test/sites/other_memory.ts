/**
 * Call sites of the kernel, written with this API: process_vm_readv, iterators, scopes.
 * Each correct function compiles as it stands; what follows are the mistakes that were, or could be, made there, each
 * refused where it is made.
 */
import { err, ok, type Result } from "neverthrow";
import {
  all_or_none,
  bio_add_page,
  bio_add_user_bvecs,
  bio_alloc,
  bio_alloc_pinned,
  bio_put,
  bio_release_pages,
  get_user_bvec,
  IS_ERR,
  IS_SHORT,
  ITER_DEST,
  ITER_SOURCE,
  memcpy_from_bvec,
  memcpy_from_page,
  memcpy_to_page,
  mmap_read_lock,
  mmap_read_unlock,
  PAGE_SIZE,
  pages_are_dest,
  pin_user_pages,
  pin_user_pages_remote,
  PTR_ERR,
  put_page,
  put_user_bvec,
  put_user_pages,
  put_user_pages_dirty_lock,
  submit_bio_wait,
  user_ptr_add,
  type BlkError,
  type BlockDevice,
  type BorrowedPage,
  type GupError,
  type Mm,
  type OwnedBvecList,
  type OwnedUserPages,
  type PlainBio,
  type Task,
  type UserAddr,
  type UserPage,
} from "user-page";

declare const bdev: BlockDevice;
declare function perhaps(): boolean;
type Moved = Result<number, GupError | BlkError>;

// --- process_vm_readv and writev -----------------------------------------------------------------------
export function process_vm_readv(current: Task, mm: Mm, start: UserAddr, to: Uint8Array): Moved {
  let copied = 0;
  while (copied < to.length) {
    const nr = Math.min(16, Math.ceil((to.length - copied) / PAGE_SIZE));
    const lock = mmap_read_lock(current, mm);
    const pinned = pin_user_pages_remote(lock, user_ptr_add(start, copied), nr, ITER_SOURCE);
    mmap_read_unlock(lock);
    if (IS_ERR(pinned)) return copied ? ok(copied) : err(pinned);
    const pages = IS_SHORT(pinned) ? pinned.partial : pinned;
    for (const page of pages) {
      const part = to.subarray(copied, copied + PAGE_SIZE);
      copied += memcpy_from_page(part, page, 0).unwrapOr(0);
    }
    put_user_pages(pages);
    if (IS_SHORT(pinned)) break;
  }
  return ok(copied);
}
/** One function for both directions: it is a value, as in mm/process_vm_access.c. */
export function process_vm_rw(
  current: Task,
  mm: Mm,
  start: UserAddr,
  buf: Uint8Array,
  vm_write: boolean,
): Moved {
  const dir = vm_write ? ITER_DEST : ITER_SOURCE;
  const lock = mmap_read_lock(current, mm);
  const nr = Math.ceil(buf.length / PAGE_SIZE);
  const pages = all_or_none(pin_user_pages_remote(lock, start, nr, dir));
  mmap_read_unlock(lock);
  if (IS_ERR(pages)) return PTR_ERR(pages);
  let copied = 0;
  if (pages_are_dest(pages, dir)) {
    for (const page of pages) copied += memcpy_to_page(page, 0, buf.subarray(copied)).unwrapOr(0);
    put_user_pages_dirty_lock(pages, current);
  } else {
    for (const page of pages) copied += memcpy_from_page(buf.subarray(copied), page, 0).unwrapOr(0);
    put_user_pages(pages);
  }
  return ok(copied);
}
export function process_vm_after_unlock(current: Task, mm: Mm, start: UserAddr) {
  const lock = mmap_read_lock(current, mm);
  mmap_read_unlock(lock);
  // @ts-expect-error
  pin_user_pages_remote(lock, start, 4, ITER_SOURCE);
}
export function process_vm_writes_what_it_read(pages: OwnedUserPages<"source">, buf: Uint8Array) {
  for (const page of pages) {
    // @ts-expect-error pinned to be read
    memcpy_to_page(page, 0, buf);
  }
}
export function process_vm_takes_short_for_all(current: Task, mm: Mm, start: UserAddr) {
  using lock = mmap_read_lock(current, mm);
  const pinned = pin_user_pages_remote(lock, start, 4, ITER_SOURCE);
  if (IS_ERR(pinned)) return;
  if (IS_SHORT(pinned)) put_user_pages(pinned.partial);
  // @ts-expect-error forgot to return after the short case
  put_user_pages(pinned);
}

// --- memory of either kind -----------------------------------------------------------------------------
/** What an iterator gives: extents of user memory, ours to put, or pages of the kernel, somebody else's. */
type Extracted =
  | { readonly user: OwnedBvecList<"dest"> }
  | { readonly kernel: readonly BorrowedPage[] };
export function blkdev_read_iter(current: Task, got: Extracted): Moved {
  if ("user" in got) {
    const bio = bio_alloc_pinned(bdev, 256, "REQ_OP_READ");
    const bytes = bio_add_user_bvecs(bio, got.user);
    put_user_bvec(got.user);
    const error = submit_bio_wait(bio, current);
    bio_release_pages(bio, !error, current);
    bio_put(bio);
    return error ? err(error) : ok(bytes);
  }
  const bio = bio_alloc(bdev, 256, "REQ_OP_READ");
  let bytes = 0;
  for (const page of got.kernel) bytes += bio_add_page(bio, page, PAGE_SIZE, 0);
  const error = submit_bio_wait(bio, current);
  bio_put(bio);
  return error ? err(error) : ok(bytes);
}
export function puts_what_the_kernel_keeps(got: Extracted) {
  if ("user" in got) return;
  for (const page of got.kernel) {
    // @ts-expect-error lent by whoever made the iterator
    put_page(page);
  }
}
export function puts_without_asking(got: Extracted) {
  // @ts-expect-error perhaps memory of the kernel
  put_user_bvec(got.user);
}
export function mixes_pins_into_a_plain_bio(got: Extracted, bio: PlainBio) {
  if (!("user" in got)) return;
  // @ts-expect-error
  bio_add_user_bvecs(bio, got.user);
}

// --- scopes -------------------------------------------------------------------------------------------
export function dio_read_in_a_scope(current: Task, addr: UserAddr, len: number): Moved {
  using bvecs = get_user_bvec(current, addr, len, ITER_DEST);
  if (IS_ERR(bvecs)) return PTR_ERR(bvecs);
  let done = 0;
  while (bvecs.count > 0) {
    using bio = bio_alloc_pinned(bdev, 256, "REQ_OP_READ");
    const bytes = bio_add_user_bvecs(bio, bvecs);
    const error = submit_bio_wait(bio, current);
    if (error) return done ? ok(done) : err(error);
    done += bytes;
  }
  return ok(done);
}
export function locked_in_a_scope(current: Task, start: UserAddr): UserPage[] | GupError {
  using lock = mmap_read_lock(current, current.mm);
  return all_or_none(pin_user_pages(lock, start, 4, ITER_SOURCE));
}
export function released_by_hand_then_read(current: Task, addr: UserAddr) {
  using bvecs = get_user_bvec(current, addr, 4096, ITER_SOURCE);
  if (IS_ERR(bvecs)) return;
  put_user_bvec(bvecs);
  // @ts-expect-error
  for (const bvec of bvecs) memcpy_from_bvec(new Uint8Array(1), bvec);
}
export function unlocked_by_hand_then_walked(current: Task, addr: UserAddr) {
  using lock = mmap_read_lock(current, current.mm);
  mmap_read_unlock(lock);
  // @ts-expect-error
  return pin_user_pages(lock, addr, 1, ITER_SOURCE);
}
