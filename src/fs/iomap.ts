/**
 * Direct I/O on a file: extent by extent of the file, with holes, ends, new blocks and faults.  Models iomap_dio_rw() of
 * fs/iomap/direct-io.c.
 */

import { err, ok, type Result } from "neverthrow";
import { bdev_state } from "../block/bdev.js";
import { blk_flush_plug, blk_start_plug } from "../block/blk-core.js";
import { rwbs_of } from "../block/blktrace.js";
import type { BlockDevice, Op } from "../handle/bio.js";
import type { AnyContext, Task } from "../handle/context.js";
import { ERR_PTR, errno_code, IS_ERR, PTR_ERR, type BlkError } from "../handle/errno.js";
import type { IovIter } from "../handle/iov_iter.js";
import { iov_iter_zero } from "../lib/iov_copy.js";
import {
  iov_iter_is_dest,
  iov_iter_is_source,
  iov_iter_reexpand,
  iov_iter_revert,
  iov_iter_truncate,
} from "../lib/iov_iter.js";
import { might_sleep, wait_for_completion } from "../machine/context.js";
import { throw_misuse } from "../machine/machine.js";
import { trace, trace_id } from "../machine/tracepoint.js";
import {
  check_options,
  Dio,
  type DioError,
  type DioOptions,
  type DioResult,
  type Kiocb,
  type Run,
  type RunError,
} from "./dio.js";
import { dio_read, dio_write } from "./dio_pages.js";

/** Where a run of a file is on its disk.  Models struct iomap. */
export interface Iomap {
  /** a HOLE has no place; UNWRITTEN has one, but reads as zeroes until it was written */
  readonly type: "IOMAP_HOLE" | "IOMAP_MAPPED" | "IOMAP_UNWRITTEN";
  /** first byte in the file */
  readonly offset: number;
  /** bytes */
  readonly length: number;
  /** first byte on the disk; of a HOLE any number */
  readonly addr: number;
  /**
   * The blocks were allocated for this write: what it leaves of them must be zeroed, so the run ends where a block of the file
   * does, or not before the write.  Models IOMAP_F_NEW.
   */
  readonly is_new?: boolean;
}
/** What direct I/O asks a file system.  Models struct iomap_ops, and of the inode what it needs. */
export interface IomapFile {
  readonly bdev: BlockDevice;
  /** bytes; a write beyond it is told to end_io() */
  readonly i_size: number;
  /** bytes of a block of the file system: a multiple of the disk's */
  readonly i_blocksize: number;
  /**
   * The run that `pos` lies in, at least one byte of it; for a write with a place on the disk.  ENOTBLK: the transfer ends short
   * here, for buffered I/O to go on.
   */
  readonly iomap_begin: (pos: number, length: number, op: Op) => Iomap | RunError;
  /**
   * A run is through: of its `length` bytes from `pos` on, `submitted` were.  What it answers counts where that is none: an error
   * instead of the one that stopped the run, or ENOTBLK, which ends the transfer short, for buffered I/O to go on.
   */
  readonly iomap_end?: (
    pos: number,
    length: number,
    submitted: number,
    op: Op,
    map: Iomap,
  ) => RunError | null;
  /** A write ended: `bytes` from `pos` are on the disk.  In softirq context; of a write without bios in that of its caller. */
  readonly end_io?: (pos: number, bytes: number, context: AnyContext) => void;
}
/** Nothing yet: ki_complete() will be told. */
export type Queued = "EIOCBQUEUED";

const is_optional_call = (object: object, name: string): boolean => {
  const call: unknown = Reflect.get(object, name);
  return call === undefined || typeof call === "function";
};
export function check_iocb(iocb: Kiocb, called: string): void {
  if (typeof iocb !== "object" || iocb === null || !is_optional_call(iocb, "ki_complete")) {
    throw new RangeError(`${called}: no kiocb, or its ki_complete is no function`);
  }
}
function check_file(file: IomapFile, called: string): void {
  const block = bdev_state(file?.bdev, called).limits.logical_block_size;
  const { i_size, i_blocksize } = file;
  const is_size = Number.isSafeInteger(i_size) && i_size >= 0;
  if (!is_size || !Number.isSafeInteger(i_blocksize / block) || i_blocksize <= 0) {
    throw new RangeError(`${called}: a file of ${i_size} bytes in blocks of ${i_blocksize}`);
  }
  const optional = ["iomap_end", "end_io"].every((call) => is_optional_call(file, call));
  if (typeof file.iomap_begin !== "function" || !optional) {
    throw new RangeError(`${called}: iomap_begin, iomap_end or end_io is no function`);
  }
}
/** What is wrong with a run of the disk before anything is pinned. */
export function refuse_alignment(block: number, pos: number, count: number): BlkError | null {
  if (!Number.isSafeInteger(pos) || pos < 0 || pos % block !== 0) {
    return ERR_PTR("EINVAL", `position ${pos} is not the beginning of a block of ${block} bytes`);
  }
  return count % block === 0
    ? null
    : ERR_PTR("EINVAL", `${count} bytes are not a number of blocks of ${block}`);
}
const is_new = ({ is_new, type }: Iomap): boolean => is_new === true || type === "IOMAP_UNWRITTEN";
/** The run from `pos` on, as far as the iterator goes. */
function run_of(map: Iomap, file: IomapFile, pos: number, count: number): Run {
  return {
    position: map.addr + pos - map.offset,
    len: Math.min(map.offset + map.length - pos, count),
    new_block: is_new(map) ? file.i_blocksize : 0,
    into_block: pos % file.i_blocksize,
  };
}
/** One run; the bytes that were submitted or done. */
function transfer(dio: Dio, iter: IovIter, map: Iomap, run: Run): number {
  if (iov_iter_is_dest(iter)) {
    if (map.type === "IOMAP_MAPPED") return dio_read(dio, iter, run);
    let zeroed = 0;
    while (zeroed < run.len) {
      const more = iov_iter_zero(run.len - zeroed, iter, dio.current); // fewer bytes, then the fault
      if (more.isErr()) {
        dio.fault(more.error);
        break;
      }
      dio.done(more.value);
      zeroed += more.value;
    }
    return zeroed;
  }
  if (map.type === "IOMAP_HOLE" || !iov_iter_is_source(iter)) {
    dio.fail(ERR_PTR("EIO", `the file system gave no place for ${run.len} bytes`));
    return 0;
  }
  return dio_write(dio, iter, run);
}
const TYPES: readonly unknown[] = ["IOMAP_HOLE", "IOMAP_MAPPED", "IOMAP_UNWRITTEN"];
/** What is wrong with a run for the `wanted` bytes from `pos` on, or null. */
function check_map(map: Iomap, file: IomapFile, pos: number, wanted: Wanted): BlkError | null {
  const { op, ki_pos, end } = wanted;
  const { type, offset, length, addr } = map;
  const block = bdev_state(file.bdev, "iomap_dio_rw()").limits.logical_block_size;
  const are_numbers = [offset, length, addr].every((n) => Number.isSafeInteger(n));
  const are_ends = are_numbers && [offset, addr].every((n) => Number.isSafeInteger(n + length));
  if (!TYPES.includes(type) || !are_ends) {
    return ERR_PTR("EIO", `the file system gave no run for ${pos}`);
  }
  const last = offset + length;
  const covers = offset <= pos && last > pos;
  // What is only filled with zeroes may go on after a fault inside a block, and be refused there.
  const no_disk = op === "REQ_OP_READ" ? type !== "IOMAP_MAPPED" : type === "IOMAP_HOLE";
  const placed = addr >= 0 && last % block === 0 && (addr - offset) % block === 0;
  if (!covers || !(no_disk || placed)) {
    return ERR_PTR("EIO", `the file system's run at ${offset} is not where ${pos} is, or no block`);
  }
  // Each run by itself: a hole takes any position and length.
  if (!no_disk) {
    const refused = refuse_alignment(block, pos, Math.min(last, end) - pos);
    if (refused) return refused;
  }
  // What surrounds the write in its first and last block is zeroed.  Between two runs that would be data.
  const split = (at: number): boolean => at % file.i_blocksize !== 0 && at > ki_pos && at < end;
  return op === "REQ_OP_WRITE" && is_new(map) && (split(pos) || split(last))
    ? ERR_PTR("EIO", `the file system's run of new blocks at ${offset} ends inside a block`)
    : null;
}
const HOLE = { type: "IOMAP_HOLE", addr: 0 } as const;
/** The whole transfer. */
interface Wanted {
  readonly op: Op;
  readonly ki_pos: number;
  /** the byte behind its last */
  readonly end: number;
}
/** All runs, until the iterator is empty or something failed. */
function submit_all(dio: Dio, iter: IovIter, file: IomapFile, ki_pos: number, op: Op): void {
  const { i_size } = file;
  const wanted = { op, ki_pos, end: ki_pos + iter.count };
  let pos = ki_pos;
  while (iter.count > 0) {
    // A read that begins in the file goes on behind its end, where there is a hole: Linux fills all of the memory.
    const hole = op === "REQ_OP_READ" && pos >= i_size;
    const length = iter.count;
    const map = hole ? { ...HOLE, offset: pos, length } : file.iomap_begin(pos, length, op);
    const wrong = IS_ERR(map) ? map : check_map(map ?? {}, file, pos, wanted);
    if (wrong || IS_ERR(map)) {
      dio.end_run(wrong!);
      break;
    }
    // A bio that failed stops all that needs one.  A hole that is read needs none, and is filled all the same.
    if (dio.over && !(op === "REQ_OP_READ" && map.type !== "IOMAP_MAPPED")) break;
    const run = run_of(map, file, pos, iter.count);
    const behind = iter.count - run.len;
    let submitted: number;
    iov_iter_truncate(iter, run.len);
    try {
      submitted = transfer(dio, iter, map, run);
    } finally {
      iov_iter_reexpand(iter, iter.count + behind);
    }
    const ended = hole ? null : file.iomap_end?.(pos, run.len, submitted, op, map);
    if (ended && submitted === 0) dio.end_run(ended);
    pos += submitted;
    if (submitted < run.len) break;
  }
  // What is behind the end is no part of the file.
  if (op === "REQ_OP_READ" && pos > i_size) iov_iter_revert(iter, pos - i_size);
  dio.all_submitted();
}
/**
 * Transfers between memory and a file, past the page cache: a 'dest' iterator reads the file, a 'source' one writes it, from
 * iocb.ki_pos on.  Models iomap_dio_rw().  Nothing stays pinned after the end; the iterator advances by what was submitted.
 *
 * @param iter - over any memory; what a run of the disk gets of it a multiple of the disk's block
 * @param options - how the pages are held, and in which order they are released
 * @returns the bytes transferred, fewer where a read meets the end of the file, though the memory behind is filled with zeroes;
 *   "EIOCBQUEUED" when iocb.ki_complete() is going to be told.  EINVAL for a run of the disk at a position, with a length or with
 *   memory that is not aligned, which holes need not be; EFAULT where memory cannot be accessed, though what
 *   lies before was transferred (with one reference for each extent nothing of that run was); ENOMEM, EIO, ENOSPC
 * @example
 * const file: IomapFile = {
 *   bdev: disk,
 *   i_size: 8192,
 *   i_blocksize: 4096,
 *   iomap_begin: () => ({ type: "IOMAP_MAPPED", offset: 0, length: 8192, addr: 65536 }),
 * };
 * const iter = iov_iter_ubuf(ITER_SOURCE, buf, 8192);
 * console.log(iomap_dio_rw(current, { ki_pos: 0 }, iter, file).unwrapOr(0)); // -> 8192
 */
export function iomap_dio_rw(
  current: Task,
  iocb: Kiocb,
  iter: IovIter,
  file: IomapFile,
  options: DioOptions = {},
): Result<number | Queued, DioError> {
  const called = "iomap_dio_rw()";
  const machine = might_sleep(current, called);
  check_iocb(iocb, called);
  check_options(options, called);
  check_file(file, called);
  if (bdev_state(file.bdev, called).machine !== machine) {
    throw_misuse("not-a-handle", called, "a task and a disk of two machines");
  }
  const { ki_pos } = iocb;
  const may_queue = iocb.ki_complete !== undefined;
  if (!Number.isSafeInteger(ki_pos) || ki_pos < 0) {
    return PTR_ERR<BlkError>(ERR_PTR("EINVAL", `${ki_pos} is no position`));
  }
  const op = iov_iter_is_dest(iter) ? "REQ_OP_READ" : "REQ_OP_WRITE";
  const { i_size } = file;
  let ended: DioResult | null = null;
  let queued = false;
  const dev = bdev_state(file.bdev, called).name;
  const begun = { dev, pos: ki_pos, count: iter.count, rwbs: rwbs_of(op), aio: may_queue };
  const traced = { ...begun, iocb: machine.tracers === null ? 0 : trace_id(machine, "iocb", iocb) };
  if (machine.tracers !== null) trace(machine, "iomap_dio_rw_begin", traced);
  const dio = new Dio(current, file.bdev, options, (result, softirq) => {
    ended =
      op === "REQ_OP_READ" ? result.map((n) => Math.min(n, Math.max(0, i_size - ki_pos))) : result;
    if (machine.tracers !== null) {
      const ret = ended.isErr() ? errno_code(ended.error) : ended.value;
      trace(machine, "iomap_dio_complete", { ...traced, ret });
    }
    try {
      const written = op === "REQ_OP_WRITE" && result.isOk();
      if (written) file.end_io?.(ki_pos, result.value, softirq ?? current);
    } finally {
      if (queued && softirq) iocb.ki_complete?.(ended, softirq);
    }
  });
  const thrown: unknown[] = [];
  if (op === "REQ_OP_WRITE" || ki_pos < i_size) {
    using plug = blk_start_plug(current);
    try {
      submit_all(dio, iter, file, ki_pos, op);
    } catch (reason) {
      // What was submitted before ends first.
      thrown.push(reason);
      dio.fail(ERR_PTR("EIO", "the file system failed"));
    }
    void plug;
  }
  queued = may_queue && dio.in_flight && thrown.length === 0;
  dio.put(null);
  if (queued) return ok("EIOCBQUEUED");
  blk_flush_plug(machine);
  wait_for_completion(machine, () => ended !== null, called);
  if (thrown.length > 0) throw thrown[0];
  return ended ?? err(ERR_PTR("EIO", "the transfer did not end"));
}
