/**
 * Secure pages: a page of a protected guest, which neither the host nor its devices can access.  Models
 * arch/s390/kernel/uv.c, and of arch/s390/kvm what converts a page on demand.
 */

import { err, ok, type Result } from "neverthrow";
import type { UserAddr } from "../../handle/addr.js";
import type { LockedMm, Machine } from "../../handle/context.js";
import { ERR_PTR, type Errno, type UvError } from "../../handle/errno.js";
import { PAGE_HANDLE_SHIFT } from "../../handle/tags.js";
import { throw_would_spin, type Arch } from "../../machine/arch.js";
import { page_flags, PG_arch_1, PG_swapbacked, PG_writeback } from "../../machine/arena.js";
import { PAGE_SIZE, TASK_SIZE } from "../../machine/limits.js";
import { machine_state, type MachineState } from "../../machine/machine.js";
import { preempt } from "../../machine/trace.js";
import { expected_folio_refs } from "../../mm/accessible.js";
import { FAULT_FLAG_WRITE, handle_mm_fault } from "../../mm/memory.js";
import { VM_WRITE, type MmState } from "../../mm/mm_types.js";
import { locked_mm } from "../../mm/mmap_lock.js";
import {
  count_carefully,
  describe_pfn,
  head_of,
  order_of,
  ref_add,
  ref_count,
  ref_freeze,
  ref_sub,
  ref_unfreeze,
} from "../../mm/page_ref.js";
import { _PAGE_PRESENT, _PAGE_RW } from "../../mm/pgtable.js";
import { split_large_folio } from "../../mm/split_folio.js";
import { lookup_pte } from "../../mm/uaccess.js";
import { Ultravisor, type UvPlan, type UvStat } from "./ultravisor.js";

const EINVAL = -22;

// --- what mm/ asks of this architecture -------------------------------------------------------------------
class S390 implements Arch {
  readonly machine: MachineState;
  readonly uv: Ultravisor;
  constructor(machine: MachineState, uv: Ultravisor) {
    this.machine = machine;
    this.uv = uv;
  }
  /** Models arch_make_folio_accessible(): the mark stays when neither way succeeds. */
  make_folio_accessible(pfn: number): number {
    const { uv, machine } = this;
    if (uv.pin_shared(pfn) !== null && uv.convert_from_secure(pfn) !== null) return EINVAL;
    page_flags[pfn] = page_flags[pfn]! & ~PG_arch_1;
    if (machine.other_cpus !== null) preempt(machine, "make_accessible: exported", pfn);
    return 0;
  }
  /** Models do_secure_storage_access(). */
  cpu_access(pfn: number): boolean {
    const { uv } = this;
    // The mark over-indicates: without an exception nobody looks at it.
    if (!uv.is_secure(pfn)) return true;
    uv.faults++;
    // The access faults again and again, until somebody unfreezes the page.
    if (ref_count(pfn) === 0) throw_would_spin("an access", "the CPU that froze the page");
    ref_add(pfn, 1);
    const failed = this.make_folio_accessible(pfn);
    ref_sub(pfn, 1);
    return failed === 0;
  }
  device_access(pfn: number): string | null {
    return this.uv.device_access(pfn);
  }
}

/**
 * Gives the machine an ultravisor: from now on pages of user memory can be made secure.  Models setup_uv().
 *
 * @param plan - what the ultravisor answers, where it is not to answer by itself
 * @throws RangeError if it has one already, or the plan is no function
 * @example
 * setup_uv(machine);
 * using lock = mmap_read_lock(current, current.mm);
 * const secured = gmap_convert_to_secure(lock, buf);
 * console.log(secured.isOk(), uv_stat(machine).secure_pages); // -> true 1
 */
export function setup_uv(machine: Machine, plan?: UvPlan): void {
  const state = machine_state(machine);
  if (plan !== undefined && typeof plan !== "function") {
    throw new RangeError("setup_uv(): plan is no function");
  }
  if (state.arch !== null) throw new RangeError("setup_uv(): the machine has an ultravisor");
  state.arch = new S390(state, new Ultravisor(state, plan ?? null));
}
const uv_of = ({ arch }: MachineState): Ultravisor | null =>
  arch instanceof S390 ? arch.uv : null;
/** The counters of the ultravisor (ours); all 0 on a machine without one. */
export function uv_stat(machine: Machine): UvStat {
  const state = machine_state(machine);
  return (uv_of(state) ?? new Ultravisor(state, null)).stat();
}

// --- making a page secure -------------------------------------------------------------------------------------
/** The address space under the lock and the first byte of the page, or why there is none. */
function target(
  lock: LockedMm,
  addr: UserAddr,
  called: string,
): { mm: MmState; uv: Ultravisor; at: number } | Errno<"EINVAL" | "EFAULT"> {
  const { mm } = locked_mm(lock, called);
  const uv = uv_of(mm.machine);
  if (!uv) return ERR_PTR("EINVAL", "the machine has no ultravisor");
  if (!Number.isSafeInteger(addr) || addr < 0 || addr >= TASK_SIZE || !mm.vma_at(addr)) {
    return ERR_PTR("EFAULT", `nothing is mapped at ${addr}`);
  }
  return { mm, uv, at: addr - (addr % PAGE_SIZE) };
}
/** One attempt, under the lock of the page tables; the entry stays present while the count is 0. */
function make_secure(mm: MmState, uv: Ultravisor, addr: number): UvError | null {
  const at = `0x${addr.toString(16)}`;
  const pte = lookup_pte(mm, addr);
  const want = _PAGE_PRESENT | _PAGE_RW;
  if ((pte & want) !== want) return ERR_PTR("ENXIO", `no writable page at ${at}`);
  const pfn = pte >>> PAGE_HANDLE_SHIFT;
  if (order_of(pfn) > 0) return ERR_PTR("E2BIG", `${describe_pfn(pfn)} is part of a large folio`);
  if (page_flags[pfn]! & PG_writeback) {
    return ERR_PTR("EAGAIN", `${describe_pfn(pfn)} is under writeback`);
  }
  const expected = expected_folio_refs(pfn);
  const count = ref_count(pfn);
  if (!ref_freeze(pfn, expected)) {
    return ERR_PTR("EBUSY", `${describe_pfn(pfn)}: refcount ${count}, expected ${expected}`);
  }
  page_flags[pfn] = page_flags[pfn]! | PG_arch_1;
  mm.page_table_lock = "make_folio_secure()";
  let answer;
  try {
    if (mm.machine.other_cpus !== null) preempt(mm.machine, "make_secure: frozen", pfn);
    answer = uv.convert_to_secure(pfn, mm, addr);
  } finally {
    mm.page_table_lock = null;
    ref_unfreeze(pfn, expected);
    // From here on its counts are taken where its mark is looked at.
    count_carefully(pfn);
  }
  if (answer === null) return null;
  return answer === "error"
    ? ERR_PTR("EINVAL", `the ultravisor refuses ${describe_pfn(pfn)}`)
    : ERR_PTR("EAGAIN", `the ultravisor is not done with ${describe_pfn(pfn)}`);
}
const done_or = (failed: UvError | null): Result<void, UvError> =>
  failed === null ? ok(undefined) : err(failed);

/**
 * Makes the page at an address secure, in one attempt.  Models make_folio_secure().  The caller owns nothing afterwards;
 * a secure page stays mapped, and a CPU that accesses it makes it accessible again.
 *
 * @param lock - the mmap_lock of the guest's address space
 * @param addr - any byte of the page
 * @returns EAGAIN while it is under writeback or the ultravisor is busy; EBUSY when somebody holds a reference that is
 *   none of an entry or the page cache; ENXIO when no writable page is mapped; E2BIG for a page of a large folio; EINVAL
 *   when the ultravisor refuses it or there is none; EFAULT where nothing can be mapped
 */
export function make_folio_secure(lock: LockedMm, addr: UserAddr): Result<void, UvError> {
  const found = target(lock, addr, "make_folio_secure()");
  if ("errno" in found) return err(found);
  return done_or(make_secure(found.mm, found.uv, found.at));
}
/**
 * Makes the page at an address secure: faults it in, splits its folio, and tries once more when it is in use.  Models
 * gmap_convert_to_secure().  The caller owns nothing afterwards.
 *
 * @param lock - the mmap_lock of the guest's address space
 * @param addr - any byte of the page
 * @returns EAGAIN when it is in use: try again later; EINVAL when the ultravisor refuses it or there is none; EFAULT where
 *   the mapping allows no writable page
 */
export function gmap_convert_to_secure(
  lock: LockedMm,
  addr: UserAddr,
): Result<void, Errno<"EAGAIN" | "EINVAL" | "EFAULT">> {
  const found = target(lock, addr, "gmap_convert_to_secure()");
  if ("errno" in found) return err(found);
  const { mm, uv, at } = found;
  let busy = 0;
  for (;;) {
    const failed = make_secure(mm, uv, at);
    if (failed === null) return ok(undefined);
    const { errno, message } = failed;
    if (errno === "ENXIO") {
      const vma = mm.vma_at(at)!;
      const refused = (vma.flags & VM_WRITE) === 0;
      if (refused || handle_mm_fault(mm, vma, at, FAULT_FLAG_WRITE) !== 0) {
        return err(ERR_PTR("EFAULT", message));
      }
    } else if (errno === "E2BIG") {
      const head = head_of(lookup_pte(mm, at) >>> PAGE_HANDLE_SHIFT);
      // Huge pages of a file stay as they are.
      if (page_flags[head]! & PG_swapbacked) return err(ERR_PTR("EFAULT", message));
      if (!split_large_folio(mm.machine, head, 0)) return err(ERR_PTR("EAGAIN", message));
    } else if (errno === "EBUSY") {
      // Linux drains the batches of the LRU lists here, which hold references; this machine has none.
      if (busy++ > 0) return err(ERR_PTR("EAGAIN", message));
    } else return err(ERR_PTR(errno, message));
  }
}
/**
 * The guest shares a secure page of its own with the host.  Models uv_set_shared(), which is called in the guest.  Its mark
 * stays: it says that a page may be secure.
 *
 * @param lock - the mmap_lock of the guest's address space
 * @param addr - any byte of the page
 * @returns EINVAL when the page is not secure; EFAULT where nothing is mapped
 */
export function uv_set_shared(
  lock: LockedMm,
  addr: UserAddr,
): Result<void, Errno<"EINVAL" | "EFAULT">> {
  const found = target(lock, addr, "uv_set_shared()");
  if ("errno" in found) return err(found);
  const pte = lookup_pte(found.mm, found.at);
  if (pte !== 0 && found.uv.set_shared(pte >>> PAGE_HANDLE_SHIFT)) return ok(undefined);
  return err(ERR_PTR("EINVAL", `no secure page at 0x${found.at.toString(16)}`));
}
