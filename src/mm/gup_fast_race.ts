/**
 * What surrounds the walk without a lock: fork() on another CPU makes it give back what it took, and while other CPUs are
 * listening it goes step by step and looks at each entry twice.  Models gup_fast() and the second look of gup_fast_pte_range().
 */

import { PAGE_HANDLE_SHIFT } from "../handle/tags.js";
import {
  foll_pin_acquired,
  foll_pin_released,
  page_flags,
  page_tables,
  PG_arch_1,
  PG_file,
} from "../machine/arena.js";
import { HPAGE_PMD_NR, PAGE_SIZE, SECTION_SHIFT } from "../machine/limits.js";
import type { MachineState } from "../machine/machine.js";
import { preempt, type PreemptionPoint } from "../machine/trace.js";
import { pinned_accessible } from "./accessible.js";
import { file_page_pinned } from "./address_space.js";
import {
  gup_fast_pgd_range,
  gup_pages,
  is_countable,
  keep_gup_pages,
  must_unshare,
} from "./gup_fast.js";
import { FOLL } from "./gup_flags.js";
import type { MmState } from "./mm_types.js";
import { is_zero_pfn, pin_add, pin_sub, ref_add, ref_count, ref_sub } from "./page_ref.js";
import {
  _PAGE_PRESENT,
  _PAGE_PSE,
  _PAGE_RW,
  pmd_number,
  pmd_slot,
  pte_index,
  PTE_FLAGS,
} from "./pgtable.js";

/** Takes the pages that need no fault, until one does; none if fork() ran meanwhile.  Models gup_fast(). */
export function gup_fast(mm: MmState, start: number, nr: number, flags: number): number {
  keep_gup_pages();
  if ((flags & FOLL.PIN) === 0) return walk(mm, start, nr, flags);
  const seq = mm.write_protect_seq;
  if (seq & 1) return 0;
  const found = walk(mm, start, nr, flags);
  if (mm.write_protect_seq !== seq) {
    for (let i = 0; i < found; i++) put(gup_pages[i]! >>> PAGE_HANDLE_SHIFT, 1, flags);
    return 0;
  }
  return found;
}
function walk(mm: MmState, start: number, nr: number, flags: number): number {
  if (mm.machine.other_cpus !== null) {
    mm.walking++;
    try {
      return walk_raced(mm, start, nr, flags);
    } finally {
      mm.walking--;
    }
  }
  const found = gup_fast_pgd_range(mm, start, nr, flags, 0);
  if (found < nr && flags & FOLL.PIN) {
    count_undone(entry_at(mm, start + found * PAGE_SIZE), nr - found, flags);
  }
  return found;
}
/** The entry of the last level, or the one of a huge page; 0 if there is none. */
export function entry_at({ pgd }: MmState, addr: number): { entry: number; index: number } {
  const pmd = pmd_number(addr);
  const index = pte_index(addr, pmd);
  const slot = pmd_slot(pgd, pmd);
  const entry = slot === 0 ? 0 : page_tables[slot]!;
  if (entry === 0 || entry & _PAGE_PSE) return { entry, index };
  return { entry: page_tables[((entry >>> 6) << 9) + index]!, index };
}
const wanted = (flags: number): number =>
  flags & FOLL.WRITE ? _PAGE_PRESENT | _PAGE_RW : _PAGE_PRESENT;
/** Pages of this entry that one step takes. */
const batch_of = (entry: number, index: number, left: number): number =>
  entry & _PAGE_PSE ? Math.min(HPAGE_PMD_NR - index, left) : 1;
/** The walk takes its pins before it sees that the page is shared with a child, and gives them back: both count. */
function count_undone(at: ReturnType<typeof entry_at>, left: number, flags: number): void {
  const { entry, index } = at;
  const want = wanted(flags);
  if ((entry & want) !== want || !must_unshare(entry, flags, null)) return;
  const pfn = entry >>> PAGE_HANDLE_SHIFT;
  if (is_zero_pfn(pfn) || ref_count(pfn) <= 0) return;
  const section = pfn >>> SECTION_SHIFT;
  const n = batch_of(entry, index, left);
  foll_pin_acquired[section] = foll_pin_acquired[section]! + n;
  foll_pin_released[section] = foll_pin_released[section]! + n;
}

// --- while another CPU may run between any two steps ------------------------------------------------------
/** preempt(), after which the `done` pages of the running walk are still in gup_pages: the other CPU may walk too. */
export function preempt_walk(
  machine: MachineState,
  point: PreemptionPoint,
  pfn: number,
  done: number,
): void {
  const pages = gup_pages.slice(0, done);
  preempt(machine, point, pfn);
  gup_pages.set(pages);
}
function walk_raced(mm: MmState, start: number, nr: number, flags: number): number {
  const { machine } = mm;
  const want = wanted(flags);
  const pin = (flags & FOLL.PIN) !== 0;
  let done = 0;
  while (done < nr) {
    const addr = start + done * PAGE_SIZE;
    const { entry, index } = entry_at(mm, addr);
    if ((entry & want) !== want) break;
    const pfn = (entry >>> PAGE_HANDLE_SHIFT) + (entry & _PAGE_PSE ? index : 0);
    const n = batch_of(entry, index, nr - done);
    if (machine.other_cpus !== null) preempt_walk(machine, "gup_fast: entry read", pfn, done);
    if (!try_grab(pfn, n, flags)) break;
    if (machine.other_cpus !== null) {
      preempt_walk(machine, "gup_fast: reference taken", pfn, done);
    }
    const changed = entry_at(mm, addr).entry !== entry;
    if (changed || (pin && must_unshare(entry, flags, null))) {
      put(pfn, n, flags);
      break;
    }
    if (pin && page_flags[pfn]! & PG_file) file_page_pinned(pfn, flags);
    // It gives the pin back itself when the page stays secure.
    if (pin && page_flags[pfn]! & PG_arch_1) {
      const pages = gup_pages.slice(0, done);
      const failed = pinned_accessible(pfn);
      gup_pages.set(pages);
      if (failed !== 0) break;
    }
    const first = (pfn << PAGE_HANDLE_SHIFT) & ~PTE_FLAGS;
    for (let i = 0; i < n; i++) gup_pages[done + i] = first + (i << PAGE_HANDLE_SHIFT);
    done += n;
  }
  return done;
}
/** Models try_grab_folio_fast(): silent when the count is 0. */
function try_grab(pfn: number, n: number, flags: number): boolean {
  if (flags & FOLL.PIN && is_zero_pfn(pfn)) return true;
  if (!is_countable(pfn, ref_count(pfn))) return false;
  if (flags & FOLL.PIN) pin_add(pfn, n);
  else ref_add(pfn, n);
  return true;
}
/** Models gup_put_folio(). */
function put(pfn: number, n: number, flags: number): void {
  if (flags & FOLL.PIN) pin_sub(pfn, n);
  else ref_sub(pfn, n);
}
