/** Direct I/O on files: holes, unwritten and new blocks, the end of the file, zeroes around what is written, faults. */
import * as api from "user-page";
import { PAGE_SIZE } from "user-page";
import { describe, expect, test } from "vitest";
import { boot_for_test, fill_pattern, map_anon, must } from "../fixtures.js";
import {
  CONVENTIONS,
  disk_bytes,
  file_of,
  fill_disk,
  left,
  outcome,
  pins,
  read_mem,
  type Extent,
} from "./dio_world.js";

const MEM = { mem: 8 << 20 };
const DISK = 1 << 19;
function world(machine: api.Machine) {
  const current = api.create_task(machine);
  const disk = must(api.brd_alloc(machine, DISK));
  const old = fill_disk(disk);
  const buf = map_anon(current, 1 << 19);
  const bytes = fill_pattern(current, buf, 1 << 19, 9);
  return { current, disk, old, buf, bytes };
}
const pages = (state: Extent["state"], n: number, addr: number): Extent => ({
  state,
  bytes: n * PAGE_SIZE,
  addr: addr * PAGE_SIZE,
});
const zeroes = (n: number): Uint8Array => new Uint8Array(n);
/** The disk, where only this was written. */
function with_bytes(
  old: Uint8Array,
  ...changed: ReadonlyArray<readonly [number, Uint8Array]>
): Uint8Array {
  const now = old.slice();
  for (const [at, bytes] of changed) now.set(bytes, at);
  return now;
}
const same = (a: Uint8Array, b: Uint8Array): boolean => Buffer.compare(a, b) === 0;

describe.each(CONVENTIONS)("iomap_dio_rw(), %s", (references) => {
  const options = { references };
  test("R6: only what the disk transfers is pinned; holes and unwritten blocks are zeroes", () => {
    using machine = boot_for_test(MEM);
    const { current, disk, old, buf } = world(machine);
    const layout = [
      pages("mapped", 3, 90),
      pages("hole", 2, 0),
      pages("unwritten", 2, 70),
      pages("mapped", 1, 60),
    ];
    const file = file_of(disk, 8 * PAGE_SIZE, 4096, layout);
    const iter = api.iov_iter_ubuf(api.ITER_DEST, buf, 8 * PAGE_SIZE);
    expect(outcome(api.iomap_dio_rw(current, { ki_pos: 0 }, iter, file, options))).toBe(32768);
    expect([iter.count, ...pins(machine)]).toEqual([0, 4, 4]);
    const now = read_mem(current, buf, 8 * PAGE_SIZE);
    const want = new Uint8Array(8 * PAGE_SIZE);
    want.set(old.slice(90 * 4096, 93 * 4096));
    want.set(old.slice(60 * 4096, 61 * 4096), 7 * 4096);
    expect(same(now, want)).toBe(true);
    // A hole needs no disk at all: the call does not wait, and nobody is told.
    const hole = api.iov_iter_ubuf(api.ITER_DEST, buf, 8192);
    const iocb = { ki_pos: 3 * 4096, ki_complete: () => expect.fail("told") };
    expect(outcome(api.iomap_dio_rw(current, iocb, hole, file, options))).toBe(8192);
    expect(pins(machine)).toEqual([4, 4]);
  });
  test.each([
    [5000, 1 << 17, 0, 5000, 2],
    [5000, 4096, 4096, 904, 1],
    [5000, 4096, 8192, 0, 0],
    [5000, 4096, 4608, 392, 1],
    [100, 512, 0, 100, 1],
  ])(
    "R6: a file of %i bytes, %i bytes read at %i: %i, and as much the iterator moves",
    (size, len, ki_pos, got, pinned) => {
      using machine = boot_for_test(MEM);
      const { current, disk, old, buf } = world(machine);
      const file = file_of(disk, size, 4096, [pages("mapped", 2, 1)]);
      const iter = api.iov_iter_ubuf(api.ITER_DEST, buf, len);
      expect(outcome(api.iomap_dio_rw(current, { ki_pos }, iter, file, options))).toBe(got);
      expect([len - iter.count, ...pins(machine)]).toEqual([got, pinned, pinned]);
      expect(same(read_mem(current, buf, got), old.slice(4096 + ki_pos, 4096 + ki_pos + got))).toBe(
        true,
      );
    },
  );
  test("R6b: a page that lies in two runs of the file is held once for each", () => {
    using machine = boot_for_test(MEM);
    const { current, disk, old, buf, bytes } = world(machine);
    const layout = [pages("mapped", 2, 40), pages("unwritten", 2, 30), pages("mapped", 2, 20)];
    const ended: Array<readonly [number, number]> = [];
    const file = file_of(disk, 6 * PAGE_SIZE, 4096, layout, ended);
    const from = api.user_ptr_add(buf, 512);
    const write = api.iov_iter_ubuf(api.ITER_SOURCE, from, 6 * PAGE_SIZE);
    expect(outcome(api.iomap_dio_rw(current, { ki_pos: 0 }, write, file, options))).toBe(24576);
    expect(pins(machine)).toEqual([9, 9]);
    expect(ended).toEqual([[0, 24576]]);
    const part = (i: number): Uint8Array => bytes.slice(512 + i * 8192, 512 + (i + 1) * 8192);
    const want = with_bytes(old, [40 * 4096, part(0)], [30 * 4096, part(1)], [20 * 4096, part(2)]);
    expect(same(disk_bytes(disk), want)).toBe(true);
  });
  test.each([
    [512, 512],
    [512, 1024],
    [512, 4096],
    [1024, 4096],
    [4096, 4096],
    [512, 16384],
    [4096, 65536],
  ])(
    "blocks of %i bytes, of the file system %i: zeroes around what is written to new ones",
    (block, fs_block) => {
      using machine = boot_for_test(MEM);
      const { current, disk, old, buf, bytes } = world(machine);
      expect(api.queue_limits_set(disk, { logical_block_size: block, dma_alignment: 512 })).toBe(
        null,
      );
      const addr = 131072;
      for (const state of ["unwritten", "hole", "mapped"] as const) {
        fill_disk(disk);
        for (const [pos, len] of [
          [0, block],
          [fs_block - block, block],
          [block, 2 * fs_block],
          [fs_block, fs_block],
        ] as const) {
          if (pos + len > 4 * fs_block) continue;
          const before = pins(machine)[0];
          fill_disk(disk);
          const ended: Array<readonly [number, number]> = [];
          const file = file_of(
            disk,
            4 * fs_block,
            fs_block,
            [{ state, bytes: 4 * fs_block, addr }],
            ended,
          );
          const iter = api.iov_iter_ubuf(api.ITER_SOURCE, buf, len);
          expect(outcome(api.iomap_dio_rw(current, { ki_pos: pos }, iter, file, options))).toBe(
            len,
          );
          expect(ended).toEqual([[pos, len]]);
          const first = Math.floor(pos / fs_block) * fs_block;
          const last = Math.ceil((pos + len) / fs_block) * fs_block;
          const around = zeroes(state === "mapped" ? 0 : last - first);
          const want = with_bytes(old, [addr + first, around], [addr + pos, bytes.slice(0, len)]);
          expect(same(disk_bytes(disk), want)).toBe(true);
          // The zero page is not counted, however it is held.
          const touched = Math.ceil(len / PAGE_SIZE);
          expect(pins(machine)).toEqual([before + touched, before + touched]);
        }
      }
    },
  );
  test("a fault in the middle of new blocks: nothing stale is left in a block that was begun", () => {
    using machine = boot_for_test(MEM);
    const { current, disk, old, buf, bytes } = world(machine);
    api.munmap(current, api.user_ptr_add(buf, 2 * PAGE_SIZE), PAGE_SIZE)._unsafeUnwrap();
    const ended: Array<readonly [number, number]> = [];
    const layout: Extent[] = [{ state: "hole", bytes: 65536, addr: 131072 }];
    const file = file_of(disk, 65536, 16384, layout, ended);
    const iter = api.iov_iter_ubuf(api.ITER_SOURCE, api.user_ptr_add(buf, 512), 16384);
    expect(outcome(api.iomap_dio_rw(current, { ki_pos: 1024 }, iter, file, options))).toBe(
      "EFAULT",
    );
    expect([left(machine), ended]).toEqual([0, []]);
    const done = references === "per page" ? 2 * PAGE_SIZE - 512 : 0;
    expect(16384 - iter.count).toBe(done);
    const want =
      done === 0
        ? old
        : with_bytes(old, [131072, zeroes(16384)], [132096, bytes.slice(512, 512 + done)]);
    expect(same(disk_bytes(disk), want)).toBe(true);
  });
  test("a fault in a hole that is read: zeroes up to it, and EFAULT", () => {
    using machine = boot_for_test(MEM);
    const { current, disk, buf, bytes } = world(machine);
    api.munmap(current, api.user_ptr_add(buf, 2 * PAGE_SIZE), PAGE_SIZE)._unsafeUnwrap();
    for (const [partial, size] of [
      [false, 8],
      [true, 8],
      [false, 4],
      [true, 4],
    ] as const) {
      const file = file_of(disk, size * PAGE_SIZE, 4096, [pages("hole", size, 0)]);
      const iter = api.iov_iter_ubuf(api.ITER_DEST, buf, 4 * PAGE_SIZE);
      const done = api.iomap_dio_rw(current, { ki_pos: 0 }, iter, file, { references, partial });
      expect(outcome(done)).toBe(partial ? 8192 : "EFAULT");
      expect(iter.count).toBe(8192);
    }
    expect(same(read_mem(current, buf, 8192), zeroes(8192))).toBe(true);
    const behind = api.user_ptr_add(buf, 3 * PAGE_SIZE);
    expect(same(read_mem(current, behind, 4096), bytes.slice(12288, 16384))).toBe(true);
    expect(pins(machine)).toEqual([0, 0]);
  });
  test("R2, R3: the zero page is written and not counted; memory that may only be read is no destination", () => {
    using machine = boot_for_test(MEM);
    const { current, disk, old, buf } = world(machine);
    const file = file_of(disk, 16384, 4096, [pages("mapped", 4, 2)]);
    const untouched = map_anon(current, 8192);
    const write = api.iov_iter_ubuf(api.ITER_SOURCE, untouched, 8192);
    expect(outcome(api.iomap_dio_rw(current, { ki_pos: 0 }, write, file, options))).toBe(8192);
    expect(pins(machine)).toEqual([0, 0]);
    expect(same(disk_bytes(disk), with_bytes(old, [8192, zeroes(8192)]))).toBe(true);
    api.mprotect(current, buf, 8192, api.PROT_READ)._unsafeUnwrap();
    const read = api.iov_iter_ubuf(api.ITER_DEST, buf, 8192);
    expect(outcome(api.iomap_dio_rw(current, { ki_pos: 0 }, read, file, options))).toBe("EFAULT");
    const source = api.iov_iter_ubuf(api.ITER_SOURCE, buf, 8192);
    expect(outcome(api.iomap_dio_rw(current, { ki_pos: 0 }, source, file, options))).toBe(8192);
    expect(left(machine)).toBe(0);
  });
  test("a file system that fails, or says what cannot be", () => {
    using machine = boot_for_test(MEM);
    const { current, disk, old, buf } = world(machine);
    const io = (op: "dest" | "source", map: api.Iomap | api.BlkError): number | string => {
      const iter = api.iov_iter_ubuf(op, buf, 8192);
      const file = { bdev: disk, i_size: 65536, i_blocksize: 4096, iomap_begin: () => map };
      return outcome(api.iomap_dio_rw(current, { ki_pos: 4096 }, iter, file, options));
    };
    const map = { type: "IOMAP_MAPPED", offset: 4096, length: 8192, addr: 0 } as const;
    expect(io("dest", api.ERR_PTR("ENOSPC", "full"))).toBe("ENOSPC");
    expect(io("source", { ...map, type: "IOMAP_HOLE" })).toBe("EIO");
    expect(io("dest", { ...map, offset: 8192 })).toBe("EIO");
    expect(io("dest", { ...map, length: 0 })).toBe("EIO");
    expect(io("dest", { ...map, length: 1000 })).toBe("EIO");
    expect(io("dest", { ...map, length: NaN })).toBe("EIO");
    expect(io("dest", { ...map, addr: 100 })).toBe("EIO");
    expect(io("source", { ...map, addr: DISK - 4096 })).toBe("EIO");
    expect(io("dest", map)).toBe(8192);
    expect(left(machine)).toBe(0);
    const now = disk_bytes(disk);
    expect(same(now.slice(0, DISK - 4096), old.slice(0, DISK - 4096))).toBe(true);
  });
});
test("a task and a disk of two machines", () => {
  using machine = boot_for_test(MEM);
  using other = boot_for_test(MEM);
  const { disk, buf } = world(machine);
  const stranger = api.create_task(other);
  const iter = api.iov_iter_ubuf(api.ITER_DEST, buf, 4096);
  expect(() => api.blkdev_direct_IO(stranger, { ki_pos: 0 }, iter, disk)).toThrow(api.MisuseError);
});
