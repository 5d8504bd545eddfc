/// <reference lib="esnext.disposable" preserve="true" />
/**
 * Limits on locked memory, which drivers charge for what they pin and GUP does not.  Models RLIMIT_MEMLOCK and the four ways
 * in which Linux counts against it: they differ in what is counted, where, when, and in the error.
 *
 *   account_locked_vm()        mm->locked_vm of the address space; vfio, after a page was pinned
 *   account_pinned_vm()        mm->pinned_vm of the address space; RDMA umem, before pinning
 *   io_buffer_account_pin()    user->locked_vm and mm->pinned_vm; io_uring, after pinning, whole folios once
 *   xdp_umem_account_pages()   user->locked_vm; AF_XDP, before pinning, with ENOBUFS
 *
 * None knows of the others: what two of them pin is charged twice.
 */

import { err, ok, type Result } from "neverthrow";
import { to_locked_charge } from "../handle/cast.js";
import type { LockedCharge } from "../handle/cma.js";
import type { Mm, Task } from "../handle/context.js";
import { ERR_PTR, type Errno } from "../handle/errno.js";
import { might_sleep, task_state } from "../machine/context.js";
import { PAGE_SIZE } from "../machine/limits.js";
import { throw_foreign, throw_misuse } from "../machine/machine.js";
import type { MachineState } from "../machine/machine.js";
import { mm_state } from "./mm_types.js";

/** The resource of setrlimit() that limits locked memory. */
export const RLIMIT_MEMLOCK = 8;
/** No limit. */
export const RLIM_INFINITY: number = Infinity;
/** A capability: locks memory without a limit. */
export const CAP_IPC_LOCK = 14;
export type LockLimit = Errno<"ENOMEM">;

/** What the user of a machine has locked; all its tasks run as one user.  Models struct user_struct. */
const locked_by_user = new WeakMap<MachineState, number>();
const user_locked_vm = (machine: MachineState): number => locked_by_user.get(machine) ?? 0;

/**
 * Limits a resource of a task, whose children inherit it.  Models setrlimit(2), for RLIMIT_MEMLOCK.
 *
 * @param resource - RLIMIT_MEMLOCK
 * @param bytes - 0 and more, or RLIM_INFINITY; 8 MiB unless this was called
 * @returns EINVAL for another resource or limit
 */
export function setrlimit(
  current: Task,
  resource: number,
  bytes: number,
): Result<void, Errno<"EINVAL">> {
  const task = task_state(current, "setrlimit()");
  if (resource !== RLIMIT_MEMLOCK) return err(ERR_PTR("EINVAL", `resource ${resource}`));
  if (bytes !== RLIM_INFINITY && !(Number.isSafeInteger(bytes) && bytes >= 0)) {
    return err(ERR_PTR("EINVAL", `${bytes} bytes`));
  }
  task.rlimit_memlock = bytes;
  return ok(undefined);
}
/**
 * Gives a task its capabilities, and takes others.  Models capset(2), of CAP_IPC_LOCK.
 *
 * @param capabilities - CAP_IPC_LOCK or none
 * @returns EINVAL for others
 */
export function capset(
  current: Task,
  capabilities: readonly number[],
): Result<void, Errno<"EINVAL">> {
  const task = task_state(current, "capset()");
  if (
    !Array.isArray(capabilities) ||
    !Array.from(capabilities).every((cap) => cap === CAP_IPC_LOCK)
  ) {
    return err(ERR_PTR("EINVAL", "capabilities other than CAP_IPC_LOCK"));
  }
  task.cap_ipc_lock = capabilities.length > 0;
  return ok(undefined);
}
/** What is charged, in pages. */
export interface LockedMemory {
  /** of the address space: VmLck of /proc/PID/status */
  readonly locked_vm: number;
  /** of the address space: VmPin of /proc/PID/status */
  readonly pinned_vm: number;
  /** of the user */
  readonly user_locked_vm: number;
}
/** What is charged to a task's address space and user (ours). */
export function locked_memory(current: Task): LockedMemory {
  const { machine, mm } = task_state(current, "locked_memory()");
  const { locked_vm, pinned_vm } = mm_state(mm, "locked_memory()");
  return { locked_vm, pinned_vm, user_locked_vm: user_locked_vm(machine) };
}

/** Pages a task may lock in all. */
function limit_of(current: Task, called: string): number {
  might_sleep(current, called);
  const { cap_ipc_lock, rlimit_memlock } = task_state(current, called);
  return cap_ipc_lock ? Infinity : Math.floor(rlimit_memlock / PAGE_SIZE);
}
function assert_pages(pages: number, called: string): void {
  if (Number.isSafeInteger(pages) && pages >= 0) return;
  throw new RangeError(`${called}: ${pages} pages`);
}
function over(pages: number, limit: number): LockLimit {
  return ERR_PTR("ENOMEM", `${pages} locked pages are more than the ${limit} of RLIMIT_MEMLOCK`);
}
/** A charge that is taken back once. */
class ChargeState {
  readonly nr_pages: number;
  #take_back: (() => void) | null;
  constructor(nr_pages: number, take_back: () => void) {
    this.nr_pages = nr_pages;
    this.#take_back = take_back;
  }
  [Symbol.dispose](): void {
    this.#take_back?.();
    this.#take_back = null;
  }
}
export function charge(nr_pages: number, take_back: () => void): LockedCharge {
  return to_locked_charge(new ChargeState(nr_pages, take_back));
}
/**
 * Takes a charge back, after the pages were unpinned (ours; io_unaccount_mem() of io_uring for all conventions).  A second time
 * nothing happens.  Any context.
 */
export function unaccount_mem(charged: LockedCharge): void {
  if (!(charged instanceof ChargeState)) {
    throw_misuse("not-a-handle", "unaccount_mem()", "nothing that was charged");
  }
  charged[Symbol.dispose]();
}

// --- mm->locked_vm ---------------------------------------------------------------------------------------
/**
 * Charges pages to an address space, or takes them back.  Models account_locked_vm(), as vfio uses it: the limit is that of
 * `current`, and what is taken back is not remembered by anybody but the caller.
 *
 * @param pages - 0 and more
 * @param inc - charge, or take back; no more than is charged, or Linux warns and the count is 0
 * @returns ENOMEM above the limit, with nothing charged
 */
export function account_locked_vm(
  mm: Mm,
  pages: number,
  inc: boolean,
  current: Task,
): Result<void, LockLimit> {
  const called = "account_locked_vm()";
  const limit = limit_of(current, called);
  const state = mm_state(mm, called);
  const { machine } = task_state(current, called);
  if (machine !== state.machine) throw_foreign(called);
  assert_pages(pages, called);
  state.assert_unlocked(called);
  if (!inc) {
    if (pages > state.locked_vm) {
      machine.WARN_ONCE(`${called}: ${pages} pages taken back, ${state.locked_vm} were charged`);
    }
    state.locked_vm = Math.max(0, state.locked_vm - pages);
    return ok(undefined);
  }
  if (state.locked_vm + pages > limit) return err(over(state.locked_vm + pages, limit));
  state.locked_vm += pages;
  return ok(undefined);
}

// --- mm->pinned_vm ---------------------------------------------------------------------------------------
/**
 * Charges pages to the pinned pages of an address space.  Models what ib_umem_get() does before it pins: what is asked for is
 * charged, whatever its folios are.  The caller owns the charge: `using`, or unaccount_mem().
 *
 * @param pages - 0 and more
 * @returns ENOMEM above the limit, with nothing charged; CAP_IPC_LOCK has none, and is charged all the same
 * @example
 * using charge = account_pinned_vm(current, 16);
 * if (IS_ERR(charge)) return charge;
 * using pages = all_or_none(pin_user_pages_fast(current, buf, 16, ITER_DEST, FOLL_LONGTERM));
 */
export function account_pinned_vm(current: Task, pages: number): LockedCharge | LockLimit {
  const called = "account_pinned_vm()";
  const limit = limit_of(current, called);
  assert_pages(pages, called);
  const mm = mm_state(task_state(current, called).mm, called);
  if (mm.pinned_vm + pages > limit) return over(mm.pinned_vm + pages, limit);
  mm.pinned_vm += pages;
  return charge(pages, () => {
    mm.pinned_vm -= pages;
  });
}

// --- user->locked_vm -------------------------------------------------------------------------------------
/** Charges the user, unless the task has no limit; pages charged, or what they would be, below 0. */
function charge_user(current: Task, pages: number, called: string): number {
  const limit = limit_of(current, called);
  assert_pages(pages, called);
  if (limit === Infinity) return 0;
  const { machine } = task_state(current, called);
  const all = user_locked_vm(machine) + pages;
  if (all > limit) return -all;
  locked_by_user.set(machine, all);
  return pages;
}
function uncharge_user(machine: MachineState, pages: number): void {
  locked_by_user.set(machine, user_locked_vm(machine) - pages);
}
/**
 * Charges pages to the user, and to the pinned pages of the address space.  Models io_account_mem() of io_uring, which a ring
 * pays for its own memory too.  The caller owns the charge: `using`, or unaccount_mem().
 *
 * @param pages - 0 and more
 * @returns ENOMEM above the limit, with nothing charged; with CAP_IPC_LOCK the user is not charged at all
 * @example
 * using ring = io_account_mem(current, 2);
 * if (IS_ERR(ring)) return ring;
 * console.log(locked_memory(current).pinned_vm); // -> 2
 */
export function io_account_mem(current: Task, pages: number): LockedCharge | LockLimit {
  const called = "io_account_mem()";
  const mm = mm_state(task_state(current, called).mm, called);
  const charged = charge_user(current, pages, called);
  if (charged < 0) return over(-charged, limit_of(current, called));
  mm.pinned_vm += pages;
  return charge(charged, () => {
    mm.pinned_vm -= pages;
    uncharge_user(mm.machine, charged);
  });
}
/**
 * Charges pages to the user.  Models xdp_umem_account_pages(), which comes before pinning and has an error of its own.  The
 * caller owns the charge: `using`, or unaccount_mem().
 *
 * @param npgs - pages, 0 and more
 * @returns ENOBUFS above the limit, with nothing charged; with CAP_IPC_LOCK nothing is charged at all
 * @example
 * using charge = xdp_umem_account_pages(current, 512);
 * if (IS_ERR(charge)) return charge;
 * console.log(locked_memory(current).user_locked_vm); // -> 512
 */
export function xdp_umem_account_pages(
  current: Task,
  npgs: number,
): LockedCharge | Errno<"ENOBUFS"> {
  const called = "xdp_umem_account_pages()";
  const charged = charge_user(current, npgs, called);
  if (charged < 0) return ERR_PTR("ENOBUFS", over(-charged, limit_of(current, called)).message);
  const { machine } = task_state(current, called);
  return charge(charged, () => {
    uncharge_user(machine, charged);
  });
}
