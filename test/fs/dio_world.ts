/** What tests of direct I/O need: iterators over parts, files that a layout describes, counters, bytes. */
import type { Result } from "neverthrow";
import * as api from "user-page";
import type { Dir, IovIter, Op, Task, UserAddr } from "user-page";
import { expect } from "vitest";
import { bdev_state } from "../../src/block/bdev.js";
import { pattern_of } from "../fixtures.js";

export const CONVENTIONS = ["per page", "per extent"] as const;
export type Convention = (typeof CONVENTIONS)[number];
export const pins = (machine: api.Machine): [acquired: number, released: number] => {
  const s = api.vmstat(machine);
  return [s.nr_foll_pin_acquired, s.nr_foll_pin_released];
};
export const left = (machine: api.Machine): number => pins(machine)[0] - pins(machine)[1];
export const read_mem = (current: Task, from: UserAddr, bytes: number): Uint8Array => {
  const to = new Uint8Array(bytes);
  api.copy_from_user(current, to, from)._unsafeUnwrap();
  return to;
};
/** Parts of memory: byte offsets from `buf`, and lengths. */
export type Parts = ReadonlyArray<readonly [offset: number, len: number]>;
export function iter_over<D extends Dir>(dir: D, buf: UserAddr, parts: Parts): IovIter<D, "user"> {
  return api.iov_iter_init(
    dir,
    parts.map(([offset, len]) => ({ iov_base: api.user_ptr_add(buf, offset), iov_len: len })),
  );
}
export const outcome = (done: Result<number | string, api.DioError>): number | string =>
  done.isOk() ? done.value : done.error.errno;

// --- a disk that is looked at from outside --------------------------------------------------------------------
export function disk_bytes(disk: api.BlockDevice): Uint8Array {
  const bytes = new Uint8Array(disk.size);
  expect(bdev_state(disk, "test").backing.read(0, bytes)).toBe(null);
  return bytes;
}
export function fill_disk(disk: api.BlockDevice, seed = 3): Uint8Array {
  const bytes = pattern_of(disk.size, seed);
  expect(bdev_state(disk, "test").backing.write(0, bytes)).toBe(null);
  return bytes;
}

// --- a file ---------------------------------------------------------------------------------------------------
export type ExtentState = "mapped" | "unwritten" | "hole";
export interface Extent {
  readonly state: ExtentState;
  /** a number of blocks */
  readonly bytes: number;
  /** where on the disk */
  readonly addr: number;
}
const TYPE = {
  mapped: "IOMAP_MAPPED",
  unwritten: "IOMAP_UNWRITTEN",
  hole: "IOMAP_HOLE",
} as const;
/** A file system that allocates where a hole is written, and says so. */
export function file_of(
  bdev: api.BlockDevice,
  i_size: number,
  i_blocksize: number,
  extents: readonly Extent[],
  ended: Array<readonly [pos: number, bytes: number]> = [],
): api.IomapFile {
  return {
    bdev,
    i_size,
    i_blocksize,
    iomap_begin: (pos: number, length: number, op: Op) => {
      let offset = 0;
      for (const { state, bytes, addr } of extents) {
        if (pos < offset + bytes) {
          const filled = state === "hole";
          const type = op === "REQ_OP_WRITE" && filled ? "IOMAP_MAPPED" : TYPE[state];
          return { type, offset, length: bytes, addr, is_new: filled };
        }
        offset += bytes;
      }
      return api.ERR_PTR("ENOSPC", `no place for ${length} bytes at ${pos}`);
    },
    end_io: (pos, bytes) => void ended.push([pos, bytes]),
  };
}
