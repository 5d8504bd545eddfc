/** Access to the bytes of pages and extents the caller holds.  Models memcpy_to_page() and its kind of linux/highmem.h. */

import { ok, type Result } from "neverthrow";
import type { BorrowedBvec, BorrowedDestBvec } from "../handle/bvec.js";
import { ERR_PTR, PTR_ERR, type Errno } from "../handle/errno.js";
import type { BorrowedDestPage, BorrowedPage, BorrowedUserPage } from "../handle/page.js";
import { PAGE_HANDLE_SHIFT } from "../handle/tags.js";
import { PAGE_SIZE } from "../machine/limits.js";
import { machine_of_pfn, throw_misuse } from "../machine/machine.js";
import { bvec_state } from "./bvec_state.js";
import { used_pfn } from "./page.js";
import { bytes_to_read, bytes_to_write } from "./page_alloc.js";

type Copied = Result<number, Errno<"EINVAL">>;

function outside(offset: number, bytes: Uint8Array, size: number): Copied | null {
  const len = bytes instanceof Uint8Array ? bytes.length : NaN;
  return Number.isSafeInteger(offset) && offset >= 0 && offset + len <= size
    ? null
    : PTR_ERR(ERR_PTR("EINVAL", `${len} bytes at ${offset} are not inside ${size}`));
}
/**
 * Reads bytes of a page.  Models memcpy_from_page().
 *
 * @param offset - bytes into the page, 0 to 4096 - to.length
 * @returns the bytes copied: all; EINVAL when they are not inside the page
 * @example
 * const page = get_user_page(current, buf, ITER_SOURCE);
 * if (IS_ERR(page)) return page;
 * const first = new Uint8Array(16);
 * memcpy_from_page(first, page, 0);
 * put_user_page(page);
 */
export function memcpy_from_page(
  to: Uint8Array,
  page: BorrowedPage | BorrowedUserPage,
  offset: number,
): Copied {
  const pfn = used_pfn(page, "memcpy_from_page()");
  const refused = outside(offset, to, PAGE_SIZE);
  if (refused) return refused;
  to.set(bytes_to_read(machine_of_pfn(pfn)!, pfn, offset, to.length));
  return ok(to.length);
}
/**
 * Writes bytes of a page; a pinned one must have been pinned with 'dest'.  Models memcpy_to_page().
 *
 * @param offset - bytes into the page, 0 to 4096 - from.length
 * @returns the bytes copied: all; EINVAL when they are not inside the page
 */
export function memcpy_to_page(
  page: BorrowedPage | BorrowedDestPage,
  offset: number,
  from: Uint8Array,
): Copied {
  const pfn = used_pfn(page, "memcpy_to_page()", true);
  const refused = outside(offset, from, PAGE_SIZE);
  if (refused) return refused;
  bytes_to_write(machine_of_pfn(pfn)!, pfn, offset, from.length).set(from);
  return ok(from.length);
}
/**
 * Reads bytes of an extent.  Models memcpy_from_bvec().
 *
 * @param offset - bytes into the extent, 0 to bvec.len - to.length
 * @returns the bytes copied: all; EINVAL when they are not inside the extent
 */
export function memcpy_from_bvec(to: Uint8Array, bvec: BorrowedBvec, offset = 0): Copied {
  const called = "memcpy_from_bvec()";
  const state = bvec_state(bvec, called);
  const refused = outside(offset, to, state.len);
  if (refused) return refused;
  state.machine.probe?.used("bvec", state.handle, called);
  const pfn = state.handle >>> PAGE_HANDLE_SHIFT;
  to.set(bytes_to_read(state.machine, pfn, state.offset + offset, to.length));
  return ok(to.length);
}
/**
 * Writes bytes of an extent that was pinned with 'dest'.  Models memcpy_to_bvec().
 *
 * @param offset - bytes into the extent, 0 to bvec.len - from.length
 * @returns the bytes copied: all; EINVAL when they are not inside the extent
 */
export function memcpy_to_bvec(bvec: BorrowedDestBvec, from: Uint8Array, offset = 0): Copied {
  const called = "memcpy_to_bvec()";
  const state = bvec_state(bvec, called);
  if (state.dir !== "dest") throw_misuse("wrong-direction", called, state.describe());
  const refused = outside(offset, from, state.len);
  if (refused) return refused;
  state.machine.probe?.used("bvec", state.handle, called);
  const pfn = state.handle >>> PAGE_HANDLE_SHIFT;
  bytes_to_write(state.machine, pfn, state.offset + offset, from.length).set(from);
  return ok(from.length);
}
