/**
 * From a page of a file to the entries that map it.  Models mm/rmap.c for files; who looks for entries of anonymous pages walks
 * the page tables (migrate.ts, ksm.ts).
 */

import { PAGE_HANDLE_SHIFT } from "../handle/tags.js";
import { throw_would_spin } from "../machine/arch.js";
import { page_tables } from "../machine/arena.js";
import { PAGE_SIZE } from "../machine/limits.js";
import { cached_page } from "./address_space.js";
import type { AddressSpace } from "./filemap.js";
import { _PAGE_PSE, _PAGE_RW, pmd_number, pmd_slot, pte_index } from "./pgtable.js";

/**
 * Who takes entries of the pages [first, end) away waits for the locks of the page tables: call it before anything changes.
 */
export function assert_may_unmap({ i_mmap }: AddressSpace, first: number, end: number): void {
  for (const { mm, start, end: to, offset } of i_mmap) {
    if (mm.page_table_lock === null) continue;
    const from = start - offset + first * PAGE_SIZE;
    const behind = start - offset + end * PAGE_SIZE;
    if (from < to && behind > start) throw_would_spin("unmapping a file", mm.page_table_lock);
  }
}
/** Calls `visit` with the place in `page_tables` of each entry that maps this page of a file.  Models rmap_walk_file(). */
export function rmap_walk(pfn: number, visit: (at: number) => void): void {
  const found = cached_page(pfn);
  if (!found) return;
  const { index, mapping } = found;
  assert_may_unmap(mapping, index, index + 1);
  for (const { mm, start, end, offset } of mapping.i_mmap) {
    const addr = start - offset + index * PAGE_SIZE;
    if (addr < start || addr >= end) continue;
    const pmd = pmd_number(addr);
    const slot = pmd_slot(mm.pgd, pmd);
    const entry = slot === 0 ? 0 : page_tables[slot]!;
    if (entry === 0 || entry & _PAGE_PSE) continue;
    const at = ((entry >>> 6) << 9) + pte_index(addr, pmd);
    // A private mapping may have a copy there, or that may be swapped out.
    if (page_tables[at]! >>> PAGE_HANDLE_SHIFT !== pfn) continue;
    mm.faulting++;
    try {
      visit(at);
    } finally {
      mm.faulting--;
    }
  }
}
/** Makes the entries of shared mappings read-only, so that the next store asks the file again.  Models folio_mkclean(). */
export function folio_mkclean(pfn: number): void {
  rmap_walk(pfn, (at) => {
    page_tables[at] = page_tables[at]! & ~_PAGE_RW;
  });
}
