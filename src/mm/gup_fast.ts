/**
 * The walk of what is present, which takes no lock and stops where a fault is needed.  Models gup_fast_pgd_range() of
 * mm/gup.c.
 * Pages go to `gup_pages`, one handle without tags each.
 */

import { PAGE_HANDLE_SHIFT } from "../handle/tags.js";
import {
  foll_pin_acquired,
  folio_table,
  FOLIO_ORDER,
  FOLIO_PIN,
  FOLIO_REF,
  page_flags,
  page_ref,
  page_tables,
  PG_anon,
  PG_anon_exclusive,
  PG_arch_1,
  PG_file,
} from "../machine/arena.js";
import { GUP_PIN_COUNTING_BIAS, HPAGE_PMD_NR, SECTION_SHIFT } from "../machine/limits.js";
import { machine_of_pfn } from "../machine/machine.js";
import { fast_accessible } from "./accessible.js";
import { file_page_pinned } from "./address_space.js";
import { FOLL } from "./gup_flags.js";
import type { MmState, Vma } from "./mm_types.js";
import { describe_pfn, head_of, ref_add, REF_MAX } from "./page_ref.js";
import {
  _PAGE_PRESENT,
  _PAGE_PSE,
  _PAGE_RW,
  pmd_number,
  pmd_slot,
  pte_index,
  PTE_FLAGS,
} from "./pgtable.js";

/** Pages one walk finds at most; calls for more make several. */
export const GUP_BATCH = 65536;
/** Result of the last walk: handles without tags. */
export const gup_pages: Int32Array = new Int32Array(GUP_BATCH);
/** A walk that a fault or an export interrupts: another one keeps what it has found so far before it writes to gup_pages. */
export interface SlowWalk {
  done: number;
  kept: Int32Array | null;
  readonly outer: SlowWalk | null;
}
let interrupted: SlowWalk | null = null;
export function begin_slow_walk(): SlowWalk {
  return (interrupted = { done: 0, kept: null, outer: interrupted });
}
export function end_slow_walk(walk: SlowWalk): void {
  interrupted = walk.outer;
}
/** Before anything is written to gup_pages for a walk that begins. */
export function keep_gup_pages(): void {
  if (interrupted !== null) interrupted.kept ??= gup_pages.slice(0, interrupted.done);
}
/** After a step of the walk in which another one may have run. */
export function restore_gup_pages(walk: SlowWalk): void {
  if (walk.kept === null) return;
  gup_pages.set(walk.kept);
  walk.kept = null;
}
/** Zero pages of the running walk, whose pins are not counted. */
const uncounted = new Int32Array(1);

/** Takes the pages that need no fault, until one does.  Models gup_fast_pgd_range(). */
export function gup_fast_pgd_range(
  mm: MmState,
  start: number,
  nr: number,
  flags: number,
  at: number,
): number {
  const want = flags & FOLL.WRITE ? _PAGE_PRESENT | _PAGE_RW : _PAGE_PRESENT;
  const unit = flags & FOLL.PIN ? GUP_PIN_COUNTING_BIAS : 1;
  let pmd = pmd_number(start);
  let index = pte_index(start, pmd);
  let done = 0;
  uncounted[0] = 0;
  while (done < nr) {
    const slot = pmd_slot(mm.pgd, pmd);
    const entry = slot === 0 ? 0 : page_tables[slot]!;
    if (entry === 0) break;
    const here = Math.min(HPAGE_PMD_NR - index, nr - done);
    const found =
      entry & _PAGE_PSE
        ? gup_huge_pmd(entry, index, here, want, flags, at + done)
        : gup_pte_range(((entry >>> 6) << 9) + index, here, want, unit, flags, at + done);
    done += found;
    if (found < here) break;
    pmd++;
    index = 0;
  }
  if (unit !== 1 && done > 0) {
    const section = gup_pages[at]! >>> (PAGE_HANDLE_SHIFT + SECTION_SHIFT);
    foll_pin_acquired[section] = foll_pin_acquired[section]! + done - uncounted[0];
  }
  return done;
}
function gup_pte_range(
  table: number,
  nr: number,
  want: number,
  unit: number,
  flags: number,
  at: number,
): number {
  for (let j = 0; j < nr; j++) {
    const pte = page_tables[table + j]!;
    if ((pte & want) !== want) return j;
    const pfn = pte >>> PAGE_HANDLE_SHIFT;
    const r = page_ref[pfn]!;
    if (r > 0 && r < REF_MAX && (pte & _PAGE_RW) !== 0) page_ref[pfn] = r + unit;
    else if (!grab_odd(pte, pfn, unit, flags)) return j;
    gup_pages[at + j] = pte & ~PTE_FLAGS;
  }
  return nr;
}
/** What the loop above has no room for: read-only entries, large folios, the zero page, odd counts. */
function grab_odd(pte: number, pfn: number, unit: number, flags: number): boolean {
  if (unit !== 1 && must_unshare(pte, flags, null)) return false;
  const r = page_ref[pfn]!;
  if (r > 0) {
    ref_add(pfn, unit);
    return true;
  }
  if (r === 0) return false;
  const f = ~r << 2;
  const order = folio_table[f + FOLIO_ORDER]!;
  if (order < 0 && unit !== 1) {
    uncounted[0] = uncounted[0]! + 1;
    return true;
  }
  if (!is_countable(pfn, folio_table[f + FOLIO_REF]!)) return false;
  folio_table[f] = folio_table[f]! + (order > 0 ? 1 : unit);
  if (order > 0 && unit !== 1) folio_table[f + FOLIO_PIN] = folio_table[f + FOLIO_PIN]! + 1;
  if (unit !== 1 && page_flags[pfn]! & PG_file) file_page_pinned(pfn, flags);
  if (unit === 1 || (page_flags[pfn]! & PG_arch_1) === 0) return true;
  const zero_pages = uncounted[0]!; // of this walk, whatever walks meanwhile
  const accessible = fast_accessible(pfn);
  uncounted[0] = zero_pages;
  return accessible;
}
function gup_huge_pmd(
  entry: number,
  index: number,
  nr: number,
  want: number,
  flags: number,
  at: number,
): number {
  const pin = (flags & FOLL.PIN) !== 0;
  if ((entry & want) !== want || (pin && must_unshare(entry, flags, null))) return 0;
  const f = ~page_ref[entry >>> PAGE_HANDLE_SHIFT]! << 2;
  if (!is_countable(entry >>> PAGE_HANDLE_SHIFT, folio_table[f + FOLIO_REF]!)) return 0;
  folio_table[f] = folio_table[f]! + nr;
  if (pin) folio_table[f + FOLIO_PIN] = folio_table[f + FOLIO_PIN]! + nr;
  const first = (entry & ~PTE_FLAGS) + (index << PAGE_HANDLE_SHIFT);
  for (let j = 0; j < nr; j++) gup_pages[at + j] = first + (j << PAGE_HANDLE_SHIFT);
  return nr;
}
/** 0 is frozen: try the slow way.  Below 0 the count overflowed.  Models try_get_folio(). */
export function is_countable(pfn: number, count: number): boolean {
  if (count < 0) warn_count(pfn, count);
  return count > 0;
}
export function warn_count(pfn: number, count: number): void {
  machine_of_pfn(pfn)!.WARN_ONCE(`refcount ${count} of ${describe_pfn(pfn)}: no reference taken`);
}
/** Whether a pin through a read-only entry would pin what this address space shares.  Models gup_must_unshare(). */
export function must_unshare(pte: number, flags: number, vma: Vma | null): boolean {
  if ((flags & FOLL.WRITE) !== 0 || (pte & _PAGE_RW) !== 0) return false;
  const page = page_flags[marked_page(pte)]!;
  if (page & PG_anon) return (page & PG_anon_exclusive) === 0;
  if ((flags & FOLL.LONGTERM) === 0) return false;
  return vma === null || vma.is_cow;
}
/** The page whose flags speak for this entry: the first one while one entry maps a huge page. */
export function marked_page(pte: number): number {
  const pfn = pte >>> PAGE_HANDLE_SHIFT;
  return pte & _PAGE_PSE ? head_of(pfn) : pfn;
}
