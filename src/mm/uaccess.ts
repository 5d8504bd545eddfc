/** The kernel's own access to user memory, and loads and stores of a program.  Models include/linux/uaccess.h. */

import { ok, type Result } from "neverthrow";
import type { UserAddr } from "../handle/addr.js";
import type { Task } from "../handle/context.js";
import { ERR_PTR, PTR_ERR, type Errno } from "../handle/errno.js";
import { PAGE_HANDLE_SHIFT } from "../handle/tags.js";
import { page_tables } from "../machine/arena.js";
import { might_sleep, task_state } from "../machine/context.js";
import { fail_after } from "../machine/fault-inject.js";
import { PAGE_SIZE, TASK_SIZE } from "../machine/limits.js";
import { trace } from "../machine/tracepoint.js";
import { cpu_can_access } from "./accessible.js";
import { FAULT_FLAG_WRITE, handle_mm_fault } from "./memory.js";
import { mm_state, VM_READ, VM_WRITE, type MmState } from "./mm_types.js";
import { bytes_to_read, bytes_to_write } from "./page_alloc.js";
import {
  _PAGE_PRESENT,
  _PAGE_PSE,
  _PAGE_RW,
  is_swap_pte,
  pmd_number,
  pmd_slot,
  pte_index,
} from "./pgtable.js";

/** The entry that maps `addr` as of now, made into one of a small page; 0 if there is none or its page is swapped out. */
export function lookup_pte(mm: MmState, addr: number): number {
  const pmd = pmd_number(addr);
  const slot = pmd_slot(mm.pgd, pmd);
  const entry = slot === 0 ? 0 : page_tables[slot]!;
  if (entry === 0) return 0;
  const index = pte_index(addr, pmd);
  if (entry & _PAGE_PSE) return entry + (index << PAGE_HANDLE_SHIFT);
  const pte = page_tables[((entry >>> 6) << 9) + index]!;
  return is_swap_pte(pte) ? 0 : pte;
}
/** Faults of one access to one page: another CPU may undo what one of them did. */
const MAX_FAULTS = 8;
/** The page at `addr` as a program may access it, faulted in and accessible; 0 when it may not. */
function user_pfn(mm: MmState, addr: number, write: boolean): number {
  const want = write ? _PAGE_PRESENT | _PAGE_RW : _PAGE_PRESENT;
  for (let tries = 0; tries < MAX_FAULTS; tries++) {
    const pte = lookup_pte(mm, addr);
    if ((pte & want) === want) {
      const pfn = pte >>> PAGE_HANDLE_SHIFT;
      if (mm.machine.arch === null) return pfn;
      if (!cpu_can_access(pfn)) return 0;
      // An export lets another CPU run, which may have put another page there.
      if (lookup_pte(mm, addr) === pte) return pfn;
      continue;
    }
    if (mm.machine.tracers !== null) {
      const error_code = 4 | (write ? 2 : 0) | (pte & _PAGE_PRESENT);
      trace(mm.machine, "page_fault_user", { address: addr, error_code });
    }
    const vma = mm.vma_at(addr);
    if (!vma || (vma.flags & (write ? VM_WRITE : VM_READ | VM_WRITE)) === 0) return 0;
    if (handle_mm_fault(mm, vma, addr, write ? FAULT_FLAG_WRITE : 0) !== 0) return 0;
  }
  return 0;
}
/** Whether the page at `addr` is there for such an access, after a fault if it needs one. */
export function fault_in_page(mm: MmState, addr: number, write: boolean): boolean {
  if (addr < 0 || addr >= TASK_SIZE) return false;
  mm.faulting++;
  try {
    return user_pfn(mm, addr, write) !== 0;
  } finally {
    mm.faulting--;
  }
}
function access(
  mm: MmState,
  addr: number,
  buffer: Uint8Array,
  write: boolean,
): Result<number, Errno<"EFAULT">> {
  if (!(buffer instanceof Uint8Array)) return PTR_ERR(ERR_PTR("EFAULT", "the buffer is no bytes"));
  if (!Number.isSafeInteger(addr) || addr < 0 || addr + buffer.length > TASK_SIZE) {
    return PTR_ERR(ERR_PTR("EFAULT", `${addr} is no user address`));
  }
  mm.faulting++;
  try {
    if (mm.machine.faults !== null) return access_or_fail(mm, addr, buffer, write);
    return access_pages(mm, addr, buffer, write);
  } finally {
    mm.faulting--;
  }
}
/** The same, unless it is made to stop.  Models should_fail_usercopy(). */
function access_or_fail(
  mm: MmState,
  addr: number,
  buffer: Uint8Array,
  write: boolean,
): Result<number, Errno<"EFAULT">> {
  const { machine } = mm;
  const { length } = buffer;
  const called = write ? "copy_to_user()" : "copy_from_user()";
  const range = [0, length - 1, 0] as const;
  const bytes = length === 0 ? -1 : fail_after(machine, "fail_usercopy", called, range);
  if (bytes < 0) return access_pages(mm, addr, buffer, write);
  const before = access_pages(mm, addr, buffer.subarray(0, bytes), write);
  return before.andThen(() => not_accessible(addr + bytes, write, bytes));
}
function not_accessible(at: number, write: boolean, done: number): Result<number, Errno<"EFAULT">> {
  const what = write ? "written" : "read";
  return PTR_ERR(ERR_PTR("EFAULT", `0x${at.toString(16)} cannot be ${what}; ${done} bytes were`));
}
function access_pages(
  mm: MmState,
  addr: number,
  buffer: Uint8Array,
  write: boolean,
): Result<number, Errno<"EFAULT">> {
  for (let done = 0; done < buffer.length;) {
    const at = addr + done;
    const offset = at % PAGE_SIZE;
    const len = Math.min(PAGE_SIZE - offset, buffer.length - done);
    const pfn = user_pfn(mm, at, write);
    if (pfn === 0) return not_accessible(at, write, done);
    if (write) {
      bytes_to_write(mm.machine, pfn, offset, len).set(buffer.subarray(done, done + len));
    } else buffer.set(bytes_to_read(mm.machine, pfn, offset, len), done);
    done += len;
  }
  return ok(buffer.length);
}
/**
 * Writes bytes into user memory, faulting pages in.  Models copy_to_user(), which returns the bytes that were not
 * copied where this returns an error.
 *
 * @returns the bytes copied: all; EFAULT where the mapping does not allow it, with the bytes before it written
 * @example
 * copy_to_user(current, buf, new Uint8Array([1, 2, 3]));
 */
export function copy_to_user(
  current: Task,
  to: UserAddr,
  from: Uint8Array,
): Result<number, Errno<"EFAULT">> {
  const called = "copy_to_user()";
  might_sleep(current, called);
  return access(mm_state(task_state(current, called).mm, called), to, from, true);
}
/**
 * Reads bytes from user memory, faulting pages in.  Models copy_from_user().
 *
 * @returns the bytes copied: all; EFAULT where the mapping does not allow it
 */
export function copy_from_user(
  current: Task,
  to: Uint8Array,
  from: UserAddr,
): Result<number, Errno<"EFAULT">> {
  const called = "copy_from_user()";
  might_sleep(current, called);
  return access(mm_state(task_state(current, called).mm, called), from, to, false);
}
