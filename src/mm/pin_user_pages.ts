/** Pinning user pages, a handle each: the pin_user_pages() family with typed results.  Models mm/gup.c. */

import type { UserAddr } from "../handle/addr.js";
import { raw_flags, to_user_page } from "../handle/cast.js";
import type { LockedMm, Task } from "../handle/context.js";
import { ERR_PTR, type GupError } from "../handle/errno.js";
import type { FastPinFlags, PinFlags, TermOf } from "../handle/gup_flags.js";
import type { Dir, OwnedUserPage, PinResult, Term } from "../handle/page.js";
import {
  assert_may_sleep,
  might_sleep,
  task_state,
  TaskContext,
  type Context,
} from "../machine/context.js";
import { pages_before_fault } from "../machine/fault-inject.js";
import { PAGE_SIZE, TASK_SIZE } from "../machine/limits.js";
import type { Facts } from "../machine/probe.js";
import { EAGAIN, EFAULT, EINTR, gup_error, gup_walk, MIGRATION_FAILED, type Walk } from "./gup.js";
import { GUP_BATCH, gup_pages } from "./gup_fast.js";
import { FOLL, illegal_flags } from "./gup_flags.js";
import { gup_longterm } from "./gup_longterm.js";
import { mm_state, type MmState } from "./mm_types.js";
import { assert_not_recursive, locked_mm } from "./mmap_lock.js";
import { unpin_each } from "./unpin.js";
import { pin_result, UserPages } from "./user_pages.js";

/** How one call walks: which mm, on whose behalf, by which rules. */
export interface GupCaller {
  readonly mm: MmState;
  readonly context: Context;
  readonly fast: boolean;
  /** the caller holds the mmap_lock; else the call waits for it */
  readonly locked: boolean;
}
/** With the mmap_lock held by the caller. */
export function locked_caller(lock: LockedMm, called: string): GupCaller {
  const { mm, context } = locked_mm(lock, called);
  assert_may_sleep(context, called);
  return { mm, context, fast: false, locked: true };
}
/** Without it: the call takes it itself. */
export function current_caller(current: Task, called: string, fast: boolean): GupCaller {
  might_sleep(current, called);
  const context = task_state(current, called);
  const mm = mm_state(context.mm, called);
  assert_not_recursive(mm, context, called);
  return { mm, context, fast, locked: false };
}
export function walk_of({ mm, context, fast, locked }: GupCaller, flags: number): Walk {
  const task = context instanceof TaskContext ? context : null;
  const if_killed = locked ? EINTR : EAGAIN;
  return { mm, flags, fast, nr_fast: 0, killed: task?.killed ? if_killed : 0, if_killed, task };
}
/** The flag that a direction stands for. */
export function dir_flag(dir: Dir): number {
  if (dir === "dest") return FOLL.WRITE;
  if (dir === "source") return 0;
  throw new RangeError(`${String(dir)} is neither 'source' nor 'dest'`);
}

/** The common refusals of a range, before anything is walked; null when it may be walked. */
export function refuse_range(start: number, nr: number, fast: boolean): GupError | null {
  if (!Number.isSafeInteger(nr) || nr < 0) return ERR_PTR("EINVAL", `${nr} pages`);
  if (!Number.isSafeInteger(start) || start < 0) {
    return ERR_PTR("EFAULT", `${start} is no user address`);
  }
  if (!fast) return null;
  const end = start - (start % PAGE_SIZE) + nr * PAGE_SIZE;
  if (!Number.isSafeInteger(end)) {
    return ERR_PTR("EOVERFLOW", "the range wraps around the address space");
  }
  return end > TASK_SIZE ? gup_error(EFAULT, start) : null;
}

/** Takes references by the rules of the flags; see gup_walk(). */
function walk_pages(walk: Walk, start: number, nr: number): number {
  if ((walk.flags & FOLL.LONGTERM) === 0) return gup_walk(walk, start, nr);
  walk.mm.has_pinned = true;
  return gup_longterm(walk, start, nr);
}
/** Pins into `pages`; the error that ended it, if fewer than `nr` were pinned. */
function pin_into(
  pages: UserPages,
  caller: GupCaller,
  start: number,
  nr: number,
  flags: number,
  by: string,
  facts: Facts,
): GupError | null {
  const walk = walk_of(caller, flags);
  const { probe, user_tags: tags } = caller.mm.machine;
  probe?.reserve(nr);
  const site = probe?.site(caller.context.name);
  const { faults } = caller.mm.machine;
  const stop = faults === null ? nr : pages_before_fault(caller.mm.machine, nr, by);
  for (let done = 0; done < stop;) {
    const want = Math.min(stop - done, GUP_BATCH);
    const got = walk_pages(walk, start + done * PAGE_SIZE, want);
    if (got < 0) {
      pages.length = done;
      // All that the slow walk took is put back.
      if (got === MIGRATION_FAILED) unpin_each(pages.splice(walk.nr_fast), by, facts.owner);
      return gup_error(got, start + done * PAGE_SIZE);
    }
    if (probe?.records) {
      for (let i = 0; i < got; i++) {
        const page = probe.acquired("user_page", gup_pages[i]!, by, site!, facts);
        pages[done + i] = to_user_page(page);
      }
    } else for (let i = 0; i < got; i++) pages[done + i] = to_user_page(gup_pages[i]! | tags);
    done += got;
    if (got < want) {
      pages.length = done;
      return gup_error(EFAULT, start + done * PAGE_SIZE);
    }
  }
  if (stop === nr) return null;
  pages.length = stop;
  return gup_error(EFAULT, start + stop * PAGE_SIZE);
}
/** All calls of the family: `flags` are the caller's. */
export function pin_pages<D extends Dir, T extends Term>(
  caller: GupCaller,
  start: number,
  nr: number,
  dir: D,
  flags: PinFlags | undefined,
  by: string,
  owner?: object,
): PinResult<D, T> {
  const bits = flags === undefined ? 0 : raw_flags(flags);
  const why = illegal_flags(bits, FOLL.PIN, caller.fast);
  if (why !== null) {
    caller.mm.machine.WARN_ONCE(`${by}: ${why}`);
    // Linux 6.12 answers 0 here and not -EINVAL, except in the *_fast() calls.
    const error = caller.fast ? (ERR_PTR("EINVAL", why) as GupError) : null;
    return pin_result(new UserPages(), Math.max(nr, 1), error);
  }
  const refused = refuse_range(start, nr, caller.fast);
  if (refused) return refused;
  // Room for all at once: an array that grows page by page is copied again and again.
  const pages = new UserPages(Math.min(nr, GUP_BATCH));
  const first = start - (start % PAGE_SIZE);
  const dest = dir === "dest";
  const facts: Facts = owner ? { dest, owner } : { dest };
  const error = pin_into(pages, caller, first, nr, bits | dir_flag(dir) | FOLL.PIN, by, facts);
  return pin_result(pages, nr, error);
}

/**
 * Pins user pages of the address space whose lock is held.  Models pin_user_pages().
 * The caller owns what it gets: put_user_pages(), or the end of a `using` block.
 *
 * @param lock - the mmap_lock, of the current task or another
 * @param start - rounded down to a page
 * @param nr_pages - pages, 0 and more
 * @param dir - 'dest' if the pages will be written (FOLL_WRITE)
 * @param flags - FOLL_LONGTERM, FOLL_FORCE …
 * @returns all pages; a ShortPin when an error came after the first; EFAULT where nothing can be accessed that way,
 *   ENOMEM without memory or for a count that overflowed, EINTR after a SIGKILL, EINVAL for a bad number.  Illegal
 *   flags warn and give an empty ShortPin, as Linux 6.12 answers 0.
 * @example
 * using lock = mmap_read_lock(current, current.mm);
 * using pages = all_or_none(pin_user_pages(lock, buf, 4, ITER_DEST));
 */
export function pin_user_pages<D extends Dir, A extends [flags?: PinFlags]>(
  lock: LockedMm,
  start: UserAddr,
  nr_pages: number,
  dir: D,
  ...[flags]: A
): PinResult<D, TermOf<A>> {
  const by = "pin_user_pages()";
  return pin_pages(locked_caller(lock, by), start, nr_pages, dir, flags, by);
}
/**
 * pin_user_pages() of an address space that need not be the current one.  Models pin_user_pages_remote(), locked == NULL.
 *
 * @example
 * using lock = mmap_read_lock(current, current.mm);
 * using pages = all_or_none(pin_user_pages_remote(lock, buf, 4, ITER_SOURCE));
 * if (IS_ERR(pages)) return pages;
 */
export function pin_user_pages_remote<D extends Dir, A extends [flags?: PinFlags]>(
  lock: LockedMm,
  start: UserAddr,
  nr_pages: number,
  dir: D,
  ...[flags]: A
): PinResult<D, TermOf<A>> {
  const by = "pin_user_pages_remote()";
  return pin_pages(locked_caller(lock, by), start, nr_pages, dir, flags, by);
}
/**
 * pin_user_pages() that takes the lock itself.  Models pin_user_pages_unlocked().
 *
 * @example
 * using pages = all_or_none(pin_user_pages_unlocked(current, buf, 4, ITER_SOURCE));
 * if (IS_ERR(pages)) return pages;
 */
export function pin_user_pages_unlocked<D extends Dir, A extends [flags?: PinFlags]>(
  current: Task,
  start: UserAddr,
  nr_pages: number,
  dir: D,
  ...[flags]: A
): PinResult<D, TermOf<A>> {
  const by = "pin_user_pages_unlocked()";
  return pin_pages(current_caller(current, by, false), start, nr_pages, dir, flags, by);
}
/**
 * pin_user_pages() without the lock, as far as pages are present.  Models pin_user_pages_fast().
 *
 * @returns as pin_user_pages(); EINVAL for illegal flags, EAGAIN instead of EINTR, EFAULT beyond TASK_SIZE
 * @example
 * const pages = pin_user_pages_fast(current, buf, 8, ITER_SOURCE);
 * if (IS_ERR(pages)) return pages;
 * if (IS_SHORT(pages)) put_user_pages(pages.partial);
 * else put_user_pages(pages);
 */
export function pin_user_pages_fast<D extends Dir, A extends [flags?: FastPinFlags]>(
  current: Task,
  start: UserAddr,
  nr_pages: number,
  dir: D,
  ...[flags]: A
): PinResult<D, TermOf<A>> {
  const by = "pin_user_pages_fast()";
  return pin_pages(current_caller(current, by, true), start, nr_pages, dir, flags, by);
}
/**
 * Pins the page at one address (ours; C asks for one page of many).
 * The caller owns one pin: put_user_page().
 *
 * @param addr - anywhere in the page
 * @param dir - 'dest' if the page will be written
 * @returns errors as pin_user_pages_fast()
 * @example
 * const page = get_user_page(current, buf, ITER_DEST);
 * if (IS_ERR(page)) return page;
 * memcpy_to_page(page, 0, new Uint8Array([1, 2, 3]));
 * put_user_page(page);
 */
export function get_user_page<D extends Dir, A extends [flags?: FastPinFlags]>(
  current: Task,
  addr: UserAddr,
  dir: D,
  ...[flags]: A
): OwnedUserPage<D, TermOf<A>> | GupError {
  const by = "get_user_page()";
  const caller = current_caller(current, by, true);
  const bits = flags === undefined ? 0 : raw_flags(flags);
  const why = bits === 0 ? null : illegal_flags(bits, FOLL.PIN, true);
  if (why !== null) return ERR_PTR("EINVAL", why);
  const refused = refuse_range(addr, 1, true);
  if (refused) return refused;
  const { probe } = caller.mm.machine;
  probe?.reserve(1);
  const { machine } = caller.mm;
  if (machine.faults !== null && pages_before_fault(machine, 1, by) === 0) {
    return gup_error(EFAULT, addr);
  }
  const got = walk_pages(walk_of(caller, bits | dir_flag(dir) | FOLL.PIN), addr, 1);
  if (got < 0) return gup_error(got, addr);
  const page = gup_pages[0]!;
  const facts = { dest: dir === "dest" };
  return to_user_page(
    probe ? probe.acquired("user_page", page, by, probe.site(caller.context.name), facts) : page,
  );
}
