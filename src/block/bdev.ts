/// <reference lib="esnext.disposable" preserve="true" />
/** A disk as the block layer sees it.  Models the part of struct block_device that a bio needs. */

import type { BlockDevice, DiskStats, QueueLimits } from "../handle/bio.js";
import { ERR_PTR, type Errno } from "../handle/errno.js";
import { PAGE_SIZE, SECTOR_SIZE } from "../machine/limits.js";
import { throw_misuse, type MachineState } from "../machine/machine.js";
import type { Request } from "./blk-mq.js";

/** Where the bytes of a disk are. */
export interface Backing {
  /** bytes */
  readonly size: number;
  /** Fills `to` from byte `position`; what went wrong, or null. */
  read(position: number, to: Uint8Array): string | null;
  write(position: number, from: Uint8Array): string | null;
  close(): void;
}
export class BlockDeviceState {
  readonly machine: MachineState;
  readonly name: string;
  readonly backing: Backing;
  limits: QueueLimits = {
    logical_block_size: SECTOR_SIZE,
    dma_alignment: SECTOR_SIZE,
    max_sectors: Infinity,
    max_segments: Infinity,
  };
  readonly stats: Record<keyof DiskStats, number> = {
    reads: 0,
    reads_merged: 0,
    sectors_read: 0,
    writes: 0,
    writes_merged: 0,
    sectors_written: 0,
    in_flight: 0,
  };
  /** How the driver serves a request; null: whole, at the next softirq.  Models blk_mq_ops.queue_rq. */
  queue_rq: ((request: Request) => void) | null = null;
  #open = true;
  readonly #at_exit = (): void => {
    this[Symbol.dispose]();
  };
  constructor(machine: MachineState, name: string, backing: Backing) {
    this.machine = machine;
    this.name = name;
    this.backing = backing;
    machine.at_exit.add(this.#at_exit);
  }
  get size(): number {
    return this.backing.size;
  }
  get open(): boolean {
    return this.#open;
  }
  [Symbol.dispose](): void {
    if (!this.#open) return;
    this.#open = false;
    this.machine.at_exit.delete(this.#at_exit);
    this.backing.close();
  }
}
/** A disk as the library sees it, open. */
export function bdev_state(bdev: BlockDevice, called: string): BlockDeviceState {
  if (bdev instanceof BlockDeviceState && bdev.open) return bdev;
  throw_misuse("not-a-handle", called, "no open block device");
}
const is_power_of_two = (n: number): boolean =>
  Number.isInteger(n) && Number.isInteger(Math.log2(n));
const is_count = (n: number): boolean => n === Infinity || (Number.isSafeInteger(n) && n > 0);
/**
 * Sets what the disk takes at once; a larger bio is split, and only the original releases.  Models queue_limits_set().
 *
 * @param limits - those that change
 * @returns EINVAL for a block size that is no power of 2 from 512 to 4096, or a bound below 1; nothing changed then
 */
export function queue_limits_set(
  bdev: BlockDevice,
  limits: Partial<QueueLimits>,
): Errno<"EINVAL"> | null {
  const state = bdev_state(bdev, "queue_limits_set()");
  const next = { ...state.limits, ...limits };
  const block = next.logical_block_size;
  if (!is_power_of_two(block) || block < SECTOR_SIZE || block > PAGE_SIZE) {
    return ERR_PTR("EINVAL", `${block} bytes are no block size`);
  }
  if (!is_power_of_two(next.dma_alignment) || next.dma_alignment > PAGE_SIZE) {
    return ERR_PTR("EINVAL", `${next.dma_alignment} bytes are no alignment`);
  }
  if (next.max_sectors < block / SECTOR_SIZE || !is_count(next.max_sectors)) {
    return ERR_PTR("EINVAL", `${next.max_sectors} sectors are less than a block`);
  }
  if (!is_count(next.max_segments)) return ERR_PTR("EINVAL", `${next.max_segments} segments`);
  state.limits = next;
  return null;
}
/** What the disk did so far.  Models the fields of /proc/diskstats. */
export function disk_stats(bdev: BlockDevice): DiskStats {
  return { ...bdev_state(bdev, "disk_stats()").stats };
}
