/**
 * Scopes: `using` for what is an object, __free() for what is a number.
 *
 * 1. `using` takes what acquirers return, with the error; at the end of the block it releases what is left.
 * 2. A page, pin or folio is a number: `using` refuses it, __free() gives it to the block.
 * 3. The function and the handle of __free() are of one kind.
 * 4. Inside, the handle is lent; no_free_ptr() moves it out.
 */
import { expectType } from "tsd";
import {
  __free,
  all_or_none,
  alloc_page,
  bio_alloc_pinned,
  bio_put,
  bio_release_pages,
  brd_alloc,
  folio_alloc,
  FOLL_LONGTERM,
  folio_order,
  folio_put,
  get_user_bvec,
  get_user_page,
  IS_ERR,
  ITER_DEST,
  ITER_SOURCE,
  memcpy_from_page,
  memcpy_to_page,
  mmap_read_lock,
  no_free_ptr,
  page_ref_count,
  pages_are_dest,
  pin_user_pages_fast,
  put_page,
  put_user_bvec,
  put_user_page,
  submit_bio,
  type BorrowedPage,
  type Dir,
  type Errno,
  type GupError,
  type LentUserPage,
  type Machine,
  type OwnedBvec,
  type OwnedBvecList,
  type OwnedPage,
  type OwnedUserPage,
  type OwnedUserPages,
  type PinnedBvecList,
  type Scope,
  type Task,
  type UserAddr,
  type UserPage,
} from "user-page";

declare const bytes: Uint8Array;

// --- 1. using ---------------------------------------------------------------------------------------------
export function using_takes_what_acquirers_return(machine: Machine, current: Task, addr: UserAddr) {
  using lock = mmap_read_lock(current, current.mm);
  using bvecs = get_user_bvec(current, addr, 4096, ITER_SOURCE);
  if (IS_ERR(bvecs)) return bvecs;
  using pages = pin_user_pages_fast(current, addr, 4, ITER_SOURCE);
  if (IS_ERR(pages)) return pages;
  using disk = brd_alloc(machine, 512);
  if (IS_ERR(disk)) return disk;
  using bio = bio_alloc_pinned(disk, 1, "REQ_OP_WRITE");
  return [lock.mm, bvecs.count, pages, bio];
}
export function an_array_of_ones_own_does_not_end_by_itself(pages: UserPage[], dir: Dir) {
  if (!pages_are_dest(pages, dir)) return 0;
  // @ts-expect-error no acquirer made it, whatever its direction
  using all = pages;
  return all.length;
}
export function that_of_an_acquirer_does(pages: OwnedUserPages, dir: Dir) {
  if (!pages_are_dest(pages, dir)) return 0;
  using all = pages;
  return all.length;
}
export function moved_out_of_a_scope_is_spent_in_it(machine: Machine) {
  using disk = brd_alloc(machine, 512);
  if (IS_ERR(disk)) return;
  using bio = bio_alloc_pinned(disk, 1, "REQ_OP_WRITE");
  submit_bio(bio);
  // @ts-expect-error the device has it
  submit_bio(bio);
}
export function put_in_a_scope_still_needs_the_release(machine: Machine) {
  using disk = brd_alloc(machine, 512);
  if (IS_ERR(disk)) return;
  using bio = bio_alloc_pinned(disk, 1, "REQ_OP_WRITE");
  // @ts-expect-error its pages are pinned
  bio_put(bio);
}
export function released_by_hand_in_a_scope(machine: Machine) {
  using disk = brd_alloc(machine, 512);
  if (IS_ERR(disk)) return;
  using bio = bio_alloc_pinned(disk, 1, "REQ_OP_WRITE");
  bio_release_pages(bio, false);
  bio_put(bio);
}

// --- 2. numbers -------------------------------------------------------------------------------------------
export function using_takes_no_page(current: Task) {
  // @ts-expect-error a number has no dispose
  using page = alloc_page(current);
  return page;
}
export function free_takes_the_call(current: Task, addr: UserAddr) {
  using page = __free(put_page, alloc_page(current));
  expectType<Scope<OwnedPage> | Errno<"ENOMEM">>(page);
  if (IS_ERR(page)) return page;
  using pin = __free(put_user_page, get_user_page(current, addr, ITER_DEST));
  expectType<Scope<OwnedUserPage<"dest", "short">> | GupError>(pin);
  if (IS_ERR(pin)) return pin;
  using folio = __free(folio_put, folio_alloc(current, 2));
  if (IS_ERR(folio)) return folio;
  expectType<BorrowedPage>(page.page);
  expectType<LentUserPage<"dest", "short">>(pin.page);
  memcpy_to_page(pin.page, 0, bytes);
  return page_ref_count(page.page) + folio_order(folio.page);
}
export function the_error_is_asked(current: Task) {
  using page = __free(put_page, alloc_page(current));
  // @ts-expect-error perhaps ENOMEM
  page_ref_count(page.page);
}

// --- 3. one kind ------------------------------------------------------------------------------------------
export function put_page_frees_no_pin(current: Task, addr: UserAddr) {
  // @ts-expect-error
  using page = __free(put_page, get_user_page(current, addr, ITER_SOURCE));
  return page;
}
export function put_user_page_frees_no_page(current: Task) {
  // @ts-expect-error
  using page = __free(put_user_page, alloc_page(current));
  return page;
}
export function put_user_bvec_frees_no_page(current: Task) {
  // @ts-expect-error
  using page = __free(put_user_bvec, alloc_page(current));
  return page;
}
export function free_is_for_numbers(current: Task, addr: UserAddr) {
  // @ts-expect-error a list is an object: `using` takes it
  return __free(put_user_bvec, get_user_bvec(current, addr, 4096, ITER_DEST));
}
export function a_scope_of_anything_else_lends_nothing(scope: Scope<OwnedBvec>) {
  expectType<never>(scope.page);
}
export function what_was_released_is_not_freed(current: Task) {
  const page = alloc_page(current);
  if (IS_ERR(page)) return;
  put_page(page);
  // @ts-expect-error
  using scope = __free(put_page, page);
  return scope;
}
export function what_is_lent_is_not_freed(page: BorrowedPage) {
  // @ts-expect-error
  using scope = __free(put_page, page);
  return scope;
}

// --- 4. lent and moved ------------------------------------------------------------------------------------
export function the_handle_is_lent(current: Task, addr: UserAddr) {
  using pin = __free(put_user_page, get_user_page(current, addr, ITER_SOURCE));
  if (IS_ERR(pin)) return;
  memcpy_from_page(bytes, pin.page, 0);
  // @ts-expect-error pinned to be read
  memcpy_to_page(pin.page, 0, bytes);
  // @ts-expect-error the block releases it
  put_user_page(pin.page);
}
export function no_free_ptr_moves_it_out(current: Task, addr: UserAddr) {
  using pin = __free(put_user_page, get_user_page(current, addr, ITER_SOURCE));
  if (IS_ERR(pin)) return pin;
  const page = no_free_ptr(pin);
  expectType<OwnedUserPage<"source", "short">>(page);
  put_user_page(page);
  // @ts-expect-error released
  put_user_page(page);
  return null;
}
export function lists_and_arrays_are_scopes_themselves(current: Task, addr: UserAddr) {
  using bvecs = get_user_bvec(current, addr, 4096, ITER_DEST);
  if (IS_ERR(bvecs)) return;
  expectType<OwnedBvecList<"dest", "short">>(no_free_ptr(bvecs));
  using pages = all_or_none(pin_user_pages_fast(current, addr, 1, ITER_SOURCE, FOLL_LONGTERM));
  if (IS_ERR(pages)) return;
  expectType<OwnedUserPages<"source", "longterm">>(no_free_ptr(pages));
}
export function what_was_released_has_left_no_scope(bvecs: PinnedBvecList) {
  put_user_bvec(bvecs);
  // @ts-expect-error released
  no_free_ptr(bvecs);
}
