/**
 * What is extracted from an iterator: what it needs at release follows from the iterator's type.
 *
 * 1. A user iterator gives pins, which are released; a kernel iterator lends pages, which are not.
 * 2. Where the kind is known at run time only, the result is a union: is_pinned() first.
 * 3. The direction of the iterator is the direction of the pins.
 * 4. An error is neither; extents that were released make no iterator, and none of the other direction.
 */
import { expectAssignable, expectType } from "tsd";
import {
  bio_add_page,
  IS_ERR,
  iov_iter_bvec,
  iov_iter_extract_bvecs,
  iov_iter_extract_pages,
  iov_iter_is_bvec,
  iov_iter_is_dest,
  iov_iter_is_kernel,
  iov_iter_rw,
  is_dest,
  is_pinned,
  iter_is_ubuf,
  memcpy_from_page,
  memcpy_to_page,
  put_page,
  put_user_bvec,
  put_user_bvec_dirty_lock,
  put_user_page,
  put_user_pages,
  put_user_pages_dirty_lock,
  user_backed_iter,
  type Dir,
  type GupError,
  type IovIter,
  type KernelBvecs,
  type KernelPages,
  type OwnedBvecList,
  type OwnedIterUserPages,
  type OwnedPlainBio,
  type PinnedBvec,
  type OwnedUserPages,
  type Task,
} from "user-page";

declare const bytes: Uint8Array;

// --- 1. known kinds ---------------------------------------------------------------------------------------
export function user_pages_are_put(iter: IovIter<"dest", "user">, current: Task) {
  const pages = iov_iter_extract_pages(iter, 8192, 2, current);
  expectType<OwnedIterUserPages<"dest"> | GupError>(pages);
  if (IS_ERR(pages)) return;
  expectAssignable<OwnedUserPages<"dest">>(pages);
  expectType<number>(pages.offset + pages.bytes);
  put_user_pages_dirty_lock(pages, current);
}
export function user_pages_are_put_once(iter: IovIter<"dest", "user">, current: Task) {
  const pages = iov_iter_extract_pages(iter, 8192, 2, current);
  if (IS_ERR(pages)) return;
  put_user_pages(pages);
  // @ts-expect-error released
  put_user_pages(pages);
}
export function user_pages_are_no_plain_pages(iter: IovIter<"dest", "user">, current: Task) {
  const pages = iov_iter_extract_pages(iter, 8192, 2, current);
  if (IS_ERR(pages)) return;
  for (const page of pages) {
    // @ts-expect-error a pin
    put_page(page);
  }
}
export function user_extents_are_put(iter: IovIter<"source", "user">, current: Task) {
  using got = iov_iter_extract_bvecs(iter, 8192, current);
  expectType<OwnedBvecList<"source", "short"> | GupError>(got);
}
export function user_extents_are_put_once(iter: IovIter<"source", "user">, current: Task) {
  const got = iov_iter_extract_bvecs(iter, 8192, current);
  if (IS_ERR(got)) return;
  put_user_bvec(got);
  // @ts-expect-error released
  put_user_bvec(got);
}
export function kernel_pages_are_used(
  iter: IovIter<"dest", "kernel">,
  current: Task,
  bio: OwnedPlainBio,
) {
  const got = iov_iter_extract_pages(iter, 8192, 2, current);
  expectType<KernelPages | GupError>(got);
  if (IS_ERR(got)) return;
  for (const page of got.kernel) memcpy_from_page(bytes, page, got.offset);
  const extents = iov_iter_extract_bvecs(iter, 8192, current);
  expectType<KernelBvecs<"dest"> | GupError>(extents);
  if (IS_ERR(extents)) return;
  for (const { page, offset, len } of extents.kernel) bio_add_page(bio, page, len, offset);
}
export function kernel_pages_are_not_put(iter: IovIter<"dest", "kernel">, current: Task) {
  const got = iov_iter_extract_pages(iter, 8192, 2, current);
  if (IS_ERR(got)) return;
  for (const page of got.kernel) {
    // @ts-expect-error not ours
    put_page(page);
  }
}
export function nor_as_pins(iter: IovIter<"dest", "kernel">, current: Task) {
  const got = iov_iter_extract_pages(iter, 8192, 2, current);
  if (IS_ERR(got)) return;
  for (const page of got.kernel) {
    // @ts-expect-error no pin
    put_user_page(page);
  }
}
export function nor_as_an_array(iter: IovIter<"dest", "kernel">, current: Task) {
  const got = iov_iter_extract_pages(iter, 8192, 2, current);
  if (IS_ERR(got)) return;
  // @ts-expect-error no pins
  put_user_pages(got.kernel);
}
export function the_page_of_a_kernel_extent_is_not_put(
  iter: IovIter<"dest", "kernel">,
  current: Task,
) {
  const got = iov_iter_extract_bvecs(iter, 8192, current);
  if (IS_ERR(got)) return;
  for (const { page } of got.kernel) {
    // @ts-expect-error not ours
    put_page(page);
  }
}
export function kernel_extents_are_not_put(iter: IovIter<"dest", "kernel">, current: Task) {
  const got = iov_iter_extract_bvecs(iter, 8192, current);
  if (IS_ERR(got)) return;
  // @ts-expect-error nothing to release
  put_user_bvec(got);
}

// --- 2. known at run time only ----------------------------------------------------------------------------
export function asked(iter: IovIter<"dest">, current: Task) {
  const got = iov_iter_extract_bvecs(iter, 8192, current);
  expectType<OwnedBvecList<"dest", "short"> | KernelBvecs<"dest"> | GupError>(got);
  if (IS_ERR(got)) return;
  if (is_pinned(got)) {
    expectType<OwnedBvecList<"dest", "short">>(got);
    put_user_bvec_dirty_lock(got, current);
  } else expectType<KernelBvecs<"dest">>(got);
}
export function asked_of_pages(iter: IovIter, current: Task) {
  using got = iov_iter_extract_pages(iter, 8192, 2, current);
  expectType<OwnedIterUserPages | KernelPages | GupError>(got);
  if (IS_ERR(got)) return;
  if (is_pinned(got)) expectType<OwnedIterUserPages>(got);
  else expectType<KernelPages>(got);
}
export function asked_in_generic_code<D extends Dir>(iter: IovIter<D>, current: Task) {
  const got = iov_iter_extract_bvecs(iter, 8192, current);
  if (IS_ERR(got)) return;
  if (is_pinned(got)) put_user_bvec(got);
  else for (const { page } of got.kernel) memcpy_from_page(bytes, page, 0);
}
export function unasked_extents(iter: IovIter<"dest">, current: Task) {
  const got = iov_iter_extract_bvecs(iter, 8192, current);
  if (IS_ERR(got)) return;
  // @ts-expect-error perhaps nothing to release
  put_user_bvec(got);
}
export function unasked_pages(iter: IovIter<"dest">, current: Task) {
  const got = iov_iter_extract_pages(iter, 8192, 2, current);
  if (IS_ERR(got)) return;
  // @ts-expect-error perhaps nothing to release
  put_user_pages(got);
}
export function unasked_use(iter: IovIter<"dest">, current: Task) {
  const got = iov_iter_extract_bvecs(iter, 8192, current);
  if (IS_ERR(got)) return;
  // @ts-expect-error perhaps pins
  return got.kernel;
}
export function asked_and_put_on_the_wrong_side(iter: IovIter<"dest">, current: Task) {
  const got = iov_iter_extract_bvecs(iter, 8192, current);
  if (IS_ERR(got) || is_pinned(got)) return;
  // @ts-expect-error nothing to release
  put_user_bvec(got);
}
export function put_twice_after_the_question(iter: IovIter<"dest">, current: Task) {
  const got = iov_iter_extract_pages(iter, 8192, 2, current);
  if (IS_ERR(got) || !is_pinned(got)) return;
  put_user_pages(got);
  // @ts-expect-error released
  put_user_pages(got);
}
export function asked_of_the_iterator(iter: IovIter<"dest">, current: Task) {
  if (user_backed_iter(iter)) {
    const got = iov_iter_extract_bvecs(iter, 8192, current);
    expectType<OwnedBvecList<"dest", "short"> | GupError>(got);
    if (!IS_ERR(got)) put_user_bvec(got);
  } else if (iov_iter_is_bvec(iter)) {
    expectAssignable<IovIter<"dest", "kernel">>(iter);
    expectType<KernelBvecs<"dest"> | GupError>(iov_iter_extract_bvecs(iter, 8192, current));
  }
}
export function the_other_answer(iter: IovIter<"dest">, current: Task) {
  if (!iov_iter_is_kernel(iter)) return;
  expectType<KernelBvecs<"dest"> | GupError>(iov_iter_extract_bvecs(iter, 8192, current));
}
export function the_direction_is_asked_too(iter: IovIter<Dir, "user">, current: Task) {
  if (!iov_iter_is_dest(iter)) return;
  using pages = iov_iter_extract_pages(iter, 8192, 2, current);
  expectType<OwnedIterUserPages<"dest"> | GupError>(pages);
}
export function no_answer_makes_an_iterator_vanish(iter: IovIter<"dest", "user">) {
  if (!iter_is_ubuf(iter)) expectType<IovIter<"dest", "user">>(iter);
}

// --- 3. direction -----------------------------------------------------------------------------------------
export function what_is_read_is_not_dirtied(iter: IovIter<"source", "user">, current: Task) {
  const pages = iov_iter_extract_pages(iter, 8192, 2, current);
  if (IS_ERR(pages)) return;
  // @ts-expect-error a source
  put_user_pages_dirty_lock(pages, current);
}
export function nor_written(iter: IovIter<"source", "user">, current: Task) {
  const pages = iov_iter_extract_pages(iter, 8192, 2, current);
  if (IS_ERR(pages)) return;
  for (const page of pages) {
    // @ts-expect-error a source
    memcpy_to_page(page, 0, bytes);
  }
}
export function a_direction_of_run_time_is_asked(iter: IovIter<Dir, "user">, current: Task) {
  expectType<Dir>(iov_iter_rw(iter));
  const got = iov_iter_extract_bvecs(iter, 8192, current);
  if (IS_ERR(got)) return;
  if (is_dest(got)) put_user_bvec_dirty_lock(got, current);
  else put_user_bvec(got);
}

// --- 4. errors, directions and ends ---------------------------------------------------------------------
export function an_error_is_no_kernel_memory(iter: IovIter<"source">, current: Task) {
  const got = iov_iter_extract_bvecs(iter, iter.count, current);
  if (is_pinned(got)) {
    put_user_bvec(got);
    return 0;
  }
  // @ts-expect-error it may be an error
  return got.kernel.length;
}
export function extents_keep_their_direction(iter: IovIter<"source", "kernel">, current: Task) {
  const got = iov_iter_extract_bvecs(iter, 4096, current);
  if (IS_ERR(got)) return;
  iov_iter_bvec("source", got.kernel);
  // @ts-expect-error they were pinned to be read
  iov_iter_bvec("dest", got.kernel);
}
export function released_extents_make_no_iterator(
  list: OwnedBvecList<"dest">,
  one: PinnedBvec<"dest">,
) {
  put_user_bvec(list);
  // @ts-expect-error
  iov_iter_bvec("dest", [...list]);
  put_user_bvec(one);
  // @ts-expect-error
  iov_iter_bvec("dest", [one]);
}
