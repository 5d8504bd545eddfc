/** Pages of 2 MiB, mapped by one entry of the third level.  Models mm/huge_memory.c. */

import { PAGE_HANDLE_SHIFT } from "../handle/tags.js";
import {
  entire_mapcount,
  page_flags,
  page_mapcount,
  page_ref,
  page_tables,
  PG_anon,
  PG_anon_exclusive,
  PG_huge_zero,
} from "../machine/arena.js";
import { new_page_table } from "../machine/arena.js";
import { HPAGE_PMD_NR, HPAGE_PMD_ORDER, PMD_SIZE } from "../machine/limits.js";
import type { MachineState } from "../machine/machine.js";
import type { MmState, Vma } from "./mm_types.js";
import { VM_WRITE } from "./mm_types.js";
import { clear_pages } from "./page_alloc.js";
import { ref_add, ref_count, ref_sub } from "./page_ref.js";
import { _PAGE_PRESENT, _PAGE_PSE, _PAGE_RW, PTE_FLAGS } from "./pgtable.js";
import { thp_vma_allowable_orders } from "./thp_anon.js";

/** Not with a huge page: try with small ones. */
export const VM_FAULT_FALLBACK = 4;

/** Whether these 2 MiB may be one page. */
function thp_allowed(vma: Vma, pmd: number): boolean {
  const start = pmd * PMD_SIZE;
  return (
    (thp_vma_allowable_orders(vma) & HPAGE_PMD_NR) !== 0 &&
    start >= vma.start &&
    start + PMD_SIZE <= vma.end
  );
}
export function do_huge_pmd_anonymous_page(
  mm: MmState,
  vma: Vma,
  slot: number,
  pmd: number,
  write: boolean,
): number {
  if (!thp_allowed(vma, pmd)) return VM_FAULT_FALLBACK;
  if (write) return map_new_huge_page(mm, vma, slot);
  const zero = huge_zero_page(mm.machine);
  if (zero === 0) return fallback(mm);
  ref_add(zero, 1);
  map_huge(slot, zero, vma.present);
  return 0;
}
/** A write, or an unshare, of a huge page that is present and read-only. */
export function do_huge_pmd_wp_page(mm: MmState, vma: Vma, slot: number, flags: number): number {
  const entry = page_tables[slot]!;
  const head = entry >>> PAGE_HANDLE_SHIFT;
  const page = page_flags[head]!;
  if (page & PG_anon && (page & PG_anon_exclusive || ref_count(head) === 1)) {
    page_flags[head] = page | PG_anon_exclusive;
    page_tables[slot] = entry | (flags & 1 && vma.flags & VM_WRITE ? _PAGE_RW : 0);
    return 0;
  }
  if (page & PG_huge_zero && map_new_huge_page(mm, vma, slot) === 0) {
    unmap_huge(head);
    return 0;
  }
  split_huge_pmd(mm, slot);
  return VM_FAULT_FALLBACK;
}

function map_new_huge_page(mm: MmState, vma: Vma, slot: number): number {
  const head = mm.machine.allocator.alloc(HPAGE_PMD_ORDER, true, "do_huge_pmd_anonymous_page()");
  if (head === 0) return fallback(mm);
  mm.machine.thp_fault_alloc++;
  clear_pages(mm.machine, head, HPAGE_PMD_NR);
  // The first page speaks for all while one entry maps them.
  page_flags[head] = page_flags[head]! | PG_anon | PG_anon_exclusive;
  map_huge(slot, head, vma.present | (vma.flags & VM_WRITE ? _PAGE_RW : 0));
  return 0;
}
function fallback(mm: MmState): number {
  mm.machine.thp_fault_fallback++;
  return VM_FAULT_FALLBACK;
}
/** One entry more maps the folio; the reference that it counts is the caller's. */
export function map_huge(slot: number, head: number, flags: number): void {
  const id = ~page_ref[head]!;
  entire_mapcount[id] = entire_mapcount[id]! + 1;
  page_tables[slot] = (head << PAGE_HANDLE_SHIFT) | _PAGE_PSE | flags;
}
function unmap_huge(head: number): void {
  const id = ~page_ref[head]!;
  entire_mapcount[id] = entire_mapcount[id]! - 1;
  ref_sub(head, 1);
}
/** Removes the entry of a huge page.  Models zap_huge_pmd(). */
export function zap_huge_pmd(slot: number): void {
  const head = page_tables[slot]! >>> PAGE_HANDLE_SHIFT;
  page_tables[slot] = 0;
  const v = page_ref[head]!;
  if (v < 0 && entire_mapcount[~v]! > 0) unmap_huge(head);
}
/** The one huge zero folio, allocated at its first use; it keeps a reference of its own. */
function huge_zero_page(machine: MachineState): number {
  if (machine.huge_zero_pfn === 0) {
    const head = machine.allocator.alloc(HPAGE_PMD_ORDER, false, "mm_get_huge_zero_folio()");
    if (head === 0) return 0;
    clear_pages(machine, head, HPAGE_PMD_NR);
    page_flags[head] = page_flags[head]! | PG_huge_zero;
    machine.huge_zero_pfn = head;
  }
  return machine.huge_zero_pfn;
}

/**
 * Replaces the entry of a huge page by 512 of its small ones, which map the same memory; the folio stays whole.
 * Those of the huge zero folio map the small zero page instead.  Models __split_huge_pmd().
 */
export function split_huge_pmd(mm: MmState, slot: number): void {
  const entry = page_tables[slot]!;
  const head = entry >>> PAGE_HANDLE_SHIFT;
  const table = new_page_table();
  const flags = entry & (PTE_FLAGS & ~_PAGE_PSE);
  if (page_flags[head]! & PG_huge_zero) {
    page_tables.fill(
      (mm.machine.zero_pfn << PAGE_HANDLE_SHIFT) | flags,
      table << 9,
      (table + 1) << 9,
    );
    unmap_huge(head);
  } else {
    const marks = page_flags[head]! & (PG_anon | PG_anon_exclusive);
    for (let i = 0; i < HPAGE_PMD_NR; i++) {
      page_tables[(table << 9) + i] = ((head + i) << PAGE_HANDLE_SHIFT) | flags;
      page_flags[head + i] = page_flags[head + i]! | marks;
      page_mapcount[head + i] = page_mapcount[head + i]! + 1;
    }
    const id = ~page_ref[head]!;
    entire_mapcount[id] = entire_mapcount[id]! - 1;
    ref_add(head, HPAGE_PMD_NR - 1);
  }
  page_tables[slot] = (table << 6) | _PAGE_PRESENT;
}
