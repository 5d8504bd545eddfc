/**
 * Arrays of pinned pages: pin_user_pages*() and put_user_pages*().
 *
 * 1. An acquirer gives all pages, a ShortPin or an error; nobody takes one for another without asking.
 * 2. A ShortPin is no array: it has no length, is not iterated and not released; its pages are `.partial`.
 * 3. A released array is spent with all its elements: no index, no loop, no spread reaches a page.
 * 4. Dirtying takes 'dest' pages and a context that may sleep.
 * 5. Arrays that users make of their own pins are released by the same calls.
 * 6. `using` releases an array at the end of the block, and takes the whole three-way result.
 */
import { expectAssignable, expectNotAssignable, expectType } from "tsd";
import {
  all_or_none,
  FOLL_LONGTERM,
  get_user_page,
  IS_ERR,
  IS_SHORT,
  ITER_DEST,
  ITER_SOURCE,
  memcpy_from_page,
  memcpy_to_page,
  pages_are_dest,
  pin_user_pages_fast,
  put_user_page,
  put_user_pages,
  put_user_pages_dirty_lock,
  unpin_user_pages,
  unpin_user_pages_dirty_lock,
  vaddr_pin_pages,
  vaddr_unpin_pages,
  VaddrPin,
  type Dir,
  type GupError,
  type HeldDestPages,
  type HeldUserPages,
  type LongtermUserPage,
  type OwnedUserPage,
  type OwnedUserPages,
  type Page,
  type PinResult,
  type ShortPin,
  type SoftirqContext,
  type SpentUserPages,
  type SpentUserPagesRef,
  type Task,
  type UserAddr,
  type UserPage,
} from "user-page";

declare function perhaps(): boolean;
declare const bytes: Uint8Array;
type Put = "released by put_user_pages()";

// --- 1. three results -------------------------------------------------------------------------------------
export function all_short_or_error(current: Task, addr: UserAddr) {
  const pinned = pin_user_pages_fast(current, addr, 4, ITER_SOURCE);
  expectType<PinResult<"source", "short">>(pinned);
  if (IS_ERR(pinned)) return expectType<GupError>(pinned);
  if (IS_SHORT(pinned)) return expectType<ShortPin<"source", "short">>(pinned);
  expectType<OwnedUserPages<"source", "short">>(pinned);
  put_user_pages(pinned);
}
export function unasked_is_not_released(current: Task, addr: UserAddr) {
  const pinned = pin_user_pages_fast(current, addr, 4, ITER_SOURCE);
  // @ts-expect-error perhaps an error, perhaps short
  put_user_pages(pinned);
}
export function unasked_is_not_stored(current: Task, addr: UserAddr) {
  const pinned = pin_user_pages_fast(current, addr, 4, ITER_SOURCE);
  if (IS_ERR(pinned)) return;
  // @ts-expect-error perhaps short
  const pages: UserPage[] = pinned;
  return pages;
}
export function short_must_leave_or_be_joined(current: Task, addr: UserAddr) {
  const pinned = pin_user_pages_fast(current, addr, 4, ITER_SOURCE);
  if (IS_ERR(pinned)) return;
  if (IS_SHORT(pinned)) put_user_pages(pinned.partial);
  // @ts-expect-error the short case did not leave
  put_user_pages(pinned);
}
export function as_far_as_it_goes(current: Task, addr: UserAddr) {
  const pinned = pin_user_pages_fast(current, addr, 4, ITER_SOURCE);
  if (IS_ERR(pinned)) return;
  const pages = IS_SHORT(pinned) ? pinned.partial : pinned;
  for (const page of pages) memcpy_from_page(bytes, page, 0);
  put_user_pages(pages);
}
export function all_or_none_leaves_two(current: Task, addr: UserAddr) {
  const pages = all_or_none(pin_user_pages_fast(current, addr, 4, ITER_DEST, FOLL_LONGTERM));
  expectType<OwnedUserPages<"dest", "longterm"> | GupError>(pages);
}

// --- 2. ShortPin ------------------------------------------------------------------------------------------
export function a_short_pin_is_no_array(short: ShortPin) {
  // @ts-expect-error
  short.length;
  // @ts-expect-error
  short[0];
  // @ts-expect-error
  for (const page of short) put_user_page(page);
  // @ts-expect-error
  [...short];
  expectNotAssignable<HeldUserPages>(short);
  expectNotAssignable<readonly unknown[]>(short);
  // @ts-expect-error
  put_user_pages(short);
}
export function its_pages_are_the_callers(short: ShortPin) {
  put_user_pages(short.partial);
  // @ts-expect-error released
  put_user_pages(short.partial);
}

// --- 3. spent ---------------------------------------------------------------------------------------------
function all_of(current: Task, addr: UserAddr): OwnedUserPages<"source"> | GupError {
  return all_or_none(pin_user_pages_fast(current, addr, 4, ITER_SOURCE));
}
export function a_released_array_is_not_released(current: Task, addr: UserAddr) {
  const pages = all_of(current, addr);
  if (IS_ERR(pages)) return;
  put_user_pages(pages);
  expectType<SpentUserPages<Put>>(pages);
  // @ts-expect-error released
  unpin_user_pages(pages);
}
export function nor_are_its_elements_used(current: Task, addr: UserAddr) {
  const pages = all_of(current, addr);
  if (IS_ERR(pages)) return;
  put_user_pages(pages);
  // @ts-expect-error
  for (const page of pages) memcpy_from_page(bytes, page, 0);
  // @ts-expect-error
  memcpy_from_page(bytes, pages[0]!, 0);
  // @ts-expect-error
  pages.forEach((page) => memcpy_from_page(bytes, page, 0));
  // @ts-expect-error
  const copy: UserPage[] = [...pages];
  const [first] = pages;
  // @ts-expect-error
  if (first) memcpy_from_page(bytes, first, 0);
  return copy;
}
export function nor_one_by_one(current: Task, addr: UserAddr) {
  const pages = all_of(current, addr);
  if (IS_ERR(pages)) return;
  put_user_pages(pages);
  // @ts-expect-error
  for (const page of pages) put_user_page(page);
}
export function perhaps_released(current: Task, addr: UserAddr) {
  const pages = all_of(current, addr);
  if (IS_ERR(pages)) return;
  if (perhaps()) put_user_pages(pages);
  // @ts-expect-error perhaps released
  put_user_pages(pages);
}
export function released_in_every_round(current: Task, addr: UserAddr) {
  const pages = all_of(current, addr);
  if (IS_ERR(pages)) return;
  // @ts-expect-error released in the round before
  while (perhaps()) put_user_pages(pages);
}
export function a_released_parameter_has_its_name(pages: OwnedUserPages) {
  put_user_pages(pages);
  expectType<SpentUserPages<Put>>(pages);
}
export function an_array_of_ones_own_has_its_name(pages: UserPage[]) {
  put_user_pages(pages);
  expectType<SpentUserPagesRef<Put>>(pages);
}
export function spent_arrays_fit_the_live_ones(
  spent: SpentUserPages<"x">,
  spent_ref: SpentUserPagesRef<"x">,
) {
  expectAssignable<OwnedUserPages<"source", "short">>(spent);
  expectAssignable<OwnedUserPages<"dest", "longterm">>(spent);
  expectAssignable<UserPage[]>(spent_ref);
  expectAssignable<ReadonlyArray<UserPage<"dest">>>(spent_ref);
  expectNotAssignable<HeldUserPages>(spent);
  expectNotAssignable<HeldUserPages>(spent_ref);
}

// --- 4. dirty ---------------------------------------------------------------------------------------------
export function what_was_read_is_not_dirtied(current: Task, pages: OwnedUserPages<"source">) {
  // @ts-expect-error pinned to be read
  put_user_pages_dirty_lock(pages, current);
}
export function nor_by_its_new_name(current: Task, pages: OwnedUserPages<"source">) {
  // @ts-expect-error pinned to be read
  unpin_user_pages_dirty_lock(pages, true, current);
}
export function nor_what_is_perhaps_read(current: Task, pages: UserPage[]) {
  // @ts-expect-error direction unknown
  put_user_pages_dirty_lock(pages, current);
}
export function dirtying_sleeps(softirq: SoftirqContext, pages: OwnedUserPages<"dest">) {
  // @ts-expect-error an interrupt
  put_user_pages_dirty_lock(pages, softirq);
}
export function dirtying_names_its_context(pages: OwnedUserPages<"dest">) {
  // @ts-expect-error which context?
  put_user_pages_dirty_lock(pages);
}
export function a_direction_known_at_run_time_is_told(current: Task, addr: UserAddr, dir: Dir) {
  const pages = all_or_none(pin_user_pages_fast(current, addr, 4, dir));
  if (IS_ERR(pages)) return;
  if (pages_are_dest(pages, dir)) {
    for (const page of pages) memcpy_to_page(page, 0, bytes);
    put_user_pages_dirty_lock(pages, current);
  } else put_user_pages(pages);
}
export function released_on_both_ways(current: Task, addr: UserAddr, dir: Dir) {
  const pages = all_or_none(pin_user_pages_fast(current, addr, 4, dir));
  if (IS_ERR(pages)) return;
  if (pages_are_dest(pages, dir)) put_user_pages_dirty_lock(pages, current);
  else put_user_pages(pages);
  // @ts-expect-error released
  for (const page of pages) memcpy_from_page(bytes, page, 0);
}
export function dest_serves_as_source(
  dest: OwnedUserPages<"dest">,
  source: OwnedUserPages<"source">,
) {
  expectAssignable<HeldDestPages>(dest);
  expectAssignable<HeldUserPages>(dest);
  expectNotAssignable<HeldDestPages>(source);
}

// --- 5. users' arrays -------------------------------------------------------------------------------------
export function pins_collected_by_hand(current: Task, addrs: UserAddr[]): GupError | null {
  const pages: UserPage[] = [];
  for (const addr of addrs) {
    const page = get_user_page(current, addr, ITER_SOURCE);
    if (IS_ERR(page)) {
      put_user_pages(pages);
      return page;
    }
    pages.push(page);
  }
  put_user_pages(pages);
  return null;
}
export function plain_pages_are_not_collected(pages: Page[], mixed: Array<Page | UserPage>) {
  // @ts-expect-error from get_user_pages(): put_page() each
  put_user_pages(pages);
  // @ts-expect-error some of them are plain
  put_user_pages(mixed);
}
export function a_converted_acquirer_shows_old_callers(pinned: OwnedUserPages<"dest">) {
  // @ts-expect-error the array's type was left
  const pages: Page[] = pinned;
  return pages;
}
export function an_empty_array_is_an_array() {
  put_user_pages([]);
}
export function registrations_keep_longterm_pins(
  short: OwnedUserPages<"dest", "short">,
  long: OwnedUserPages<"dest", "longterm">,
) {
  expectAssignable<LongtermUserPage[]>(long);
  expectNotAssignable<LongtermUserPage[]>(short);
  expectAssignable<Array<OwnedUserPage<"dest">>>(long);
}

// --- 6. scopes --------------------------------------------------------------------------------------------
export function using_takes_the_whole_result(current: Task, addr: UserAddr) {
  using pinned = pin_user_pages_fast(current, addr, 4, ITER_SOURCE);
  if (IS_ERR(pinned)) return pinned;
  if (IS_SHORT(pinned)) return pinned.partial.length;
  for (const page of pinned) memcpy_from_page(bytes, page, 0);
  return pinned.length;
}
export function released_early_in_its_scope(current: Task, addr: UserAddr) {
  using pages = all_of(current, addr);
  if (IS_ERR(pages)) return;
  put_user_pages(pages);
  // @ts-expect-error released
  for (const page of pages) memcpy_from_page(bytes, page, 0);
}

// --- vaddr_pin_pages --------------------------------------------------------------------------------------
export function vaddr_pins_are_longterm(current: Task, addr: UserAddr, token: VaddrPin) {
  const pages = all_or_none(vaddr_pin_pages(current, addr, 4, ITER_DEST, token));
  if (IS_ERR(pages)) return;
  expectType<OwnedUserPages<"dest", "longterm">>(pages);
  vaddr_unpin_pages(pages, token);
  // @ts-expect-error released
  vaddr_unpin_pages(pages, token);
}
export function vaddr_unpin_names_the_token(pages: OwnedUserPages) {
  // @ts-expect-error whose?
  vaddr_unpin_pages(pages);
}
