/** Changing the protection of a range, and advice about it.  Models mm/mprotect.c and mm/madvise.c. */

import { ok, type Result } from "neverthrow";
import type { UserAddr } from "../handle/addr.js";
import type { Task } from "../handle/context.js";
import { PTR_ERR, type MmError } from "../handle/errno.js";
import { page_tables } from "../machine/arena.js";
import { PAGE_SIZE } from "../machine/limits.js";
import { FAULT_FLAG_WRITE, handle_mm_fault, VM_FAULT_OOM } from "./memory.js";
import * as M from "./mm_types.js";
import { type MmState } from "./mm_types.js";
import { is_swap_pte, _PAGE_PRESENT, _PAGE_PSE, _PAGE_RW } from "./pgtable.js";
import {
  check_range,
  each_entry,
  is_covered,
  is_prot,
  isolate,
  mm_error,
  mm_for_write,
  page_align,
  zap_range,
} from "./vma_range.js";
import { reclaim_pages } from "./vmscan.js";

/**
 * Changes the protection of a range.  Models mprotect(2).
 *
 * @param addr - a multiple of PAGE_SIZE
 * @param len - bytes; rounded up to pages
 * @param prot - PROT_NONE, or PROT_READ | PROT_WRITE | PROT_EXEC
 * @returns EINVAL for a bad argument, ENOMEM when part of the range is not mapped; nothing is changed then
 */
export function mprotect(
  current: Task,
  addr: UserAddr,
  len: number,
  prot: number,
): Result<void, MmError> {
  const mm = mm_for_write(current, "mprotect()");
  const invalid = is_prot(prot)
    ? check_range(addr, len)
    : mm_error("EINVAL", `protection ${prot} has unknown bits`);
  if (invalid) return PTR_ERR(invalid);
  const end = addr + page_align(len);
  if (!is_covered(mm, addr, end)) return PTR_ERR(mm_error("ENOMEM", "a part is not mapped"));
  if (end === addr) return ok(undefined);
  const [first, last] = isolate(mm, addr, end);
  // Write access comes back with the next fault; without any access the entries stay, but are not present.
  const lose = prot === M.PROT_NONE ? _PAGE_PRESENT | _PAGE_RW : prot & M.PROT_WRITE ? 0 : _PAGE_RW;
  const gain = prot === M.PROT_NONE ? 0 : _PAGE_PRESENT;
  for (const vma of mm.vmas.slice(first, last)) {
    vma.flags = (vma.flags & ~7) | prot;
    const change = (at: number): void => {
      if (is_swap_pte(page_tables[at]!)) return;
      page_tables[at] = (page_tables[at]! & ~lose) | gain;
    };
    each_entry(mm, vma.start, vma.end, change, change);
  }
  return ok(undefined);
}
/**
 * Advice about a range.  Models madvise(2).
 *
 * @param advice - MADV_HUGEPAGE, MADV_NOHUGEPAGE, MADV_DONTFORK (no child gets the range), MADV_DOFORK, MADV_DONTNEED (pages
 *   go), MADV_FREE (pages may stay, and do), MADV_PAGEOUT (pages go to the swap area, but for those that somebody else
 *   maps, holds or has pinned), MADV_POPULATE_READ, MADV_POPULATE_WRITE
 * @returns EINVAL for a bad argument; ENOMEM when part of the range is not mapped or memory is out; EFAULT when
 *   populating what may not be accessed
 */
export function madvise(
  current: Task,
  addr: UserAddr,
  len: number,
  advice: number,
): Result<void, MmError> {
  const mm = mm_for_write(current, "madvise()");
  const invalid = check_range(addr, len);
  if (invalid) return PTR_ERR(invalid);
  const end = addr + page_align(len);
  if (!is_covered(mm, addr, end)) return PTR_ERR(mm_error("ENOMEM", "a part is not mapped"));
  switch (advice) {
    case M.MADV_HUGEPAGE:
    case M.MADV_NOHUGEPAGE: {
      if (end === addr) return ok(undefined);
      const [first, last] = isolate(mm, addr, end);
      for (const vma of mm.vmas.slice(first, last)) {
        vma.flags &= ~(M.VM_HUGEPAGE | M.VM_NOHUGEPAGE);
        vma.flags |= advice === M.MADV_HUGEPAGE ? M.VM_HUGEPAGE : M.VM_NOHUGEPAGE;
      }
      return ok(undefined);
    }
    case M.MADV_DONTFORK:
    case M.MADV_DOFORK: {
      if (end === addr) return ok(undefined);
      const [first, last] = isolate(mm, addr, end);
      for (const vma of mm.vmas.slice(first, last)) {
        vma.flags &= ~M.VM_DONTCOPY;
        if (advice === M.MADV_DONTFORK) vma.flags |= M.VM_DONTCOPY;
      }
      return ok(undefined);
    }
  }
  // Of these the lock is held for reading: another CPU may fault meanwhile.
  mm.faulting++;
  try {
    return advise_entries(mm, addr, end, advice);
  } finally {
    mm.faulting--;
  }
}
function advise_entries(
  mm: MmState,
  addr: number,
  end: number,
  advice: number,
): Result<void, MmError> {
  switch (advice) {
    case M.MADV_PAGEOUT:
      if (end > addr) reclaim_pages(mm, addr, end);
      return ok(undefined);
    case M.MADV_DONTNEED:
      if (end > addr) zap_range(mm, addr, end);
      return ok(undefined);
    case M.MADV_FREE:
      return ok(undefined);
    case M.MADV_POPULATE_READ:
      return populate(mm, addr, end, M.VM_READ, 0);
    case M.MADV_POPULATE_WRITE:
      return populate(mm, addr, end, M.VM_WRITE, FAULT_FLAG_WRITE);
    default:
      return PTR_ERR(mm_error("EINVAL", `advice ${advice} is unknown`));
  }
}
function populate(
  mm: MmState,
  start: number,
  end: number,
  needed: number,
  fault_flags: number,
): Result<void, MmError> {
  for (let addr = start; addr < end; addr += PAGE_SIZE) {
    const vma = mm.vma_at(addr)!;
    if ((vma.flags & needed) === 0) return PTR_ERR(mm_error("EFAULT", "access is not allowed"));
    const fault = handle_mm_fault(mm, vma, addr, fault_flags);
    if (fault === VM_FAULT_OOM) return PTR_ERR(mm_error("ENOMEM", "no free page"));
    if (fault !== 0) return PTR_ERR(mm_error("EFAULT", "beyond the end of the file"));
  }
  return ok(undefined);
}
