/**
 * Secure pages: a reference, then make_accessible(), then the transfer, then the release.
 *
 * 1. make_accessible() asks for a reference that the caller holds: found, lent and released pages are none.
 * 2. I/O asks for a page that was made accessible: no other reference, and no pin, is one.
 * 3. The answer counts: where it is false or was not looked at, the page is as before.
 * 4. An accessible page is a page: it is used and put as any other, and accessible no longer.
 * 5. Moved into a bio it is gone until the bio ended.
 * 6. A field of its type takes no other page, and none that was put.
 */
import { expectAssignable, expectNotAssignable, expectType } from "tsd";
import {
  bio_add_page,
  bio_for_each_segment_all,
  bio_put,
  bio_set_end_io,
  get_page,
  make_accessible,
  memcpy_from_page,
  put_page,
  secure_bio_add_page,
  secure_rw_page,
  submit_bio,
  try_get_page,
  type AccessiblePage,
  type BlockDevice,
  type BorrowedPage,
  type HeldAccessiblePage,
  type OwnedAccessiblePage,
  type LentUserPage,
  type OwnedPage,
  type OwnedPinnedBio,
  type OwnedPlainBio,
  type OwnedUserPage,
  type Page,
  type ProcessContext,
  type SoftirqContext,
  type SpentPage,
  type UnreferencedPage,
} from "user-page";

declare function perhaps(): boolean;
declare const bytes: Uint8Array;
declare const current: ProcessContext;
declare const disk: BlockDevice;

// --- 1. a reference first -----------------------------------------------------------------------------------
export function what_is_no_reference(
  found: UnreferencedPage,
  lent: BorrowedPage,
  of_extent: LentUserPage,
  put: OwnedPage,
  softirq: SoftirqContext,
): void {
  // @ts-expect-error nobody holds it
  make_accessible(found, current);
  // @ts-expect-error somebody else holds it, for as long as he likes
  make_accessible(lent, current);
  // @ts-expect-error it is pinned, and accessible from its beginning
  make_accessible(of_extent, current);
  // @ts-expect-error exporting sleeps
  make_accessible(put, softirq);
  put_page(put);
  // @ts-expect-error released
  make_accessible(put, current);
}

// --- 2. accessible first ------------------------------------------------------------------------------------
export function what_is_not_accessible(
  page: OwnedPage,
  field: Page,
  pin: OwnedUserPage,
  found: UnreferencedPage,
): void {
  // @ts-expect-error a reference is not enough
  secure_rw_page(disk, "REQ_OP_WRITE", 0, page, current);
  // @ts-expect-error nor is one in a field
  secure_rw_page(disk, "REQ_OP_WRITE", 0, field, current);
  // @ts-expect-error a pin goes into a bio for pins
  secure_rw_page(disk, "REQ_OP_WRITE", 0, pin, current);
  // @ts-expect-error nobody holds it
  secure_rw_page(disk, "REQ_OP_WRITE", 0, found, current);
  put_page(page);
}
/** Another reference on the same page says nothing of this one. */
export function a_reference_that_was_taken_later(page: OwnedPage): void {
  if (!make_accessible(page, current)) return;
  const later = get_page(page);
  // @ts-expect-error not made accessible after it was taken
  secure_rw_page(disk, "REQ_OP_WRITE", 0, later, current);
  const tried = try_get_page(page);
  // @ts-expect-error nor was this one
  if (tried) secure_rw_page(disk, "REQ_OP_WRITE", 0, tried, current);
  put_page(page);
}

// --- 3. the answer ------------------------------------------------------------------------------------------
export function the_answer_was_not_looked_at(page: OwnedPage): void {
  make_accessible(page, current);
  // @ts-expect-error perhaps it is not
  secure_rw_page(disk, "REQ_OP_WRITE", 0, page, current);
}
export function on_some_paths_only(page: OwnedPage): void {
  if (perhaps() && !make_accessible(page, current)) return;
  // @ts-expect-error perhaps nobody asked
  secure_rw_page(disk, "REQ_OP_WRITE", 0, page, current);
}
export function both_answers(page: OwnedPage): void {
  if (make_accessible(page, current)) expectType<OwnedAccessiblePage>(page);
  else expectType<OwnedPage>(page);
}
export function a_field(page: Page): void {
  if (make_accessible(page, current)) expectAssignable<HeldAccessiblePage>(page);
  put_page(page);
}

// --- 4. a page like others ----------------------------------------------------------------------------------
export function the_right_order(page: OwnedPage): void {
  if (!make_accessible(page, current)) {
    put_page(page);
    return;
  }
  secure_rw_page(disk, "REQ_OP_WRITE", 0, page, current);
  memcpy_from_page(bytes, page, 0);
  put_page(page);
  expectAssignable<SpentPage<"released by put_page()">>(page);
  expectNotAssignable<HeldAccessiblePage>(page);
  // @ts-expect-error the reference that kept it accessible is gone
  secure_rw_page(disk, "REQ_OP_WRITE", 0, page, current);
  // @ts-expect-error released
  put_page(page);
}

// --- 5. into a bio ------------------------------------------------------------------------------------------
export function into_a_bio(page: OwnedPage, bio: OwnedPlainBio): void {
  // @ts-expect-error not accessible yet
  secure_bio_add_page(bio, page, 4096, 0);
  if (!make_accessible(page, current)) return put_page(page);
  if (!secure_bio_add_page(bio, page, 4096, 0)) return put_page(page);
  // @ts-expect-error it is the bio's until that ended
  put_page(page);
  bio_set_end_io(bio, (ended) => {
    for (const segment of bio_for_each_segment_all(ended)) put_page(segment.page);
    bio_put(ended);
  });
  submit_bio(bio);
}
export function into_a_bio_of_another_kind(page: AccessiblePage, bio: OwnedPinnedBio): void {
  // @ts-expect-error a plain page in a bio that unpins its pages
  secure_bio_add_page(bio, page, 4096, 0);
}
/** What is not asked for is not refused: without secure pages nothing changes. */
export function plain_io(page: OwnedPage, bio: OwnedPlainBio): void {
  bio_add_page(bio, page, 4096, 0);
  put_page(page);
}

// --- 6. fields and parameters ---------------------------------------------------------------------------------
export function kept_while_it_is_accessible(reg: { page: AccessiblePage | null }, page: OwnedPage) {
  if (!make_accessible(page, current)) return;
  reg.page = page;
  secure_rw_page(disk, "REQ_OP_READ", 0, reg.page, current);
}
export function put_and_kept(reg: { page: AccessiblePage | null }, page: OwnedPage) {
  if (!make_accessible(page, current)) return;
  put_page(page);
  // @ts-expect-error released
  reg.page = page;
}
export function kept_without_being_asked(reg: { page: AccessiblePage | null }, page: OwnedPage) {
  // @ts-expect-error nobody made it accessible
  reg.page = page;
}
