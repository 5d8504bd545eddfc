/** Direct I/O over 1 GiB, with a pin for each page or one reference for each extent. */
import {
  blkdev_direct_IO,
  boot,
  brd_alloc,
  create_task,
  disk_stats,
  dm_flakey,
  fragment_memory,
  IS_ERR,
  ITER_DEST,
  ITER_SOURCE,
  iov_iter_ubuf,
  misuse_reports,
  user_ptr_add,
  vmstat,
  type BlockDevice,
  type Dir,
  type Machine,
  type MachineOptions,
  type Task,
  type UserAddr,
} from "user-page";
import type { Workload } from "../serve.js";
import { debug_level, GIB, populated_gib, word } from "./common.js";

const PAGES = GIB / 4096;
const LAYOUTS = ["in_order", "scattered", "huge"] as const;
const DISKS = ["refusing", "ram"] as const;
const REFERENCES = ["pages", "extents"] as const;
export type Layout = (typeof LAYOUTS)[number];
export type Disk = (typeof DISKS)[number];
export type References = (typeof REFERENCES)[number];
/** The disk has as many bytes as one call transfers: all of it at once where nothing is, else what a cache does not hold. */
const CALL_BYTES: Readonly<Record<Disk, number>> = { refusing: GIB, ram: 64 << 20 };

/** References that are taken, and dropped again, for each GiB. */
export function references_per_gib(references: References, layout: Layout): number {
  return references === "extents" && layout === "huge" ? 512 : PAGES;
}

interface Memory {
  readonly machine: Machine;
  readonly current: Task;
  readonly start: UserAddr;
}
function memory(layout: Layout, debug: MachineOptions): Memory {
  const scattered = layout === "scattered";
  const options = scattered ? { mem: 2 * GIB + (8 << 20), shuffle: 1 } : { mem: GIB + (8 << 20) };
  const machine = boot({ ...options, ...debug });
  // Withheld until the process ends: no two of the pages that are left lie side by side.
  if (scattered) fragment_memory(machine, (index) => index % 2 === 1);
  const current = create_task(machine);
  return { machine, current, start: populated_gib(current, layout === "huge") };
}
/** Takes every request and fails it whole, without a byte of it. */
function refusing_disk(ram: BlockDevice): BlockDevice {
  return dm_flakey(ram, () => ({ error: "EIO", bytes: 0 }));
}

/** `<pages|extents> <read|write> <in_order|scattered|huge> <refusing|ram> <debug level>` */
export function direct(args: readonly string[]): Workload {
  const how = word(args[0], ...REFERENCES);
  const dir = word(args[1], "read", "write") === "read" ? ITER_DEST : ITER_SOURCE;
  const layout = word(args[2], ...LAYOUTS);
  const disk = word(args[3], ...DISKS);
  const CONFIG_DEBUG_USER_PAGE_REFERENCES = debug_level(args[4]);
  const { machine, current, start } = memory(layout, { CONFIG_DEBUG_USER_PAGE_REFERENCES });
  const bytes = CALL_BYTES[disk];
  const ram = brd_alloc(machine, bytes);
  if (IS_ERR(ram)) throw new Error(ram.message);
  const bdev = disk === "ram" ? ram : refusing_disk(ram);
  const options = { references: how === "pages" ? "per page" : "per extent" } as const;
  let offset = 0;
  let calls = 0;
  /** As it is meant to end: with EIO, or everything. */
  const once = (way: Dir): void => {
    const iter = iov_iter_ubuf(way, user_ptr_add(start, offset), bytes);
    const done = blkdev_direct_IO(current, { ki_pos: 0 }, iter, bdev, options);
    const as_meant =
      disk === "ram"
        ? done.isOk() && done.value === bytes
        : done.isErr() && done.error.errno === "EIO";
    if (!as_meant || iter.count > 0) throw new Error("the transfer did not end as it was meant to");
    offset = (offset + bytes) % GIB;
    calls++;
  };
  // The host gives memory at the first write to it: of all the machine's, and of the disk.
  if (disk === "ram") {
    for (let done = 0; done < GIB; done += bytes) once(ITER_DEST);
    once(ITER_SOURCE);
    offset = calls = 0;
  }
  const before = { ...vmstat(machine), ...disk_stats(ram) };
  return {
    chunk(windows) {
      for (let w = 0; w < windows; w++) once(dir);
    },
    per_window: bytes / 4096,
    check() {
      const { nr_foll_pin_acquired, nr_foll_pin_released } = vmstat(machine);
      const acquired = nr_foll_pin_acquired - before.nr_foll_pin_acquired;
      const released = nr_foll_pin_released - before.nr_foll_pin_released;
      const expected = calls * references_per_gib(how, layout) * (bytes / GIB);
      if (acquired !== expected || released !== expected) {
        throw new Error(`${acquired} acquired, ${released} released, not ${expected}`);
      }
      const { sectors_read, sectors_written } = disk_stats(ram);
      const sectors = sectors_read + sectors_written - before.sectors_read - before.sectors_written;
      if (sectors !== (disk === "ram" ? (calls * bytes) / 512 : 0)) {
        throw new Error(`${sectors} sectors were transferred`);
      }
      if (misuse_reports(machine).length > 0) throw new Error("misuse was reported");
    },
  };
}
