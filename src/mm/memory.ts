/** Page faults and the entries they install.  Models mm/memory.c. */

import { PAGE_HANDLE_SHIFT } from "../handle/tags.js";
import { throw_would_spin } from "../machine/arch.js";
import {
  page_flags,
  page_mapcount,
  page_tables,
  PG_anon,
  PG_allocated,
  PG_anon_exclusive,
  PG_ksm,
  PG_arch_1,
} from "../machine/arena.js";
import { should_fail } from "../machine/fault-inject.js";
import { PAGE_SIZE } from "../machine/limits.js";
import { machine_of_pfn } from "../machine/machine.js";
import { trace } from "../machine/tracepoint.js";
import { arch_make_folio_accessible } from "./accessible.js";
import {
  do_huge_pmd_anonymous_page,
  do_huge_pmd_wp_page,
  VM_FAULT_FALLBACK,
} from "./huge_memory.js";
import type { MmState, Vma } from "./mm_types.js";
import { VM_SHARED, VM_WRITE } from "./mm_types.js";
import { bytes_to_read, bytes_to_write, clear_pages } from "./page_alloc.js";
import { describe_pfn, is_zero_pfn, order_of, ref_add, ref_count, ref_sub } from "./page_ref.js";
import {
  _PAGE_PSE,
  _PAGE_RW,
  is_swap_pte,
  pmd_alloc,
  pmd_number,
  pmd_slot,
  pte_index,
  table_below,
} from "./pgtable.js";
import { swap_bytes, swap_free } from "./swapfile.js";
import { alloc_anon_folio } from "./thp_anon.js";

export const VM_FAULT_OOM = 1;
export const VM_FAULT_SIGBUS = 2;

export const FAULT_FLAG_WRITE = 1;
/** Give this address space an exclusive page, still mapped read-only. */
export const FAULT_FLAG_UNSHARE = 2;

/**
 * Makes the page at `addr` present, and writable if asked; the mapping allows it.
 * 0, VM_FAULT_OOM or VM_FAULT_SIGBUS.
 */
export function handle_mm_fault(mm: MmState, vma: Vma, addr: number, flags: number): number {
  if (mm.page_table_lock !== null) throw_would_spin("a fault", mm.page_table_lock);
  mm.assert_no_writer("handle_mm_fault()");
  mm.machine.pgfault++;
  mm.faulting++;
  try {
    const fault = fault_below(mm, vma, addr, flags);
    if (mm.machine.tracers !== null) {
      const write = (flags & FAULT_FLAG_WRITE) !== 0;
      trace(mm.machine, "handle_mm_fault", { address: addr, write, fault });
    }
    return fault;
  } finally {
    mm.faulting--;
  }
}
function fault_below(mm: MmState, vma: Vma, addr: number, flags: number): number {
  const pmd = pmd_number(addr);
  if (mm.machine.faults !== null && no_page_table(mm, pmd)) return VM_FAULT_OOM;
  const slot = pmd_alloc(mm.pgd, pmd);
  let entry = page_tables[slot]!;
  if (entry === 0 && vma.is_anonymous) {
    const fault = do_huge_pmd_anonymous_page(mm, vma, slot, pmd, (flags & FAULT_FLAG_WRITE) !== 0);
    if (fault !== VM_FAULT_FALLBACK) return fault;
  }
  if (entry & _PAGE_PSE) {
    if (flags === 0 || entry & _PAGE_RW) return 0;
    const fault = do_huge_pmd_wp_page(mm, vma, slot, flags);
    if (fault !== VM_FAULT_FALLBACK) return fault;
    entry = page_tables[slot]!;
  }
  const at = (table_below(slot) << 9) + pte_index(addr, pmd);
  const pte = page_tables[at]!;
  if (pte === 0) {
    return vma.is_anonymous
      ? do_anonymous_page(mm, vma, addr, at, flags)
      : do_file_fault(mm, vma, addr, at, flags);
  }
  if (is_swap_pte(pte)) return do_swap_page(mm, vma, at, pte, flags);
  if (flags === 0 || pte & _PAGE_RW) return 0;
  return do_wp_page(mm, vma, addr, at, pte, flags);
}

/** Whether the last table for these 2 MiB is missing, and there is no page for it.  Models pte_alloc(). */
export function no_page_table({ machine, pgd }: MmState, pmd: number): boolean {
  const slot = pmd_slot(pgd, pmd);
  if (slot !== 0 && page_tables[slot] !== 0) return false;
  return should_fail(machine, "fail_page_alloc", "pte_alloc_one()");
}
function do_anonymous_page(mm: MmState, vma: Vma, addr: number, at: number, flags: number): number {
  if (flags === 0) {
    page_tables[at] = (mm.machine.zero_pfn << PAGE_HANDLE_SHIFT) | vma.present;
    return 0;
  }
  const head = alloc_anon_folio(vma, addr, at);
  if (head !== 0) {
    const nr = 2 ** order_of(head);
    for (let i = 0; i < nr; i++) map_anon(vma, at - (at % nr) + i, head + i, flags);
    return 0;
  }
  const pfn = alloc_zeroed_page(mm);
  if (pfn === 0) return VM_FAULT_OOM;
  map_anon(vma, at, pfn, flags);
  return 0;
}
function alloc_zeroed_page(mm: MmState): number {
  const { machine } = mm;
  const pfn = machine.allocator.alloc(0, true, "do_anonymous_page()");
  if (pfn !== 0) clear_pages(machine, pfn, 1);
  return pfn;
}
/** Brings a page back from the swap area.  It is a copy of its own for each entry, since there is no swap cache. */
function do_swap_page(mm: MmState, vma: Vma, at: number, pte: number, flags: number): number {
  const { machine } = mm;
  const pfn = machine.allocator.alloc(0, true, "do_swap_page()");
  if (pfn === 0) return VM_FAULT_OOM;
  bytes_to_write(machine, pfn, 0, PAGE_SIZE).set(swap_bytes(pte));
  swap_free(pte);
  map_anon(vma, at, pfn, flags);
  return 0;
}
/** Maps a fresh page; the reference that it came with becomes the entry's. */
export function map_anon(vma: Vma, at: number, pfn: number, flags: number): void {
  page_flags[pfn] = page_flags[pfn]! | PG_anon | PG_anon_exclusive;
  page_mapcount[pfn] = 1;
  const writable = flags & FAULT_FLAG_WRITE && vma.flags & VM_WRITE ? _PAGE_RW : 0;
  page_tables[at] = (pfn << PAGE_HANDLE_SHIFT) | vma.present | writable;
}

function do_file_fault(mm: MmState, vma: Vma, addr: number, at: number, flags: number): number {
  const file = vma.file!;
  const index = vma.pgoff(addr);
  if (index >= file.nr_pages) return VM_FAULT_SIGBUS;
  const pfn = file.page(index);
  if (pfn <= 0) return pfn === 0 ? VM_FAULT_OOM : VM_FAULT_SIGBUS;
  // Reading sleeps: another fault may have been faster.
  if (page_tables[at] !== 0) return 0;
  if (ref_count(pfn) === 0) throw_would_spin("a fault", "the CPU that froze the page");
  if ((vma.flags & VM_SHARED) === 0 && flags !== 0) {
    return copy_file_page(mm, vma, addr, at, pfn, flags);
  }
  const write = (flags & FAULT_FLAG_WRITE) !== 0;
  if (write) {
    const failed = file.page_mkwrite(index, pfn);
    if (failed !== 0) return failed;
    // That sleeps too, and the page may have left the file.
    if (file.page(index) !== pfn || page_tables[at] !== 0) return 0;
  }
  ref_add(pfn, 1);
  page_mapcount[pfn] = page_mapcount[pfn]! + 1;
  page_tables[at] = (pfn << PAGE_HANDLE_SHIFT) | vma.present | (write ? _PAGE_RW : 0);
  return 0;
}

/** A copy for a private mapping, of a page that may leave its file meanwhile. */
function copy_file_page(
  mm: MmState,
  vma: Vma,
  addr: number,
  at: number,
  pfn: number,
  flags: number,
): number {
  ref_add(pfn, 1);
  try {
    const fault = copy_page(mm, vma, at, pfn, flags);
    if (fault !== 0 || vma.pgoff(addr) < vma.file!.nr_pages) return fault;
    zap_pte(at);
    return VM_FAULT_SIGBUS;
  } finally {
    ref_sub(pfn, 1);
  }
}

/** A write, or an unshare, of a page that is present and read-only. */
function do_wp_page(
  mm: MmState,
  vma: Vma,
  addr: number,
  at: number,
  pte: number,
  flags: number,
): number {
  const pfn = pte >>> PAGE_HANDLE_SHIFT;
  const writable = flags & FAULT_FLAG_WRITE && vma.flags & VM_WRITE ? _PAGE_RW : 0;
  if (vma.flags & VM_SHARED) {
    const failed = writable === 0 ? 0 : (vma.file?.page_mkwrite(vma.pgoff(addr), pfn) ?? 0);
    // The file may have slept: what changed since faults again.
    if (failed === 0 && page_tables[at] === pte) page_tables[at] = pte | writable;
    return failed;
  }
  const page = page_flags[pfn]!;
  if (page & PG_anon && (page & PG_anon_exclusive || is_only_reference(pfn))) {
    page_flags[pfn] = page | PG_anon_exclusive;
    page_tables[at] = pte | writable;
    return 0;
  }
  return copy_page(mm, vma, at, pfn, flags);
}
/** The entry that faulted is all that holds the page.  What was merged is copied all the same.  Models wp_can_reuse_anon_folio(). */
function is_only_reference(pfn: number): boolean {
  return ref_count(pfn) === 1 && (page_flags[pfn]! & PG_ksm) === 0;
}
/** Maps a copy of the page, in the place of the entry that mapped it if there is one. */
function copy_page(mm: MmState, vma: Vma, at: number, from: number, flags: number): number {
  const { machine } = mm;
  const pte = page_tables[at]!;
  if (is_zero_pfn(from)) {
    const zeroed = alloc_zeroed_page(mm);
    if (zeroed === 0) return VM_FAULT_OOM;
    map_anon(vma, at, zeroed, flags);
    return 0;
  }
  // Reading may throw, and may let another CPU run: if that changed the entry, whoever faults looks again.
  const bytes = bytes_to_read(machine, from, 0, PAGE_SIZE);
  if (page_tables[at] !== pte) return 0;
  const pfn = machine.allocator.alloc(0, true, "wp_page_copy()");
  if (pfn === 0) return VM_FAULT_OOM;
  bytes_to_write(machine, pfn, 0, PAGE_SIZE).set(bytes);
  map_anon(vma, at, pfn, flags);
  if (pte !== 0) drop_mapping(from);
  return 0;
}

/** One entry less maps the page: its reference goes. */
export function drop_mapping(pfn: number): void {
  page_mapcount[pfn] = page_mapcount[pfn]! - 1;
  ref_sub(pfn, 1);
}
/** Makes what the entry maps accessible, while its reference keeps the page: the entry, which another CPU may have changed. */
function export_mapped(at: number): number {
  let pte = page_tables[at]!;
  for (let seen = 0; pte !== seen && pte > 0; pte = page_tables[at]!) {
    if ((page_flags[pte >>> PAGE_HANDLE_SHIFT]! & PG_arch_1) === 0) break;
    seen = pte;
    arch_make_folio_accessible(pte >>> PAGE_HANDLE_SHIFT);
  }
  return pte;
}
/** Removes one entry of the last level.  Models zap_pte_range(). */
export function zap_pte(at: number): void {
  const pte = export_mapped(at);
  if (pte === 0) return;
  page_tables[at] = 0;
  if (is_swap_pte(pte)) {
    swap_free(pte);
    return;
  }
  const pfn = pte >>> PAGE_HANDLE_SHIFT;
  if (is_zero_pfn(pfn) || page_mapcount[pfn] === 0) return;
  if (ref_count(pfn) !== 0) drop_mapping(pfn);
  else if (page_flags[pfn]! & PG_allocated) {
    machine_of_pfn(pfn)!.WARN_ONCE(`${describe_pfn(pfn)} is unmapped while it is frozen`);
  }
  // else somebody put the page once too often: it is gone, and the next owner's reference is not to be taken.
}
