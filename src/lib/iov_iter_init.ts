/** Making iterators of each type.  Models the constructors of lib/iov_iter.c. */

import type { UserAddr } from "../handle/addr.js";
import { raw, to_iov_iter } from "../handle/cast.js";
import type {
  BorrowedPipe,
  FolioMap,
  Iovec,
  IovIter,
  IterKind,
  IterType,
  KernelBvec,
  Kvec,
  LentRange,
} from "../handle/iov_iter.js";
import type { BorrowedFolio, Dir } from "../handle/page.js";
import { PAGE_HANDLE_SHIFT } from "../handle/tags.js";
import { MAX_PAGE_ORDER, PAGE_SIZE } from "../machine/limits.js";
import {
  machine_of_handle,
  throw_foreign,
  throw_misuse,
  type MachineState,
} from "../machine/machine.js";
import { pfn_of, UserBvec } from "../mm/bvec_state.js";
import { used_pfn } from "../mm/page.js";
import { head_of, order_of } from "../mm/page_ref.js";
import { IterState, page_index, type Segment } from "./iter_state.js";
import { pipe_inode, PipeState } from "./pipe.js";
import { vm_area_state } from "./vmalloc.js";

/** A number of bytes or pages; anything else is the caller's mistake. */
export function check_size(bytes: number, what: string, called: string): void {
  if (!Number.isSafeInteger(bytes) || bytes < 0) {
    throw new RangeError(`${called}: ${String(bytes)} ${what}`);
  }
}
function check_dir(dir: Dir, called: string): void {
  if (dir !== "dest" && dir !== "source") {
    throw new RangeError(`${called}: ${String(dir)} is neither 'source' nor 'dest'`);
  }
}
function check_list(list: readonly unknown[], called: string): void {
  if (!Array.isArray(list)) throw new RangeError(`${called}: no array`);
  if (list.some((item) => item === null || item === undefined)) {
    throw new RangeError(`${called}: an array with nothing in it at one place`);
  }
}
/** An iterator over all segments, or `count` bytes of them. */
function over<D extends Dir, K extends IterKind>(
  iter_type: IterType,
  dir: D,
  segments: readonly Segment[],
  count: number | undefined,
  machine: MachineState | null,
  called: string,
  position = 0,
): IovIter<D, K> {
  check_dir(dir, called);
  const all = segments.reduce((sum, { len }) => sum + len, 0 - position);
  if (count !== undefined) check_size(count, "bytes", called);
  if (!Number.isSafeInteger(all) || all < 0 || (count ?? 0) > all) {
    throw new RangeError(`${called}: ${count ?? 0} bytes of segments that have ${all}`);
  }
  return to_iov_iter(new IterState(iter_type, dir, segments, count ?? all, machine, position));
}
function user_segment(base: UserAddr, len: number, called: string): Segment {
  check_size(base, "is no user address", called);
  check_size(len, "bytes", called);
  return { len, start: base, page: null };
}
/** The machine that all of them are of. */
function machine_of_all(machines: readonly MachineState[], called: string): MachineState | null {
  const [first] = machines;
  if (machines.some((machine) => machine !== first)) throw_foreign(called);
  return first ?? null;
}

// --- user memory ----------------------------------------------------------------------------------------
/**
 * An iterator over one range of user memory; whether it can be accessed is found out when it is.  Models iov_iter_ubuf().
 *
 * @param dir - 'dest' if the memory will be written
 * @param count - bytes
 */
export function iov_iter_ubuf<D extends Dir>(
  dir: D,
  addr: UserAddr,
  count: number,
): IovIter<D, "user"> {
  const called = "iov_iter_ubuf()";
  return over("ITER_UBUF", dir, [user_segment(addr, count, called)], undefined, null, called);
}
/**
 * An iterator over ranges of user memory.  Models iov_iter_init().
 *
 * @param dir - 'dest' if the memory will be written
 * @param count - bytes, all there are unless given
 */
export function iov_iter_init<D extends Dir>(
  dir: D,
  iov: readonly Iovec[],
  count?: number,
): IovIter<D, "user"> {
  const called = "iov_iter_init()";
  check_list(iov, called);
  const segments = iov.map(({ iov_base, iov_len }) => user_segment(iov_base, iov_len, called));
  return over("ITER_IOVEC", dir, segments, count, null, called);
}

// --- kernel memory --------------------------------------------------------------------------------------
/** Pages of an extent can be used as long as it is held. */
function extent_segment(bvec: UserBvec, dir: Dir, called: string): Segment {
  bvec.assert_held(called);
  if (dir === "dest" && bvec.dir !== "dest") {
    throw_misuse("wrong-direction", called, bvec.describe());
  }
  const page = (n: number, by: string): number => {
    bvec.assert_held(by);
    return pfn_of(bvec.handle) + n;
  };
  return { len: bvec.len, start: bvec.offset, page };
}
function kernel_segment({ page, offset, len }: KernelBvec, called: string): Segment {
  check_size(offset, "bytes into a page", called);
  check_size(len, "bytes", called);
  const { base, nr_pages } = machine_of_handle(raw(page), called);
  const first = raw(page) >>> PAGE_HANDLE_SHIFT;
  if (page_index(offset + Math.max(len, 1) - 1) >= base + nr_pages - first) {
    throw new RangeError(`${called}: ${len} bytes at ${offset} leave the machine's memory`);
  }
  return { len, start: offset, page: (n, by) => used_pfn(page, by) + n };
}
/**
 * An iterator over kernel pages, and over extents that somebody keeps pinned: a registered buffer.  Whoever makes it keeps them
 * until it is done.  Models iov_iter_bvec().
 *
 * @param bvecs - each contiguous in memory; extents that are written must have been pinned for 'dest'
 * @param count - bytes, all there are unless given
 */
export function iov_iter_bvec<D extends Dir>(
  dir: D,
  bvecs: ReadonlyArray<LentRange<NoInfer<D>>>,
  count?: number,
): IovIter<D, "kernel"> {
  const called = "iov_iter_bvec()";
  check_dir(dir, called);
  check_list(bvecs, called);
  const machines: MachineState[] = [];
  const segments = bvecs.map((bvec: object): Segment => {
    if (bvec instanceof UserBvec) {
      machines.push(bvec.machine);
      return extent_segment(bvec, dir, called);
    }
    const range = bvec as KernelBvec;
    machines.push(machine_of_handle(raw(range.page), called));
    return kernel_segment(range, called);
  });
  return over("ITER_BVEC", dir, segments, count, machine_of_all(machines, called), called);
}
/** An iterator over kernel memory of vmalloc(), which must not be freed before it is done.  Models iov_iter_kvec(). */
export function iov_iter_kvec<D extends Dir>(
  dir: D,
  kvecs: readonly Kvec[],
  count?: number,
): IovIter<D, "kernel"> {
  const called = "iov_iter_kvec()";
  check_list(kvecs, called);
  const areas = kvecs.map(({ iov_base }) => vm_area_state(iov_base, called));
  const segments = kvecs.map(({ iov_offset, iov_len }, i): Segment => {
    const area = areas[i]!;
    check_size(iov_offset, "bytes into the memory", called);
    check_size(iov_len, "bytes", called);
    if (iov_offset + iov_len > area.size) {
      throw new RangeError(`${called}: ${iov_len} bytes at ${iov_offset} of ${area.size}`);
    }
    const page = (n: number, by: string): number => {
      area.assert_held(by);
      return area.pages[n]! >>> PAGE_HANDLE_SHIFT;
    };
    return { len: iov_len, start: iov_offset, page };
  });
  const machines = areas.map(({ machine }) => machine);
  return over("ITER_KVEC", dir, segments, count, machine_of_all(machines, called), called);
}
/**
 * An iterator over the page cache of a file, where pages may be missing: it is short then.  Models iov_iter_xarray().
 *
 * @param folios - by the index of the first page, or of each page; the iterator's maker keeps them
 * @param start - bytes into the file
 * @param count - bytes
 */
export function iov_iter_xarray<D extends Dir>(
  dir: D,
  folios: FolioMap,
  start: number,
  count: number,
): IovIter<D, "kernel"> {
  const called = "iov_iter_xarray()";
  const map: object = folios;
  if (!(map instanceof Map)) throw new RangeError(`${called}: no map of folios`);
  const held = [...folios.values()];
  check_size(start, "bytes into the file", called);
  check_size(count, "bytes", called);
  const machines = held.map((folio) => machine_of_handle(raw(folio), called));
  const page = (index: number, by: string): number => page_of_index(folios, index, by);
  const segment = { len: count, start, page };
  return over("ITER_XARRAY", dir, [segment], count, machine_of_all(machines, called), called);
}
/** Folios lie at multiples of their size; each may be known by its first index only. */
function page_of_index(folios: FolioMap, index: number, by: string): number {
  for (let order = 0; order <= MAX_PAGE_ORDER; order++) {
    const folio = folios.get(index - (index % 2 ** order));
    if (folio === undefined) continue;
    const pfn = used_pfn(folio, by);
    if (order_of(pfn) >= order) return head_of(pfn) + (index % 2 ** order_of(pfn));
  }
  return 0;
}
/**
 * An iterator over whole folios, one after the other.  Models iov_iter_folio_queue().
 *
 * @param folioq - the folios; the iterator's maker keeps them
 * @param first_slot - where in the queue it begins
 * @param offset - bytes into that folio
 * @param count - bytes
 */
export function iov_iter_folio_queue<D extends Dir>(
  dir: D,
  folioq: readonly BorrowedFolio[],
  first_slot: number,
  offset: number,
  count: number,
): IovIter<D, "kernel"> {
  const called = "iov_iter_folio_queue()";
  check_list(folioq, called);
  check_size(first_slot, "slots", called);
  check_size(offset, "bytes into a folio", called);
  check_size(count, "bytes", called);
  const machines = folioq.map((folio) => machine_of_handle(raw(folio), called));
  const segments = folioq.slice(first_slot).map((folio): Segment => {
    const len = PAGE_SIZE * 2 ** order_of(used_pfn(folio, called));
    return { len, start: 0, page: (n, by) => head_of(used_pfn(folio, by)) + n };
  });
  const machine = machine_of_all(machines, called);
  return over("ITER_FOLIOQ", dir, segments, count, machine, called, offset);
}
/** An iterator that forgets what is written into it.  Models iov_iter_discard().  count: bytes. */
export function iov_iter_discard(dir: "dest", count: number): IovIter<"dest", "kernel"> {
  const called = "iov_iter_discard()";
  if (dir !== "dest") throw new RangeError(`${called}: nothing can be read from it`);
  check_size(count, "bytes", called);
  const nowhere = { len: count, start: 0, page: null };
  return over("ITER_DISCARD", dir, [nowhere], count, null, called);
}
/**
 * An iterator that appends to a pipe, as splice() of Linux up to 6.2 did.  Models iov_iter_pipe().
 *
 * @param count - bytes; the ring may have room for fewer
 */
export function iov_iter_pipe(
  dir: "dest",
  pipe: BorrowedPipe,
  count: number,
): IovIter<"dest", "kernel"> {
  const called = "iov_iter_pipe()";
  if (dir !== "dest") throw new RangeError(`${called}: nothing can be read from it`);
  const inode = pipe_inode(pipe, called);
  check_size(count, "bytes", called);
  const state = new PipeState(inode);
  return to_iov_iter(new IterState("ITER_PIPE", dir, [], count, inode.machine, 0, state));
}
