/**
 * What a release does to the variable it was given: the rule behind all kinds, shown on pages.
 *
 * 1. After a release the variable is spent: nothing that uses or releases takes it, whichever way it was reached.
 * 2. What is perhaps spent counts as spent: after a join, in the next round of a loop.
 * 3. A spent handle fits what the variable was, so messages print its name and not an intersection.
 */
import { expectAssignable, expectNotAssignable, expectType } from "tsd";
import {
  alloc_page,
  assert_held,
  folio_alloc,
  folio_put,
  get_user_page,
  IS_ERR,
  ITER_SOURCE,
  memcpy_from_page,
  page_ref_count,
  put_page,
  put_user_page,
  unpin_user_page,
  unpin_user_page_range_dirty_lock,
  type BorrowedUserPage,
  type GupError,
  type HeldUserPage,
  type LentUserPage,
  type Narrows,
  type OwnedUserPage,
  type Page,
  type SpentFolio,
  type SpentPageRef,
  type SpentUserPage,
  type SpentUserPageRef,
  type Task,
  type UserAddr,
  type UserPage,
} from "user-page";

declare function perhaps(): boolean;
declare const bytes: Uint8Array;
type Put = "released by put_user_page()";

// --- 1. spent ---------------------------------------------------------------------------------------------
export function released_is_not_used(current: Task, addr: UserAddr) {
  const page = get_user_page(current, addr, ITER_SOURCE);
  if (IS_ERR(page)) return;
  put_user_page(page);
  // @ts-expect-error released
  memcpy_from_page(bytes, page, 0);
  // @ts-expect-error released
  page_ref_count(page);
  expectNotAssignable<UserPage>(page);
  expectNotAssignable<BorrowedUserPage>(page);
  expectNotAssignable<HeldUserPage>(page);
  expectNotAssignable<LentUserPage>(page);
  expectNotAssignable<BorrowedUserPage | null>(page);
}
export function released_is_not_released(current: Task) {
  const page = alloc_page(current);
  if (IS_ERR(page)) return;
  put_page(page);
  // @ts-expect-error released
  put_page(page);
}
export function any_name_of_the_release_spends(pin: UserPage) {
  unpin_user_page(pin);
  // @ts-expect-error released
  put_user_page(pin);
}
export function a_range_release_spends_its_first(pin: UserPage<"dest">, current: Task) {
  unpin_user_page_range_dirty_lock(pin, 4, true, current);
  // @ts-expect-error released
  memcpy_from_page(bytes, pin, 0);
}
export function a_released_parameter_is_spent(pin: UserPage) {
  put_user_page(pin);
  // @ts-expect-error released
  memcpy_from_page(bytes, pin, 0);
}
export function a_released_field_is_spent(slot: { page: UserPage | null }) {
  if (!slot.page) return;
  put_user_page(slot.page);
  // @ts-expect-error released, and still in the field
  put_user_page(slot.page);
}
export function a_released_element_is_spent(pages: UserPage[]) {
  const [first] = pages;
  if (!first) return;
  put_user_page(first);
  // @ts-expect-error released
  put_user_page(first);
}
export function a_released_handle_enters_no_container(current: Task, addr: UserAddr) {
  const page = get_user_page(current, addr, ITER_SOURCE);
  if (IS_ERR(page)) return;
  put_user_page(page);
  // @ts-expect-error
  const list: UserPage[] = [page];
  // @ts-expect-error
  const slot: { page: UserPage | null } = { page };
  // @ts-expect-error
  new Map<number, UserPage>().set(0, page);
  // @ts-expect-error not even as a lent one
  const lent: LentUserPage = page;
  return [list, slot, lent];
}
export function a_released_handle_is_not_returned(current: Task, addr: UserAddr): UserPage | null {
  const page = get_user_page(current, addr, ITER_SOURCE);
  if (IS_ERR(page)) return null;
  put_user_page(page);
  // @ts-expect-error
  return page;
}
export function a_closure_made_later_sees_it(current: Task, addr: UserAddr) {
  const page = get_user_page(current, addr, ITER_SOURCE);
  if (IS_ERR(page)) return;
  put_user_page(page);
  // @ts-expect-error
  return () => memcpy_from_page(bytes, page, 0);
}
export async function waiting_does_not_bring_it_back(current: Task, addr: UserAddr) {
  const page = get_user_page(current, addr, ITER_SOURCE);
  if (IS_ERR(page)) return;
  put_user_page(page);
  await null;
  // @ts-expect-error
  memcpy_from_page(bytes, page, 0);
}
export function a_generic_wrapper_may_only_lend(current: Task, addr: UserAddr) {
  const with_page = <R>(use: (page: BorrowedUserPage) => R): R | GupError => {
    const page = get_user_page(current, addr, ITER_SOURCE);
    if (IS_ERR(page)) return page;
    const result = use(page);
    put_user_page(page);
    return result;
  };
  with_page((page) => page_ref_count(page));
  // @ts-expect-error lent to the callback
  with_page((page) => put_user_page(page));
}
export const users_own_release: Narrows<
  HeldUserPage,
  { is: SpentUserPage<"released by mine()"> }
> = (page) => {
  put_user_page(page);
};
export function users_own_release_spends(pin: UserPage) {
  users_own_release(pin);
  // @ts-expect-error released by mine()
  memcpy_from_page(bytes, pin, 0);
}

export function a_second_refusal_does_not_end_the_tracking(current: Task, addr: UserAddr) {
  const page = get_user_page(current, addr, ITER_SOURCE);
  if (IS_ERR(page)) return;
  put_user_page(page);
  // @ts-expect-error released
  unpin_user_page(page);
  // @ts-expect-error released still
  memcpy_from_page(bytes, page, 0);
}
export function even_any_is_spent(value: any) {
  put_user_page(value);
  // @ts-expect-error released
  put_user_page(value);
}

// --- 2. perhaps spent -------------------------------------------------------------------------------------
export function perhaps_released_is_released(current: Task, addr: UserAddr) {
  const page = get_user_page(current, addr, ITER_SOURCE);
  if (IS_ERR(page)) return;
  if (perhaps()) put_user_page(page);
  // @ts-expect-error perhaps released
  memcpy_from_page(bytes, page, 0);
}
export function released_in_one_case(current: Task, addr: UserAddr, n: number) {
  const page = get_user_page(current, addr, ITER_SOURCE);
  if (IS_ERR(page)) return;
  switch (n) {
    case 1:
      put_user_page(page);
      break;
    default:
  }
  // @ts-expect-error perhaps released
  put_user_page(page);
}
export function released_in_a_try(current: Task, addr: UserAddr) {
  const page = get_user_page(current, addr, ITER_SOURCE);
  if (IS_ERR(page)) return;
  try {
    put_user_page(page);
    perhaps();
  } catch {
    perhaps();
  }
  // @ts-expect-error perhaps released
  put_user_page(page);
}
export function released_in_every_round(current: Task, addr: UserAddr) {
  const page = get_user_page(current, addr, ITER_SOURCE);
  if (IS_ERR(page)) return;
  // @ts-expect-error released in the round before
  while (perhaps()) put_user_page(page);
}
export function a_nullable_variable_is_followed_through_loops(pin: UserPage) {
  const page: UserPage | null = pin;
  // @ts-expect-error released in the round before
  while (perhaps()) put_user_page(page);
}
export function a_nullable_variable_is_followed_through_joins(pin: UserPage) {
  const page: UserPage | null = pin;
  if (perhaps()) put_user_page(page);
  expectType<UserPage | SpentUserPageRef<Put>>(page);
  // @ts-expect-error perhaps released
  memcpy_from_page(bytes, page, 0);
}
export function a_checked_parameter_is_followed(pin: UserPage) {
  assert_held(pin);
  if (perhaps()) put_user_page(pin);
  // @ts-expect-error perhaps released
  memcpy_from_page(bytes, pin, 0);
}
export function released_on_every_path_or_returned(current: Task, addr: UserAddr) {
  const page = get_user_page(current, addr, ITER_SOURCE);
  if (IS_ERR(page)) return page;
  while (perhaps()) {
    if (perhaps()) {
      put_user_page(page);
      return null;
    }
    memcpy_from_page(bytes, page, 0);
  }
  put_user_page(page);
  return null;
}
export function set_to_null_is_known(current: Task, addr: UserAddr) {
  const pinned = get_user_page(current, addr, ITER_SOURCE);
  if (IS_ERR(pinned)) return;
  let page: UserPage | null = pinned;
  if (perhaps()) {
    put_user_page(page);
    page = null;
  }
  if (page) put_user_page(page);
}
export function tried_again(current: Task, addr: UserAddr) {
  for (;;) {
    const page = get_user_page(current, addr, ITER_SOURCE);
    if (IS_ERR(page)) return page;
    if (perhaps()) {
      put_user_page(page);
      continue;
    }
    put_user_page(page);
    return null;
  }
}
export function popped_one_by_one(pages: UserPage[]) {
  for (let page = pages.pop(); page; page = pages.pop()) put_user_page(page);
}

// --- 3. names -----------------------------------------------------------------------------------------------
export function a_spent_variable_has_its_name(current: Task, addr: UserAddr) {
  const page = get_user_page(current, addr, ITER_SOURCE);
  if (IS_ERR(page)) return;
  put_user_page(page);
  expectType<SpentUserPage<Put>>(page);
}
export function a_spent_parameter_has_its_name(pin: UserPage<"dest">) {
  put_user_page(pin);
  expectType<SpentUserPageRef<Put>>(pin);
}
export function a_perhaps_spent_variable_names_both(current: Task, addr: UserAddr) {
  const page = get_user_page(current, addr, ITER_SOURCE);
  if (IS_ERR(page)) return;
  if (perhaps()) put_user_page(page);
  expectType<OwnedUserPage<"source", "short"> | SpentUserPage<Put>>(page);
}
export function a_spent_page_and_folio_have_their_names(current: Task, page: Page) {
  const folio = folio_alloc(current, 2);
  if (IS_ERR(folio)) return;
  folio_put(folio);
  expectType<SpentFolio<"released by folio_put()">>(folio);
  put_page(page);
  expectType<SpentPageRef<"released by put_page()">>(page);
}
