/// <reference lib="esnext.disposable" preserve="true" />
/** Opening files, and their size.  Models fs/open.c. */

import { to_file } from "../handle/cast.js";
import type { File, Filesystem, ProcessContext } from "../handle/context.js";
import { ERR_PTR, type Errno } from "../handle/errno.js";
import { show } from "../handle/show.js";
import { might_sleep, wait_for_completion } from "../machine/context.js";
import { PAGE_SIZE } from "../machine/limits.js";
import type { MachineState } from "../machine/machine.js";
import { throw_foreign, throw_misuse } from "../machine/machine.js";
import type { AddressSpace, FileError } from "../mm/filemap.js";
import { OpenFile } from "../mm/mm_types.js";
import { assert_may_unmap } from "../mm/rmap.js";
import { truncate_pagecache, truncate_pages, zero_partial } from "../mm/truncate.js";
import { cowfs_of } from "./cowfs.js";
import { MAX_FILE_BYTES, NAME_MAX } from "./cowfs_commit.js";
import type { Inode } from "./cowfs_inode.js";

/** Make the file if there is none. */
export const O_CREAT = 0o100;
/** Free the blocks of a range; the size stays. */
export const FALLOC_FL_PUNCH_HOLE = 2;
/** Goes with FALLOC_FL_PUNCH_HOLE. */
export const FALLOC_FL_KEEP_SIZE = 1;

export class FsFile extends OpenFile {
  readonly inode: Inode;
  #open = true;
  constructor(inode: Inode) {
    super();
    this.inode = inode;
  }
  get machine(): MachineState {
    return this.inode.fs.bdev.machine;
  }
  get mapping(): AddressSpace {
    return this.inode.mapping;
  }
  get open(): boolean {
    return this.#open && this.inode.fs.mounted;
  }
  [Symbol.dispose](): void {
    this.#open = false;
  }
}
/** An open file as the library sees it, and the context that may sleep. */
export function file_of(file: File, current: ProcessContext, called: string): FsFile {
  const machine = might_sleep(current, called);
  if (!(file instanceof FsFile) || !file.open) {
    throw_misuse("not-a-handle", called, "no open file of a mounted file system");
  }
  if (file.machine !== machine) throw_foreign(called);
  return file;
}
/**
 * Opens a file.  Models filp_open().  The caller owns the descriptor: the end of a `using` block closes it.
 *
 * @param current - may sleep
 * @param name - 1 to 100 characters; there is one directory
 * @param flags - O_CREAT to make it if there is none; 0
 * @returns ENOENT when there is none, EINVAL for a bad name or other flags, ENOSPC when there are 100 files or no
 *   block is left to name one more
 * @example
 * mkfs_cowfs(current, disk);
 * using fs = mount_cowfs(current, disk);
 * if (IS_ERR(fs)) return fs;
 * using file = filp_open(current, fs, "log", O_CREAT);
 * if (IS_ERR(file)) return file;
 * kernel_write(current, file, new Uint8Array([1, 2, 3]), 0)._unsafeUnwrap();
 */
export function filp_open(
  current: ProcessContext,
  fs: Filesystem,
  name: string,
  flags = 0,
): File | Errno<"ENOENT" | "EINVAL" | "ENOSPC"> {
  const state = cowfs_of(fs, current, "filp_open()");
  const named = typeof name === "string" && name.length > 0 && name.length <= NAME_MAX;
  if (!named || (flags !== 0 && flags !== O_CREAT)) {
    return ERR_PTR("EINVAL", `name ${show(name)}, flags ${show(flags)}`);
  }
  let inode = state.inodes.get(name);
  if (!inode) {
    if (flags !== O_CREAT) return ERR_PTR("ENOENT", `no file is called ${JSON.stringify(name)}`);
    const made = state.create(name);
    if (!made) return ERR_PTR("ENOSPC", `no room for ${JSON.stringify(name)}`);
    inode = made;
  }
  return to_file(new FsFile(inode));
}
const bad_range = (...numbers: number[]): boolean =>
  numbers.some((n) => !Number.isSafeInteger(n) || n < 0);
/**
 * Sleeps until nothing of the pages [first, end) is on its way to the disk.  What that throws, perhaps somebody else's error, is
 * thrown before anything changed.
 */
function wait_for_writes({ machine, in_flight }: AddressSpace, first: number, end: number): void {
  const is_there = (index: number): boolean => index >= first && index < end;
  const done = (): boolean => ![...in_flight].some(is_there);
  wait_for_completion(machine, done, "truncate_inode_pages_range()");
}
/**
 * Sets the size of a file.  Models vfs_truncate().  Pages behind the end leave it: who pinned them keeps the memory, and what
 * is stored there from then on goes nowhere.  Waits for writeback of what goes.  Its blocks are free when it is synced.
 *
 * @param current - may sleep
 * @param length - bytes, from 0 to 2^40
 * @returns EINVAL for a bad length; nothing changed then
 */
export function vfs_truncate(
  current: ProcessContext,
  file: File,
  length: number,
): Errno<"EINVAL"> | null {
  const { inode, mapping } = file_of(file, current, "vfs_truncate()");
  if (bad_range(length) || length > MAX_FILE_BYTES) {
    return ERR_PTR("EINVAL", `length ${show(length)}`);
  }
  const first = Math.ceil(length / PAGE_SIZE);
  const last = Math.floor(length / PAGE_SIZE);
  if (length < mapping.i_size) wait_for_writes(mapping, last, Infinity);
  if (length >= mapping.i_size) {
    // A mapping may have stored behind the end.
    zero_partial(mapping, mapping.i_size, length);
    mapping.i_size = Math.max(mapping.i_size, length);
    return null;
  }
  assert_may_unmap(mapping, first, Infinity);
  mapping.i_size = length;
  inode.disk_size = Math.min(inode.disk_size, length);
  inode.forget_blocks(first, Infinity);
  inode.cut_block(last, length % PAGE_SIZE);
  truncate_pagecache(mapping);
  // Another CPU may have written one of these pages while they left.
  inode.forget_blocks(mapping.nr_pages, Infinity);
  return null;
}
/** Parts of the pages at the ends of [from, to), each in one page. */
function edges_of(from: number, to: number): Array<readonly [from: number, to: number]> {
  const [first, last] = [Math.ceil(from / PAGE_SIZE), Math.floor(to / PAGE_SIZE)];
  if (last < first) return [[from, to]];
  const both = [[from, first * PAGE_SIZE] as const, [last * PAGE_SIZE, to] as const];
  return both.filter(([a, b]) => a < b);
}
/** Bytes [from, to) are a hole from now on: whole pages leave the file, the rest is zeroed. */
function punch_hole(inode: Inode, from: number, to: number): FileError | null {
  const { mapping } = inode;
  const page_of = (at: number): number => Math.floor(at / PAGE_SIZE);
  const to_the_end = to >= mapping.i_size;
  const edges = edges_of(from, to_the_end ? mapping.nr_pages * PAGE_SIZE : to).filter(([at]) => {
    return inode.has_block(page_of(at)) || mapping.i_pages.has(page_of(at));
  });
  for (const [at] of edges) {
    const pfn = mapping.write_begin(page_of(at));
    if (typeof pfn !== "number") return pfn;
  }
  wait_for_writes(mapping, page_of(from), to_the_end ? Infinity : Math.ceil(to / PAGE_SIZE));
  const first = Math.ceil(from / PAGE_SIZE);
  const end = to_the_end ? Infinity : Math.floor(to / PAGE_SIZE);
  assert_may_unmap(mapping, first, end);
  // Each could be had; by now the first may be on its way to the disk again.
  for (const [a, b] of edges) {
    const pfn = mapping.write_begin(page_of(a));
    if (typeof pfn !== "number") return pfn;
    zero_partial(mapping, a, b);
  }
  truncate_pages(mapping, first, end);
  inode.forget_blocks(first, end);
  return null;
}
/**
 * Makes a hole: the range reads as zeroes, the size stays, and its blocks are free when the file is synced.  Models
 * vfs_fallocate() with FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, the only mode there is.  Who pinned a whole page of it
 * keeps the memory.
 *
 * @param current - may sleep
 * @param offset - bytes
 * @param len - bytes, more than 0
 * @returns EINVAL for a bad range, EOPNOTSUPP for another mode; EIO, ENOMEM or ENOSPC when a page that is cut cannot be read
 *   or stored; nothing changed then
 */
export function vfs_fallocate(
  current: ProcessContext,
  file: File,
  mode: number,
  offset: number,
  len: number,
): FileError | Errno<"EINVAL" | "EOPNOTSUPP"> | null {
  const { inode } = file_of(file, current, "vfs_fallocate()");
  if (bad_range(offset, len) || len === 0) {
    return ERR_PTR("EINVAL", `${show(len)} bytes at ${show(offset)}`);
  }
  if (mode !== (FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE)) {
    return ERR_PTR("EOPNOTSUPP", `mode ${show(mode)} is not there`);
  }
  const end = Math.min(offset + len, inode.mapping.i_size);
  return offset < end ? punch_hole(inode, offset, end) : null;
}
