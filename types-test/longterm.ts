/**
 * Memory that moves, and what is charged for memory that does not.
 *
 * 1. Contiguous pages are given back once, as a whole; one of them is lent.
 * 2. What is kept after the call takes long-term pins only, single and in lists; a long-term pin serves for a call as well.
 * 3. A charge is asked about before it is used, and the errno is that of the convention.
 * 4. Memory of a device is mapped like a file.
 */
import { expectAssignable, expectNotAssignable, expectType } from "tsd";
import {
  account_locked_vm,
  account_pinned_vm,
  cma_alloc,
  cma_page,
  cma_release,
  dax_file,
  folio_is_longterm_pinnable,
  FOLL_LONGTERM,
  get_user_bvec,
  get_user_page,
  io_buffer_account_pin,
  IS_ERR,
  ITER_DEST,
  ITER_SOURCE,
  MAP_SHARED,
  mmap,
  page_folio,
  put_page,
  put_user_bvec,
  put_user_page,
  unaccount_mem,
  xdp_umem_account_pages,
  type BorrowedPage,
  type CmaPages,
  type Errno,
  type HeldUserPage,
  type LockedCharge,
  type LongtermBvecList,
  type LongtermUserPage,
  type Mm,
  type OwnedUserPage,
  type ProcessContext,
  type SoftirqContext,
  type SpentCmaPages,
  type Task,
  type UserAddr,
  type UserPage,
} from "user-page";

// --- 1. contiguous pages -----------------------------------------------------------------------------------
export function given_back_once(current: ProcessContext) {
  const pages = cma_alloc(current, 16);
  if (IS_ERR(pages)) return;
  cma_release(pages);
  expectType<SpentCmaPages<"given back by cma_release()">>(pages);
  // @ts-expect-error a second time
  cma_release(pages);
  // @ts-expect-error they belong to somebody else
  cma_page(pages, 0);
}
export function asked_first(current: ProcessContext) {
  const pages = cma_alloc(current, 16);
  // @ts-expect-error perhaps there are none
  cma_page(pages, 0);
  // @ts-expect-error
  cma_release(pages);
}
export function by_scope(current: ProcessContext) {
  using pages = cma_alloc(current, 16);
  if (IS_ERR(pages)) return;
  expectAssignable<CmaPages>(pages);
  expectType<number>(pages.pfn);
}
export function one_page_is_lent(pages: CmaPages) {
  const page = cma_page(pages, 0);
  expectType<BorrowedPage>(page);
  // @ts-expect-error cma_release() gives it back
  put_page(page);
}
export function allocating_may_sleep(softirq: SoftirqContext) {
  // @ts-expect-error what is in the way is moved
  cma_alloc(softirq, 1);
}

// --- 2. what is kept ---------------------------------------------------------------------------------------
interface Registration {
  page: LongtermUserPage<"dest"> | null;
  bvecs: LongtermBvecList<"dest"> | null;
}
declare function transfer(page: UserPage<"dest">): void;
export function kept(current: Task, addr: UserAddr, registration: Registration) {
  const page = get_user_page(current, addr, ITER_DEST, FOLL_LONGTERM);
  const bvecs = get_user_bvec(current, addr, 8192, ITER_DEST, FOLL_LONGTERM);
  if (IS_ERR(page) || IS_ERR(bvecs)) return;
  expectType<boolean>(folio_is_longterm_pinnable(page_folio(page)));
  transfer(page);
  registration.page = page;
  registration.bvecs = bvecs;
}
export function not_kept(current: Task, addr: UserAddr, registration: Registration) {
  const page = get_user_page(current, addr, ITER_DEST);
  const bvecs = get_user_bvec(current, addr, 8192, ITER_DEST);
  const read = get_user_bvec(current, addr, 8192, ITER_SOURCE, FOLL_LONGTERM);
  if (IS_ERR(page) || IS_ERR(bvecs) || IS_ERR(read)) return;
  // @ts-expect-error a short pin
  registration.page = page;
  // @ts-expect-error short pins
  registration.bvecs = bvecs;
  // @ts-expect-error pinned to be read
  registration.bvecs = read;
  expectNotAssignable<LongtermUserPage>(page);
  expectNotAssignable<LongtermBvecList>(bvecs);
  put_user_page(page);
  put_user_bvec(bvecs);
  put_user_bvec(read);
}

// --- 3. charges --------------------------------------------------------------------------------------------
export function each_with_its_errno(current: Task, mm: Mm, pages: HeldUserPage[]) {
  expectType<LockedCharge | Errno<"ENOMEM">>(account_pinned_vm(current, 1));
  expectType<LockedCharge | Errno<"ENOMEM">>(io_buffer_account_pin(current, pages, new Set()));
  expectType<LockedCharge | Errno<"ENOBUFS">>(xdp_umem_account_pages(current, 1));
  const charged = account_locked_vm(mm, 1, true, current);
  if (charged.isErr()) expectType<"ENOMEM">(charged.error.errno);
}
export function asked_about_first(current: Task) {
  const charge = account_pinned_vm(current, 1);
  // @ts-expect-error perhaps above the limit
  unaccount_mem(charge);
  // @ts-expect-error nor has it a number of pages then
  charge.nr_pages;
  if (!IS_ERR(charge)) unaccount_mem(charge);
}
export function pins_are_charged(current: Task, pages: Array<OwnedUserPage<"dest", "longterm">>) {
  io_buffer_account_pin(current, pages, new Set());
}
export function a_kworker_has_no_limit(kworker: ProcessContext) {
  // @ts-expect-error whose limit?
  account_pinned_vm(kworker, 1);
}

// --- 4. memory of a device ---------------------------------------------------------------------------------
export function mapped_like_a_file(current: Task) {
  const file = dax_file(current, 4096);
  // @ts-expect-error perhaps there is none
  mmap(current, null, 4096, 3, MAP_SHARED, file);
  if (IS_ERR(file)) return;
  mmap(current, null, 4096, 3, MAP_SHARED, file);
  file[Symbol.dispose]();
}
