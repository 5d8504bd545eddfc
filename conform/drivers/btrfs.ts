// Direct I/O of btrfs: reads without page faults, and what that leaves, and all writes, through the page cache.
import {
  ERR_PTR,
  fault_in_iov_iter_writeable,
  iomap_dio_rw,
  iov_iter_alignment,
  iov_iter_count,
  iov_iter_is_dest,
  iov_iter_is_source,
  PAGE_SIZE,
  type BlockDevice,
  type Dir,
  type DioOptions,
  type ErrnoName,
  type Iomap,
  type IomapFile,
  type IovIter,
  type RunError,
  type Task,
} from "user-page";
import type { FileLayout } from "../scenario.js";
import type { PageCache } from "./page_cache.js";

type Outcome = number | ErrnoName;
/** A file that is not longer lies in the tree, beside its inode: there is no block to transfer. */
const MAX_INLINE = 2048;
const PARTIAL: DioOptions = { references: "per page", order: "complete first", partial: true };
const buffered = (why: string): RunError => ERR_PTR("ENOTBLK", why);

/** Models btrfs_dio_iomap_begin() and btrfs_dio_iomap_end() for reading; blocks that were never written read as a hole. */
function file_on(bdev: BlockDevice, { extents }: FileLayout, i_size: number): IomapFile {
  return {
    bdev,
    i_size,
    i_blocksize: PAGE_SIZE,
    iomap_begin: (pos, length): Iomap | RunError => {
      if (i_size <= MAX_INLINE) return buffered("an inline extent");
      let offset = 0;
      for (const { bytes, state } of extents) {
        const type = state === "written" ? "IOMAP_MAPPED" : "IOMAP_HOLE";
        if (pos < offset + bytes) return { type, offset, length: bytes, addr: offset };
        offset += bytes;
      }
      return { type: "IOMAP_HOLE", offset: pos, length, addr: pos };
    },
    // The extent was locked for a transfer of all of it.
    iomap_end: (_pos, length, submitted, _op, { type }) =>
      type === "IOMAP_MAPPED" && submitted < length ? buffered("less was submitted") : null,
  };
}
/**
 * As much as can be pinned without a fault, which might ask for a page of this very file, whose extent is locked; then the faults,
 * and again, until that does not get any further.  Models btrfs_direct_read(), but for a hole: its zeroes are stored with page faults
 * enabled here, which changes when memory is faulted in, and not what is pinned.
 */
function direct_read(current: Task, iter: IovIter<"dest">, file: IomapFile, pos: number): Outcome {
  if ((iov_iter_alignment(iter) | pos) % PAGE_SIZE !== 0) return 0;
  let read = 0;
  for (let before = 0; ;) {
    iter.nofault = true;
    const done = iomap_dio_rw(current, { ki_pos: pos + read }, iter, file, PARTIAL);
    iter.nofault = false;
    const got = done.map(Number); // without ki_complete nothing is queued
    if (got.isOk()) read += got.value;
    const left = iov_iter_count(iter);
    const stopped = got.isOk() ? got.value > 0 : got.error.errno === "EFAULT";
    if (left === 0 || !stopped) return got.isOk() ? read : got.error.errno;
    if (left === before) return read;
    fault_in_iov_iter_writeable(iter, left, current);
    before = left;
  }
}
/** One call of pread() or pwrite() with O_DIRECT.  Models btrfs_file_read_iter() and btrfs_direct_write(). */
export function btrfs_io(
  current: Task,
  disk: BlockDevice,
  cache: PageCache,
  layout: FileLayout,
  iter: IovIter<Dir, "user">,
  pos: number,
): Outcome {
  if (iov_iter_is_source(iter)) {
    // The checksum of a page that user space may still change would not be that of the page on the disk.
    const written = cache.write(current, iter, pos);
    const failed = cache.write_and_wait(current);
    cache.invalidate();
    return failed ?? written;
  }
  if (!iov_iter_is_dest(iter)) return "EINVAL";
  const failed = cache.write_and_wait(current);
  if (failed) return failed;
  const read = direct_read(current, iter, file_on(disk, layout, cache.i_size), pos);
  if (typeof read === "string") return read;
  if (iov_iter_count(iter) === 0 || pos + read >= cache.i_size) return read;
  const rest = cache.read(current, iter, pos + read);
  return typeof rest === "number" ? read + rest : read || rest;
}
