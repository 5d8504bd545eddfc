/** What tests of files need: a machine with a mounted cowfs, its disk from outside, and a second machine to mount it on. */
import type { Result } from "neverthrow";
import * as api from "user-page";
import { expect } from "vitest";
import { bdev_state } from "../../src/block/bdev.js";
import { cowfs_state } from "../../src/fs/cowfs.js";
import { boot_for_test, must, pattern_of } from "../fixtures.js";

export const P = 4096;
export const RW: number = api.PROT_READ | api.PROT_WRITE;
export interface FileWorld extends Disposable {
  readonly machine: api.Machine;
  readonly current: api.Task;
  /** where the bytes are */
  readonly disk: api.BlockDevice;
  /** what is mounted: the disk, or a flakey one over it */
  readonly mounted: api.BlockDevice;
  readonly fs: api.Filesystem;
  open(name: string): api.File;
  /** ends the machine; what was left */
  shutdown(): api.ShutdownReport;
}
export interface WorldOptions {
  readonly blocks?: number;
  readonly mem?: number;
  readonly cma?: number;
  readonly policy?: api.PolicyName;
  /** fates of the requests after the mount, numbered from 0 */
  readonly plan?: api.FlakeyPlan;
}
export function file_world({
  blocks = 64,
  mem = 4 << 20,
  cma = 0,
  policy,
  plan,
}: WorldOptions = {}): FileWorld {
  const machine = boot_for_test({ mem, cma });
  const current = api.create_task(machine);
  const disk = must(api.brd_alloc(machine, blocks * P));
  const failed = api.mkfs_cowfs(current, disk);
  if (failed) throw new Error(failed.message);
  let first: number | null = null;
  let begun = false;
  const mounted = plan
    ? api.dm_flakey(disk, (io) => {
        if (!begun) return null;
        first ??= io.nr;
        return plan({ ...io, nr: io.nr - first });
      })
    : disk;
  const fs = must(api.mount_cowfs(current, mounted, policy ? { policy } : {}));
  begun = true;
  let report: api.ShutdownReport | null = null;
  const shutdown = (): api.ShutdownReport => (report ??= api.shutdown(machine));
  return {
    machine,
    current,
    disk,
    mounted,
    fs,
    open: (name) => must(api.filp_open(current, fs, name, api.O_CREAT)),
    shutdown,
    [Symbol.dispose]: () => void shutdown(),
  };
}
/** A request of another driver is on its way whose end_io throws: so does whoever waits next, when the wait is over. */
export function bomb({ machine, current }: FileWorld, disk?: api.BlockDevice): void {
  const page = must(api.alloc_page(current));
  const bio = api.bio_alloc(disk ?? must(api.brd_alloc(machine, P)), 1, "REQ_OP_READ");
  api.bio_add_page(bio, page, P, 0);
  api.bio_set_end_io(bio, (ended) => {
    api.bio_put(ended);
    api.put_page(page);
    throw new Error("driver bug");
  });
  api.submit_bio(bio);
}
/** Blocks for data. */
export const free_blocks = (fs: api.Filesystem): number => api.vfs_statfs(fs).f_bavail;
export const size_of = (fs: api.Filesystem, name: string): number =>
  cowfs_state(fs, "test").inodes.get(name)!.mapping.i_size;

// --- bytes ----------------------------------------------------------------------------------------------------
export const value_of = <T>(result: Result<T, api.Errno>): T | string =>
  result.isOk() ? result.value : result.error.errno;
export const errno_or_null = (error: api.Errno | null): string | null => error?.errno ?? null;
/** All of a file, through the cache. */
export function contents(current: api.Task, file: api.File, at_most = 1 << 20): Uint8Array {
  const to = new Uint8Array(at_most);
  return to.subarray(0, api.kernel_read(current, file, to, 0)._unsafeUnwrap());
}
export function map_file(
  current: api.Task,
  file: api.File,
  bytes: number,
  flags: number = api.MAP_SHARED,
  offset = 0,
): api.UserAddr {
  return api.mmap(current, null, bytes, RW, flags, file, offset)._unsafeUnwrap();
}
export const store = (current: api.Task, at: api.UserAddr, bytes: Uint8Array): number | string =>
  value_of(api.copy_to_user(current, at, bytes));
export function load(current: api.Task, at: api.UserAddr, bytes: number): Uint8Array | string {
  const to = new Uint8Array(bytes);
  const read = api.copy_from_user(current, to, at);
  return read.isOk() ? to : read.error.errno;
}

// --- the disk from outside ------------------------------------------------------------------------------------
export function disk_image(disk: api.BlockDevice): Uint8Array {
  const bytes = new Uint8Array(disk.size);
  bdev_state(disk, "test").backing.read(0, bytes);
  return bytes;
}
export function set_disk_image(disk: api.BlockDevice, image: Uint8Array): void {
  bdev_state(disk, "test").backing.write(0, image);
}
/** Calls `before` with what is about to be written, each time something is. */
export function before_each_write(
  disk: api.BlockDevice,
  before: (position: number, bytes: Uint8Array) => void,
): void {
  const { backing } = bdev_state(disk, "test");
  const write = backing.write.bind(backing);
  backing.write = (position, from) => {
    before(position, from);
    return write(position, from);
  };
}
export interface Crashed {
  /** every file, by name; or why it could not be mounted */
  readonly files: ReadonlyMap<string, Uint8Array> | string;
  readonly corruption: readonly api.Corruption[];
  readonly free: number;
}
/** A machine on which images are mounted, one after the other. */
export class OtherMachine {
  readonly machine: api.Machine = boot_for_test({ mem: 2 << 20 });
  readonly current: api.Task = api.create_task(this.machine);
  #disk: api.BlockDevice | null = null;
  mount(image: Uint8Array): Crashed {
    if (this.#disk?.size !== image.length) {
      this.#disk = must(api.brd_alloc(this.machine, image.length));
    }
    set_disk_image(this.#disk, image);
    using fs = api.mount_cowfs(this.current, this.#disk);
    if (api.IS_ERR(fs)) return { files: fs.errno, corruption: [], free: 0 };
    const corruption = api.scrub(this.current, fs);
    const files = new Map<string, Uint8Array>();
    for (const name of cowfs_state(fs, "test").inodes.keys()) {
      using file = must(api.filp_open(this.current, fs, name));
      const to = new Uint8Array(size_of(fs, name));
      if (value_of(api.kernel_read(this.current, file, to, 0)) === to.length) files.set(name, to);
    }
    return { files, corruption, free: free_blocks(fs) };
  }
  [Symbol.dispose](): void {
    this.machine[Symbol.dispose]();
  }
}

/** A file of so many pages that is synced. */
export function with_file(
  pages: number,
  options: WorldOptions = {},
): { w: FileWorld; file: api.File; text: Uint8Array } {
  const w = file_world(options);
  const file = w.open("a");
  const text = pattern_of(pages * P);
  api.kernel_write(w.current, file, text, 0)._unsafeUnwrap();
  expect(api.vfs_fsync(w.current, file)).toBeNull();
  return { w, file, text };
}
export const on_disk = (w: FileWorld): Map<string, Uint8Array> => {
  using other = new OtherMachine();
  const { files, corruption } = other.mount(disk_image(w.disk));
  expect(corruption).toEqual([]);
  return files as Map<string, Uint8Array>;
};
export function make_secure(w: FileWorld, addr: api.UserAddr): void {
  using lock = api.mmap_read_lock(w.current, w.current.mm);
  api.gmap_convert_to_secure(lock, addr)._unsafeUnwrap();
}
export const free_pages = (w: FileWorld): number => api.vmstat(w.machine).nr_free_pages;
export function ends_whole(w: FileWorld): void {
  w.fs[Symbol.dispose]();
  api.exit_task(w.current);
  expect(w.shutdown()).toMatchObject({ leaks: [], lost_pages: 0 });
}
/** The misuse, or the error, that it throws. */
export const id_of = (call: () => unknown): string => {
  try {
    call();
  } catch (reason) {
    return reason instanceof api.MisuseError ? reason.id : (reason as Error).message;
  }
  return "nothing";
};

// --- one synced file, mapped ----------------------------------------------------------------------------
export const at = (addr: api.UserAddr, bytes: number): api.UserAddr =>
  api.user_ptr_add(addr, bytes);
/** A file of so many pages that is synced, and mapped by everybody who wants to see it. */
export function with_mapped_file(
  pages: number,
  options: WorldOptions = {},
): ReturnType<typeof with_file> & { map: api.UserAddr } {
  const made = with_file(pages, options);
  return { ...made, map: map_file(made.w.current, made.file, pages * P) };
}
/** The events of an action. */
export const names_of = (w: FileWorld, action: () => void): string[] => {
  const heard: string[] = [];
  const watching = api.observe(w.machine, ({ name }) => heard.push(name));
  action();
  watching[Symbol.dispose]();
  return heard;
};
/** Takes every block for data. */
export function fill_disk(w: FileWorld): void {
  const file = w.open("rest");
  api.kernel_write(w.current, file, new Uint8Array(free_blocks(w.fs) * P), 0)._unsafeUnwrap();
  expect(free_blocks(w.fs)).toBe(0);
}
