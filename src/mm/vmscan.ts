/** Taking pages of a range out of memory.  Models what mm/vmscan.c and try_to_unmap_one() do to anonymous pages. */

import { PAGE_HANDLE_SHIFT } from "../handle/tags.js";
import { page_flags, page_mapcount, page_tables, PG_anon, PG_arch_1 } from "../machine/arena.js";
import { PAGE_SIZE, PMD_SIZE } from "../machine/limits.js";
import { arch_make_folio_accessible } from "./accessible.js";
import { split_huge_pmd } from "./huge_memory.js";
import { drop_mapping } from "./memory.js";
import type { MmState } from "./mm_types.js";
import { bytes_to_read } from "./page_alloc.js";
import { head_of, order_of, ref_count } from "./page_ref.js";
import { is_swap_pte } from "./pgtable.js";
import { folio_try_share_anon_rmap } from "./rmap_anon.js";
import { split_large_folio } from "./split_folio.js";
import { folio_alloc_swap } from "./swapfile.js";
import { each_entry } from "./vma_range.js";

/**
 * Swaps out the anonymous pages of a range that only this address space maps.  Models reclaim_pages().  The number that went;
 * others stay: those that are shared, pinned, or held by anybody beside the entry.
 */
export function reclaim_pages(mm: MmState, start: number, end: number): number {
  let reclaimed = 0;
  const small = (at: number): void => {
    if (pageout(mm, at)) reclaimed++;
  };
  const huge = (slot: number, addr: number): void => {
    const head = page_tables[slot]! >>> PAGE_HANDLE_SHIFT;
    // A part of a huge page is not worth cutting it, and what somebody holds cannot be cut.
    if (addr < start || addr + PMD_SIZE > end || ref_count(head) !== 1) return;
    split_huge_pmd(mm, slot);
    each_entry(mm, addr, addr + PMD_SIZE, huge, small);
  };
  each_entry(mm, start, end, huge, small);
  return reclaimed;
}
/** One page.  Models shrink_folio_list() for one folio. */
function pageout(mm: MmState, at: number): boolean {
  const { machine } = mm;
  const pte = page_tables[at]!;
  const pfn = pte >>> PAGE_HANDLE_SHIFT;
  if (is_swap_pte(pte) || (page_flags[pfn]! & PG_anon) === 0 || page_mapcount[pfn] !== 1) {
    return false;
  }
  // Its bytes are read below; the export lets another CPU run, which may change the entry or make the page secure again.
  if (arch_make_folio_accessible(pfn) !== 0) return false;
  if (page_tables[at] !== pte || page_flags[pfn]! & PG_arch_1) return false;
  if (order_of(pfn) > 0 && !split_large_folio(machine, head_of(pfn), 0)) return false;
  page_tables[at] = 0;
  // Whoever holds the page as well would lose it: without a swap cache nobody could find it again.
  if (ref_count(pfn) !== 1 || !folio_try_share_anon_rmap(pfn)) {
    page_tables[at] = pte;
    return false;
  }
  page_tables[at] = folio_alloc_swap(bytes_to_read(machine, pfn, 0, PAGE_SIZE));
  drop_mapping(pfn);
  return true;
}
