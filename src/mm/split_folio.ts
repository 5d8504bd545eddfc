/** Making single pages of a huge page.  Models split_huge_page() of mm/huge_memory.c. */

import { ok, type Result } from "neverthrow";
import { raw } from "../handle/cast.js";
import type { ProcessContext } from "../handle/context.js";
import { ERR_PTR, PTR_ERR, type Errno } from "../handle/errno.js";
import type { HeldFolio } from "../handle/page.js";
import { PAGE_HANDLE_SHIFT } from "../handle/tags.js";
import {
  entire_mapcount,
  free_folio_id,
  page_flags,
  page_mapcount,
  page_ref,
  page_tables,
  PG_anon,
  PG_dirty,
} from "../machine/arena.js";
import { might_sleep } from "../machine/context.js";
import { machine_of_pfn, throw_foreign, type MachineState } from "../machine/machine.js";
import { split_huge_pmd } from "./huge_memory.js";
import { mms_of } from "./mm_types.js";
import { used_pfn } from "./page.js";
import { order_of, ref_count, ref_sub } from "./page_ref.js";
import { each_entry } from "./vma_range.js";

/**
 * Makes single pages of a huge page: their bytes stay, and so do the mappings.  Models split_folio().
 * The caller keeps its reference, which holds the first page alone from then on: folio_put().  Of the handles of other
 * references none can be out, or this fails.
 *
 * @param folio - owned: a lent one would leave its owner with a reference on another page
 * @param current - may sleep
 * @returns EINVAL for a single page, EBUSY for what is no huge page of a program, EAGAIN while anybody beside its
 *   mappings and the caller holds or has pinned a page of it
 */
export function split_folio(
  folio: HeldFolio,
  current: ProcessContext,
): Result<void, Errno<"EINVAL" | "EBUSY" | "EAGAIN">> {
  const called = "split_folio()";
  const machine = might_sleep(current, called);
  const pfn = used_pfn(folio, called);
  if (machine_of_pfn(pfn) !== machine) throw_foreign(called);
  const head = raw(folio) >>> PAGE_HANDLE_SHIFT;
  if (order_of(head) === 0) return PTR_ERR(ERR_PTR("EINVAL", "a single page"));
  if (!is_anon(head)) return PTR_ERR(ERR_PTR("EBUSY", "not a huge page that a program wrote to"));
  if (split_large_folio(machine, head, 1)) return ok(undefined);
  const held = `refcount ${ref_count(head)}, ${mappings(head) + 1} expected`;
  return PTR_ERR(ERR_PTR("EAGAIN", held));
}
function is_anon(head: number): boolean {
  for (let i = head; i < head + 2 ** order_of(head); i++) {
    if (page_flags[i]! & PG_anon) return true;
  }
  return false;
}
/** Entries that map the folio or a page of it, each with a reference. */
function mappings(head: number): number {
  let n = entire_mapcount[~page_ref[head]!]!;
  for (let i = head; i < head + 2 ** order_of(head); i++) n += page_mapcount[i]!;
  return n;
}
/** The same of an anonymous folio on which the caller holds `held` references; false if somebody else does. */
export function split_large_folio(machine: MachineState, head: number, held: number): boolean {
  const id = ~page_ref[head]!;
  const end = head + 2 ** order_of(head);
  if (ref_count(head) !== mappings(head) + held) return false;
  if (entire_mapcount[id]! > 0) split_entries(machine, head);
  const dirty = page_flags[head]! & PG_dirty;
  free_folio_id(id);
  for (let pfn = head; pfn < end; pfn++) {
    page_flags[pfn] = page_flags[pfn]! | dirty;
    const count = page_mapcount[pfn]! + (pfn === head ? held : 0);
    page_ref[pfn] = Math.max(count, 1);
    if (count === 0) ref_sub(pfn, 1); // nobody maps it any more
  }
  return true;
}
/** Each entry that maps the whole becomes 512. */
function split_entries(machine: MachineState, head: number): void {
  for (const mm of mms_of(machine)) {
    for (const vma of mm.vmas) {
      each_entry(
        mm,
        vma.start,
        vma.end,
        (slot) => {
          if (page_tables[slot]! >>> PAGE_HANDLE_SHIFT === head) split_huge_pmd(mm, slot);
        },
        () => undefined,
      );
    }
  }
}
