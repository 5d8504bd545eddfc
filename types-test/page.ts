/**
 * Pages and folios: references by put_page() and folio_put(), pins by put_user_page().
 *
 * 1. A plain reference, a pin, a folio reference and a page without a reference are four kinds; none fits another.
 * 2. Each release takes exactly its own kind, from whoever may release: an owner, not a borrower.
 * 3. 'dest' pins serve where 'source' suffices; what writes takes 'dest' only.  'longterm' pins serve as short ones.
 * 4. A handle is opaque: no number is one, none is a number, and no arithmetic applies.
 *
 * What a release does to its variable is in page_spent.ts.
 */
import { expectAssignable, expectNotAssignable, expectType } from "tsd";
import {
  folio_get,
  folio_put,
  FOLL_LONGTERM,
  get_page,
  get_page_unless_zero,
  get_user_page,
  IS_ERR,
  ITER_DEST,
  memcpy_from_page,
  memcpy_to_page,
  page_folio,
  page_ref_count,
  page_to_user_page,
  put_page,
  put_user_page,
  try_get_page,
  ZERO_PAGE,
  type BorrowedFolio,
  type BorrowedPage,
  type BorrowedUserPage,
  type Folio,
  type HeldPage,
  type HeldUserPage,
  type LentUserPage,
  type LongtermUserPage,
  type OwnedFolio,
  type OwnedPage,
  type OwnedUserPage,
  type Page,
  type SpentFolio,
  type SpentPage,
  type SpentPageRef,
  type SpentUserPage,
  type SpentUserPageRef,
  type Task,
  type UnreferencedPage,
  type UserAddr,
  type UserPage,
} from "user-page";

declare function perhaps(): boolean;
declare const bytes: Uint8Array;

// --- 1. kinds ---------------------------------------------------------------------------------------------
export function the_four_kinds_do_not_mix(
  page: OwnedPage,
  pin: OwnedUserPage,
  folio: OwnedFolio,
  found: UnreferencedPage,
) {
  expectAssignable<Page>(page);
  expectAssignable<UserPage>(pin);
  expectAssignable<Folio>(folio);
  expectNotAssignable<UserPage>(page);
  expectNotAssignable<Page>(pin);
  expectNotAssignable<Folio>(page);
  expectNotAssignable<Page>(folio);
  expectNotAssignable<BorrowedPage>(found);
  expectNotAssignable<BorrowedUserPage>(found);
  expectNotAssignable<UnreferencedPage>(page);
  expectNotAssignable<Page | UserPage>(folio);
  expectNotAssignable<HeldPage>(null);
  expectNotAssignable<HeldUserPage>(undefined);
}
export function unknown_is_no_handle(value: unknown, object: object, empty: Record<string, never>) {
  expectNotAssignable<BorrowedPage>(value);
  expectNotAssignable<HeldUserPage>(value);
  expectNotAssignable<HeldUserPage>(object);
  expectNotAssignable<HeldUserPage>(empty);
}
export function a_page_without_a_reference_is_only_tried(found: UnreferencedPage) {
  const page = get_page_unless_zero(found);
  expectType<OwnedPage | null>(page);
  // @ts-expect-error it may be free already: get_page() is for those who hold one
  get_page(found);
  // @ts-expect-error not even counted
  page_ref_count(found);
  // @ts-expect-error nothing to put
  put_page(found);
  // @ts-expect-error the answer may be null
  put_page(page);
}

// --- 2. releases ------------------------------------------------------------------------------------------
export function each_kind_has_its_release(page: Page, pin: UserPage, folio: Folio) {
  put_page(page);
  put_user_page(pin);
  folio_put(folio);
}
export function put_page_takes_no_pin(pin: UserPage) {
  // @ts-expect-error the pin counts 1024
  put_page(pin);
}
export function put_user_page_takes_no_page(page: Page) {
  // @ts-expect-error the reference counts 1
  put_user_page(page);
}
export function folio_put_takes_no_page(page: Page) {
  // @ts-expect-error a reference taken on the page is put on the page
  folio_put(page);
}
export function put_page_takes_no_folio(folio: Folio) {
  // @ts-expect-error a folio is no page
  put_page(folio);
}
export function either_kind_must_be_told_apart(either: Page | UserPage) {
  // @ts-expect-error it may be a pin
  put_page(either);
}
export function either_kind_may_be_read(either: Page | UserPage) {
  memcpy_from_page(bytes, either, 0);
}
export function a_borrower_uses(pin: BorrowedUserPage, page: BorrowedPage) {
  memcpy_from_page(bytes, pin, 0);
  expectType<OwnedPage>(get_page(page));
}
export function a_borrower_does_not_release(pin: BorrowedUserPage) {
  // @ts-expect-error it belongs to the caller
  put_user_page(pin);
}
export function a_borrower_does_not_release_pages(page: BorrowedPage) {
  // @ts-expect-error it belongs to the caller
  put_page(page);
}
export function a_borrower_passes_on_to_borrowers_only(pin: BorrowedUserPage, lent: LentUserPage) {
  expectAssignable<BorrowedUserPage>(pin);
  expectAssignable<BorrowedUserPage>(lent);
  expectNotAssignable<UserPage>(pin);
  expectNotAssignable<UserPage>(lent);
  expectNotAssignable<HeldUserPage>(pin);
  expectNotAssignable<HeldUserPage>(lent);
}
export function the_zero_page_is_nobodys(current: Task) {
  // @ts-expect-error everybody holds it
  put_page(ZERO_PAGE(current));
}
export function a_pin_on_the_zero_page_is_the_callers(current: Task) {
  const zero = page_to_user_page(ZERO_PAGE(current));
  if (IS_ERR(zero)) return;
  put_user_page(zero);
}
export function the_folio_of_a_page_is_lent(page: Page) {
  expectType<BorrowedFolio>(page_folio(page));
  const folio = folio_get(page_folio(page));
  folio_put(folio);
  // @ts-expect-error lent
  folio_put(page_folio(page));
}

// --- 3. direction and term --------------------------------------------------------------------------------
export function dest_serves_as_source(
  dest: OwnedUserPage<"dest">,
  source: OwnedUserPage<"source">,
) {
  expectAssignable<UserPage>(dest);
  expectAssignable<BorrowedUserPage>(dest);
  memcpy_from_page(bytes, dest, 0);
  memcpy_to_page(dest, 0, bytes);
  expectNotAssignable<UserPage<"dest">>(source);
  expectNotAssignable<UserPage<"source">>(dest);
  // @ts-expect-error pinned to be read
  memcpy_to_page(source, 0, bytes);
}
export function unknown_direction_is_not_written(pin: UserPage) {
  // @ts-expect-error perhaps pinned to be read
  memcpy_to_page(pin, 0, bytes);
}
export function a_plain_page_has_no_direction(page: Page) {
  memcpy_to_page(page, 0, bytes);
}
export function longterm_serves_as_short(current: Task, addr: UserAddr) {
  const long = get_user_page(current, addr, ITER_DEST, FOLL_LONGTERM);
  const short = get_user_page(current, addr, ITER_DEST);
  if (IS_ERR(long) || IS_ERR(short)) return;
  expectType<OwnedUserPage<"dest", "longterm">>(long);
  expectType<OwnedUserPage<"dest", "short">>(short);
  expectAssignable<UserPage<"dest">>(long);
  expectAssignable<LongtermUserPage<"dest">>(long);
  expectNotAssignable<LongtermUserPage<"dest">>(short);
  expectNotAssignable<LongtermUserPage<"source">>(long);
}
export function a_registration_refuses_a_short_pin(current: Task, addr: UserAddr) {
  const slot: { page: LongtermUserPage | null } = { page: null };
  const page = get_user_page(current, addr, ITER_DEST);
  if (IS_ERR(page)) return;
  // @ts-expect-error it would block migration: FOLL_LONGTERM moves it first
  slot.page = page;
}

// --- 4. opaque --------------------------------------------------------------------------------------------
export function no_number_is_a_handle(page: OwnedPage, pin: OwnedUserPage) {
  expectNotAssignable<HeldPage>(4096);
  expectNotAssignable<HeldUserPage>(4096);
  expectNotAssignable<number>(page);
  expectNotAssignable<number>(pin);
  // @ts-expect-error
  page + 64;
  // @ts-expect-error
  pin & ~1;
  // @ts-expect-error
  4096 as Page;
  // @ts-expect-error the kind is a name of the library, not of its user
  const forged: UserPage = {
    __type__: "pinned user page, put_user_page() releases it",
    __witness__: 0,
  };
  return forged;
}

// --- names ------------------------------------------------------------------------------------------------
/** A spent handle fits what the variable was, so it keeps its name instead of becoming an intersection. */
export function spent_shapes_fit_the_live_ones(
  page: SpentPage<"x">,
  page_ref: SpentPageRef<"x">,
  pin: SpentUserPage<"x">,
  pin_ref: SpentUserPageRef<"x">,
  folio: SpentFolio<"x">,
) {
  expectAssignable<OwnedPage>(page);
  expectAssignable<OwnedUserPage<"source", "short">>(pin);
  expectAssignable<OwnedUserPage<"dest", "longterm">>(pin);
  expectAssignable<OwnedFolio>(folio);
  expectAssignable<Page>(page_ref);
  expectAssignable<UserPage<"source">>(pin_ref);
  expectAssignable<LongtermUserPage<"dest">>(pin_ref);
  expectNotAssignable<BorrowedPage>(page);
  expectNotAssignable<BorrowedPage>(page_ref);
  expectNotAssignable<BorrowedUserPage>(pin_ref);
  expectNotAssignable<HeldUserPage>(pin_ref);
}
export function a_reference_that_may_fail(page: Page) {
  const again = try_get_page(page);
  expectType<OwnedPage | null>(again);
  if (again) put_page(again);
}
