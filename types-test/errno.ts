/**
 * Errors as values.
 *
 * 1. What acquires a handle returns the handle or an Errno, asked with IS_ERR(); unasked, neither is used.
 * 2. IS_ERR() works on any union, also in generic code, and leaves null and short results alone.
 * 3. What returns a count or nothing returns a Result; PTR_ERR() turns an error into one.
 * 4. An Errno names its errnos, so a caller can handle each and knows which cannot be.
 */
import { ok, type Err, type Result } from "neverthrow";
import { expectAssignable, expectNotAssignable, expectType } from "tsd";
import {
  alloc_page,
  copy_from_user,
  ERR_PTR,
  errno_code,
  folio_alloc,
  get_user_bvec,
  get_user_page,
  IS_ERR,
  ITER_SOURCE,
  memcpy_from_page,
  mmap,
  pin_user_pages_fast,
  PTR_ERR,
  put_page,
  put_user_bvec,
  type BlkError,
  type Errno,
  type ErrnoName,
  type GupError,
  type MmError,
  type OwnedBvecList,
  type OwnedPage,
  type OwnedUserPages,
  type Page,
  type ShortPin,
  type Task,
  type UserAddr,
} from "user-page";

// --- 1. asked ---------------------------------------------------------------------------------------------
export function unasked_is_not_used(current: Task) {
  const page = alloc_page(current);
  // @ts-expect-error perhaps ENOMEM
  memcpy_from_page(new Uint8Array(1), page, 0);
  // @ts-expect-error perhaps a page
  page.errno;
  // @ts-expect-error perhaps ENOMEM
  put_page(page);
}
export function asked_each_branch_knows(current: Task) {
  const page = alloc_page(current);
  if (IS_ERR(page)) {
    expectType<Errno<"ENOMEM">>(page);
    return;
  }
  expectType<OwnedPage>(page);
  put_page(page);
}
export function the_error_is_no_handle(error: GupError) {
  expectNotAssignable<Page>(error);
  // @ts-expect-error the branches were confused
  put_page(error);
}
export function negated_and_combined(current: Task, addr: UserAddr) {
  const a = get_user_page(current, addr, ITER_SOURCE);
  const b = alloc_page(current);
  if (!IS_ERR(a) && !IS_ERR(b)) {
    memcpy_from_page(new Uint8Array(1), a, 0);
    put_page(b);
  }
}

// --- 2. any union -----------------------------------------------------------------------------------------
export function null_is_no_error(page: OwnedPage | GupError | null) {
  if (IS_ERR(page)) return;
  expectType<OwnedPage | null>(page);
  // @ts-expect-error perhaps null
  put_page(page);
}
export function short_is_no_error(current: Task, addr: UserAddr) {
  const pages = pin_user_pages_fast(current, addr, 2, ITER_SOURCE);
  if (!IS_ERR(pages)) {
    expectType<OwnedUserPages<"source", "short"> | ShortPin<"source", "short">>(pages);
  }
}
export function in_generic_code<T extends object>(handle: T | GupError, use: (handle: T) => void) {
  if (IS_ERR(handle)) return errno_code(handle);
  use(handle as Exclude<typeof handle, Errno>);
  return 0;
}
export function generic_code_may_keep_the_error<H>(
  acquire: () => H | GupError,
): H | GupError | null {
  const handle = acquire();
  if (IS_ERR(handle)) return null;
  return handle;
}
export function a_handle_alone_has_no_error(page: OwnedPage) {
  if (IS_ERR(page)) expectType<never>(page);
}

// --- 3. Result --------------------------------------------------------------------------------------------
export function counts_are_results(current: Task, addr: UserAddr) {
  expectType<Result<number, Errno<"EFAULT">>>(copy_from_user(current, new Uint8Array(1), addr));
  expectType<Result<UserAddr, MmError>>(mmap(current, null, 4096, 0, 0));
  // @ts-expect-error a Result is no address
  get_user_page(current, mmap(current, null, 4096, 0, 0), ITER_SOURCE);
}
export function ptr_err_makes_a_result(current: Task, addr: UserAddr): Result<number, GupError> {
  const bvecs = get_user_bvec(current, addr, 4096, ITER_SOURCE);
  if (IS_ERR(bvecs)) {
    expectType<Err<never, GupError>>(PTR_ERR(bvecs));
    return PTR_ERR(bvecs);
  }
  const { count } = bvecs;
  put_user_bvec(bvecs);
  return ok(count);
}
export function ptr_err_takes_no_handle(bvecs: OwnedBvecList) {
  // @ts-expect-error not known to be an error
  PTR_ERR(bvecs);
}
export function a_result_in_a_result_is_followed(current: Task, addr: UserAddr) {
  const acquired: Result<OwnedBvecList, GupError> = acquire(current, addr);
  if (acquired.isErr()) return;
  const bvecs = acquired.value;
  put_user_bvec(bvecs);
  // @ts-expect-error released
  put_user_bvec(bvecs);
}
function acquire(current: Task, addr: UserAddr): Result<OwnedBvecList, GupError> {
  const bvecs = get_user_bvec(current, addr, 4096, ITER_SOURCE);
  return IS_ERR(bvecs) ? PTR_ERR(bvecs) : ok(bvecs);
}

// --- 4. names ---------------------------------------------------------------------------------------------
export function errnos_are_named(current: Task, error: GupError) {
  expectType<Errno<"EINVAL">>(ERR_PTR("EINVAL", "no"));
  expectAssignable<GupError>(ERR_PTR("EFAULT", "not there"));
  expectNotAssignable<BlkError>(ERR_PTR("EFAULT", "not there"));
  expectAssignable<Errno>(error);
  expectAssignable<ErrnoName>(error.errno);
  const folio = folio_alloc(current, 2);
  if (IS_ERR(folio)) expectType<Errno<"ENOMEM" | "EINVAL">>(folio);
  // @ts-expect-error no errno of this library
  ERR_PTR("ENOTTY", "");
  // @ts-expect-error alloc_page() does not fail that way
  if (IS_ERR(folio) && folio.errno === "EIO") return;
}
export function an_error_may_stand_in_using(current: Task, addr: UserAddr) {
  using bvecs = get_user_bvec(current, addr, 4096, ITER_SOURCE);
  if (IS_ERR(bvecs)) return bvecs;
  return null;
}
