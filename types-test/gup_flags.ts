/**
 * FOLL_ flags.
 *
 * 1. Flags are opaque: no number is one, `|` does not apply, gup_flags() combines.
 * 2. Each family takes its own: pins no FOLL_WRITE and no FOLL_GET, plain references no FOLL_LONGTERM, *_fast() calls few.
 * 3. What excludes each other is not combined.
 * 4. FOLL_LONGTERM makes 'longterm' pins, everything else 'short' ones; bits from a number make short ones, and so does
 *    what is perhaps FOLL_LONGTERM.
 */
import { expectAssignable, expectNotAssignable, expectType } from "tsd";
import {
  FOLL_ANON,
  FOLL_FORCE,
  FOLL_GET,
  FOLL_LONGTERM,
  FOLL_NOFAULT,
  FOLL_NOWAIT,
  FOLL_PCI_P2PDMA,
  FOLL_WRITE,
  get_user_bvec,
  get_user_bvec_remote,
  get_user_page,
  get_user_pages,
  get_user_pages_fast,
  gup_flags,
  gup_flags_from,
  ITER_DEST,
  pin_user_pages,
  pin_user_pages_fast,
  pin_user_pages_remote,
  pin_user_pages_unlocked,
  type FastGetFlags,
  type FastPinFlags,
  type GetFlags,
  type GupError,
  type GupFlagBits,
  type GupFlags,
  type LockedMm,
  type Mm,
  type OwnedBvecList,
  type OwnedUserPage,
  type PinFlags,
  type PinResult,
  type Task,
  type UserAddr,
} from "user-page";

// --- 1. opaque --------------------------------------------------------------------------------------------
export function no_number_is_a_flag(current: Task, addr: UserAddr) {
  expectNotAssignable<PinFlags>(0x100);
  expectNotAssignable<number>(FOLL_LONGTERM);
  // @ts-expect-error
  FOLL_LONGTERM | FOLL_FORCE;
  // @ts-expect-error
  FOLL_LONGTERM + FOLL_FORCE;
  // @ts-expect-error
  get_user_bvec(current, addr, 1, ITER_DEST, 0x100);
  // @ts-expect-error a boolean in the place of flags
  get_user_pages_fast(current, addr, 1, true, []);
  // @ts-expect-error 1 is FOLL_WRITE in C
  get_user_pages_fast(current, addr, 1, 1, []);
}
export function gup_flags_combines() {
  expectType<GupFlags<"FOLL_LONGTERM" | "FOLL_FORCE">>(gup_flags(FOLL_LONGTERM, FOLL_FORCE));
  expectType<GupFlags<"FOLL_FORCE">>(gup_flags(FOLL_FORCE));
  expectType<GupFlags<never>>(gup_flags());
}
export function no_flags_fit_everywhere(current: Task, addr: UserAddr, lock: LockedMm) {
  pin_user_pages(lock, addr, 1, ITER_DEST, gup_flags());
  pin_user_pages_fast(current, addr, 1, ITER_DEST, gup_flags());
  get_user_pages(lock, addr, 1, 0, []);
}

// --- 2. families ------------------------------------------------------------------------------------------
export function the_direction_is_no_flag_of_a_pin(current: Task, addr: UserAddr, lock: LockedMm) {
  // @ts-expect-error 'dest' says it
  pin_user_pages(lock, addr, 1, ITER_DEST, FOLL_WRITE);
  // @ts-expect-error and takes the place of the flags in the old call
  pin_user_pages_fast(current, addr, 1, FOLL_WRITE);
}
export function a_pin_is_no_get(lock: LockedMm, addr: UserAddr) {
  // @ts-expect-error
  pin_user_pages(lock, addr, 1, ITER_DEST, FOLL_GET);
}
export function a_plain_reference_is_never_longterm(current: Task, addr: UserAddr, lock: LockedMm) {
  // @ts-expect-error
  get_user_pages(lock, addr, 1, FOLL_LONGTERM, []);
  // @ts-expect-error
  get_user_pages_fast(current, addr, 1, FOLL_LONGTERM, []);
}
export function fast_calls_take_few(current: Task, addr: UserAddr, lock: LockedMm) {
  pin_user_pages(lock, addr, 1, ITER_DEST, FOLL_NOWAIT);
  // @ts-expect-error
  pin_user_pages_fast(current, addr, 1, ITER_DEST, FOLL_NOWAIT);
  // @ts-expect-error
  get_user_bvec(current, addr, 1, ITER_DEST, FOLL_ANON);
  // @ts-expect-error one of two
  get_user_page(current, addr, ITER_DEST, gup_flags(FOLL_NOFAULT, FOLL_NOWAIT));
}
export function sets_by_family() {
  expectAssignable<PinFlags>(FOLL_LONGTERM);
  expectAssignable<FastPinFlags>(FOLL_PCI_P2PDMA);
  expectAssignable<GetFlags>(gup_flags(FOLL_WRITE, FOLL_FORCE));
  expectAssignable<FastGetFlags>(FOLL_WRITE);
  expectNotAssignable<FastGetFlags>(FOLL_ANON);
  expectNotAssignable<PinFlags>(gup_flags(FOLL_WRITE, FOLL_FORCE));
}

// --- 3. together ------------------------------------------------------------------------------------------
export function longterm_excludes_p2pdma() {
  // @ts-expect-error
  gup_flags(FOLL_LONGTERM, FOLL_PCI_P2PDMA);
}
export function in_any_order_and_among_others() {
  // @ts-expect-error
  gup_flags(FOLL_PCI_P2PDMA, FOLL_FORCE, FOLL_LONGTERM);
}
export function also_in_two_steps() {
  // @ts-expect-error
  gup_flags(gup_flags(FOLL_LONGTERM, FOLL_FORCE), FOLL_PCI_P2PDMA);
}
export function each_alone_is_legal() {
  return [gup_flags(FOLL_LONGTERM, FOLL_FORCE), gup_flags(FOLL_PCI_P2PDMA, FOLL_FORCE)];
}

// --- 4. terms ---------------------------------------------------------------------------------------------
export function longterm_is_in_the_result(current: Task, addr: UserAddr, lock: LockedMm) {
  const forced = gup_flags(FOLL_LONGTERM, FOLL_FORCE);
  expectType<OwnedBvecList<"dest", "longterm"> | GupError>(
    get_user_bvec(current, addr, 1, ITER_DEST, forced),
  );
  expectType<PinResult<"dest", "longterm">>(
    pin_user_pages(lock, addr, 1, ITER_DEST, FOLL_LONGTERM),
  );
  expectType<OwnedUserPage<"dest", "longterm"> | GupError>(
    get_user_page(current, addr, ITER_DEST, FOLL_LONGTERM),
  );
}
export function everything_else_is_short(current: Task, addr: UserAddr, bits: GupFlagBits) {
  expectType<PinResult<"dest", "short">>(pin_user_pages_fast(current, addr, 1, ITER_DEST));
  expectType<PinResult<"dest", "short">>(
    pin_user_pages_fast(current, addr, 1, ITER_DEST, FOLL_FORCE),
  );
  expectType<PinResult<"dest", "short">>(pin_user_pages_fast(current, addr, 1, ITER_DEST, bits));
  expectType<PinResult<"dest", "short">>(
    pin_user_pages_fast(current, addr, 1, ITER_DEST, gup_flags_from(0x100)),
  );
}
export function perhaps_longterm_is_short(current: Task, addr: UserAddr, long: boolean) {
  const none = long ? FOLL_LONGTERM : undefined;
  const empty = long ? FOLL_LONGTERM : gup_flags();
  const other = long ? FOLL_LONGTERM : FOLL_FORCE;
  type Short = OwnedUserPage<"dest", "short"> | GupError;
  expectType<Short>(get_user_page(current, addr, ITER_DEST, none));
  expectType<Short>(get_user_page(current, addr, ITER_DEST, empty));
  expectType<Short>(get_user_page(current, addr, ITER_DEST, other));
  expectType<Short>(get_user_page(current, addr, ITER_DEST, gup_flags(other)));
  expectType<Short>(get_user_page(current, addr, ITER_DEST, gup_flags(other, FOLL_NOFAULT)));
}
export function perhaps_is_short_in_every_call(
  current: Task,
  mm: Mm,
  addr: UserAddr,
  lock: LockedMm,
  flags: FastPinFlags,
) {
  type Short = PinResult<"dest", "short">;
  expectType<Short>(pin_user_pages(lock, addr, 1, ITER_DEST, flags));
  expectType<Short>(pin_user_pages_remote(lock, addr, 1, ITER_DEST, flags));
  expectType<Short>(pin_user_pages_unlocked(current, addr, 1, ITER_DEST, flags));
  expectType<Short>(pin_user_pages_fast(current, addr, 1, ITER_DEST, flags));
  type ShortList = OwnedBvecList<"dest", "short"> | GupError;
  expectType<ShortList>(get_user_bvec(current, addr, 1, ITER_DEST, flags));
  expectType<ShortList>(get_user_bvec_remote(current, mm, addr, 1, ITER_DEST, flags));
}
export function certain_beside_a_doubtful_one_is_longterm(current: Task, addr: UserAddr) {
  const more = addr > 0 ? FOLL_FORCE : FOLL_NOFAULT;
  expectType<OwnedUserPage<"dest", "longterm"> | GupError>(
    get_user_page(current, addr, ITER_DEST, gup_flags(more, FOLL_LONGTERM)),
  );
}
export function no_set_without_it_passes_for_one(flags: GupFlags<"FOLL_FORCE">) {
  expectNotAssignable<GupFlags<"FOLL_LONGTERM" | "FOLL_FORCE">>(flags);
  expectNotAssignable<GupFlags<"FOLL_LONGTERM">>(gup_flags());
}
export function a_term_that_is_named_needs_its_flag(current: Task, addr: UserAddr) {
  // @ts-expect-error
  get_user_bvec<"dest", [flags: typeof FOLL_LONGTERM]>(current, addr, 1, ITER_DEST);
  // @ts-expect-error
  get_user_page<"dest", [flags: typeof FOLL_LONGTERM]>(current, addr, ITER_DEST, FOLL_FORCE);
}
