/** Making, changing and ending mappings.  Models mm/mmap.c, mm/mprotect.c and mm/madvise.c. */

import { ok, type Result } from "neverthrow";
import type { UserAddr } from "../handle/addr.js";
import { to_mm, to_task, to_user_addr } from "../handle/cast.js";
import type { Machine, Memfd, Task } from "../handle/context.js";
import { ERR_PTR, PTR_ERR, type Errno, type MmError } from "../handle/errno.js";
import { page_tables as tables } from "../machine/arena.js";
import { might_sleep, TaskContext, task_state } from "../machine/context.js";
import { PAGE_SIZE, PMD_SIZE, TASK_SIZE } from "../machine/limits.js";
import { machine_state } from "../machine/machine.js";
import { split_huge_pmd, zap_huge_pmd } from "./huge_memory.js";
import { FAULT_FLAG_WRITE, handle_mm_fault, VM_FAULT_OOM, zap_pte } from "./memory.js";
import * as M from "./mm_types.js";
import { mm_state, MmState, Vma } from "./mm_types.js";
import { _PAGE_PRESENT, _PAGE_PSE, _PAGE_RW, pmd_number, pmd_slot, pte_index } from "./pgtable.js";
import { shmem_file, ShmemFile } from "./shmem.js";

/** Where the search for room begins. */
const MMAP_BASE = 0x7f0000000000;

const page_align = (bytes: number): number => Math.ceil(bytes / PAGE_SIZE) * PAGE_SIZE;
const mm_error = <E extends MmError["errno"]>(errno: E, message: string): Errno<E> =>
  ERR_PTR(errno, message);

/** The address space of a task, whose lock nobody may hold for reading. */
function mm_for_write(current: Task, called: string): MmState {
  might_sleep(current, called);
  const mm = mm_state(task_state(current, called).mm, called);
  mm.assert_unlocked(called);
  return mm;
}

/**
 * Makes a number a user address, as C does with a cast.  Models u64_to_user_ptr().  Whether anything is mapped there
 * is found out where it is used: EFAULT.
 */
export function u64_to_user_ptr(address: number): UserAddr {
  return to_user_addr(address);
}
/** The address `bytes` after `addr` (ours: an address is no number to add to). */
export function user_ptr_add(addr: UserAddr, bytes: number): UserAddr {
  return to_user_addr(addr + bytes);
}

/** Starts a task with an empty address space (ours; fork() copies one). */
export function create_task(machine: Machine): Task {
  const state = machine_state(machine);
  const mm = new MmState(state);
  const task = to_task(new TaskContext(state, to_mm(mm)));
  state.at_exit.push(() => exit_mm(mm));
  return task;
}
/** Ends a task: its mappings go, what was pinned stays pinned.  Models exit_mm(). */
export function exit_task(task: Task): void {
  exit_mm(mm_for_write(task, "exit_task()"));
}
function exit_mm(mm: MmState): void {
  if (!mm.alive) return;
  unmap_range(mm, 0, TASK_SIZE);
  mm.free_tables();
  mm.alive = false;
}

/**
 * Maps memory into the address space of `current`.  Models mmap(2).
 *
 * @param addr - a multiple of PAGE_SIZE with MAP_FIXED, which replaces what was there; else null
 * @param len - bytes, more than 0; rounded up to pages
 * @param prot - PROT_NONE, or PROT_READ | PROT_WRITE | PROT_EXEC
 * @param flags - MAP_PRIVATE or MAP_SHARED; MAP_ANONYMOUS, MAP_FIXED, MAP_FIXED_NOREPLACE
 * @param memfd - of memfd_create(), without MAP_ANONYMOUS
 * @param offset - bytes into the file, a multiple of PAGE_SIZE
 * @returns the address; EINVAL for a bad argument, ENOMEM when it does not fit, EEXIST for MAP_FIXED_NOREPLACE
 * @example
 * const buf = mmap(current, null, 8192, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS);
 */
export function mmap(
  current: Task,
  addr: UserAddr | null,
  len: number,
  prot: number,
  flags: number,
  memfd: Memfd | null = null,
  offset = 0,
): Result<UserAddr, MmError> {
  const mm = mm_for_write(current, "mmap()");
  const file = memfd === null ? null : shmem_file(memfd, mm.machine, "mmap()");
  const invalid = check_mmap(addr, len, prot, flags, file, offset);
  if (invalid !== null) return PTR_ERR(mm_error("EINVAL", invalid));
  const bytes = page_align(len);
  const fixed = (flags & (M.MAP_FIXED | M.MAP_FIXED_NOREPLACE)) !== 0;
  const start = fixed ? addr! : find_room(mm, bytes);
  if (start + bytes > TASK_SIZE) {
    return PTR_ERR(mm_error("ENOMEM", `${bytes} bytes do not fit below TASK_SIZE`));
  }
  if (fixed) {
    if (flags & M.MAP_FIXED_NOREPLACE) {
      const next = mm.vmas[mm.first_ending_after(start)];
      if (next && next.start < start + bytes) {
        return PTR_ERR(mm_error("EEXIST", `something is mapped at 0x${next.start.toString(16)}`));
      }
    } else unmap_range(mm, start, start + bytes);
  }
  const shared = (flags & M.MAP_SHARED) !== 0;
  // Anonymous shared memory is a file that nobody else can open.
  const backing = file ?? (shared ? new ShmemFile(mm.machine, bytes, false) : null);
  file?.get();
  mm.insert(
    new Vma(
      start,
      start + bytes,
      (prot & 7) | M.VM_MAYWRITE | (shared ? M.VM_SHARED : 0),
      backing,
      file ? offset : 0,
    ),
  );
  return ok(to_user_addr(start));
}

function check_mmap(
  addr: number | null,
  len: number,
  prot: number,
  flags: number,
  file: ShmemFile | null,
  offset: number,
): string | null {
  const fixed = flags & (M.MAP_FIXED | M.MAP_FIXED_NOREPLACE);
  const type = flags & (M.MAP_SHARED | M.MAP_PRIVATE);
  if (!Number.isSafeInteger(len) || len <= 0) return `length ${len} is not above 0`;
  if (!is_prot(prot)) return `protection ${prot} has unknown bits`;
  if (flags !== (flags | 0)) return `${flags} are no flags`;
  if (type !== M.MAP_SHARED && type !== M.MAP_PRIVATE) return "neither MAP_SHARED nor MAP_PRIVATE";
  if (fixed && !is_page_address(addr)) return `address ${addr} is no page of user space`;
  if ((file === null) === ((flags & M.MAP_ANONYMOUS) === 0)) {
    return "a file and MAP_ANONYMOUS exclude each other, and one is needed";
  }
  if (!Number.isSafeInteger(offset) || offset < 0 || offset % PAGE_SIZE !== 0) {
    return `offset ${offset} is not a multiple of PAGE_SIZE`;
  }
  return null;
}
const is_prot = (prot: number): boolean => Number.isInteger(prot) && prot >= 0 && prot <= 7;
function is_page_address(addr: number | null): boolean {
  return addr !== null && Number.isSafeInteger(addr) && addr >= PAGE_SIZE && addr % PAGE_SIZE === 0;
}
/** The lowest gap that is large enough; ranges of 2 MiB and more begin at a multiple of it, so that huge pages fit. */
function find_room(mm: MmState, bytes: number): number {
  const align = bytes >= PMD_SIZE ? PMD_SIZE : PAGE_SIZE;
  const up = (at: number): number => Math.ceil(at / align) * align;
  let at = up(MMAP_BASE);
  for (let i = mm.first_ending_after(MMAP_BASE); i < mm.vmas.length; i++) {
    const vma = mm.vmas[i]!;
    if (vma.start - at >= bytes) break;
    at = Math.max(at, up(vma.end));
  }
  return at;
}

// --- changing a range ----------------------------------------------------------------------------------
/** Cuts mappings so that one begins and one ends at these addresses; returns the indexes in between. */
function isolate(mm: MmState, start: number, end: number): [first: number, last: number] {
  mm.forget_hit();
  for (const at of [start, end]) {
    const vma = mm.vma_at(at);
    if (!vma || vma.start === at) continue;
    split_pmd_at(mm, at);
    vma.file?.get();
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
  if (slot !== 0 && tables[slot]! & _PAGE_PSE) split_huge_pmd(mm, slot);
}
/** Calls `huge` or `small` for each entry that maps something in the range; huge pages in it are whole. */
function each_entry(
  mm: MmState,
  start: number,
  end: number,
  huge: (slot: number) => void,
  small: (at: number) => void,
): void {
  const last = pmd_number(end - 1);
  for (let pmd = pmd_number(start); pmd <= last; pmd++) {
    const slot = pmd_slot(mm.pgd, pmd);
    const entry = slot === 0 ? 0 : tables[slot]!;
    if (entry === 0) continue;
    if (entry & _PAGE_PSE) {
      huge(slot);
      continue;
    }
    const table = (entry >>> 6) << 9;
    const from = start > pmd * PMD_SIZE ? pte_index(start, pmd) : 0;
    const to = end < (pmd + 1) * PMD_SIZE ? pte_index(end, pmd) : 512;
    for (let i = from; i < to; i++) if (tables[table + i] !== 0) small(table + i);
  }
}
function zap_range(mm: MmState, start: number, end: number): void {
  split_pmd_at(mm, start);
  split_pmd_at(mm, end);
  each_entry(mm, start, end, zap_huge_pmd, zap_pte);
}
function unmap_range(mm: MmState, start: number, end: number): void {
  const [first, last] = isolate(mm, start, end);
  mm.forget_hit(); // isolate() has looked at what goes now
  for (const vma of mm.vmas.splice(first, last - first)) {
    zap_range(mm, vma.start, vma.end);
    vma.file?.put();
  }
}

function check_range(addr: number, len: number): MmError | null {
  if (!is_page_address(addr) || !Number.isSafeInteger(len) || len < 0) {
    return mm_error("EINVAL", `${addr}, ${len} bytes: not a range that begins at a page`);
  }
  return addr + page_align(len) > TASK_SIZE ? mm_error("ENOMEM", "beyond TASK_SIZE") : null;
}
/**
 * Ends the mappings in a range.  Pages that are pinned stay with whoever pinned them.  Models munmap(2).
 *
 * @param addr - a multiple of PAGE_SIZE
 * @param len - bytes, more than 0; rounded up to pages
 * @returns EINVAL for a bad range; a range in which nothing is mapped is no error
 */
export function munmap(current: Task, addr: UserAddr, len: number): Result<void, MmError> {
  const mm = mm_for_write(current, "munmap()");
  const invalid = len > 0 ? check_range(addr, len) : mm_error("EINVAL", `length ${len}`);
  if (invalid) return PTR_ERR(invalid);
  unmap_range(mm, addr, addr + page_align(len));
  return ok(undefined);
}
/** Whether mappings cover [start, end) without a hole. */
function is_covered(mm: MmState, start: number, end: number): boolean {
  for (let at = start; at < end;) {
    const vma = mm.vma_at(at);
    if (!vma) return false;
    at = vma.end;
  }
  return true;
}
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
      tables[at] = (tables[at]! & ~lose) | gain;
    };
    each_entry(mm, vma.start, vma.end, change, change);
  }
  return ok(undefined);
}
/**
 * Advice about a range.  Models madvise(2).
 *
 * @param advice - MADV_HUGEPAGE, MADV_NOHUGEPAGE, MADV_DONTNEED (pages go), MADV_FREE (pages may stay, and do),
 *   MADV_POPULATE_READ, MADV_POPULATE_WRITE
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
        vma.flags &= ~M.VM_HUGEPAGE;
        if (advice === M.MADV_HUGEPAGE) vma.flags |= M.VM_HUGEPAGE;
      }
      return ok(undefined);
    }
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
