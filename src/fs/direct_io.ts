/** Direct I/O on a whole disk.  Models the direct path of block/fops.c. */

import { ok, type Result } from "neverthrow";
import { bdev_state } from "../block/bdev.js";
import type { UserAddr } from "../handle/addr.js";
import type { BlockDevice, Op } from "../handle/bio.js";
import type { Task } from "../handle/context.js";
import { ERR_PTR, PTR_ERR, type BlkError } from "../handle/errno.js";
import type { IovIter } from "../handle/iov_iter.js";
import { ITER_DEST, ITER_SOURCE } from "../handle/page.js";
import {
  iov_iter_count,
  iov_iter_is_dest,
  iov_iter_npages,
  iov_iter_reexpand,
  iov_iter_truncate,
} from "../lib/iov_iter.js";
import { iov_iter_ubuf } from "../lib/iov_iter_init.js";
import { might_sleep } from "../machine/context.js";
import { BIO_MAX_VECS } from "../machine/limits.js";
import {
  check_options,
  type DioError,
  type DioOptions,
  type DioResult,
  type Kiocb,
} from "./dio.js";
import {
  check_iocb,
  iomap_dio_rw,
  refuse_alignment,
  type IomapFile,
  type Queued,
} from "./iomap.js";

/** What lies behind the last whole block of a disk cannot be transferred. */
const whole_blocks = (size: number, block: number): number => size - (size % block);
/** A disk is a file in one piece. */
function disk_as_file(bdev: BlockDevice, block: number): IomapFile {
  const size = whole_blocks(bdev.size, block);
  return {
    bdev,
    i_size: size,
    i_blocksize: block,
    iomap_begin: () => ({ type: "IOMAP_MAPPED", offset: 0, length: size, addr: 0 }),
  };
}
/**
 * Transfers between memory and a disk: a 'dest' iterator reads the disk, a 'source' one writes it, from iocb.ki_pos on.
 * Models blkdev_read_iter() and blkdev_write_iter() with IOCB_DIRECT.  Nothing stays pinned after the end.
 *
 * @param iter - over any memory; its count a multiple of the disk's block; what lies beyond the end of the disk is cut off
 * @returns as iomap_dio_rw(); ENOSPC for a write that begins beyond the end.  A transfer by pages that fits into one bio ends short
 *   at a fault, where a larger one fails
 * @example
 * const iter = iov_iter_ubuf(ITER_DEST, buf, 8192);
 * const read = blkdev_direct_IO(current, { ki_pos: 4096 }, iter, disk, { references: "per page" });
 * console.log(read.unwrapOr(0)); // -> 8192
 */
export function blkdev_direct_IO(
  current: Task,
  iocb: Kiocb,
  iter: IovIter,
  bdev: BlockDevice,
  options: DioOptions = {},
): Result<number | Queued, DioError> {
  const called = "blkdev_direct_IO()";
  const { size, limits } = bdev_state(bdev, called);
  might_sleep(current, called);
  check_iocb(iocb, called);
  check_options(options, called);
  const refused = refuse_alignment(limits.logical_block_size, iocb.ki_pos, iov_iter_count(iter));
  if (refused) return PTR_ERR(refused);
  const left = Math.max(0, whole_blocks(size, limits.logical_block_size) - iocb.ki_pos);
  if (left === 0 && iter.count > 0 && !iov_iter_is_dest(iter)) {
    return PTR_ERR(ERR_PTR("ENOSPC", `position ${iocb.ki_pos} is beyond the end of the disk`));
  }
  const cut = Math.max(0, iter.count - left);
  iov_iter_truncate(iter, left);
  try {
    const one_bio = iov_iter_npages(iter, BIO_MAX_VECS + 1) <= BIO_MAX_VECS;
    const partial = options.partial ?? (options.references === "per page" && one_bio);
    const file = disk_as_file(bdev, limits.logical_block_size);
    return iomap_dio_rw(current, iocb, iter, file, { ...options, partial });
  } finally {
    iov_iter_reexpand(iter, iter.count + cut);
  }
}
function direct(
  current: Task,
  bdev: BlockDevice,
  op: Op,
  addr: UserAddr,
  len: number,
  ki_pos: number,
  options: DioOptions,
): DioResult {
  if (op !== "REQ_OP_READ" && op !== "REQ_OP_WRITE") {
    const message = `${String(op)} is neither REQ_OP_READ nor REQ_OP_WRITE`;
    return PTR_ERR<BlkError>(ERR_PTR("EINVAL", message));
  }
  if (!Number.isSafeInteger(len) || len < 0) {
    return PTR_ERR<BlkError>(ERR_PTR("EINVAL", `${len} bytes`));
  }
  const iter = iov_iter_ubuf(op === "REQ_OP_READ" ? ITER_DEST : ITER_SOURCE, addr, len);
  const done = blkdev_direct_IO(current, { ki_pos }, iter, bdev, options);
  return done.andThen((n) => ok(Number(n))); // without ki_complete nothing is queued
}
/**
 * Transfers between a user range and a disk and waits, with one reference for each contiguous run of memory (ours).
 *
 * @param op - REQ_OP_READ writes into the range, REQ_OP_WRITE reads from it
 * @param addr - a multiple of 512, unless all lies inside one page
 * @param len - bytes, a multiple of 512; what lies beyond the end of the disk is not transferred
 * @param position - byte on the disk, a multiple of 512
 * @returns the bytes transferred; EINVAL for what is not aligned, EFAULT and ENOMEM of get_user_bvec(), ENOSPC for a
 *   write beyond the end, EIO.  Nothing is transferred when a page cannot be pinned, and nothing stays pinned
 * @example
 * const written = direct_io(current, disk, "REQ_OP_WRITE", buf, 8192, 0);
 */
export function direct_io(
  current: Task,
  bdev: BlockDevice,
  op: Op,
  addr: UserAddr,
  len: number,
  position: number,
): DioResult {
  return direct(current, bdev, op, addr, len, position, { references: "per extent" });
}
/**
 * direct_io() with one pin for each page (ours), as Linux 6.18 does.
 *
 * @returns the bytes transferred, fewer where a fault ends a small transfer; EINVAL, EFAULT, ENOMEM, ENOSPC, EIO
 */
export function direct_io_pages(
  current: Task,
  bdev: BlockDevice,
  op: Op,
  addr: UserAddr,
  len: number,
  position: number,
): DioResult {
  return direct(current, bdev, op, addr, len, position, { references: "per page" });
}
