/**
 * What types cannot see, continued from limits.ts: every program here is wrong and compiles.
 *
 * 1. Loops over the declared type, which may be a union: it was not narrowed before the loop.
 * 2. A bio that came back from submit_bio_wait().
 * 3. Calls that take a handle without saying so.
 * 4. More calls that are no statements.
 * 5. Type parameters that extend a handle.
 * 6. Arrays are covariant: a wider name takes what the narrower does not.
 * 7. Predicates of one's own.
 * 8. Numbers.
 */
import {
  __free,
  all_or_none,
  bio_alloc_pinned,
  bio_put,
  FOLL_LONGTERM,
  get_user_page,
  IS_ERR,
  ITER_SOURCE,
  no_free_ptr,
  page_to_pfn,
  pop_user_bvec,
  put_page,
  put_user_bvec,
  put_user_page,
  put_user_pages,
  submit_bio,
  submit_bio_wait,
  u64_to_user_ptr,
  type BlockDevice,
  type BorrowedPage,
  type LongtermUserPage,
  type Narrows,
  type OwnedUserPage,
  type Page,
  type PinnedBvec,
  type PinnedBvecList,
  type PinResult,
  type PlainBio,
  type Scope,
  type Task,
  type UserAddr,
  type UserPage,
} from "user-page";

declare function perhaps(): boolean;
declare const bdev: BlockDevice;
declare const current: Task;
declare const addr: UserAddr;

// --- 1. the declared union is not left --------------------------------------------------------------------
export function popped_in_an_earlier_round(bvecs: PinnedBvecList) {
  let bvec = pop_user_bvec(bvecs);
  while (bvec) {
    put_user_bvec(bvec);
    if (perhaps()) continue;
    bvec = pop_user_bvec(bvecs);
  }
}
export function never_popped_again(pages: UserPage[]) {
  const page = pages.pop();
  while (page) put_user_page(page);
}
export function error_or_not() {
  const page = get_user_page(current, addr, ITER_SOURCE);
  while (!IS_ERR(page)) put_user_page(page);
}
// --- 2. submit_bio_wait() ---------------------------------------------------------------------------------
export function waited_for_then_submitted() {
  const bio = bio_alloc_pinned(bdev, 1, "REQ_OP_READ");
  submit_bio_wait(bio, current);
  submit_bio(bio);
}
// --- 3. taken without a word ------------------------------------------------------------------------------
export function disposed_by_hand(bvecs: PinnedBvecList) {
  bvecs[Symbol.dispose]();
  put_user_bvec(bvecs);
}
export function moved_out_twice(scope: Scope<OwnedUserPage>) {
  put_user_page(no_free_ptr(scope));
  put_user_page(no_free_ptr(scope));
}
export function the_result_before_it_was_asked(pages: PinResult) {
  const all = all_or_none(pages);
  if (IS_ERR(all) || IS_ERR(pages)) return;
  put_user_pages(all);
  return pages;
}
export function given_to_a_scope_and_kept(page: UserPage) {
  using scope = __free(put_user_page, page);
  put_user_page(page);
  return page_to_pfn(scope.page);
}
export function twice_in_one_array(page: UserPage) {
  put_user_pages([page, page]);
}
export function in_a_tuple(page: UserPage) {
  const pair: [UserPage, number] = [page, 0];
  put_user_page(page);
  put_user_page(pair[0]);
}
// --- 4. no statements -------------------------------------------------------------------------------------
export async function other_spellings(a: UserPage, b: UserPage, c: UserPage) {
  // prettier-ignore
  (put_user_page(a));
  put_user_page(a);
  await put_user_page(b);
  put_user_page(b);
  put_user_page.call(null, c);
  put_user_page(c);
}
// --- 5. type parameters -----------------------------------------------------------------------------------
export function generic_in_the_extent<T extends PinnedBvec>(bvec: T) {
  put_user_bvec(bvec);
  put_user_bvec(bvec);
}
export function generic_in_the_list<T extends PinnedBvecList>(bvecs: T) {
  put_user_bvec(bvecs);
  put_user_bvec(bvecs);
}
export function generic_in_the_bio<T extends PlainBio>(bio: T) {
  bio_put(bio);
  bio_put(bio);
}
export function generic_in_the_page<T extends UserPage>(page: T, kept: T[]) {
  put_user_page(page);
  kept.push(page);
  return page_to_pfn(page);
}
// --- 6. covariant arrays ----------------------------------------------------------------------------------
export function short_among_longterm(registered: LongtermUserPage[], short: UserPage) {
  const pages: UserPage[] = registered;
  pages.push(short);
  return registered.pop();
}
export function source_among_dest(dest: Array<UserPage<"dest">>, source: UserPage<"source">) {
  const pages: UserPage[] = dest;
  pages.push(source);
  return dest.pop();
}
// --- 7. predicates ----------------------------------------------------------------------------------------
declare const owns: Narrows<BorrowedPage, { is: Page }>;
declare function is_pin(value: unknown): value is UserPage;
export function said_to_be_owned(page: BorrowedPage) {
  owns(page);
  put_page(page);
}
export function said_to_be_a_pin(value: unknown) {
  if (is_pin(value)) put_user_page(value);
}
export class Sink {
  put(_page: BorrowedPage): void {}
}
export class Putting extends Sink {
  override put(page: Page): void {
    put_page(page);
  }
}
// --- 8. numbers -------------------------------------------------------------------------------------------
export function a_frame_number_as_an_address(page: UserPage) {
  return get_user_page(current, u64_to_user_ptr(page_to_pfn(page)), ITER_SOURCE, FOLL_LONGTERM);
}
export function still_an_address(at: UserAddr): UserAddr {
  at++;
  return at;
}
