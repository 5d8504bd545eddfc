/** Making and ending mappings, and the tasks they belong to.  Models mm/mmap.c. */

import { ok, type Result } from "neverthrow";
import type { UserAddr } from "../handle/addr.js";
import { to_mm, to_task, to_user_addr } from "../handle/cast.js";
import type { Machine, MappableFile, Task } from "../handle/context.js";
import { PTR_ERR, type MmError } from "../handle/errno.js";
import { name_of, TaskContext } from "../machine/context.js";
import { report_left } from "../machine/leaks.js";
import { PAGE_SIZE, PMD_SIZE, TASK_SIZE } from "../machine/limits.js";
import { machine_state, type MachineState } from "../machine/machine.js";
import { trace } from "../machine/tracepoint.js";
import { FAULT_FLAG_WRITE, handle_mm_fault } from "./memory.js";
import * as M from "./mm_types.js";
import { mms_of, MmState, open_file, Vma, type MappedFile } from "./mm_types.js";
import { _PAGE_PRESENT, _PAGE_PSE, _PAGE_RW } from "./pgtable.js";
import { ShmemFile } from "./shmem.js";
import {
  check_range,
  is_page_address,
  is_prot,
  mm_error,
  mm_for_write,
  page_align,
  unmap_range,
} from "./vma_range.js";

/** Where the search for room begins. */
const MMAP_BASE = 0x7f0000000000;

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

/** An address space with nothing in it, which ends with the machine if not before.  Models mm_alloc(). */
export function mm_alloc(state: MachineState): MmState {
  const mm = new MmState(state);
  mm.at_exit = () => {
    exit_mm(mm);
  };
  state.at_exit.add(mm.at_exit);
  return mm;
}
/**
 * Starts a task with an empty address space (ours; fork() copies one).  The caller owns it: exit_task(), or the machine's
 * end.
 */
export function create_task(machine: Machine): Task {
  const state = machine_state(machine);
  return to_task(new TaskContext(state, to_mm(mm_alloc(state))));
}
/**
 * Ends a task: its mappings go, what was pinned stays pinned.  Models exit_mm().
 *
 * @param task - that has not ended: a second call is reported as not-a-handle
 */
export function exit_task(task: Task): void {
  const mm = mm_for_write(task, "exit_task()");
  mm.assert_unused("exit_task()");
  const { machine } = mm;
  if (machine.tracers !== null) trace(machine, "sched_process_exit", { pid: task.pid });
  exit_mm(mm);
  report_left(machine, name_of(task));
}
/** Models exit_mm() and mmput(). */
export function exit_mm(mm: MmState): void {
  if (!mm.alive) return;
  // A second exit on another CPU finds that this one has begun.
  mm.alive = false;
  try {
    unmap_range(mm, 0, TASK_SIZE, "exit_task()");
  } catch (error) {
    mm.alive = true;
    throw error;
  }
  mm.free_tables();
  mms_of(mm.machine).delete(mm);
  if (mm.at_exit) mm.machine.at_exit.delete(mm.at_exit);
}

/**
 * Maps memory into the address space of `current`.  Models mmap(2).  The caller owns nothing: the mapping is the
 * task's, until munmap() or its end, and keeps the file, whose descriptor may be closed.
 *
 * @param addr - a multiple of PAGE_SIZE with MAP_FIXED, which replaces what was there; else null
 * @param len - bytes, more than 0; rounded up to pages
 * @param prot - PROT_NONE, or PROT_READ | PROT_WRITE | PROT_EXEC
 * @param flags - MAP_PRIVATE or MAP_SHARED; MAP_ANONYMOUS, MAP_FIXED, MAP_FIXED_NOREPLACE; MAP_POPULATE to fault all
 *   of it in at once, as far as that goes
 * @param file - of memfd_create() or filp_open(), without MAP_ANONYMOUS
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
  file: MappableFile | null = null,
  offset = 0,
): Result<UserAddr, MmError> {
  const mm = mm_for_write(current, "mmap()");
  const mapped = file === null ? null : open_file(file, mm.machine, "mmap()").mapping;
  const invalid = check_mmap(addr, len, prot, flags, mapped, offset);
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
    } else unmap_range(mm, start, start + bytes, "mmap()");
  }
  const shared = (flags & M.MAP_SHARED) !== 0;
  // Anonymous shared memory is a file that nobody else can open.
  const backing = mapped ?? (shared ? new ShmemFile(mm.machine, bytes, false) : null);
  const vm_flags = (prot & 7) | M.VM_MAYWRITE | (shared ? M.VM_SHARED : 0);
  const vma = new Vma(mm, start, start + bytes, vm_flags, backing, mapped ? offset : 0);
  // Of anonymous shared memory the mapping holds the descriptor.
  mapped?.open_vma(vma);
  mm.insert(vma);
  if (flags & M.MAP_POPULATE) mm_populate(mm, vma);
  return ok(to_user_addr(start));
}
/** Faults a new mapping in, page by page until that fails, which is no error of mmap().  Models mm_populate(). */
function mm_populate(mm: MmState, vma: Vma): void {
  const writes = (vma.flags & (M.VM_WRITE | M.VM_SHARED)) === M.VM_WRITE;
  if (vma.present === 0) return;
  for (let addr = vma.start; addr < vma.end; addr += PAGE_SIZE) {
    if (handle_mm_fault(mm, vma, addr, writes ? FAULT_FLAG_WRITE : 0) !== 0) return;
  }
}

function check_mmap(
  addr: number | null,
  len: number,
  prot: number,
  flags: number,
  file: MappedFile | null,
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
  unmap_range(mm, addr, addr + page_align(len), "munmap()");
  return ok(undefined);
}
