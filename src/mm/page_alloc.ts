/** Pages for the kernel and for users: their bytes, and who asks for them.  Models mm/page_alloc.c; buddy.ts has the lists. */

import { to_folio, to_page } from "../handle/cast.js";
import type { Machine, ProcessContext } from "../handle/context.js";
import { ERR_PTR, type Errno } from "../handle/errno.js";
import type { OwnedFolio, OwnedPage } from "../handle/page.js";
import { PAGE_HANDLE_SHIFT } from "../handle/tags.js";
import { page_flags, PG_file, PG_touched } from "../machine/arena.js";
import { might_sleep, name_of } from "../machine/context.js";
import { MAX_PAGE_ORDER, PAGE_SIZE } from "../machine/limits.js";
import { machine_state, type MachineState } from "../machine/machine.js";
import { kernel_access } from "./accessible.js";
import { tell } from "./address_space.js";
import { ref_sub } from "./page_ref.js";

// --- bytes -------------------------------------------------------------------------------------------
/** The bytes of a page range inside one folio, to read. */
export function bytes_to_read(
  machine: MachineState,
  pfn: number,
  offset: number,
  len: number,
): Uint8Array {
  if (machine.arch !== null) kernel_access(machine.arch, pfn, offset, len);
  const at = machine.chunk_offset(pfn) + offset;
  return machine.chunk(pfn).subarray(at, at + len);
}
/** The same to write: from now on the pages may hold something. */
export function bytes_to_write(
  machine: MachineState,
  pfn: number,
  offset: number,
  len: number,
): Uint8Array {
  const last = pfn + Math.floor((offset + Math.max(len, 1) - 1) / PAGE_SIZE);
  for (let i = pfn + Math.floor(offset / PAGE_SIZE); i <= last; i++) {
    const flags = page_flags[i]!;
    page_flags[i] = flags | PG_touched;
    if (flags & PG_file && machine.observers !== null) tell(i, "store");
  }
  return bytes_to_read(machine, pfn, offset, len);
}
/** Zeroes fresh pages; those nobody ever wrote to are zero already. */
export function clear_pages(machine: MachineState, pfn: number, nr: number): void {
  for (let i = pfn; i < pfn + nr; i++) {
    if ((page_flags[i]! & PG_touched) === 0) continue;
    bytes_to_read(machine, i, 0, PAGE_SIZE).fill(0);
    page_flags[i] = page_flags[i]! & ~PG_touched;
  }
}

// --- for callers -------------------------------------------------------------------------------------
function alloc_error(order: number): Errno<"ENOMEM"> {
  return ERR_PTR("ENOMEM", `no free block of ${2 ** order} page(s)`);
}
/**
 * Allocates one page.  Models alloc_page(GFP_KERNEL); its bytes are whatever the last owner left.
 * The caller owns one reference: put_page().
 *
 * @param current - may sleep
 * @returns ENOMEM when no page is free
 * @example
 * const page = alloc_page(current);
 * if (IS_ERR(page)) return page;
 * put_page(page);
 */
export function alloc_page(current: ProcessContext): OwnedPage | Errno<"ENOMEM"> {
  const machine = might_sleep(current, "alloc_page()");
  const pfn = machine.allocator.alloc(0, false, "alloc_page()");
  if (pfn === 0) return alloc_error(0);
  const addr = pfn << PAGE_HANDLE_SHIFT;
  const { probe } = machine;
  return to_page(
    probe ? probe.acquired("page", addr, "alloc_page()", probe.site(name_of(current))) : addr,
  );
}
/**
 * Allocates a folio of 2^order contiguous pages.  Models folio_alloc(GFP_KERNEL, order).
 * The caller owns one reference on the whole: folio_put().
 *
 * @param current - may sleep
 * @param order - 0 to 10
 * @returns ENOMEM when no block that large is free, EINVAL for another order
 * @example
 * const folio = folio_alloc(current, 9);
 * if (IS_ERR(folio)) return folio;
 * folio_put(folio);
 */
export function folio_alloc(
  current: ProcessContext,
  order: number,
): OwnedFolio | Errno<"ENOMEM" | "EINVAL"> {
  const machine = might_sleep(current, "folio_alloc()");
  if (!Number.isInteger(order) || order < 0 || order > MAX_PAGE_ORDER) {
    return ERR_PTR("EINVAL", `order ${order} is not 0 to ${MAX_PAGE_ORDER}`);
  }
  const pfn = machine.allocator.alloc(order, false, "folio_alloc()");
  if (pfn === 0) return alloc_error(order);
  const addr = pfn << PAGE_HANDLE_SHIFT;
  const { probe } = machine;
  return to_folio(
    probe ? probe.acquired("folio", addr, "folio_alloc()", probe.site(name_of(current))) : addr,
  );
}

/** Pages withheld from the allocator; disposing gives them back. */
export interface Fragmentation extends Disposable {
  /** pages withheld */
  readonly nr_pages: number;
}
/**
 * Fragments free memory (ours): withholds each free page for which `keep` says so, by its index from the start of
 * memory.  Keeping every odd page leaves no two free pages adjacent.
 *
 * @example
 * using fragments = fragment_memory(machine, (index) => index % 2 === 1);
 */
export function fragment_memory(machine: Machine, keep: (index: number) => boolean): Fragmentation {
  const state = machine_state(machine);
  if (typeof keep !== "function") throw new RangeError("fragment_memory(): keep is no function");
  const all: number[] = [];
  const { allocator } = state;
  for (let pfn = allocator.alloc(0); pfn !== 0; pfn = allocator.alloc(0)) all.push(pfn);
  for (let pfn = allocator.alloc(0, true); pfn !== 0; pfn = allocator.alloc(0, true)) all.push(pfn);
  let kept: number[] = [];
  try {
    kept = all.filter((pfn) => keep(pfn - state.base));
  } finally {
    const withheld = new Set(kept);
    for (const pfn of all) if (!withheld.has(pfn)) ref_sub(pfn, 1);
  }
  return {
    nr_pages: kept.length,
    [Symbol.dispose]() {
      if (state.alive) for (const pfn of kept.splice(0)) ref_sub(pfn, 1);
    },
  };
}
