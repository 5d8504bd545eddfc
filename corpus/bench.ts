/** What every entry of the corpus works on: memory, a disk, and a device that moves bytes. */
import {
  memcpy_from_bvec,
  memcpy_from_page,
  memcpy_to_bvec,
  memcpy_to_page,
  PAGE_SIZE,
  type BlockDevice,
  type BorrowedBvec,
  type BorrowedDestBvec,
  type BorrowedDestPage,
  type BorrowedPage,
  type BorrowedUserPage,
  type Machine,
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
