/** What every entry of the corpus works on: memory, a disk, and a device that moves bytes. */
import {
  brd_alloc,
  filp_open,
  get_user_pages_fast,
  invalidate_mapping_pages,
  IS_ERR,
  kernel_read,
  kernel_write,
  MAP_ANONYMOUS,
  MAP_PRIVATE,
  MAP_SHARED,
  memcpy_from_bvec,
  memcpy_from_page,
  memcpy_to_bvec,
  memcpy_to_page,
  mkfs_cowfs,
  mmap,
  mount_cowfs,
  munmap,
  O_CREAT,
  page_to_pfn,
  PAGE_SIZE,
  PROT_READ,
  PROT_WRITE,
  put_page,
  vfs_fsync,
  type BlockDevice,
  type BorrowedBvec,
  type BorrowedDestBvec,
  type BorrowedDestPage,
  type BorrowedPage,
  type BorrowedUserPage,
  type Errno,
  type File,
  type Machine,
  type Page,
  type Pfn,
  type PolicyName,
  type Task,
  type UserAddr,
} from "user-page";

export interface Bench {
  readonly machine: Machine;
  readonly current: Task;
  /** 16 pages of anonymous memory, present and full of a pattern; nothing is mapped behind them */
  readonly buf: UserAddr;
  /** 2 MiB of anonymous memory, one huge page of zeroes */
  readonly huge: UserAddr;
  /** where nothing is mapped */
  readonly hole: UserAddr;
  /** a RAM disk of 1 MiB, with the device's stream in its beginning */
  readonly disk: BlockDevice;
  readonly device: Device;
  /** Whether the step fails that failed in the kernel: the right program is run with both answers. */
  readonly fails: boolean;
}

/** Bytes that a device writes, by their position in its stream. */
export const device_byte = (n: number): number => (n * 31 + 7) & 255;
/** Reads memory into a log, writes a stream of its own. */
export class Device {
  /** what it read, in order */
  readonly log: Uint8Array[] = [];
  /** bytes it wrote */
  written = 0;
  next(len: number): Uint8Array {
    const from = this.written;
    this.written += len;
    return Uint8Array.from({ length: len }, (_, i) => device_byte(from + i));
  }
}
/** The device reads memory. */
export function dma_to_device(
  device: Device,
  page: BorrowedPage | BorrowedUserPage,
  len = PAGE_SIZE,
): void {
  const bytes = new Uint8Array(len);
  memcpy_from_page(bytes, page, 0)._unsafeUnwrap();
  device.log.push(bytes);
}
/** The device writes memory. */
export function dma_from_device(
  device: Device,
  page: BorrowedPage | BorrowedDestPage,
  len = PAGE_SIZE,
): void {
  memcpy_to_page(page, 0, device.next(len))._unsafeUnwrap();
}
/** The device reads an extent. */
export function dma_bvec_to_device(device: Device, bvec: BorrowedBvec): void {
  const bytes = new Uint8Array(bvec.len);
  memcpy_from_bvec(bytes, bvec)._unsafeUnwrap();
  device.log.push(bytes);
}
/** The device writes an extent. */
export function dma_bvec_from_device(device: Device, bvec: BorrowedDestBvec): void {
  memcpy_to_bvec(bvec, device.next(bvec.len))._unsafeUnwrap();
}

// --- what is not in every bench ---------------------------------------------------------------------------
function must<T>(handle: T): Exclude<T, Errno> {
  if (IS_ERR(handle)) throw new Error((handle as Errno).message);
  return handle as Exclude<T, Errno>;
}
/** Anonymous memory beside `buf`, not touched yet. */
export function map_pages(current: Task, nr: number): UserAddr {
  const prot = PROT_READ | PROT_WRITE;
  return mmap(current, null, nr * PAGE_SIZE, prot, MAP_PRIVATE | MAP_ANONYMOUS)._unsafeUnwrap();
}
/** What an entry of the page tables names: a frame that is mapped, on which the caller has no reference. */
export function frame_at(current: Task, addr: UserAddr): Pfn | null {
  const pages: Page[] = [];
  get_user_pages_fast(current, addr, 1, 0, pages);
  const [page] = pages;
  if (!page) return null;
  const pfn = page_to_pfn(page);
  put_page(page);
  return pfn;
}
/** Pages that are not as they should be. */
export function wrong_pages(got: Uint8Array, expected: Uint8Array): number {
  let wrong = 0;
  for (let at = 0; at < expected.length; at += PAGE_SIZE) {
    const page = expected.subarray(at, at + PAGE_SIZE);
    if (page.some((byte, i) => byte !== got[at + i])) wrong++;
  }
  return wrong;
}
/** One page of a file on a disk of its own, mapped and clean. */
export interface MappedFile extends Disposable {
  readonly file: File;
  readonly addr: UserAddr;
  /** Somebody else syncs the file. */
  sync(): void;
  /** Unmaps it, drops it from the cache, and reads it from the disk. */
  read_back(): Uint8Array;
}
export function mapped_file({ machine, current }: Bench, policy: PolicyName): MappedFile {
  const disk = must(brd_alloc(machine, 1 << 20));
  must(mkfs_cowfs(current, disk));
  const fs = must(mount_cowfs(current, disk, { policy }));
  const file = must(filp_open(current, fs, "file", O_CREAT));
  kernel_write(current, file, new Uint8Array(PAGE_SIZE), 0)._unsafeUnwrap();
  const prot = PROT_READ | PROT_WRITE;
  const addr = mmap(current, null, PAGE_SIZE, prot, MAP_SHARED, file)._unsafeUnwrap();
  const sync = () => {
    must(vfs_fsync(current, file));
  };
  sync();
  return {
    file,
    addr,
    sync,
    read_back() {
      munmap(current, addr, PAGE_SIZE)._unsafeUnwrap();
      sync();
      invalidate_mapping_pages(current, file);
      const bytes = new Uint8Array(PAGE_SIZE);
      kernel_read(current, file, bytes, 0)._unsafeUnwrap();
      return bytes;
    },
    [Symbol.dispose]() {
      munmap(current, addr, PAGE_SIZE)._unsafeUnwrap();
      file[Symbol.dispose]();
      fs[Symbol.dispose]();
      disk[Symbol.dispose]();
    },
  };
}
