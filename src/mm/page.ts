/** Plain references on pages, and what every page can be asked.  Models include/linux/mm.h. */

import type { Pfn } from "../handle/addr.js";
import type { Narrows } from "../handle/affine.js";
import { raw, to_page, to_pfn, to_unreferenced } from "../handle/cast.js";
import type { Machine } from "../handle/context.js";
import { ERR_PTR, type Errno } from "../handle/errno.js";
import type { By } from "../handle/kinds.js";
import type {
  BorrowedFolio,
  BorrowedPage,
  BorrowedUserPage,
  HeldPage,
  OwnedPage,
  SpentPage,
  UnreferencedPage,
} from "../handle/page.js";
import { is_plain, PAGE_HANDLE_SHIFT, TAG_USER } from "../handle/tags.js";
import {
  page_flags,
  page_mapcount as mapcount_column,
  page_ref,
  PG_allocated,
} from "../machine/arena.js";
import {
  machine_of_handle,
  machine_of_pfn,
  machine_state,
  throw_misuse,
  type MachineState,
} from "../machine/machine.js";
import {
  describe_pfn,
  is_zero_pfn,
  ref_add,
  ref_count,
  ref_freeze,
  ref_sub,
  ref_unfreeze,
  throw_no_reference,
} from "./page_ref.js";

export type AnyPage = BorrowedPage | BorrowedUserPage;

/** The page frame of a handle that is only used; debug mode looks whether it still may be. */
export function used_pfn(handle: AnyPage | BorrowedFolio, called: string, write = false): number {
  const p = raw(handle);
  const machine = machine_of_handle(p, called);
  if (machine.probe) {
    machine.probe.used(p & TAG_USER ? "user_page" : "page", p, called, write);
  }
  return p >>> PAGE_HANDLE_SHIFT;
}
/** The handle of a plain reference that was just taken. */
export function referenced(
  machine: MachineState,
  pfn: number,
  kind: "page" | "folio",
  by: string,
): number {
  const addr = pfn << PAGE_HANDLE_SHIFT;
  const { probe } = machine;
  return probe ? probe.acquired(kind, addr, by, probe.site()) : addr;
}

// --- references on pages --------------------------------------------------------------------------------
/**
 * Takes another reference on a page that is referenced already.  Models get_page().
 * The caller owns one more: put_page().  Any context.
 *
 * @example
 * const page = alloc_page(current);
 * if (IS_ERR(page)) return page;
 * const again = get_page(page);
 * console.log(page_ref_count(page)); // -> 2
 * put_page(again);
 * put_page(page);
 */
export function get_page(page: BorrowedPage): OwnedPage {
  const p = raw(page);
  if (is_plain(p)) {
    const pfn = p >>> PAGE_HANDLE_SHIFT;
    const r = page_ref[pfn]!;
    if (r > 0 && r < 0x7fffffff) {
      page_ref[pfn] = r + 1;
      return to_page(p);
    }
  }
  return get_page_rare(page);
}
function get_page_rare(page: BorrowedPage): OwnedPage {
  const called = "get_page()";
  const pfn = used_pfn(page, called);
  if (ref_count(pfn) === 0) throw_no_reference(pfn, called);
  ref_add(pfn, 1);
  return to_page(referenced(machine_of_pfn(pfn)!, pfn, "page", called));
}
/**
 * Ends a plain reference; the page is freed with the last one.  Models put_page().  The handle is spent.  Any context.
 */
export const put_page: Narrows<HeldPage, { is: SpentPage<By<"put_page">> }> = (page) => {
  const p = raw(page);
  if (is_plain(p)) {
    const pfn = p >>> PAGE_HANDLE_SHIFT;
    const r = page_ref[pfn]!;
    if (r > 1) {
      page_ref[pfn] = r - 1;
      return;
    }
  }
  put_rare(p, "page", "put_page()");
};
export function put_rare(p: number, kind: "page" | "folio", called: string): void {
  const machine = machine_of_handle(p, called);
  machine.probe?.released(kind, p, called);
  ref_sub(p >>> PAGE_HANDLE_SHIFT, 1);
}
/**
 * Takes another reference unless the count is 0 or overflowed.  Models try_get_page(): for callers that own a reference
 * already, so both are worth a warning.
 *
 * @returns the reference, or null
 * @example
 * const page = alloc_page(current);
 * if (IS_ERR(page)) return page;
 * const again = try_get_page(page);
 * if (again) put_page(again);
 * put_page(page);
 */
export function try_get_page(page: BorrowedPage): OwnedPage | null {
  const called = "try_get_page()";
  const pfn = used_pfn(page, called);
  const machine = machine_of_pfn(pfn)!;
  const count = ref_count(pfn);
  if (count <= 0) {
    machine.WARN_ONCE(`try_get_page(): refcount ${count} of ${describe_pfn(pfn)}`);
    return null;
  }
  ref_add(pfn, 1);
  return to_page(referenced(machine, pfn, "page", called));
}
/**
 * Takes a first reference on a page that was only found, unless it is free or frozen.  Models get_page_unless_zero(),
 * which takes one on an overflowed count as well.
 *
 * @returns the reference, or null
 * @example
 * const held = alloc_page(current);
 * if (IS_ERR(held)) return held;
 * const found = pfn_to_page(machine, page_to_pfn(held));
 * if (IS_ERR(found)) return found;
 * const page = get_page_unless_zero(found);
 * if (page) put_page(page);
 * put_page(held);
 */
export function get_page_unless_zero(page: UnreferencedPage): OwnedPage | null {
  const machine = machine_of_handle(raw(page), "get_page_unless_zero()");
  const pfn = raw(page) >>> PAGE_HANDLE_SHIFT;
  if (ref_count(pfn) === 0) return null;
  ref_add(pfn, 1);
  return to_page(referenced(machine, pfn, "page", "get_page_unless_zero()"));
}

// --- questions ------------------------------------------------------------------------------------------
/** The references on the folio of this page; signed, as the kernel's is.  Models page_ref_count(). */
export function page_ref_count(page: AnyPage): number {
  return ref_count(used_pfn(page, "page_ref_count()"));
}
/** Page-table entries that map exactly this page; a huge entry is counted on the folio.  Models _mapcount + 1. */
export function page_mapcount(page: AnyPage): number {
  return mapcount_column[used_pfn(page, "page_mapcount()")]!;
}
/** Whether the page is the shared zero page, on which pins count nothing.  Models is_zero_page(). */
export function is_zero_page(page: AnyPage): boolean {
  return is_zero_pfn(used_pfn(page, "is_zero_page()"));
}
/** Models page_to_pfn(). */
export function page_to_pfn(page: AnyPage): Pfn {
  return to_pfn(used_pfn(page, "page_to_pfn()"));
}
/**
 * The page with this frame number, on which nobody promised a reference.  Models pfn_to_page().
 *
 * @returns EINVAL when the machine has no such page
 */
export function pfn_to_page(machine: Machine, pfn: Pfn): UnreferencedPage | Errno<"EINVAL"> {
  const state = machine_state(machine);
  return Number.isInteger(pfn) && pfn > 0 && machine_of_pfn(pfn) === state
    ? to_unreferenced((pfn << PAGE_HANDLE_SHIFT) | state.page_tags)
    : ERR_PTR("EINVAL", `the machine has no page with frame number ${pfn}`);
}

// --- freezing -------------------------------------------------------------------------------------------
/**
 * Sets the count to 0 if it is exactly `count`: from then on nobody can take a reference, until page_ref_unfreeze().
 * Models page_ref_freeze().  Fails while any pin or reference is out that the caller does not know of.
 */
export function page_ref_freeze(page: AnyPage, count: number): boolean {
  return ref_freeze(used_pfn(page, "page_ref_freeze()"), count);
}
const is_frozen = (pfn: number): boolean =>
  ref_count(pfn) === 0 && (page_flags[pfn]! & PG_allocated) !== 0;
/** Gives a frozen page its count back.  Models page_ref_unfreeze().  count: not 0. */
export function page_ref_unfreeze(page: AnyPage, count: number): void {
  const called = "page_ref_unfreeze()";
  const pfn = used_pfn(page, called);
  if (!is_frozen(pfn) || !Number.isSafeInteger(count) || count <= 0 || count > 0x7fffffff) {
    throw_misuse(
      "page-is-free",
      called,
      `${describe_pfn(pfn)}, count ${ref_count(pfn)}, to ${count}`,
    );
  }
  ref_unfreeze(pfn, count);
}
