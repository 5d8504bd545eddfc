// A file on a disk, or the disk itself: direct I/O with the iterator that the kernel makes of a system call's arguments.
import {
  blkdev_direct_IO,
  iomap_dio_rw,
  iov_iter_init,
  iov_iter_ubuf,
  ITER_DEST,
  ITER_SOURCE,
  type BlockDevice,
  type DioOptions,
  type DioResult,
  type Dir,
  type ErrnoName,
  type Iomap,
  type IomapFile,
  type IovIter,
  type Op,
  type Task,
  type UserAddr,
} from "user-page";
import type { Extent, FileLayout, Target } from "../scenario.js";

/** Bytes, or the errno. */
export type Outcome = number | ErrnoName;
export interface UserPart {
  readonly addr: UserAddr;
  readonly len: number;
}
/** As many parts as one call takes. */
const UIO_MAXIOV = 1024;
const BLOCK = 4096;
const LINUX_6_18: DioOptions = { references: "per page", order: "complete first" };

export function outcome_of(result: DioResult): Outcome {
  return result.isOk() ? result.value : result.error.errno;
}
export function iter_of(op: Op, parts: readonly UserPart[]): IovIter<Dir, "user"> {
  const dir = op === "REQ_OP_READ" ? ITER_DEST : ITER_SOURCE;
  const [first] = parts;
  if (first && parts.length === 1) return iov_iter_ubuf(dir, first.addr, first.len);
  return iov_iter_init(
    dir,
    parts.map(({ addr, len }) => ({ iov_base: addr, iov_len: len })),
  );
}
/** What ext4 and xfs say of a place: blocks that a write gets for a hole are unwritten until it ended. */
function iomap_of(state: Extent["state"], op: Op): Iomap["type"] {
  if (state === "written") return "IOMAP_MAPPED";
  return state === "hole" && op === "REQ_OP_READ" ? "IOMAP_HOLE" : "IOMAP_UNWRITTEN";
}
/** Each byte of the file is at the same place of the disk; what lies beyond the extents is a hole. */
function file_on(bdev: BlockDevice, { size, extents }: FileLayout): IomapFile {
  return {
    bdev,
    i_size: size,
    i_blocksize: BLOCK,
    iomap_begin: (pos, length, op) => {
      let offset = 0;
      for (const { bytes, state } of extents) {
        if (pos < offset + bytes) {
          return { type: iomap_of(state, op), offset, length: bytes, addr: offset };
        }
        offset += bytes;
      }
      return { type: iomap_of("hole", op), offset: pos, length, addr: pos };
    },
  };
}
/** A file that is written everywhere. */
export function plain_file({ size }: BlockDevice): FileLayout {
  return { size, extents: [{ bytes: Math.ceil(size / BLOCK) * BLOCK, state: "written" }] };
}
/**
 * One call of pread(), pwrite(), preadv() or pwritev(), or one request.
 *
 * @param told - with it the call does not wait: this is told the outcome, once
 * @returns the outcome; null when it is going to be told
 */
export function direct_io(
  current: Task,
  disk: BlockDevice,
  target: Target,
  op: Op,
  parts: readonly UserPart[],
  ki_pos: number,
  told?: (outcome: Outcome) => void,
): Outcome | null {
  if (parts.length > UIO_MAXIOV) return "EINVAL";
  const ki_complete = (result: DioResult): void => told?.(outcome_of(result));
  const iocb = told ? { ki_pos, ki_complete } : { ki_pos };
  const iter = iter_of(op, parts);
  const layout = typeof target === "object" ? target : plain_file(disk);
  const done =
    target === "block device"
      ? blkdev_direct_IO(current, iocb, iter, disk, LINUX_6_18)
      : iomap_dio_rw(current, iocb, iter, file_on(disk, layout), LINUX_6_18);
  if (done.isErr()) return done.error.errno;
  return done.value === "EIOCBQUEUED" ? null : done.value;
}
