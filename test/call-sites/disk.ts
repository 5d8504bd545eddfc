/** Disks for the call sites: what lies on them, whoever wrote it, and what a machine shows of the pages that went there. */
import { brd_alloc, type BlockDevice, type Machine } from "user-page";
import { bdev_state } from "../../src/block/bdev.js";
import { page_flags, PG_dirty } from "../../src/machine/arena.js";
import { machine_state } from "../../src/machine/machine.js";
import { head_of, pin_count, ref_count } from "../../src/mm/page_ref.js";
import { must } from "../fixtures.js";

/** A disk of 1 MiB with these bytes from its beginning. */
export function disk_of(machine: Machine, bytes: Uint8Array): BlockDevice {
  const disk = must(brd_alloc(machine, 1 << 20));
  const wrong = bdev_state(disk, "disk_of()").backing.write(0, bytes);
  if (wrong !== null) throw new Error(wrong);
  return disk;
}
/** Bytes of the disk, past every driver. */
export function read_disk(disk: BlockDevice, position: number, len: number): Uint8Array {
  const bytes = new Uint8Array(len);
  const wrong = bdev_state(disk, "read_disk()").backing.read(position, bytes);
  if (wrong !== null) throw new Error(wrong);
  return bytes;
}
/** References and pins on the zero page. */
export function zero_page_counts(machine: Machine): [refs: number, pins: number] {
  const { zero_pfn } = machine_state(machine);
  return [ref_count(zero_pfn), pin_count(zero_pfn)];
}
/** Writeback was there: the page is clean. */
export function clean(pfn: number): void {
  page_flags[head_of(pfn)] = page_flags[head_of(pfn)]! & ~PG_dirty;
}
