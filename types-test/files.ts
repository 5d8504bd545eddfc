/**
 * Files and file systems.
 *
 * 1. A page becomes dirty through a pin to write, whose file was asked; no other page fits.
 * 2. A file of a file system is no memfd and no disk; both can be mapped.
 * 3. What waits for the disk asks for a context that may sleep.
 * 4. Every acquirer is asked before it is used, and its errno says what can go wrong.
 */
import { expectAssignable, expectNotAssignable, expectType } from "tsd";
import {
  alloc_page,
  check_objectives,
  filemap_flush,
  filp_open,
  FOLL_LONGTERM,
  get_user_page,
  invalidate_mapping_pages,
  IS_ERR,
  ITER_DEST,
  ITER_SOURCE,
  kernel_read,
  kernel_write,
  MAP_SHARED,
  mkfs_cowfs,
  mmap,
  mount_cowfs,
  O_CREAT,
  observe,
  on_preemption,
  PROT_READ,
  put_page,
  put_user_page,
  scrub,
  set_page_dirty,
  sync_filesystem,
  vfs_fallocate,
  vfs_fsync,
  vfs_truncate,
  type BlockDevice,
  type BorrowedDestPage,
  type BorrowedPage,
  type BorrowedUserPage,
  type Errno,
  type File,
  type Filesystem,
  type LentUserPage,
  type Machine,
  type MappableFile,
  type Memfd,
  type ProcessContext,
  type SoftirqContext,
  type Task,
  type UserAddr,
} from "user-page";

declare const bytes: Uint8Array;

// --- 1. dirty ---------------------------------------------------------------------------------------------
export function a_page_that_no_file_was_asked_for(current: Task, lent: BorrowedPage) {
  const page = alloc_page(current);
  if (IS_ERR(page)) return;
  // @ts-expect-error a plain page
  set_page_dirty(page);
  // @ts-expect-error a plain page that is lent
  set_page_dirty(lent);
  put_page(page);
}
export function a_pin_to_read(current: Task, buf: UserAddr) {
  const page = get_user_page(current, buf, ITER_SOURCE);
  if (IS_ERR(page)) return;
  // @ts-expect-error pinned to be read
  set_page_dirty(page);
  put_user_page(page);
}
export function pins_to_write(current: Task, buf: UserAddr, lent: LentUserPage<"dest">) {
  const page = get_user_page(current, buf, ITER_DEST);
  // @ts-expect-error perhaps there is none
  set_page_dirty(page);
  if (IS_ERR(page)) return;
  set_page_dirty(page);
  set_page_dirty(lent);
  put_user_page(page);
  // @ts-expect-error released
  set_page_dirty(page);
  const longterm = get_user_page(current, buf, ITER_DEST, FOLL_LONGTERM);
  if (IS_ERR(longterm)) return;
  set_page_dirty(longterm);
  put_user_page(longterm);
}
export function of_either_direction(page: BorrowedUserPage) {
  expectNotAssignable<BorrowedDestPage>(page);
  // @ts-expect-error perhaps pinned to be read
  set_page_dirty(page);
}

// --- 2. files ---------------------------------------------------------------------------------------------
export function what_is_what(file: File, memfd: Memfd, fs: Filesystem, disk: BlockDevice) {
  expectNotAssignable<Memfd>(file);
  expectNotAssignable<File>(memfd);
  expectNotAssignable<File>(fs);
  expectNotAssignable<Filesystem>(disk);
  expectNotAssignable<MappableFile>(fs);
  expectNotAssignable<MappableFile>(disk);
  expectAssignable<MappableFile>(file);
  expectAssignable<MappableFile>(memfd);
}
export function a_memfd_where_a_file_is_asked_for(current: Task, memfd: Memfd, disk: BlockDevice) {
  // @ts-expect-error a memfd has no disk
  vfs_fsync(current, memfd);
  // @ts-expect-error
  vfs_truncate(current, memfd, 0);
  // @ts-expect-error a disk is mounted first
  filp_open(current, disk, "log");
}
export function both_are_mapped(current: Task, file: File, memfd: Memfd, fs: Filesystem) {
  mmap(current, null, 4096, PROT_READ, MAP_SHARED, file);
  mmap(current, null, 4096, PROT_READ, MAP_SHARED, memfd);
  // @ts-expect-error a file system is no file
  mmap(current, null, 4096, PROT_READ, MAP_SHARED, fs);
}

// --- 3. contexts ------------------------------------------------------------------------------------------
export function in_a_softirq(
  softirq: SoftirqContext,
  file: File,
  fs: Filesystem,
  disk: BlockDevice,
) {
  // @ts-expect-error waits for the disk
  vfs_fsync(softirq, file);
  // @ts-expect-error
  sync_filesystem(softirq, fs);
  // @ts-expect-error makes copies
  filemap_flush(softirq, file);
  // @ts-expect-error waits for writeback of what goes
  vfs_truncate(softirq, file, 0);
  // @ts-expect-error
  vfs_fallocate(softirq, file, 3, 0, 4096);
  // @ts-expect-error
  kernel_read(softirq, file, bytes, 0);
  // @ts-expect-error
  kernel_write(softirq, file, bytes, 0);
  // @ts-expect-error
  invalidate_mapping_pages(softirq, file);
  // @ts-expect-error
  scrub(softirq, fs);
  // @ts-expect-error
  filp_open(softirq, fs, "log");
  // @ts-expect-error
  mkfs_cowfs(softirq, disk);
  // @ts-expect-error
  mount_cowfs(softirq, disk);
}
export function in_a_kworker(kworker: ProcessContext, file: File, fs: Filesystem) {
  expectType<Errno<"EIO" | "ENOSPC" | "ENOMEM"> | null>(vfs_fsync(kworker, file));
  expectType<Errno<"EIO" | "ENOSPC" | "ENOMEM"> | null>(sync_filesystem(kworker, fs));
  expectType<Errno<"EINVAL"> | null>(vfs_truncate(kworker, file, 0));
}

// --- 4. acquirers -----------------------------------------------------------------------------------------
export function asked_first(current: Task, disk: BlockDevice) {
  using fs = mount_cowfs(current, disk, { policy: "linux" });
  // @ts-expect-error perhaps the disk has none
  filp_open(current, fs, "log", O_CREAT);
  if (IS_ERR(fs)) {
    expectType<Errno<"EINVAL" | "EBUSY" | "EIO" | "ENOMEM">>(fs);
    return;
  }
  using file = filp_open(current, fs, "log", O_CREAT);
  // @ts-expect-error perhaps there is no file
  vfs_fsync(current, file);
  if (IS_ERR(file)) {
    expectType<Errno<"ENOENT" | "EINVAL" | "ENOSPC">>(file);
    return;
  }
  expectType<File>(file);
  expectType<Filesystem>(fs);
}
export function a_policy_that_does_not_exist(current: Task, disk: BlockDevice) {
  // @ts-expect-error
  mount_cowfs(current, disk, { policy: "none" });
}
export function listeners(machine: Machine) {
  using watching = observe(machine, ({ name, pinned }) => {
    expectType<boolean>(pinned);
    // @ts-expect-error no such event
    void (name === "released");
  });
  using racing = on_preemption(machine, (point, pfn) => {
    expectType<number>(pfn);
    // @ts-expect-error no such place
    void (point === "anywhere");
  });
  using objectives = check_objectives(machine);
  expectAssignable<Disposable>(watching);
  expectAssignable<Disposable>(racing);
  expectType<readonly import("user-page").Violation[]>(objectives.violations);
}
