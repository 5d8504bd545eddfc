/**
 * What types cannot see.  Every program here is wrong and compiles.  Debug mode notices what of it runs; the lint rules
 * are for the rest.  A compiler that refuses one of these got better: move the case to the file of its rule.
 *
 *  1. A parameter, captured variable or field whose type at a join or loop is exactly the declared one: the compiler
 *     does not look at the other path.  assert_held() cures it, or a union that is narrowed before the loop or join.
 *  2. A catch block sees what held before the try.
 *  3. Aliases: two names, copies of arrays, elements, closures made before.
 *  4. Calls that are no statements narrow nothing.
 *  5. Only assertion functions spend: a helper, a method, another function's field.
 *  6. A spent parameter still fits what it was declared as.
 *  7. Contexts captured by closures.
 *  8. What is left undone: leaks, ignored answers, the short part of a short pin.
 *  9. The address space of a lock; the owner of a vaddr pin.
 * 10. any, never, casts.
 */
import {
  bio_add_user_bvec,
  bio_alloc_pinned,
  bio_put,
  bio_release_pages,
  bio_set_end_io,
  get_user_bvec,
  get_user_page,
  get_user_pages_fast,
  IS_ERR,
  IS_SHORT,
  ITER_SOURCE,
  memcpy_from_page,
  mmap_read_lock,
  pin_user_pages_fast,
  pop_user_bvec,
  put_page,
  put_user_bvec,
  put_user_page,
  put_user_pages,
  schedule_work,
  submit_bio,
  vaddr_unpin_pages,
  VaddrPin,
  type BlockDevice,
  type EndedBio,
  type GupError,
  type LentBvec,
  type OwnedUserPages,
  type Page,
  type PinnedBio,
  type PinnedBvec,
  type PinnedBvecList,
  type Task,
  type UserAddr,
  type UserPage,
} from "user-page";

declare function perhaps(): boolean;
declare function takes(page: UserPage): void;
declare const bytes: Uint8Array;
declare const bdev: BlockDevice;
declare const current: Task;
declare const addr: UserAddr;

// --- 1. the declared type is not left ---------------------------------------------------------------------
export function parameter_at_a_join(page: UserPage) {
  if (perhaps()) put_user_page(page);
  memcpy_from_page(bytes, page, 0);
}
export function parameter_in_a_loop(page: UserPage) {
  while (perhaps()) put_user_page(page);
}
export function captured_at_a_join(page: UserPage) {
  return () => {
    if (perhaps()) put_user_page(page);
    memcpy_from_page(bytes, page, 0);
  };
}
export function local_of_one_type_in_a_loop() {
  const bio = bio_alloc_pinned(bdev, 1, "REQ_OP_READ");
  while (perhaps()) submit_bio(bio);
}
export function nullable_from_a_nullable(pin: UserPage) {
  const page: UserPage | null = perhaps() ? pin : null;
  while (page && perhaps()) put_user_page(page);
}
export function emptied_parameter_at_a_join(bio: PinnedBio) {
  if (perhaps()) bio_release_pages(bio, false);
  bio_release_pages(bio, false);
}
export function let_bio_over_a_loop(bvecs: PinnedBvecList<"dest">) {
  const bio = bio_alloc_pinned(bdev, 1, "REQ_OP_READ");
  for (let b = pop_user_bvec(bvecs); b; b = pop_user_bvec(bvecs)) {
    if (bio_add_user_bvec(bio, b)) continue;
    submit_bio(bio);
    put_user_bvec(b);
  }
}
// --- 2. catch ---------------------------------------------------------------------------------------------
export function released_before_it_threw() {
  const page = get_user_page(current, addr, ITER_SOURCE);
  if (IS_ERR(page)) return;
  try {
    put_user_page(page);
    perhaps();
  } catch {
    put_user_page(page);
  }
}
// --- 3. aliases -------------------------------------------------------------------------------------------
export function two_names(page: UserPage) {
  const same = page;
  put_user_page(page);
  put_user_page(same);
}
export function an_element_then_all(pages: UserPage[]) {
  put_user_page(pages[0]!);
  put_user_pages(pages);
}
export function each_then_all(pages: UserPage[]) {
  for (const page of pages) put_user_page(page);
  put_user_pages(pages);
}
export function a_copy_of_the_array(pages: UserPage[]) {
  const copy = [...pages];
  put_user_pages(pages);
  put_user_pages(copy);
}
export function a_lent_extent_kept(bvecs: PinnedBvecList) {
  let kept: LentBvec | null = null;
  for (const bvec of bvecs) kept = bvec;
  put_user_bvec(bvecs);
  return kept?.page;
}
export function a_closure_made_before(page: UserPage) {
  const later = () => memcpy_from_page(bytes, page, 0);
  put_user_page(page);
  return later();
}
export function deferred_and_done(bio: EndedBio<"pinned user pages">) {
  schedule_work(current, (kworker) => {
    bio_release_pages(bio, true, kworker);
    bio_put(bio);
  });
  bio_release_pages(bio, false);
  bio_put(bio);
}
// --- 4. no statement --------------------------------------------------------------------------------------
export function in_an_expression(a: UserPage, b: UserPage, c: UserPage) {
  perhaps() && put_user_page(a);
  put_user_page(a);
  void put_user_page(b);
  put_user_page(b);
  [c].forEach((page) => put_user_page(page));
  put_user_page(c);
}
export function in_a_conditional(bio: PinnedBio<"dest">, bvecs: PinnedBvecList<"dest">) {
  const bvec = pop_user_bvec(bvecs);
  if (!bvec) return;
  const ret = bio_add_user_bvec(bio, bvec) ? 0 : -1;
  put_user_bvec(bvec);
  return ret;
}
// --- 5. helpers and fields --------------------------------------------------------------------------------
export function a_helper_called_twice(page: UserPage) {
  takes(page);
  takes(page);
}
export class Region {
  readonly bvecs: PinnedBvecList;
  constructor(bvecs: PinnedBvecList) {
    this.bvecs = bvecs;
  }
  close() {
    put_user_bvec(this.bvecs);
  }
  again() {
    put_user_bvec(this.bvecs);
  }
}
export class NotSetToNull {
  bvecs: PinnedBvecList | null = null;
  close() {
    if (this.bvecs) put_user_bvec(this.bvecs);
  }
}
// --- 6. spent fits what it was ----------------------------------------------------------------------------
export function a_spent_parameter_to_a_helper(page: UserPage) {
  put_user_page(page);
  takes(page);
}
export function a_spent_parameter_in_an_array(page: UserPage): UserPage[] {
  put_user_page(page);
  return [page];
}
export function an_inferred_element() {
  const page = get_user_page(current, addr, ITER_SOURCE);
  const other = get_user_page(current, addr, ITER_SOURCE);
  if (IS_ERR(page) || IS_ERR(other)) return;
  const list = [other];
  put_user_page(page);
  list.push(page);
}
// --- 7. captured contexts ---------------------------------------------------------------------------------
export function a_task_inside_end_io(bio: PinnedBio<"dest">) {
  bio_set_end_io(bio, (ended) => {
    bio_release_pages(ended, true, current);
    bio_put(ended);
  });
}
// --- 8. left undone ---------------------------------------------------------------------------------------
export function never_released() {
  const page = get_user_page(current, addr, ITER_SOURCE);
  return IS_ERR(page);
}
export function the_first_leaks_when_the_second_fails(): GupError | null {
  const first = get_user_page(current, addr, ITER_SOURCE);
  if (IS_ERR(first)) return first;
  const second = get_user_page(current, addr, ITER_SOURCE);
  if (IS_ERR(second)) return second;
  put_user_page(first);
  put_user_page(second);
  return null;
}
export function the_short_part_is_dropped() {
  const pages = pin_user_pages_fast(current, addr, 4, ITER_SOURCE);
  if (IS_ERR(pages) || IS_SHORT(pages)) return;
  put_user_pages(pages);
}
export function the_answer_is_ignored(bio: PinnedBio<"dest">, bvec: PinnedBvec<"dest">) {
  bio_add_user_bvec(bio, bvec);
  put_user_bvec(bvec);
}
export function old_calls_are_as_old_calls_are(pages: Page[]) {
  get_user_pages_fast(current, addr, 4, 0, pages);
  for (let i = 0; i < 4; i++) put_page(pages[i]!);
}
export function what_using_releases_leaves_its_block(): PinnedBvecList | GupError {
  using bvecs = get_user_bvec(current, addr, 4096, ITER_SOURCE);
  return bvecs;
}
// --- 9. facts that are in no type -------------------------------------------------------------------------
export function locked_twice() {
  using one = mmap_read_lock(current, current.mm);
  using two = mmap_read_lock(current, current.mm);
  return [one, two];
}
export function another_ones_token(pages: OwnedUserPages<"dest", "longterm">, theirs: VaddrPin) {
  vaddr_unpin_pages(pages, theirs);
}
// --- 10. outside the types --------------------------------------------------------------------------------
export function any_is_every_kind(value: any) {
  put_page(value);
}
export function never_is_everything(value: never) {
  put_user_page(value);
}
export function after_a_refused_kind_nothing_is_left(page: Page) {
  // @ts-expect-error wrong kind; the variable is `never` from here
  put_user_page(page);
  memcpy_from_page(bytes, page, 0);
}
export function casts(page: UserPage) {
  put_user_page(page);
  memcpy_from_page(bytes, page as unknown as UserPage, 0);
}
