/// <reference lib="esnext.disposable" preserve="true" />
/**
 * A small file system (ours, no kernel counterpart): a block is never overwritten, every block has a checksum, and a block is
 * reserved in page_mkwrite(), where it can run out of space.  After a crash a file is what it was when it was last synced.
 */

import { bdev_state, type BlockDeviceState } from "../block/bdev.js";
import type { BlockDevice } from "../handle/bio.js";
import { to_filesystem } from "../handle/cast.js";
import type { Filesystem, ProcessContext } from "../handle/context.js";
import { ERR_PTR, IS_ERR, type Errno } from "../handle/errno.js";
import { show } from "../handle/show.js";
import { might_sleep, wait_for_completion } from "../machine/context.js";
import { throw_foreign, throw_misuse } from "../machine/machine.js";
import type { FileError } from "../mm/filemap.js";
import { filemap_fdatawait, write_cache_pages } from "../mm/page-writeback.js";
import { assert_may_unmap } from "../mm/rmap.js";
import { drop_pages } from "../mm/truncate.js";
import {
  DEFAULT_POLICY,
  WRITEBACK_POLICIES,
  type PolicyName,
  type WritebackPolicy,
  type WritebackStats,
} from "../mm/writeback_policy.js";
import { Blocks } from "./cowfs_blocks.js";
import {
  encode_table,
  MAX_BLOCKS,
  MAX_FILES,
  MIN_BLOCKS,
  NR_SUPERBLOCKS,
  read_commit,
  write_commit,
  type Commit,
  type DiskError,
} from "./cowfs_commit.js";
import { BLOCK_SIZE, cut_power } from "./cowfs_disk.js";
import { Inode } from "./cowfs_inode.js";

/** Which file system a disk is mounted as. */
const mounts = new WeakMap<BlockDeviceState, CowFs>();

export class CowFs {
  readonly bdev: BlockDeviceState;
  readonly policy: WritebackPolicy;
  readonly stats: WritebackStats = {
    written: 0,
    written_pinned: 0,
    copied: 0,
    skipped: 0,
    unprepared: 0,
    lost: 0,
  };
  readonly inodes: Map<string, Inode> = new Map();
  readonly blocks: Blocks;
  mounted = true;
  #generation: number;
  #committing = false;
  readonly #at_exit = (): void => {
    cut_power(this.bdev);
    this.#drop();
  };

  constructor(bdev: BlockDeviceState, policy: WritebackPolicy, found: Commit) {
    this.bdev = bdev;
    this.policy = policy;
    this.#generation = found.generation;
    this.blocks = new Blocks(found);
    for (const inode of found.inodes) {
      this.inodes.set(inode.name, new Inode(this, inode.name, inode));
    }
    mounts.set(bdev, this);
    bdev.machine.at_exit.add(this.#at_exit);
  }
  /** An empty file; null when there is no room for its name. */
  create(name: string): Inode | null {
    if (this.inodes.size >= MAX_FILES || !this.blocks.add_name(name)) return null;
    const inode = new Inode(this, name);
    this.inodes.set(name, inode);
    return inode;
  }

  // --- to the disk -------------------------------------------------------------------------------------------
  /**
   * Writes what is dirty, waits for it, and commits the files of which everything could be written; the first error.  What is
   * thrown on the way stops its file only, and is thrown then.
   */
  sync(files: readonly Inode[]): FileError | null {
    const sizes = files.map(({ mapping }) => mapping.i_size);
    const thrown: unknown[] = [];
    let error: FileError | null = null;
    const could = (step: () => FileError | null): boolean => {
      const failed = attempt(thrown, step);
      error ??= failed ?? null;
      return failed === null;
    };
    const write = ({ mapping }: Inode): null => (write_cache_pages(mapping, "WB_SYNC_ALL"), null);
    const sent = files.map((inode) => could(() => write(inode)));
    const written = files.filter((inode, i) => {
      const there = could(() => filemap_fdatawait(inode.mapping));
      if (!there || !sent[i]) return false;
      // Others may have shortened it meanwhile, or synced it when it was longer.
      const size = Math.min(sizes[i]!, inode.mapping.i_size);
      inode.disk_size = Math.max(inode.disk_size, size);
      return true;
    });
    const failed = written.length > 0 || files.length === 0 ? this.#commit(written) : null;
    if (thrown.length > 0) throw thrown[0];
    return error ?? failed;
  }
  /** What is on the disk of these files by now survives from here on; of others, what survived before. */
  #commit(files: readonly Inode[]): FileError | null {
    const { machine } = this.bdev;
    const called = "cowfs: commit";
    wait_for_completion(machine, () => !this.#committing, called);
    if (!this.mounted) return ERR_PTR("EIO", "it was unmounted meanwhile");
    const begun = new Map(files.map((inode) => [inode, inode.begin_commit()]));
    const all = [...this.inodes.values()];
    const bytes = encode_table(all.flatMap((i) => begun.get(i)?.[0] ?? i.committed ?? []));
    const table = this.blocks.alloc_table(bytes.length);
    let result: DiskError | FileError | null | undefined;
    const end = (error: DiskError | FileError | null): void => {
      result = error;
      for (const [inode, [text, freed]] of begun) {
        if (error) inode.abort_commit(freed);
        else {
          inode.committed = text;
          for (const block of freed) this.blocks.free(block);
        }
      }
    };
    if (!table) {
      end(ERR_PTR("ENOSPC", "no block for the table of inodes"));
      return result ?? null;
    }
    this.#committing = true;
    const next = { generation: this.#generation + 1, nr_blocks: this.blocks.nr_blocks, table };
    write_commit(this.bdev, next, bytes, (error) => {
      this.#committing = false;
      end(error);
      if (error) {
        // The superblock may be there all the same.  Once the table is overwritten it is not whole, and does not count.
        for (const block of table) this.blocks.free(block);
      } else {
        this.#generation++;
        this.blocks.set_table(table);
      }
    });
    wait_for_completion(machine, () => result !== undefined, called);
    return result ?? null;
  }

  // --- the end -----------------------------------------------------------------------------------------------
  /** The pages leave, written or not. */
  #drop(): void {
    for (const { mapping } of this.inodes.values()) assert_may_unmap(mapping, 0, Infinity);
    this.mounted = false;
    mounts.delete(this.bdev);
    this.bdev.machine.at_exit.delete(this.#at_exit);
    for (const { mapping } of this.inodes.values()) drop_pages(mapping);
  }
  get #is_busy(): boolean {
    return this.#committing || [...this.inodes.values()].some((i) => i.mapping.in_flight.size > 0);
  }
  [Symbol.dispose](): void {
    if (!this.mounted) return;
    const { machine } = this.bdev;
    if (machine.in_softirq > 0) throw_misuse("sleep-in-atomic", "umount()", "softirq");
    const thrown: unknown[] = [];
    const sync_all = (): void => {
      const failed = this.sync([...this.inodes.values()]);
      if (failed) machine.printk(`cowfs: umount: ${failed.message}`);
    };
    attempt(thrown, sync_all);
    // Somebody else's error, as a rule, which is thrown only once.
    if (thrown.length > 0 && this.mounted) attempt(thrown, sync_all);
    const idle = (): boolean => !this.#is_busy;
    if (!idle()) attempt(thrown, () => wait_for_completion(machine, idle, "umount()"));
    // What a device or an interrupted CPU still has stays: the file system is mounted as before.
    if (this.mounted && idle()) this.#drop();
    if (thrown.length > 0) throw thrown[0];
  }
}
/** What it throws is noted, and stops nothing else. */
function attempt<T>(thrown: unknown[], step: () => T): T | undefined {
  try {
    return step();
  } catch (reason) {
    thrown.push(reason);
    return undefined;
  }
}

/** A mounted file system as the library sees it. */
export function cowfs_state(fs: Filesystem, called: string): CowFs {
  if (fs instanceof CowFs && fs.mounted && fs.bdev.machine.alive) return fs;
  throw_misuse("not-a-handle", called, "no mounted file system");
}
/** The file system of a call, which is of the machine that the context names. */
export function cowfs_of(fs: Filesystem, current: ProcessContext, called: string): CowFs {
  const machine = might_sleep(current, called);
  const state = cowfs_state(fs, called);
  if (state.bdev.machine !== machine) throw_foreign(called);
  return state;
}
function bdev_of(disk: BlockDevice, current: ProcessContext, called: string): BlockDeviceState {
  const machine = might_sleep(current, called);
  const bdev = bdev_state(disk, called);
  if (bdev.machine !== machine) throw_foreign(called);
  return bdev;
}
const busy = ({ name }: BlockDeviceState): Errno<"EBUSY"> => ERR_PTR("EBUSY", `${name} is mounted`);

/**
 * Makes an empty file system on a disk (ours).  Whatever was there is gone.
 *
 * @param current - may sleep
 * @returns EINVAL for a disk of fewer than 16 blocks or more than 40,000, of 4096 bytes; EBUSY for one that is mounted; EIO as
 *   the disk says; ENOMEM when no page is free
 */
export function mkfs_cowfs(
  current: ProcessContext,
  disk: BlockDevice,
): Errno<"EINVAL" | "EBUSY" | "EIO" | "ENOMEM"> | null {
  const bdev = bdev_of(disk, current, "mkfs_cowfs()");
  if (mounts.has(bdev)) return busy(bdev);
  const nr_blocks = Math.floor(bdev.size / BLOCK_SIZE);
  if (nr_blocks < MIN_BLOCKS || nr_blocks > MAX_BLOCKS) {
    return ERR_PTR("EINVAL", `${nr_blocks} blocks are not ${MIN_BLOCKS} to ${MAX_BLOCKS}`);
  }
  for (let generation = 0; generation < NR_SUPERBLOCKS; generation++) {
    let result: DiskError | null | undefined;
    const empty = { generation, nr_blocks, table: [NR_SUPERBLOCKS] };
    write_commit(bdev, empty, encode_table([]), (error) => (result = error));
    wait_for_completion(bdev.machine, () => result !== undefined, "mkfs_cowfs()");
    if (result) return result;
  }
  return null;
}
export interface MountOptions {
  /** What writeback does with pinned pages; "hold" by default. */
  readonly policy?: PolicyName;
}
/**
 * Mounts the file system of a disk, with each file as it was last synced (ours).  The caller owns the mount: the end of a
 * `using` block writes everything and unmounts, and mappings of its files have no pages from then on; while a CPU that was
 * interrupted writes to it, it stays mounted, a hung-task.  The machine's end is a power cut.
 *
 * @param current - may sleep
 * @returns EINVAL when the disk has none that is whole, or for a policy that does not exist; EBUSY when it is mounted; EIO as
 *   the disk says; ENOMEM when no page is free
 * @example
 * mkfs_cowfs(current, disk);
 * using fs = mount_cowfs(current, disk, { policy: "hold" });
 * if (IS_ERR(fs)) return fs;
 * console.log(vfs_statfs(fs).f_files); // -> 0
 */
export function mount_cowfs(
  current: ProcessContext,
  disk: BlockDevice,
  options: MountOptions = {},
): Filesystem | Errno<"EINVAL" | "EBUSY" | "EIO" | "ENOMEM"> {
  const bdev = bdev_of(disk, current, "mount_cowfs()");
  if (typeof options !== "object" || (options as unknown) === null) {
    return ERR_PTR("EINVAL", "the options are no object");
  }
  const { policy = DEFAULT_POLICY } = options;
  if (typeof policy !== "string" || !Object.hasOwn(WRITEBACK_POLICIES, policy)) {
    return ERR_PTR("EINVAL", `no policy is called ${show(policy)}`);
  }
  if (mounts.has(bdev)) return busy(bdev);
  const found = read_commit(bdev);
  if (IS_ERR(found)) return found;
  return to_filesystem(new CowFs(bdev, WRITEBACK_POLICIES[policy], found));
}
/** What writeback did since the mount, in pages (ours). */
export function writeback_stats(fs: Filesystem): Readonly<WritebackStats> {
  return { ...cowfs_state(fs, "writeback_stats()").stats };
}
/** How full a file system is.  Models struct kstatfs. */
export interface Statfs {
  /** bytes of a block */
  readonly f_bsize: number;
  /** blocks of the disk, those for the file system's own use among them */
  readonly f_blocks: number;
  /** blocks that files can have now; those that were deleted or replaced come back when the file is synced */
  readonly f_bavail: number;
  readonly f_files: number;
}
/** How full a file system is.  Models vfs_statfs(). */
export function vfs_statfs(fs: Filesystem): Statfs {
  const { blocks, inodes } = cowfs_state(fs, "vfs_statfs()");
  return {
    f_bsize: BLOCK_SIZE,
    f_blocks: blocks.nr_blocks,
    f_bavail: blocks.nr_free,
    f_files: inodes.size,
  };
}
