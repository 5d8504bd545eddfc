/** Direct I/O with iterators of all kinds: of kernel memory, in parts, of any alignment, and where they end. */
import { createHash } from "node:crypto";
import * as api from "user-page";
import { PAGE_SIZE } from "user-page";
import { describe, expect, test } from "vitest";
import { PG_dirty } from "../../src/machine/arena.js";
import {
  boot_for_test,
  changes,
  fill_pattern,
  map_anon,
  must,
  snapshot,
  type Snapshot,
} from "../fixtures.js";
import {
  CONVENTIONS,
  disk_bytes,
  fill_disk,
  iter_over,
  left,
  outcome,
  pins,
  read_mem,
  type Parts,
} from "./dio_world.js";

const sha = (bytes: Uint8Array): string => createHash("sha256").update(bytes).digest("hex");
const MEM = { mem: 32 << 20 };
const nr_dirty = ({ flags }: Snapshot): number => flags.filter((bits) => bits & PG_dirty).length;

describe.each(CONVENTIONS)("blkdev_direct_IO(), %s", (references) => {
  test("kernel memory: nothing is pinned, nothing dirtied", () => {
    using machine = boot_for_test(MEM);
    const current = api.create_task(machine);
    using disk = must(api.brd_alloc(machine, 1 << 16));
    const old = fill_disk(disk);
    using area = must(api.vmalloc(current, 8192));
    const folio = must(api.folio_alloc(current, 1));
    const page = api.folio_page(folio, 0);
    const iters = [
      api.iov_iter_bvec(api.ITER_DEST, [{ page, offset: 512, len: 7680 }]),
      api.iov_iter_kvec(api.ITER_DEST, [{ iov_base: area, iov_offset: 512, iov_len: 7680 }]),
      api.iov_iter_xarray(api.ITER_DEST, new Map([[0, folio]]), 512, 7680),
      api.iov_iter_folio_queue(api.ITER_DEST, [folio], 0, 512, 7680),
    ];
    for (const [i, iter] of iters.entries()) {
      const start = snapshot(machine);
      const ki_pos = 1024 * (i + 1);
      const done = api.blkdev_direct_IO(current, { ki_pos }, iter, disk, { references });
      expect([outcome(done), iter.count]).toEqual([7680, 0]);
      const end = snapshot(machine);
      expect(changes(start, end, false)).toEqual([]);
      expect(nr_dirty(end)).toBe(nr_dirty(start));
      const got = new Uint8Array(7680);
      for (let at = 0; at < 7680; at += 512) {
        const offset = 512 + at;
        const from = iter.iter_type === "ITER_KVEC" ? api.vmalloc_to_page(area, offset) : null;
        const held = from ?? api.folio_page(folio, Math.floor(offset / PAGE_SIZE));
        api.memcpy_from_page(got.subarray(at, at + 512), held, offset % PAGE_SIZE);
      }
      expect(sha(got)).toBe(sha(old.slice(ki_pos, ki_pos + 7680)));
    }
    const misaligned = api.iov_iter_bvec(api.ITER_DEST, [{ page, offset: 16, len: 4096 }]);
    const refused = api.blkdev_direct_IO(current, { ki_pos: 0 }, misaligned, disk, { references });
    expect(outcome(refused)).toBe("EINVAL");
    api.folio_put(folio);
    const nowhere = api.iov_iter_discard(api.ITER_DEST, 512);
    expect(outcome(api.blkdev_direct_IO(current, { ki_pos: 0 }, nowhere, disk))).toBe("EFAULT");
  });
  test("several parts: packed, with gaps, empty, unaligned; R4b", () => {
    using machine = boot_for_test(MEM);
    const current = api.create_task(machine);
    using disk = must(api.brd_alloc(machine, 1 << 20));
    const old = fill_disk(disk);
    const buf = map_anon(current, 1 << 20);
    const io = (parts: Parts): [result: number | string, count: number, pinned: number] => {
      fill_pattern(current, buf, 1 << 20, 8);
      const before = pins(machine)[0];
      const iter = iter_over(api.ITER_DEST, buf, parts);
      const done = api.blkdev_direct_IO(current, { ki_pos: 512 }, iter, disk, { references });
      expect(left(machine)).toBe(0);
      const result = outcome(done);
      let at = 512;
      for (const [offset, len] of typeof result === "number" ? parts : []) {
        const now = read_mem(current, api.user_ptr_add(buf, offset), len);
        expect(sha(now)).toBe(sha(old.slice(at, (at += len))));
      }
      return [result, iter.count, pins(machine)[0] - before];
    };
    const packed = (n: number, len: number): Parts =>
      Array.from({ length: n }, (_, i) => [i * len, len]);
    expect(io(packed(8, 512))).toEqual([4096, 0, 8]);
    expect(io(packed(128, 100))).toEqual([12800, 0, 131]);
    expect(
      io([
        [0, 512],
        [1024, 512],
        [9000, 0],
        [4096, 1024],
      ]),
    ).toEqual([2048, 0, 3]);
    expect(
      io([
        [0, 0],
        [100, 0],
      ]),
    ).toEqual([0, 0, 0]);
    expect(
      io([
        [0, 512],
        [612, 512],
      ]),
    ).toEqual(["EINVAL", 0, 2]);
    expect(io([[1, 512]])).toEqual([512, 0, 1]);
    expect(
      io([
        [0, 500],
        [4096, 100],
      ]),
    ).toEqual(["EINVAL", 600, 0]);
  });
  test("parts that are no blocks, more than a bio has segments, where the disk takes any memory", () => {
    using machine = boot_for_test(MEM);
    const current = api.create_task(machine);
    using disk = must(api.brd_alloc(machine, 1 << 20));
    expect(api.queue_limits_set(disk, { dma_alignment: 4 })).toBe(null);
    const buf = map_anon(current, 1 << 20);
    const bytes = fill_pattern(current, buf, 1 << 20);
    // 700 parts of 52 to 100 bytes: no 256 of them are a number of blocks.
    const parts: Array<[number, number]> = Array.from({ length: 700 }, (_, i) => [
      i * 128,
      52 + 4 * (i % 13),
    ]);
    const rest = parts.reduce((sum, [, len]) => sum + len, 0) % 512;
    parts.push([700 * 128, 512 - rest]);
    const len = parts.reduce((sum, [, n]) => sum + n, 0);
    const iter = iter_over(api.ITER_SOURCE, buf, parts);
    const done = api.blkdev_direct_IO(current, { ki_pos: 0 }, iter, disk, { references });
    expect([outcome(done), iter.count, left(machine)]).toEqual([len, 0, 0]);
    const want = parts.flatMap(([offset, n]) => [...bytes.subarray(offset, offset + n)]);
    expect(sha(disk_bytes(disk).slice(0, len))).toBe(sha(Uint8Array.from(want)));
  });
  test("the iterator ends where the transfer did, and is whole behind the end of the disk", () => {
    using machine = boot_for_test(MEM);
    const current = api.create_task(machine);
    using disk = must(api.brd_alloc(machine, 8192));
    const buf = map_anon(current, 1 << 16);
    const read = api.iov_iter_ubuf(api.ITER_DEST, buf, 16384);
    expect(
      outcome(api.blkdev_direct_IO(current, { ki_pos: 4096 }, read, disk, { references })),
    ).toBe(4096);
    expect(read.count).toBe(12288);
    expect(
      outcome(api.blkdev_direct_IO(current, { ki_pos: 8192 }, read, disk, { references })),
    ).toBe(0);
    expect(read.count).toBe(12288);
    const write = api.iov_iter_ubuf(api.ITER_SOURCE, buf, 512);
    expect(
      outcome(api.blkdev_direct_IO(current, { ki_pos: 8192 }, write, disk, { references })),
    ).toBe("ENOSPC");
    expect(
      outcome(api.blkdev_direct_IO(current, { ki_pos: 100 }, write, disk, { references })),
    ).toBe("EINVAL");
    expect(write.count).toBe(512);
    expect(pins(machine)[0]).toBe(pins(machine)[1]);
  });
});
