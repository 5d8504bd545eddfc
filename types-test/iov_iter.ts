/**
 * Iterators, and plain references on their pages; iov_iter_extract.ts has the pins.
 *
 * 1. Each constructor says the kind and the direction of what it makes.
 * 2. The direction says which way bytes go.
 * 3. Plain references of an iterator are one handle, released whole; popping moves one page out.
 * 4. Kernel memory and pipes are released once.
 */
import { expectAssignable, expectNotAssignable, expectType } from "tsd";
import {
  alloc_pipe_info,
  copy_from_iter,
  copy_to_iter,
  dup_iter,
  free_pipe_info,
  IS_ERR,
  iov_iter_bvec,
  iov_iter_discard,
  iov_iter_folio_queue,
  iov_iter_get_pages2,
  iov_iter_init,
  iov_iter_kvec,
  iov_iter_pipe,
  iov_iter_put_pages,
  iov_iter_ubuf,
  iov_iter_xarray,
  iov_iter_zero,
  ITER_DEST,
  ITER_SOURCE,
  pop_iter_page,
  put_page,
  put_user_page,
  put_user_pages,
  vfree,
  vmalloc,
  type BorrowedFolio,
  type BorrowedIterPages,
  type BorrowedPage,
  type Errno,
  type GupError,
  type Iovec,
  type IovIter,
  type IterPages,
  type KernelBvec,
  type OwnedIterPages,
  type OwnedIterUserPages,
  type OwnedPage,
  type OwnedPipe,
  type OwnedVmArea,
  type Task,
  type UserAddr,
  type VmArea,
} from "user-page";

declare const bytes: Uint8Array;
declare const iov: Iovec[];
declare const bvecs: KernelBvec[];
declare const folios: BorrowedFolio[];

// --- 1. making them ---------------------------------------------------------------------------------------
export function each_constructor_says_its_kind(addr: UserAddr, area: VmArea, pipe: OwnedPipe) {
  expectType<IovIter<"dest", "user">>(iov_iter_ubuf(ITER_DEST, addr, 1));
  expectType<IovIter<"source", "user">>(iov_iter_init(ITER_SOURCE, iov));
  expectType<IovIter<"source", "kernel">>(iov_iter_bvec(ITER_SOURCE, bvecs));
  const kvec = { iov_base: area, iov_offset: 0, iov_len: 1 };
  expectType<IovIter<"dest", "kernel">>(iov_iter_kvec(ITER_DEST, [kvec]));
  expectType<IovIter<"dest", "kernel">>(
    iov_iter_xarray(ITER_DEST, new Map([[0, folios[0]!]]), 0, 1),
  );
  expectType<IovIter<"dest", "kernel">>(iov_iter_folio_queue(ITER_DEST, folios, 0, 0, 1));
  expectType<IovIter<"dest", "kernel">>(iov_iter_discard(ITER_DEST, 1));
  expectType<IovIter<"dest", "kernel">>(iov_iter_pipe(ITER_DEST, pipe, 1));
}
export function nothing_is_read_from_nowhere(pipe: OwnedPipe) {
  // @ts-expect-error what is discarded cannot be read
  iov_iter_discard(ITER_SOURCE, 1);
  // @ts-expect-error a pipe is filled
  iov_iter_pipe(ITER_SOURCE, pipe, 1);
}
export function a_number_is_no_address() {
  // @ts-expect-error u64_to_user_ptr() makes one
  iov_iter_ubuf(ITER_DEST, 4096, 1);
}
export function kernel_and_user_are_not_each_other(
  user: IovIter<"dest", "user">,
  kernel: IovIter<"dest", "kernel">,
  source: IovIter<"source">,
) {
  expectAssignable<IovIter>(user);
  expectAssignable<IovIter<"dest">>(kernel);
  expectNotAssignable<IovIter<"dest", "kernel">>(user);
  expectNotAssignable<IovIter<"dest", "user">>(kernel);
  expectNotAssignable<IovIter<"dest">>(source);
  expectNotAssignable<IovIter<"dest", "user">>({
    count: 1,
    iter_type: "ITER_UBUF",
    nofault: false,
  });
  expectType<IovIter<"dest", "user">>(dup_iter(user));
}
export function what_is_left_is_read_only(iter: IovIter) {
  iter.nofault = true;
  // @ts-expect-error iov_iter_truncate(), iov_iter_reexpand()
  iter.count = 0;
}

// --- 2. direction -----------------------------------------------------------------------------------------
export function bytes_go_one_way(dest: IovIter<"dest">, source: IovIter<"source">, current: Task) {
  copy_to_iter(bytes, dest, current);
  copy_from_iter(bytes, source, current);
  iov_iter_zero(1, dest, current);
  // @ts-expect-error
  copy_to_iter(bytes, source, current);
  // @ts-expect-error
  copy_from_iter(bytes, dest, current);
  // @ts-expect-error
  iov_iter_zero(1, source, current);
}
export function nor_where_it_is_not_known(iter: IovIter, current: Task) {
  // @ts-expect-error
  copy_to_iter(bytes, iter, current);
}

// --- 3. plain references ----------------------------------------------------------------------------------
export function got_and_put_whole(iter: IovIter, current: Task) {
  const pages = iov_iter_get_pages2(iter, 8192, 2, current);
  expectType<OwnedIterPages | GupError>(pages);
  if (IS_ERR(pages)) return;
  for (const page of pages) expectAssignable<BorrowedPage>(page);
  iov_iter_put_pages(pages);
}
export function put_whole_once(pages: IterPages) {
  iov_iter_put_pages(pages);
  // @ts-expect-error released
  iov_iter_put_pages(pages);
}
export function perhaps_put(iter: IovIter, current: Task, perhaps: boolean) {
  const pages = iov_iter_get_pages2(iter, 8192, 2, current);
  if (IS_ERR(pages)) return;
  if (perhaps) iov_iter_put_pages(pages);
  // @ts-expect-error perhaps released
  iov_iter_put_pages(pages);
}
export function an_error_is_not_put(iter: IovIter, current: Task) {
  const pages = iov_iter_get_pages2(iter, 8192, 2, current);
  // @ts-expect-error perhaps an error
  iov_iter_put_pages(pages);
}
export function one_of_them_is_not_put_by_itself(pages: IterPages) {
  for (const page of pages) {
    // @ts-expect-error iov_iter_put_pages() puts it
    put_page(page);
  }
}
export function references_are_no_pins(pages: IterPages) {
  // @ts-expect-error iov_iter_put_pages()
  put_user_pages(pages);
}
export function pins_are_no_references(pages: OwnedIterUserPages) {
  // @ts-expect-error put_user_pages()
  iov_iter_put_pages(pages);
}
export function a_borrower_does_not_put(pages: BorrowedIterPages) {
  // @ts-expect-error lent to us
  iov_iter_put_pages(pages);
}
export function nor_pop(pages: BorrowedIterPages) {
  // @ts-expect-error lent to us
  pop_iter_page(pages);
}
export function popped_is_ours(pages: IterPages) {
  const page = pop_iter_page(pages);
  expectType<OwnedPage | null>(page);
  if (page) put_page(page);
  iov_iter_put_pages(pages);
}
export function popped_is_a_plain_page(pages: IterPages) {
  const page = pop_iter_page(pages);
  if (!page) return;
  // @ts-expect-error no pin
  put_user_page(page);
}
export function released_is_not_popped(pages: IterPages) {
  iov_iter_put_pages(pages);
  // @ts-expect-error released
  pop_iter_page(pages);
}

// --- 4. kernel memory -------------------------------------------------------------------------------------
export function allocated_and_freed(current: Task) {
  using area = vmalloc(current, 1);
  expectType<OwnedVmArea | Errno<"ENOMEM" | "EINVAL">>(area);
  if (IS_ERR(area)) return;
  vfree(area);
}
export function freed_once(area: VmArea) {
  vfree(area);
  // @ts-expect-error released
  vfree(area);
}
export function freed_is_not_iterated(area: OwnedVmArea) {
  vfree(area);
  // @ts-expect-error released
  iov_iter_kvec(ITER_DEST, [{ iov_base: area, iov_offset: 0, iov_len: 1 }]);
}
export function a_pipe_is_freed_once(current: Task) {
  const pipe = alloc_pipe_info(current);
  if (IS_ERR(pipe)) return;
  free_pipe_info(pipe);
  // @ts-expect-error released
  free_pipe_info(pipe);
}
export function a_freed_pipe_is_not_filled(pipe: OwnedPipe) {
  free_pipe_info(pipe);
  // @ts-expect-error released
  iov_iter_pipe(ITER_DEST, pipe, 1);
}
