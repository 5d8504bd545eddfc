/** What a driver is given to run in (ours): a task, memory of it, and a disk with the bytes of a file. */

import { bdev_state } from "./block/bdev.js";
import { brd_alloc } from "./block/brd.js";
import { boot, type MachineOptions } from "./boot.js";
import type { UserAddr } from "./handle/addr.js";
import type { BlockDevice } from "./handle/bio.js";
import type { Machine, Task } from "./handle/context.js";
import { IS_ERR } from "./handle/errno.js";
import { without_faults } from "./machine/fault-inject.js";
import { PAGE_SIZE, PMD_SIZE, SECTOR_SIZE } from "./machine/limits.js";
import { machine_state } from "./machine/machine.js";
import { MADV_HUGEPAGE, MAP_ANONYMOUS, MAP_PRIVATE, PROT_READ, PROT_WRITE } from "./mm/mm_types.js";
import { create_task, mmap, user_ptr_add } from "./mm/mmap.js";
import { madvise } from "./mm/mprotect.js";

/** What a driver is given to run in. */
export interface DriverWorld {
  readonly machine: Machine;
  readonly current: Task;
  /** holds the file's bytes, padded with zeroes to whole sectors */
  readonly disk: BlockDevice;
  /** `len` bytes of user memory, not touched yet */
  readonly buf: UserAddr;
  /** bytes, as large as the disk */
  readonly len: number;
}
/** A driver; its result says whether it did what it was for. */
export type Driver<W extends DriverWorld = DriverWorld> = (world: W) => unknown;
/** How a world is made; every option has a default. */
export interface DriverWorldOptions {
  /** the bytes of the file, or how many bytes of a pattern; 65536 by default */
  readonly file?: Uint8Array | number;
  /** pages that `buf` may have: "small" by default, "huge", or "mixed": half of it huge */
  readonly pages?: "small" | "huge" | "mixed";
  /** of its machine; enough memory by default */
  readonly machine?: MachineOptions;
}
/** Bytes that differ from page to page, for files that nobody gave. */
function pattern(bytes: number): Uint8Array {
  const made = new Uint8Array(bytes);
  let x = 1;
  for (let i = 0; i < bytes; i++) {
    x = (Math.imul(x, 1664525) + 1013904223) | 0;
    made[i] = x >>> 24;
  }
  return made;
}
/** @internal The bytes that a world's file has. */
export function file_bytes(file: Uint8Array | number = 65536): Uint8Array {
  if (file instanceof Uint8Array) return file;
  if (Number.isSafeInteger(file) && file >= 0 && file <= 2 ** 31) return pattern(file);
  throw new RangeError(`driver_world(): file: ${String(file)} is neither bytes nor their number`);
}
const whole = (bytes: number, unit: number): number => Math.ceil(bytes / unit) * unit;

/**
 * Makes a world (ours): a machine, a task, a RAM disk with the file's bytes and memory as large.  The caller owns the
 * machine: shutdown().  What `machine.inject` says begins when the world is there.
 *
 * @param options - a RangeError for what is no file, no kind of pages, or more than a machine can have
 * @example
 * const world = driver_world({ file: new Uint8Array([1, 2, 3]), machine: { inject: "" } });
 * const read = direct_io(world.current, world.disk, "REQ_OP_READ", world.buf, world.len, 0);
 * console.log(read.unwrapOr(0), shutdown(world.machine).lost_pages); // -> 512 0
 */
export function driver_world(options: DriverWorldOptions = {}): DriverWorld {
  if (typeof options !== "object" || (options as unknown) === null) {
    throw new RangeError("driver_world(): the options are no object");
  }
  const { file, pages = "small" } = options;
  if (pages !== "small" && pages !== "huge" && pages !== "mixed") {
    throw new RangeError(`driver_world(): pages: ${String(pages)} is none of small, huge, mixed`);
  }
  const bytes = file_bytes(file);
  const len = Math.max(SECTOR_SIZE, whole(bytes.length, SECTOR_SIZE));
  // The memory twice, whatever its pages are, and some for the driver: a machine of this size is quickly there.
  const mem = (4 << 20) + 2 * whole(len, pages === "small" ? PAGE_SIZE : PMD_SIZE);
  const machine = boot({ mem, ...options.machine });
  const state = machine_state(machine);
  try {
    return without_faults(machine, () => {
      const current = create_task(machine);
      const disk = brd_alloc(machine, len);
      if (IS_ERR(disk)) throw new RangeError(`driver_world(): ${disk.message}`);
      bdev_state(disk, "driver_world()").backing.write(0, bytes);
      return { machine, current, disk, buf: map_buf(current, len, pages), len };
    });
  } catch (reason) {
    state[Symbol.dispose]();
    throw reason;
  }
}
function map_buf(current: Task, len: number, pages: "small" | "huge" | "mixed"): UserAddr {
  const prot = PROT_READ | PROT_WRITE;
  const small =
    pages === "small" ? len : pages === "huge" ? 0 : whole(Math.floor(len / 2), PAGE_SIZE);
  const huge = whole(len - small, PMD_SIZE);
  // Huge pages lie at multiples of their size, and what is mixed begins in the last of them.
  const at = mmap(
    current,
    null,
    huge === 0 ? len : huge + small,
    prot,
    MAP_PRIVATE | MAP_ANONYMOUS,
  );
  if (at.isErr()) throw new RangeError(`driver_world(): ${at.error.message}`);
  if (huge === 0) return at.value;
  const advised = madvise(current, at.value, huge, MADV_HUGEPAGE);
  if (advised.isErr()) throw new RangeError(`driver_world(): ${advised.error.message}`);
  return user_ptr_add(at.value, pages === "huge" ? 0 : huge - (len - small));
}
