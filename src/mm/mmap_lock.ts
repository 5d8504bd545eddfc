/// <reference lib="esnext.disposable" preserve="true" />
/** The lock of an address space, as a token that walks of it ask for.  Models include/linux/mmap_lock.h. */

import type { Narrows } from "../handle/affine.js";
import { to_mm, to_mmap_lock } from "../handle/cast.js";
import type {
  HeldMmapLock,
  LockedMm,
  Mm,
  OwnedMmapLock,
  ProcessContext,
  SpentMmapLock,
} from "../handle/context.js";
import { ENDS, type By } from "../handle/kinds.js";
import { assert_may_sleep, type Context, context_state } from "../machine/context.js";
import { throw_misuse } from "../machine/machine.js";
import { trace, trace_id } from "../machine/tracepoint.js";
import { mm_state, type MmState } from "./mm_types.js";

class ReadLock {
  readonly mm: Mm;
  readonly holder: Context;
  held = true;
  constructor(mm: Mm, holder: Context) {
    this.mm = mm;
    this.holder = holder;
  }
  release(): void {
    this.held = false;
    const mm = mm_state(this.mm, "mmap_read_unlock()");
    mm.readers.splice(mm.readers.indexOf(this.holder), 1);
    const { machine } = mm;
    if (machine.tracers !== null) {
      trace(machine, "mmap_lock_released", { mm: trace_id(machine, "mm", mm), write: false });
    }
  }
  [Symbol.dispose](): void {
    // Nothing is left to unlock when the machine went first.
    if (this.held && this.holder.machine.alive) this.release();
  }
}

/** Whether this context holds the lock already: it would wait for itself. */
export function assert_not_recursive(mm: MmState, context: Context, called: string): void {
  if (mm.machine !== context.machine) {
    throw_misuse("not-a-handle", called, "an address space of another machine");
  }
  if (mm.readers.includes(context)) {
    throw_misuse("lock-recursion", called, `mmap_lock held by ${context.name}`);
  }
}
/**
 * Takes the mmap_lock for reading.  Models mmap_read_lock().
 * The caller owns the lock: mmap_read_unlock(), or the end of a `using` block.
 *
 * @param current - may sleep; a task or a kworker
 * @param mm - the address space, of this task or of another
 * @example
 * using lock = mmap_read_lock(current, current.mm);
 */
export function mmap_read_lock(current: ProcessContext, mm: Mm): OwnedMmapLock {
  const called = "mmap_read_lock()";
  const holder = context_state(current, called);
  assert_may_sleep(holder, called);
  const state = mm_state(mm, called);
  const { machine } = state;
  const fields =
    machine.tracers === null ? null : { mm: trace_id(machine, "mm", state), write: false };
  if (fields) trace(machine, "mmap_lock_start_locking", fields);
  assert_not_recursive(state, holder, called);
  state.assert_no_writer(called);
  state.readers.push(holder);
  if (fields) trace(machine, "mmap_lock_acquire_returned", { ...fields, success: true });
  return to_mmap_lock(new ReadLock(to_mm(state), holder));
}
/** Ends the lock.  Models mmap_read_unlock(). */
export const mmap_read_unlock: Narrows<
  HeldMmapLock,
  { is: SpentMmapLock<By<"mmap_read_unlock">> }
> = (lock) => {
  read_lock(lock, "mmap_read_unlock()").release();
};

function read_lock(lock: LockedMm, called: string): ReadLock {
  if (!(lock instanceof ReadLock)) throw_misuse("not-a-handle", called, "no mmap_lock");
  if (!lock.held) throw_misuse("lock-not-held", called, `mmap_lock ${ENDS.mmap_read_unlock}`);
  return lock;
}
/** The locked address space and who walks it. */
export function locked_mm(lock: LockedMm, called: string): { mm: MmState; context: Context } {
  const { mm, holder } = read_lock(lock, called);
  return { mm: mm_state(mm, called), context: holder };
}
