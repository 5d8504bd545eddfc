/**
 * Finding the pages of a user range and taking a reference on each: the fast walk of what is present, and the slow
 * one that faults.  Models mm/gup.c.  Pages go to `gup_pages`, one handle without tags each.
 */

import { ERR_PTR, type GupError } from "../handle/errno.js";
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
  PG_dirty,
} from "../machine/arena.js";
import {
  GUP_PIN_COUNTING_BIAS,
  HPAGE_PMD_NR,
  PAGE_SIZE,
  SECTION_SHIFT,
} from "../machine/limits.js";
import { machine_of_pfn } from "../machine/machine.js";
import { FOLL } from "./gup_flags.js";
import { split_huge_pmd } from "./huge_memory.js";
import { FAULT_FLAG_UNSHARE, FAULT_FLAG_WRITE, handle_mm_fault, VM_FAULT_OOM } from "./memory.js";
import { VM_IO, VM_READ, VM_SHARED, VM_WRITE, type MmState, type Vma } from "./mm_types.js";
import {
  describe_pfn,
  head_of,
  is_zero_pfn,
  pin_add,
  ref_add,
  ref_count,
  REF_MAX,
} from "./page_ref.js";
import {
  _PAGE_PRESENT,
  _PAGE_PSE,
  _PAGE_RW,
  pmd_number,
  pmd_slot,
  pte_index,
  PTE_FLAGS,
} from "./pgtable.js";
import { lookup_pte } from "./uaccess.js";

/** Pages one walk finds at most; calls for more make several. */
export const GUP_BATCH = 65536;
/** Result of the last walk: handles without tags. */
export const gup_pages: Int32Array = new Int32Array(GUP_BATCH);
/** Zero pages of the running walk, whose pins are not counted. */
const uncounted = new Int32Array(1);

// Errno numbers of the walk; each call makes one error value of the last.
/** Before the first page, with the lock held. */
export const EINTR = -4;
/** While the call waits for the lock. */
export const EAGAIN = -11;
const ENOMEM = -12;
const EFAULT = -14;
/** An error value for a walk that found nothing. */
export function gup_error(code: number, addr: number): GupError {
  const at = `0x${addr.toString(16)}`;
  switch (code) {
    case EINTR:
      return ERR_PTR("EINTR", `the task was killed before ${at} was reached`);
    case EAGAIN:
      return ERR_PTR("EAGAIN", "the task was killed while it waited for the mmap_lock");
    case ENOMEM:
      return ERR_PTR("ENOMEM", `no page for ${at}, or its count is not above 0`);
    default:
      return ERR_PTR("EFAULT", `nothing at ${at} can be accessed that way`);
  }
}

/** Who asks, and how. */
export interface Walk {
  readonly mm: MmState;
  /** FOLL bits: GET or PIN, WRITE … */
  readonly flags: number;
  /** begins without a look at the mappings, as the *_fast() calls do */
  readonly fast: boolean;
  /** what a pending SIGKILL makes of the walk: -errno, or 0 */
  readonly killed: number;
}

/**
 * Takes references on up to GUP_BATCH pages from `start`.  The number taken, whose handles are in gup_pages; less than
 * `nr` when an error came after the first; -errno when there is none.
 */
export function gup_walk(walk: Walk, start: number, nr: number): number {
  const { mm, flags } = walk;
  if ((flags & FOLL.PIN) !== 0) mm.has_pinned = true;
  let done = walk.fast ? gup_fast(mm, start, nr, flags, 0) : 0;
  while (done < nr) {
    const addr = start + done * PAGE_SIZE;
    if (walk.killed !== 0) return done || walk.killed;
    const vma = mm.vma_at(addr);
    const refused = check_vma_flags(vma, flags);
    if (refused !== 0) return done || refused;
    if (flags & FOLL.SPLIT_PMD) split_at(mm, addr);
    const here = Math.min(nr - done, (vma!.end - addr) / PAGE_SIZE);
    const found = gup_fast(mm, addr, here, flags, done);
    done += found;
    if (found === here) continue;
    const page = gup_slow(mm, vma!, start + done * PAGE_SIZE, flags);
    if (page < 0) return done || page;
    if (!grab_slow(page >>> PAGE_HANDLE_SHIFT, flags)) return done || ENOMEM;
    gup_pages[done++] = page;
  }
  return done;
}
function split_at(mm: MmState, addr: number): void {
  const slot = pmd_slot(mm.pgd, pmd_number(addr));
  if (slot !== 0 && page_tables[slot]! & _PAGE_PSE) split_huge_pmd(mm, slot);
}
/** Models check_vma_flags(): 0, or -errno. */
export function check_vma_flags(vma: Vma | null, flags: number): number {
  if (vma === null || vma.flags & VM_IO) return EFAULT;
  if (flags & FOLL.ANON && !vma.is_anonymous) return EFAULT;
  if (flags & FOLL.WRITE) {
    if (vma.flags & VM_WRITE) return 0;
    return flags & FOLL.FORCE && vma.is_cow ? 0 : EFAULT;
  }
  return vma.flags & VM_READ || flags & FOLL.FORCE ? 0 : EFAULT;
}

// --- what is present ------------------------------------------------------------------------------------
/** Takes the pages that need no fault, until one does.  Models gup_fast(). */
function gup_fast(mm: MmState, start: number, nr: number, flags: number, at: number): number {
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
  return true;
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
function warn_count(pfn: number, count: number): void {
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
function marked_page(pte: number): number {
  const pfn = pte >>> PAGE_HANDLE_SHIFT;
  return pte & _PAGE_PSE ? head_of(pfn) : pfn;
}

// --- what is not ----------------------------------------------------------------------------------------
/** Faults until the page is as wanted: its handle, or -errno.  Models faultin_page() and follow_page_pte(). */
export function gup_slow(mm: MmState, vma: Vma, addr: number, flags: number): number {
  const write = (flags & FOLL.WRITE) !== 0;
  for (;;) {
    const pte = lookup_pte(mm, addr);
    let fault = write ? FAULT_FLAG_WRITE : 0;
    // An entry that is not present is one of PROT_NONE, which only FOLL_FORCE gets to.
    if (pte !== 0) {
      if (!write && (flags & FOLL.PIN) !== 0 && must_unshare(pte, flags, vma)) {
        fault = FAULT_FLAG_UNSHARE;
      } else if (!write || pte & _PAGE_RW || can_force_write(pte, vma, flags)) {
        if (write && flags & FOLL.TOUCH) set_folio_dirty(pte >>> PAGE_HANDLE_SHIFT);
        return pte & ~PTE_FLAGS;
      }
    }
    if (flags & FOLL.NOFAULT) return EFAULT;
    const failed = handle_mm_fault(mm, vma, addr, fault);
    if (failed !== 0) return failed === VM_FAULT_OOM ? ENOMEM : EFAULT;
  }
}
/** Models can_follow_write_pte(). */
function can_force_write(pte: number, vma: Vma, flags: number): boolean {
  if ((flags & FOLL.FORCE) === 0 || (vma.flags & (VM_SHARED | VM_WRITE)) !== 0) return false;
  return (page_flags[marked_page(pte)]! & PG_anon_exclusive) !== 0;
}
/** One reference or pin on a page that was found under the lock.  Models try_grab_folio(). */
function grab_slow(pfn: number, flags: number): boolean {
  const count = ref_count(pfn);
  if (count <= 0) {
    warn_count(pfn, count);
    return false;
  }
  if (flags & FOLL.PIN) pin_add(pfn, 1);
  else ref_add(pfn, 1);
  return true;
}
/** The dirty bit of the whole folio. */
export function set_folio_dirty(pfn: number): void {
  if (is_zero_pfn(pfn)) return;
  const head = head_of(pfn);
  page_flags[head] = page_flags[head]! | PG_dirty;
}
