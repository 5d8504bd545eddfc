/** Files as drivers: what was synced is on the disk, whatever failed on the way. */
import * as api from "user-page";
import { inject_each, type DriverWorld } from "user-page";
import { pattern_of, must } from "../fixtures.js";
import { disk_image, OtherMachine } from "../fs/file_world.js";
import type { Subject } from "./all_fine.js";
import { same } from "./call_sites_world.js";

const P = api.PAGE_SIZE;
const TEXT = pattern_of(3 * P + 100, 7);
const OLD = pattern_of(3 * P + 100, 8);
const RW = api.PROT_READ | api.PROT_WRITE;
const DISK = 32 * P;

const NONE = "no such file";
/** What a machine that mounts the disk finds in the file. */
function on_disk({ disk }: DriverWorld, name: string): Uint8Array | string {
  using other = new OtherMachine();
  const { files, corruption } = other.mount(disk_image(disk));
  if (corruption.length > 0) return corruption[0]!.message;
  return typeof files === "string" ? files : (files.get(name) ?? NONE);
}
const has = (world: DriverWorld, text: Uint8Array): boolean => {
  const found = on_disk(world, "a");
  return typeof found !== "string" && same(found, text);
};
/** The disk has a file system with one file. */
function prepare(world: DriverWorld): DriverWorld {
  const { current, disk } = world;
  if (api.mkfs_cowfs(current, disk)) throw new Error("mkfs");
  using fs = must(api.mount_cowfs(current, disk));
  using file = must(api.filp_open(current, fs, "a", api.O_CREAT));
  api.kernel_write(current, file, OLD, 0)._unsafeUnwrap();
  if (api.vfs_fsync(current, file)) throw new Error("fsync");
  return world;
}
/** Whatever the driver did: what is committed can be mounted and read. */
function is_whole(world: DriverWorld): void {
  const found = on_disk(world, "a");
  if (typeof found === "string" && found !== NONE) throw new Error(found);
}
type Body = (world: DriverWorld, file: api.File, fs: api.Filesystem) => api.Errno | boolean | null;
const with_file =
  (body: Body, policy: api.PolicyName = "hold") =>
  (world: DriverWorld) => {
    const { current, disk } = world;
    using fs = api.mount_cowfs(current, disk, { policy });
    if (api.IS_ERR(fs)) return fs;
    using file = api.filp_open(current, fs, "a");
    if (api.IS_ERR(file)) return file;
    return body(world, file, fs) ?? true;
  };
const subject = (
  name: string,
  driver: (world: DriverWorld) => unknown,
  verify: (world: DriverWorld, result: unknown) => unknown,
): Subject => ({
  name,
  run: (how) =>
    inject_each(driver, { world: { file: DISK }, prepare, verify, cleanup: is_whole, ...how }),
});
const write_all: Body = ({ current }, file) => {
  const wrote = api.kernel_write(current, file, TEXT, 0);
  if (wrote.isErr()) return wrote.error;
  if (wrote.value !== TEXT.length) return false;
  return api.vfs_fsync(current, file);
};
const map = ({ current }: DriverWorld, file: api.File) =>
  api.mmap(current, null, 4 * P, RW, api.MAP_SHARED, file);
const store_all: Body = (world, file) => {
  const at = map(world, file);
  if (at.isErr()) return at.error;
  const stored = api.copy_to_user(world.current, at.value, TEXT);
  return stored.isErr() ? stored.error : api.vfs_fsync(world.current, file);
};
/** A device writes the file, and it is synced while that goes on and afterwards. */
const pinned: Body = (world, file, fs) => {
  const { current } = world;
  const at = map(world, file);
  if (at.isErr()) return at.error;
  using pages = api.all_or_none(api.pin_user_pages_fast(current, at.value, 4, api.ITER_DEST));
  if (api.IS_ERR(pages)) return pages;
  for (const [i, page] of pages.entries()) {
    const part = TEXT.subarray(i * P, (i + 1) * P);
    api.memcpy_to_page(page, 0, part.subarray(0, 100))._unsafeUnwrap();
    const early = i === 1 ? api.sync_filesystem(current, fs) : null;
    if (early) return early;
    api.memcpy_to_page(page, 0, part)._unsafeUnwrap();
  }
  api.put_user_pages_dirty_lock(pages, current);
  return api.vfs_fsync(current, file);
};
export const FILES: readonly Subject[] = [
  subject("kernel_write(), fsync()", with_file(write_all), (w) => has(w, TEXT)),
  subject("stores, fsync()", with_file(store_all), (w) => has(w, TEXT)),
  subject(
    "fsync() fails, and is tried again after writing again",
    with_file((w, file, fs) => {
      const failed = write_all(w, file, fs);
      return failed === null || failed === true ? failed : write_all(w, file, fs);
    }),
    (w) => has(w, TEXT),
  ),
  subject(
    "mkfs, mount, create, write, sync, unmount, mount, read",
    ({ current, disk }) => {
      const failed = api.mkfs_cowfs(current, disk);
      if (failed) return failed;
      {
        using fs = api.mount_cowfs(current, disk);
        if (api.IS_ERR(fs)) return fs;
        using file = api.filp_open(current, fs, "a", api.O_CREAT);
        if (api.IS_ERR(file)) return file;
        const wrote = api.kernel_write(current, file, TEXT, 0);
        if (wrote.isErr()) return wrote;
        if (wrote.value < TEXT.length) return false;
        const unsynced = api.sync_filesystem(current, fs);
        if (unsynced) return unsynced;
      }
      using fs = api.mount_cowfs(current, disk);
      if (api.IS_ERR(fs)) return fs;
      using file = api.filp_open(current, fs, "a");
      if (api.IS_ERR(file)) return file;
      if (api.scrub(current, fs).length > 0) return false;
      const bytes = new Uint8Array(TEXT.length);
      const read = api.kernel_read(current, file, bytes, 0);
      return read.isErr() ? read : read.value < bytes.length ? false : bytes;
    },
    (_, bytes) => same(bytes as Uint8Array, TEXT),
  ),
  subject(
    "truncate, punch a hole, write, sync",
    with_file(({ current }, file) => {
      const cut = api.vfs_truncate(current, file, P + 100);
      if (cut) return cut;
      const mode = api.FALLOC_FL_PUNCH_HOLE | api.FALLOC_FL_KEEP_SIZE;
      const punched = api.vfs_fallocate(current, file, mode, 100, P);
      if (punched) return punched;
      const wrote = api.kernel_write(current, file, TEXT.subarray(0, 50), 50);
      if (wrote.isErr()) return wrote.error;
      return wrote.value < 50 ? false : api.vfs_fsync(current, file);
    }),
    (w) => {
      const expected = OLD.slice(0, P + 100).fill(0, 100);
      expected.set(TEXT.subarray(0, 50), 50);
      return has(w, expected);
    },
  ),
  subject(
    "flush, invalidate, read",
    with_file(({ machine, current }, file) => {
      const wrote = api.kernel_write(current, file, TEXT, 0);
      if (wrote.isErr()) return wrote.error;
      if (wrote.value < TEXT.length) return false;
      api.filemap_flush(current, file);
      api.run_softirqs(machine);
      api.invalidate_mapping_pages(current, file);
      const bytes = new Uint8Array(TEXT.length);
      const read = api.kernel_read(current, file, bytes, 0);
      if (read.isErr()) return read.error;
      if (read.value < bytes.length) return false;
      const failed = api.vfs_fsync(current, file);
      if (failed) return failed;
      if (!same(bytes, TEXT)) throw new Error("read what was not written");
      return null;
    }),
    (w) => has(w, TEXT),
  ),
  subject(
    "a private mapping of a file",
    with_file(({ current }, file) => {
      const at = api.mmap(current, null, 4 * P, RW, api.MAP_PRIVATE, file);
      if (at.isErr()) return at.error;
      const stored = api.copy_to_user(current, at.value, TEXT.subarray(0, 100));
      if (stored.isErr()) return stored.error;
      using bvecs = api.get_user_bvec(current, at.value, 4 * P, api.ITER_SOURCE);
      if (api.IS_ERR(bvecs)) return bvecs;
      return api.vfs_fsync(current, file);
    }),
    (w) => has(w, OLD),
  ),
  ...(["hold", "bounce", "no mkclean"] as const).map((policy) =>
    subject(
      `pinned while it is synced, ${policy}`,
      with_file(pinned, policy),
      // Where a copy is written, what a device writes after it may be on no disk: not what is looked at here.
      (w) => policy === "bounce" || has(w, TEXT),
    ),
  ),
];
