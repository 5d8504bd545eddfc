/**
 * Finding the pages of a user range and taking a reference on each: the fast walk of what is present, and the slow
 * one that faults.  Models mm/gup.c.  Pages go to `gup_pages`, one handle without tags each.
 */

import { ERR_PTR, type GupError } from "../handle/errno.js";
import { PAGE_HANDLE_SHIFT } from "../handle/tags.js";
import { throw_would_spin } from "../machine/arch.js";
import { page_flags, page_tables, PG_anon_exclusive, PG_file } from "../machine/arena.js";
import type { TaskContext } from "../machine/context.js";
import { should_fail } from "../machine/fault-inject.js";
import { PAGE_SIZE } from "../machine/limits.js";
import { pinned_accessible } from "./accessible.js";
import { file_page_pinned } from "./address_space.js";
import {
  begin_slow_walk,
  end_slow_walk,
  gup_fast_pgd_range,
  gup_pages,
  keep_gup_pages,
  marked_page,
  must_unshare,
  restore_gup_pages,
  type SlowWalk,
  warn_count,
} from "./gup_fast.js";
import { gup_fast } from "./gup_fast_race.js";
import { FOLL } from "./gup_flags.js";
import { split_huge_pmd } from "./huge_memory.js";
import { FAULT_FLAG_UNSHARE, FAULT_FLAG_WRITE, handle_mm_fault, VM_FAULT_OOM } from "./memory.js";
import { VM_IO, VM_READ, VM_SHARED, VM_WRITE, type MmState, type Vma } from "./mm_types.js";
import { set_folio_dirty } from "./page-writeback.js";
import { pin_add, pin_sub, ref_add, ref_count, ref_sub } from "./page_ref.js";
import { _PAGE_PSE, _PAGE_RW, pmd_number, pmd_slot, PTE_FLAGS } from "./pgtable.js";
import { lookup_pte } from "./uaccess.js";

// Errno numbers of the walk; each call makes one error value of the last.
/** Before the first page, with the lock held. */
export const EINTR = -4;
/** While the call waits for the lock. */
export const EAGAIN = -11;
const ENOMEM = -12;
export const EFAULT = -14;
const EOPNOTSUPP = -95;
/** ENOMEM of FOLL_LONGTERM: a page could not be moved to where it may stay, and nothing is pinned. */
export const MIGRATION_FAILED: number = ENOMEM - 4096;
/** From the architecture. */
const EINVAL = -22;
/** No errno: the walk waits for a lock whose holder was interrupted.  No call returns it. */
export const SPINS = -4096;
/** An error value for a walk that found nothing. */
export function gup_error(code: number, addr: number): GupError {
  const at = `0x${addr.toString(16)}`;
  switch (code) {
    case EINTR:
      return ERR_PTR("EINTR", `the task was killed before ${at} was reached`);
    case EAGAIN:
      return ERR_PTR("EAGAIN", "the task was killed while it waited for the mmap_lock");
    case SPINS:
      throw_would_spin(`the slow walk at ${at}`, "the page-table lock");
    case EINVAL:
      return ERR_PTR("EINVAL", `the page at ${at} cannot be made accessible`);
    case MIGRATION_FAILED:
      return ERR_PTR("ENOMEM", "a page that may not stay pinned where it is could not be moved");
    case EOPNOTSUPP:
      return ERR_PTR("EOPNOTSUPP", `a file at ${at} is memory of a device: no pin of it may last`);
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
  fast: boolean;
  /** pages that the fast walk took before the slow one began; FOLL_LONGTERM keeps them */
  nr_fast: number;
  /** what a pending SIGKILL makes of the walk: -errno, or 0 */
  killed: number;
  /** the same of one that comes while it waits */
  readonly if_killed: number;
  /** on whose behalf; null for a kworker, which nobody kills */
  readonly task: TaskContext | null;
}

/**
 * Takes references on up to GUP_BATCH pages from `start`.  The number taken, whose handles are in gup_pages; less than
 * `nr` when an error came after the first; -errno when there is none.
 */
export function gup_walk(walk: Walk, start: number, nr: number): number {
  const { mm, flags } = walk;
  if ((flags & FOLL.PIN) !== 0) mm.has_pinned = true;
  return gup_walk_slow(walk, start, nr, walk.fast ? gup_fast(mm, start, nr, flags) : 0);
}
/** The same with the lock held, after `done` pages were taken. */
export function gup_walk_slow(walk: Walk, start: number, nr: number, done: number): number {
  if (done === nr) return done;
  const { mm } = walk;
  mm.assert_no_writer("mmap_read_lock()");
  keep_gup_pages();
  const step = begin_slow_walk();
  mm.faulting++;
  try {
    return gup_walk_locked(walk, start, nr, done, step);
  } finally {
    mm.faulting--;
    end_slow_walk(step);
  }
}
function gup_walk_locked(
  walk: Walk,
  start: number,
  nr: number,
  done: number,
  step: SlowWalk,
): number {
  const { mm, flags } = walk;
  while (done < nr) {
    const addr = start + done * PAGE_SIZE;
    if (mm.machine.faults !== null) may_be_killed(walk);
    if (walk.killed !== 0) return done || walk.killed;
    const vma = mm.vma_at(addr);
    const refused = check_vma_flags(vma, flags);
    if (refused !== 0) return done || refused;
    if (flags & FOLL.SPLIT_PMD) split_at(mm, addr);
    step.done = done;
    // One by one while another CPU may walk in between.
    const most = mm.machine.other_cpus === null ? nr - done : 1;
    const here = Math.min(most, (vma!.end - addr) / PAGE_SIZE);
    const found = gup_fast_pgd_range(mm, addr, here, flags, done);
    restore_gup_pages(step);
    done += found;
    if (found === here) continue;
    step.done = done;
    const page = gup_slow(mm, vma!, start + done * PAGE_SIZE, flags);
    restore_gup_pages(step);
    if (page === SPINS) undo_and_spin(mm, done, flags);
    if (page < 0) return done || page;
    const failed = grab_slow(page >>> PAGE_HANDLE_SHIFT, flags);
    restore_gup_pages(step);
    if (failed !== 0) return done || failed;
    gup_pages[done++] = page;
  }
  return done;
}
/** A SIGKILL that is injected comes here.  Models the look at fatal_signal_pending(). */
export function may_be_killed(walk: Walk): void {
  const { machine } = walk.mm;
  if (walk.task === null || walk.killed !== 0) return;
  if (!should_fail(machine, "kill_wait", "__get_user_pages()")) return;
  walk.task.killed = true;
  walk.killed = walk.if_killed;
}
/** The fast walk took `done` pages before the slow one had to wait. */
function undo_and_spin(mm: MmState, done: number, flags: number): never {
  for (const page of gup_pages.subarray(0, done)) {
    if (flags & FOLL.PIN) pin_sub(page >>> PAGE_HANDLE_SHIFT, 1);
    else ref_sub(page >>> PAGE_HANDLE_SHIFT, 1);
  }
  throw_would_spin("the slow walk", mm.page_table_lock!);
}
function split_at(mm: MmState, addr: number): void {
  const slot = pmd_slot(mm.pgd, pmd_number(addr));
  if (slot !== 0 && page_tables[slot]! & _PAGE_PSE) split_huge_pmd(mm, slot);
}
/** Models check_vma_flags(): 0, or -errno. */
export function check_vma_flags(vma: Vma | null, flags: number): number {
  if (vma === null || vma.flags & VM_IO) return EFAULT;
  if (flags & FOLL.ANON && !vma.is_anonymous) return EFAULT;
  const refused = flags & FOLL.LONGTERM ? longterm_refused(vma, flags) : 0;
  if (refused !== 0) return refused;
  if (flags & FOLL.WRITE) {
    if (vma.flags & VM_WRITE) return 0;
    return flags & FOLL.FORCE && vma.is_cow ? 0 : EFAULT;
  }
  return vma.flags & VM_READ || flags & FOLL.FORCE ? 0 : EFAULT;
}

/** What may be pinned for the length of a call only: 0, or -errno.  Models writable_file_mapping_allowed() and vma_is_fsdax(). */
export function longterm_refused({ file, flags: vma_flags }: Vma, flags: number): number {
  if (file === null) return 0;
  if (file.is_dax) return EOPNOTSUPP;
  const shared = VM_SHARED | VM_WRITE;
  const written = (flags & FOLL.WRITE) !== 0 && (vma_flags & shared) === shared;
  return written && file.refuses_longterm === true ? EFAULT : 0;
}

// --- what is not ----------------------------------------------------------------------------------------
/** Faults until the page is as wanted: its handle, or -errno.  Models faultin_page() and follow_page_pte(). */
export function gup_slow(mm: MmState, vma: Vma, addr: number, flags: number): number {
  if (mm.page_table_lock !== null) return SPINS;
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
/** One reference or pin on a page that was found under the lock: 0, or -errno.  Models try_grab_folio() and its caller. */
function grab_slow(pfn: number, flags: number): number {
  const count = ref_count(pfn);
  if (count <= 0) {
    warn_count(pfn, count);
    return ENOMEM;
  }
  if ((flags & FOLL.PIN) === 0) {
    ref_add(pfn, 1);
    return 0;
  }
  pin_add(pfn, 1);
  if (page_flags[pfn]! & PG_file) file_page_pinned(pfn, flags);
  return pinned_accessible(pfn);
}
