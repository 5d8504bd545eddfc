/** Reading and writing files through the page cache, and getting them to the disk.  Models fs/read_write.c and fs/sync.c. */

import { ok, type Result } from "neverthrow";
import type { File, Filesystem, ProcessContext } from "../handle/context.js";
import { ERR_PTR, PTR_ERR, type Errno } from "../handle/errno.js";
import { show } from "../handle/show.js";
import { PAGE_SIZE } from "../machine/limits.js";
import { tell } from "../mm/address_space.js";
import type { FileError } from "../mm/filemap.js";
import { write_cache_pages } from "../mm/page-writeback.js";
import { bytes_to_read, bytes_to_write } from "../mm/page_alloc.js";
import { ref_add, ref_sub } from "../mm/page_ref.js";
import { invalidate_mapping_pages as invalidate, zero_partial } from "../mm/truncate.js";
import { cowfs_of } from "./cowfs.js";
import { MAX_FILE_BYTES } from "./cowfs_commit.js";
import { file_of } from "./open.js";

const EINVAL = (why: string): Errno<"EINVAL"> => ERR_PTR("EINVAL", why);
function check(bytes: Uint8Array, pos: number): Errno<"EINVAL"> | null {
  if (!(bytes instanceof Uint8Array)) return EINVAL("the buffer is no bytes");
  const fits = Number.isSafeInteger(pos) && pos >= 0 && pos + bytes.length <= MAX_FILE_BYTES;
  return fits ? null : EINVAL(`position ${show(pos)}`);
}
/** Calls `one` for each page of a range; stops at the first error, with the bytes before it. */
function by_page(
  pos: number,
  len: number,
  one: (index: number, offset: number, len: number, done: number) => FileError | null,
): Result<number, FileError> {
  for (let done = 0; done < len;) {
    const at = pos + done;
    const offset = at % PAGE_SIZE;
    const here = Math.min(PAGE_SIZE - offset, len - done);
    const failed = one(Math.floor(at / PAGE_SIZE), offset, here, done);
    if (failed) return done > 0 ? ok(done) : PTR_ERR(failed);
    done += here;
  }
  return ok(len);
}
/**
 * Reads from a file.  Models kernel_read().
 *
 * @param current - may sleep
 * @param pos - bytes from the start of the file
 * @returns the bytes read, fewer at the end of the file; EIO when the first page cannot be read or its checksum is wrong, ENOMEM
 */
export function kernel_read(
  current: ProcessContext,
  file: File,
  to: Uint8Array,
  pos: number,
): Result<number, FileError | Errno<"EINVAL">> {
  const { mapping } = file_of(file, current, "kernel_read()");
  const bad = check(to, pos);
  if (bad) return PTR_ERR(bad);
  const len = Math.max(0, Math.min(to.length, mapping.i_size - pos));
  return by_page(pos, len, (index, offset, here, done) => {
    const pfn = mapping.read_page(index);
    if (typeof pfn !== "number") return pfn;
    // To look at a secure page lets other CPUs run, who may take it from the file.
    ref_add(pfn, 1);
    try {
      to.set(bytes_to_read(mapping.machine, pfn, offset, here), done);
    } finally {
      ref_sub(pfn, 1);
    }
    return null;
  });
}
/**
 * Writes to a file, into the page cache.  Models kernel_write().  A block is reserved for each page before it is stored to.
 *
 * @param current - may sleep
 * @param pos - bytes from the start of the file, which grows as needed
 * @returns the bytes written, fewer when space runs out on the way; ENOSPC, EIO or ENOMEM when none could be
 */
export function kernel_write(
  current: ProcessContext,
  file: File,
  from: Uint8Array,
  pos: number,
): Result<number, FileError | Errno<"EINVAL">> {
  const { mapping } = file_of(file, current, "kernel_write()");
  const bad = check(from, pos);
  if (bad) return PTR_ERR(bad);
  // A mapping may have stored behind the end.
  if (from.length > 0 && pos > mapping.i_size) zero_partial(mapping, mapping.i_size, pos);
  return by_page(pos, from.length, (index, offset, here, done) => {
    // What is overwritten whole need not be readable.
    const whole = offset === 0 && (here === PAGE_SIZE || pos + done + here >= mapping.i_size);
    const pfn = mapping.write_begin(index, whole);
    if (typeof pfn !== "number") return pfn;
    const bytes = from.subarray(done, done + here);
    bytes_to_write(mapping.machine, pfn, offset, here).set(bytes);
    tell(pfn, "store");
    mapping.i_size = Math.max(mapping.i_size, pos + done + here);
    return null;
  });
}

// --- to the disk ----------------------------------------------------------------------------------------
/**
 * Starts writing what is dirty, and does not wait: run_softirqs() lets the disk complete it.  Models filemap_flush(), but for its
 * answer: an error of the disk is told by the next vfs_fsync() or sync_filesystem().
 *
 * @param current - may sleep
 */
export function filemap_flush(current: ProcessContext, file: File): void {
  const { mapping } = file_of(file, current, "filemap_flush()");
  write_cache_pages(mapping, "WB_SYNC_NONE");
}
/**
 * Waits until what was stored is on the disk, and commits it.  Models vfs_fsync().
 *
 * @param current - may sleep
 * @returns the first error of writeback since somebody asked: EIO, ENOSPC, ENOMEM; or null
 */
export function vfs_fsync(current: ProcessContext, file: File): FileError | null {
  const { inode } = file_of(file, current, "vfs_fsync()");
  return inode.fs.sync([inode]);
}
/**
 * Waits until what was stored to any file is on the disk, and commits it.  Models sync_filesystem().
 *
 * @param current - may sleep
 * @returns the first error of writeback of any file since somebody asked: EIO, ENOSPC, ENOMEM; or null
 */
export function sync_filesystem(current: ProcessContext, fs: Filesystem): FileError | null {
  const state = cowfs_of(fs, current, "sync_filesystem()");
  return state.sync([...state.inodes.values()]);
}
/**
 * Clean pages that nobody maps or holds leave the cache, so that the next read asks the disk.  Models
 * invalidate_mapping_pages().
 *
 * @param current - may sleep
 * @returns how many left
 */
export function invalidate_mapping_pages(current: ProcessContext, file: File): number {
  return invalidate(file_of(file, current, "invalidate_mapping_pages()").mapping);
}
/** A page of a file that is not what was written. */
export interface Corruption {
  readonly file: string;
  readonly page: number;
  readonly message: string;
}
/**
 * Reads every page of every file from the disk and checks it (ours, as `btrfs scrub` does).  What is in the cache is not looked
 * at.
 *
 * @param current - may sleep
 * @returns the pages that cannot be read or whose checksums are wrong
 */
export function scrub(current: ProcessContext, fs: Filesystem): Corruption[] {
  const bad: Corruption[] = [];
  for (const inode of cowfs_of(fs, current, "scrub()").inodes.values()) {
    for (const [page, message] of inode.verify()) bad.push({ file: inode.name, page, message });
  }
  return bad;
}
