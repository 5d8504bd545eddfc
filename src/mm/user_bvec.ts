/// <reference lib="esnext.disposable" preserve="true" />
/**
 * One reference per contiguous run: get_user_bvec() and put_user_bvec(), as asked for on the mailing lists in 2019 and
 * again in 2026, and never built (no C code to model; ours).
 */

import type { UserAddr } from "../handle/addr.js";
import type { Narrows } from "../handle/affine.js";
import type {
  BvecListPinnedFor,
  BvecPinnedFor,
  HeldBvecOrList,
  HeldDestBvecOrList,
  OwnedBvec,
  OwnedBvecList,
  SpentBvec,
} from "../handle/bvec.js";
import { raw_flags, to_bvec, to_bvec_list } from "../handle/cast.js";
import type { AnyContext, Mm, ProcessContext, Task } from "../handle/context.js";
import { ERR_PTR, type GupError } from "../handle/errno.js";
import type { FastPinFlags, TermOf } from "../handle/gup_flags.js";
import { type By, type EndedBy } from "../handle/kinds.js";
import type { Dir, Term } from "../handle/page.js";
import { PAGE_HANDLE_SHIFT } from "../handle/tags.js";
import { assert_may_sleep, context_state, machine_of, might_sleep } from "../machine/context.js";
import { PAGE_SIZE } from "../machine/limits.js";
import { throw_misuse } from "../machine/machine.js";
import {
  acquired_extent,
  bvec_list_state,
  bvec_state,
  pfn_of,
  UserBvec,
  UserBvecList,
} from "./bvec_state.js";
import { EFAULT } from "./gup.js";
import { bytes_before_fault, gup_bvec, gup_bvec_failed } from "./gup_bvec.js";
import { FOLL, illegal_flags } from "./gup_flags.js";
import { gup_bvec_longterm } from "./gup_longterm.js";
import { mm_state } from "./mm_types.js";
import { assert_not_recursive } from "./mmap_lock.js";
import { set_folio_dirty } from "./page-writeback.js";
import { pin_add, ref_count, REF_MAX } from "./page_ref.js";
import {
  current_caller,
  dir_flag,
  refuse_range,
  walk_of,
  type GupCaller,
} from "./pin_user_pages.js";
import { pages_of } from "./user_pages.js";

// --- acquiring --------------------------------------------------------------------------------------------
function acquire<D extends Dir, T extends Term>(
  caller: GupCaller,
  addr: number,
  len: number,
  dir: D,
  bits: number,
  by: string,
): OwnedBvecList<D, T> | GupError {
  const { machine } = caller.mm;
  const why = bits === 0 ? null : illegal_flags(bits, FOLL.PIN, true);
  if (why !== null) return ERR_PTR("EINVAL", why);
  if (!Number.isSafeInteger(len) || len < 0) return ERR_PTR("EINVAL", `${len} bytes`);
  const refused = refuse_range(addr, pages_of(addr, len), true);
  if (refused) return refused;
  machine.probe?.reserve(pages_of(addr, len));
  const walk = walk_of(caller, bits | FOLL.PIN | dir_flag(dir));
  const extents: number[] = [];
  const pin = bits & FOLL.LONGTERM ? gup_bvec_longterm : gup_bvec;
  const here = machine.faults === null ? len : bytes_before_fault(machine, addr, len, by);
  const failed = pin(walk, addr, here, extents) || (here < len ? EFAULT : 0);
  if (failed !== 0) return gup_bvec_failed(failed, addr, extents);
  return to_bvec_list(owned_extents(caller, dir, extents, len, by));
}
/** The list that owns extents which were just pinned: three numbers each, `len` bytes in all. */
export function owned_extents(
  { context, mm: { machine } }: GupCaller,
  dir: Dir,
  extents: number[],
  len: number,
  by: string,
): UserBvecList {
  machine.nr_user_bvec_acquired += extents.length / 3;
  const { probe } = machine;
  if (probe) {
    const site = probe.site(context.name);
    for (let i = 0; i < extents.length; i += 3) {
      const nr_pages = pages_of(extents[i + 1]!, extents[i + 2]!);
      const facts = { dest: dir === "dest", nr_pages };
      extents[i] = probe.acquired("bvec", extents[i]!, by, site, facts);
    }
  }
  return new UserBvecList(machine, dir, extents, len);
}
/**
 * Pins a user range (ours): one reference for each physically contiguous run inside one folio, however many pages it
 * spans.  All or nothing: on error nothing stays pinned.  The caller owns the list: put_user_bvec(), or the end of a `using`
 * block; what was moved out before is not released again.
 *
 * @param addr - any byte of user space
 * @param len - bytes, 0 and more
 * @param dir - 'dest' if the memory will be written
 * @param flags - FOLL_LONGTERM if it stays pinned after the call
 * @returns EFAULT where a page cannot be accessed that way, ENOMEM without memory, EAGAIN after a SIGKILL, EINVAL for a
 *   bad length or illegal flags, EOVERFLOW for a range that wraps
 * @example
 * using bvecs = get_user_bvec(current, buf, 65536, ITER_SOURCE);
 * if (IS_ERR(bvecs)) return bvecs;
 * for (const bvec of bvecs) console.log(bvec.offset, bvec.len);
 */
export function get_user_bvec<D extends Dir, A extends [flags?: FastPinFlags]>(
  current: Task,
  addr: UserAddr,
  len: number,
  dir: D,
  ...[flags]: A
): OwnedBvecList<D, TermOf<A>> | GupError {
  const by = "get_user_bvec()";
  const bits = flags === undefined ? 0 : raw_flags(flags);
  return acquire(current_caller(current, by, true), addr, len, dir, bits, by);
}
/**
 * get_user_bvec() of another address space (ours), whose lock it takes for the call.  The caller owns the list.
 *
 * @param current - a task or a kworker
 * @example
 * const { mm } = current;
 * schedule_work(current, (kworker) => {
 *   using bvecs = get_user_bvec_remote(kworker, mm, buf, 8192, ITER_DEST);
 *   if (IS_ERR(bvecs)) return;
 *   put_user_bvec_dirty_lock(bvecs, kworker);
 * });
 * flush_work(machine);
 */
export function get_user_bvec_remote<D extends Dir, A extends [flags?: FastPinFlags]>(
  current: ProcessContext,
  mm: Mm,
  addr: UserAddr,
  len: number,
  dir: D,
  ...[flags]: A
): OwnedBvecList<D, TermOf<A>> | GupError {
  const by = "get_user_bvec_remote()";
  const context = context_state(current, by);
  assert_may_sleep(context, by);
  const state = mm_state(mm, by);
  assert_not_recursive(state, context, by);
  const bits = flags === undefined ? 0 : raw_flags(flags);
  return acquire({ mm: state, context, fast: true, locked: false }, addr, len, dir, bits, by);
}
/**
 * The zero page as an extent, for padding (ours).  The caller owns it: put_user_bvec().
 *
 * @param len - 1 to 4096 bytes
 * @returns EINVAL for another length
 * @example
 * using padding = zero_user_bvec(current, 512);
 * if (IS_ERR(padding)) return padding;
 */
export function zero_user_bvec(
  context: AnyContext,
  len: number,
): OwnedBvec<"source", "short"> | GupError {
  const by = "zero_user_bvec()";
  const machine = machine_of(context, by);
  if (!Number.isSafeInteger(len) || len < 1 || len > PAGE_SIZE) {
    return ERR_PTR("EINVAL", `${len} bytes: the zero page has ${PAGE_SIZE}`);
  }
  pin_add(machine.zero_pfn, 1);
  const handle = acquired_extent(machine, machine.zero_pfn << PAGE_HANDLE_SHIFT, "source", by);
  return to_bvec(new UserBvec(machine, "source", handle, 0, len, null));
}

// --- dividing ---------------------------------------------------------------------------------------------
/**
 * Moves the first extent out of the list (ours); null when none is left.  The caller owns it: put_user_bvec().
 *
 * @example
 * using bvecs = get_user_bvec(current, buf, 65536, ITER_SOURCE);
 * if (IS_ERR(bvecs)) return bvecs;
 * for (let bvec = pop_user_bvec(bvecs); bvec; bvec = pop_user_bvec(bvecs)) put_user_bvec(bvec);
 */
export function pop_user_bvec<D extends Dir, T extends Term>(
  bvecs: BvecListPinnedFor<D, T>,
): OwnedBvec<D, T> | null {
  const bvec = bvec_list_state(bvecs, "pop_user_bvec()").shift();
  return bvec && to_bvec(bvec);
}
/**
 * Cuts an extent (ours): the handle keeps the front, the rest is returned with a reference of its own.  The caller owns both.
 *
 * @param bytes - 1 to bvec.len - 1, what stays in front
 * @returns EINVAL for another number, ENOMEM when the count would overflow; the extent is whole then
 * @example
 * using bvec = zero_user_bvec(current, 4096);
 * if (IS_ERR(bvec)) return bvec;
 * const rest = split_user_bvec(bvec, 512);
 * if (IS_ERR(rest)) return rest;
 * put_user_bvec(rest);
 */
export function split_user_bvec<D extends Dir, T extends Term>(
  bvec: BvecPinnedFor<D, T>,
  bytes: number,
): OwnedBvec<D, T> | GupError {
  const by = "split_user_bvec()";
  const front = bvec_state(bvec, by);
  if (front.owner) throw_misuse("release-lent", by, front.describe());
  const { machine, len, offset } = front;
  if (!Number.isSafeInteger(bytes) || bytes < 1 || bytes >= len) {
    return ERR_PTR("EINVAL", `cannot cut ${len} bytes after ${bytes}`);
  }
  const first = pfn_of(front.handle);
  if (ref_count(first) <= 0 || ref_count(first) > REF_MAX)
    return ERR_PTR("ENOMEM", `refcount ${ref_count(first)}`);
  machine.probe?.used("bvec", front.handle, by);
  const at = offset + bytes;
  const pfn = first + Math.floor(at / PAGE_SIZE);
  pin_add(pfn, 1);
  const nr_pages = pages_of(at % PAGE_SIZE, len - bytes);
  const handle = acquired_extent(machine, pfn << PAGE_HANDLE_SHIFT, front.dir, by, nr_pages);
  machine.probe?.resized(front.handle, pages_of(offset, bytes));
  front.len = bytes;
  return to_bvec(new UserBvec(machine, front.dir, handle, at % PAGE_SIZE, len - bytes, null));
}
/** Whether the extents were pinned to be written (ours), where that is known at run time only. */
export function is_dest<D extends Dir, T extends Term>(
  bvecs: BvecListPinnedFor<D, T>,
): bvecs is OwnedBvecList<"dest", T> & BvecListPinnedFor<D, T> {
  return bvec_list_state(bvecs, "is_dest()").dir === "dest";
}

// --- releasing --------------------------------------------------------------------------------------------
function extents_of(bvecs: object, by: EndedBy): UserBvec | UserBvecList {
  if (bvecs instanceof UserBvec || bvecs instanceof UserBvecList) return bvecs;
  throw_misuse("not-a-handle", `${by}()`, "no extent and no list of extents");
}
/** Releases an extent, or what is left in a list, whole (ours).  The handle is spent.  Any context. */
export const put_user_bvec: Narrows<HeldBvecOrList, { is: SpentBvec<By<"put_user_bvec">> }> = (
  bvecs,
) => {
  extents_of(bvecs, "put_user_bvec").release("put_user_bvec");
};
/**
 * Dirties an extent or list that was pinned to be written, then releases it (ours).  The handle is spent.
 *
 * @param current - dirtying locks each folio: may sleep
 */
export const put_user_bvec_dirty_lock: Narrows<
  HeldDestBvecOrList,
  { is: SpentBvec<By<"put_user_bvec_dirty_lock">> },
  [current: ProcessContext]
> = (bvecs, current) => {
  const by = "put_user_bvec_dirty_lock";
  const machine = might_sleep(current, `${by}()`);
  const state = extents_of(bvecs, by);
  if (state.machine !== machine) {
    throw_misuse("not-a-handle", `${by}()`, `${state.describe()}, of another machine`);
  }
  if (state.dir !== "dest") throw_misuse("wrong-direction", `${by}()`, state.describe());
  if (state instanceof UserBvec) set_folio_dirty(pfn_of(state.handle));
  else state.set_dirty();
  state.release(by);
};
