/**
 * I/O that asks for accessible pages (ours): on a machine with secure pages, the steps reference, make accessible, transfer
 * and release compile in this order only.
 */

import type { BlockDevice, Op } from "../handle/bio.js";
import { raw, to_plain_bio } from "../handle/cast.js";
import type { ProcessContext } from "../handle/context.js";
import type { BlkError } from "../handle/errno.js";
import type { By } from "../handle/kinds.js";
import type { SpentPage } from "../handle/page.js";
import type { HeldAccessiblePage, SecureBioAddPage } from "../handle/secure.js";
import { PAGE_HANDLE_SHIFT } from "../handle/tags.js";
import { page_flags, PG_arch_1 } from "../machine/arena.js";
import { PAGE_SIZE } from "../machine/limits.js";
import { machine_of_handle, throw_misuse } from "../machine/machine.js";
import { describe_pfn, ref_count, throw_no_reference } from "../mm/page_ref.js";
import { add_plain, alloc_state, filling } from "./bio.js";
import type { BioState } from "./bio_state.js";
import { submit_bio_wait } from "./blk-core.js";

/** A page with its mark set was not made accessible since this reference was taken. */
function add_accessible(
  state: BioState,
  page: HeldAccessiblePage,
  len: number,
  offset: number,
  called: string,
): number {
  const p = raw(page);
  const machine = machine_of_handle(p, called);
  const pfn = p >>> PAGE_HANDLE_SHIFT;
  if (ref_count(pfn) === 0) throw_no_reference(pfn, called);
  if (page_flags[pfn]! & PG_arch_1) {
    throw_misuse("inaccessible-page", called, describe_pfn(pfn), machine.probe?.evidence(p));
  }
  return add_plain(state, page, len, offset, called);
}
/**
 * Moves a reference on an accessible page into a bio for plain pages (ours): as bio_add_page(), but the page is gone from
 * the caller until the bio ended, whose end_io gets it from bio_for_each_segment_all() and puts it.
 *
 * @param len - bytes, inside the page; a RangeError otherwise
 * @returns true: moved, the handle is spent.  false: the bio is full and the page still yours, and accessible
 */
export const secure_bio_add_page: SecureBioAddPage<{
  is: SpentPage<By<"secure_bio_add_page">>;
}> = ((bio: object, page: HeldAccessiblePage, len: number, offset: number): boolean => {
  const called = "secure_bio_add_page()";
  return add_accessible(filling(bio, "plain pages", called), page, len, offset, called) > 0;
}) as SecureBioAddPage<{ is: SpentPage<By<"secure_bio_add_page">> }>;
/**
 * Transfers an accessible page and waits (ours; models the bdev_rw_page() that Linux had).  The page stays the caller's, and
 * accessible, until put_page().
 *
 * @param sector - where on the disk, in units of 512 bytes
 * @param current - may sleep
 * @returns EIO as the device says, or null
 */
export function secure_rw_page(
  bdev: BlockDevice,
  op: Op,
  sector: number,
  page: HeldAccessiblePage,
  current: ProcessContext,
): BlkError | null {
  const state = alloc_state(bdev, "plain pages", 1, op, sector);
  using bio = to_plain_bio(state);
  add_accessible(state, page, PAGE_SIZE, 0, "secure_rw_page()");
  return submit_bio_wait(bio, current);
}
