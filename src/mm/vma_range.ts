/** Ranges of an address space: cutting mappings at their ends, visiting entries, taking them away. */

import type { Task } from "../handle/context.js";
import { ERR_PTR, type Errno, type MmError } from "../handle/errno.js";
import { free_page_table, page_tables } from "../machine/arena.js";
import { might_sleep, task_state } from "../machine/context.js";
import { PAGE_SIZE, PMD_SIZE, TASK_SIZE } from "../machine/limits.js";
import { split_huge_pmd, zap_huge_pmd } from "./huge_memory.js";
import { zap_pte } from "./memory.js";
import { mm_state, type MmState } from "./mm_types.js";
import { _PAGE_PRESENT, _PAGE_PSE, _PAGE_RW, pmd_number, pmd_slot, pte_index } from "./pgtable.js";

export const page_align = (bytes: number): number => Math.ceil(bytes / PAGE_SIZE) * PAGE_SIZE;
export const mm_error = <E extends MmError["errno"]>(errno: E, message: string): Errno<E> =>
  ERR_PTR(errno, message);
/** The address space of a task, whose lock nobody may hold for reading. */
export function mm_for_write(current: Task, called: string): MmState {
  might_sleep(current, called);
  const mm = mm_state(task_state(current, called).mm, called);
  mm.assert_unlocked(called);
  return mm;
}
export function is_page_address(addr: number | null): boolean {
  return addr !== null && Number.isSafeInteger(addr) && addr >= PAGE_SIZE && addr % PAGE_SIZE === 0;
}

/** Cuts mappings so that one begins and one ends at these addresses; returns the indexes in between. */
export function isolate(mm: MmState, start: number, end: number): [first: number, last: number] {
  mm.forget_hit();
  for (const at of [start, end]) {
    const vma = mm.vma_at(at);
    if (!vma || vma.start === at) continue;
    split_pmd_at(mm, at);
    mm.insert(vma.split(at));
    mm.forget_hit();
  }
  const first = mm.first_ending_after(start);
  let last = first;
  while (last < mm.vmas.length && mm.vmas[last]!.start < end) last++;
  return [first, last];
}
/** A huge page does not straddle two mappings. */
function split_pmd_at(mm: MmState, addr: number): void {
  if (addr % PMD_SIZE === 0) return;
  const slot = pmd_slot(mm.pgd, pmd_number(addr));
  if (slot !== 0 && page_tables[slot]! & _PAGE_PSE) split_huge_pmd(mm, slot);
}
/** Calls `huge` or `small` for each entry that maps something in the range; huge pages in it are whole. */
export function each_entry(
  mm: MmState,
  start: number,
  end: number,
  huge: (slot: number, addr: number) => void,
  small: (at: number, addr: number) => void,
): void {
  const last = pmd_number(end - 1);
  for (let pmd = pmd_number(start); pmd <= last; pmd++) {
    const slot = pmd_slot(mm.pgd, pmd);
    const entry = slot === 0 ? 0 : page_tables[slot]!;
    if (entry === 0) continue;
    if (entry & _PAGE_PSE) {
      huge(slot, pmd * PMD_SIZE);
      continue;
    }
    const table = (entry >>> 6) << 9;
    const from = start > pmd * PMD_SIZE ? pte_index(start, pmd) : 0;
    const to = end < (pmd + 1) * PMD_SIZE ? pte_index(end, pmd) : 512;
    for (let i = from; i < to; i++) {
      if (page_tables[table + i] !== 0) small(table + i, pmd * PMD_SIZE + i * PAGE_SIZE);
    }
  }
}
export function zap_range(mm: MmState, start: number, end: number): void {
  split_pmd_at(mm, start);
  split_pmd_at(mm, end);
  each_entry(mm, start, end, zap_huge_pmd, zap_pte);
}
/** Ends mappings under the lock for writing, which `called` took: another CPU that faults meanwhile would wait for it. */
export function unmap_range(mm: MmState, start: number, end: number, called: string): void {
  const [first, last] = isolate(mm, start, end);
  mm.writer = called;
  try {
    // What another CPU throws here leaves mappings without entries, not entries without a mapping.
    for (const vma of mm.vmas.slice(first, last)) {
      zap_range(mm, vma.start, vma.end);
      free_empty_tables(mm, vma.start, vma.end);
    }
  } finally {
    mm.writer = null;
  }
  for (const vma of mm.vmas.splice(first, last - first)) vma.file?.close_vma(vma);
  mm.forget_hit(); // isolate() has looked at what goes now
}
/** So that a huge page fits where small ones were.  Models free_pgtables(), of the last level. */
function free_empty_tables(mm: MmState, start: number, end: number): void {
  const last = pmd_number(end - 1);
  for (let pmd = pmd_number(start); pmd <= last; pmd++) {
    const slot = pmd_slot(mm.pgd, pmd);
    const entry = slot === 0 ? 0 : page_tables[slot]!;
    if (entry === 0 || entry & _PAGE_PSE) continue;
    const table = entry >>> 6;
    if (page_tables.subarray(table << 9, (table + 1) << 9).some((pte) => pte !== 0)) continue;
    page_tables[slot] = 0;
    free_page_table(table);
  }
}

export function check_range(addr: number, len: number): MmError | null {
  if (!is_page_address(addr) || !Number.isSafeInteger(len) || len < 0) {
    return mm_error("EINVAL", `${addr}, ${len} bytes: not a range that begins at a page`);
  }
  return addr + page_align(len) > TASK_SIZE ? mm_error("ENOMEM", "beyond TASK_SIZE") : null;
}
/** Whether mappings cover [start, end) without a hole. */
export function is_covered(mm: MmState, start: number, end: number): boolean {
  for (let at = start; at < end;) {
    const vma = mm.vma_at(at);
    if (!vma) return false;
    at = vma.end;
  }
  return true;
}
/** Whether these are PROT_ bits. */
export const is_prot = (prot: number): boolean => Number.isInteger(prot) && prot >= 0 && prot <= 7;
