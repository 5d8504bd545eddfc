/** Direct I/O on a disk: in flight, cut off, failing. */
import { createHash } from "node:crypto";
import * as api from "user-page";
import { PAGE_SIZE } from "user-page";
import { describe, expect, test } from "vitest";
import { boot_for_test, fill_pattern, map_anon, must } from "../fixtures.js";
import {
  CONVENTIONS,
  disk_bytes,
  file_of,
  fill_disk,
  iter_over,
  left,
  outcome,
  pins,
  read_mem,
} from "./dio_world.js";

const sha = (bytes: Uint8Array): string => createHash("sha256").update(bytes).digest("hex");
const MEM = { mem: 32 << 20 };

describe("in flight", () => {
  const LEN = 300 * PAGE_SIZE;
  test.each(["exit", "munmap"])("all stays pinned until the disk ends it: %s", (what) => {
    using machine = boot_for_test(MEM);
    const current = api.create_task(machine);
    using disk = must(api.brd_alloc(machine, 4 << 20));
    using fragments = api.fragment_memory(machine, (i) => i % 2 === 1);
    expect(fragments.nr_pages).toBeGreaterThan(0);
    const start = api.vmstat(machine).nr_free_pages;
    const buf = map_anon(current, LEN);
    const told: Array<number | string> = [];
    const iter = api.iov_iter_ubuf(api.ITER_DEST, buf, LEN);
    const iocb = { ki_pos: 0, ki_complete: (r: api.DioResult) => void told.push(outcome(r)) };
    const sent = api.blkdev_direct_IO(current, iocb, iter, disk, { references: "per page" });
    expect([outcome(sent), iter.count, told, ...pins(machine)]).toEqual([
      "EIOCBQUEUED",
      0,
      [],
      300,
      0,
    ]);
    if (what === "exit") api.exit_task(current);
    else api.munmap(current, buf, LEN)._unsafeUnwrap();
    expect(api.vmstat(machine).nr_free_pages).toBeLessThanOrEqual(start - 300);
    expect(api.run_softirqs(machine)).toBe(1); // two bios that follow each other are one request
    expect(api.disk_stats(disk)).toMatchObject({ reads: 1, reads_merged: 1, in_flight: 0 });
    expect([told, ...pins(machine)]).toEqual([[LEN], 300, 300]);
    expect(api.vmstat(machine).nr_free_pages).toBe(start);
  });
  test.each(CONVENTIONS)("several, which end in any order: %s", (references) => {
    using machine = boot_for_test(MEM);
    const current = api.create_task(machine);
    using under = must(api.brd_alloc(machine, 1 << 20));
    const old = fill_disk(under);
    using disk = api.dm_flakey(under, ({ nr }) => ({
      hold: true,
      ...(nr === 2 ? { error: "EIO" as const } : {}),
    }));
    const buf = map_anon(current, 6 * 8192);
    const told: Array<readonly [number, number | string, number]> = [];
    for (let i = 0; i < 6; i++) {
      const iter = api.iov_iter_ubuf(api.ITER_DEST, api.user_ptr_add(buf, i * 8192), 8192);
      const ki_complete = (r: api.DioResult): void =>
        void told.push([i, outcome(r), left(machine)] as const);
      const iocb = { ki_pos: i * 8192, ki_complete };
      const sent = api.blkdev_direct_IO(current, iocb, iter, disk, { references });
      expect(outcome(sent)).toBe("EIOCBQUEUED");
    }
    const each = left(machine) / 6;
    expect(each).toBe(2);
    for (const nr of [4, 0, 5, 2, 1, 3]) {
      expect(disk.complete(nr)).toBe(true);
      expect(api.run_softirqs(machine)).toBeGreaterThan(0);
    }
    expect(told).toEqual([
      [4, 8192, 5 * each],
      [0, 8192, 4 * each],
      [5, 8192, 3 * each],
      [2, "EIO", 2 * each],
      [1, 8192, each],
      [3, 8192, 0],
    ]);
    for (let i = 0; i < 6; i++) {
      const now = read_mem(current, api.user_ptr_add(buf, i * 8192), 8192);
      expect(sha(now) === sha(old.slice(i * 8192, (i + 1) * 8192))).toBe(i !== 2);
    }
  });
  test.each(
    CONVENTIONS.flatMap((references) => [
      [references, "release first", 0] as const,
      [references, "complete first", 5] as const,
    ]),
  )("%s, %s: who is told finds %i pins", (references, order, found) => {
    using machine = boot_for_test(MEM);
    const current = api.create_task(machine);
    using disk = must(api.brd_alloc(machine, 1 << 20));
    using fragments = api.fragment_memory(machine, (i) => i % 2 === 1);
    expect(fragments.nr_pages).toBeGreaterThan(0);
    const buf = map_anon(current, 8 * PAGE_SIZE);
    fill_pattern(current, buf, 8 * PAGE_SIZE);
    for (const dir of [api.ITER_SOURCE, api.ITER_DEST] as const) {
      const seen: number[] = [];
      const iocb = { ki_pos: 0, ki_complete: () => void seen.push(left(machine)) };
      const iter = api.iov_iter_ubuf(dir, buf, 5 * PAGE_SIZE);
      api.blkdev_direct_IO(current, iocb, iter, disk, { references, order })._unsafeUnwrap();
      api.run_softirqs(machine);
      expect([seen, left(machine)]).toEqual([[found], 0]);
    }
  });
  test.each(["release first", "complete first"] as const)(
    "%s: what ki_complete() throws",
    (order) => {
      using machine = boot_for_test(MEM);
      const current = api.create_task(machine);
      using disk = must(api.brd_alloc(machine, 1 << 20));
      const iter = api.iov_iter_ubuf(api.ITER_DEST, map_anon(current, 8192), 8192);
      const ki_complete = (): void => {
        throw new Error("told");
      };
      api.blkdev_direct_IO(current, { ki_pos: 0, ki_complete }, iter, disk, { order });
      expect(() => api.run_softirqs(machine)).toThrow("told");
      expect(left(machine)).toBe(0);
    },
  );
});

describe.each(CONVENTIONS)("blkdev_direct_IO(), %s", (references) => {
  test("a short step, an error after it, an error of a later bio", () => {
    using machine = boot_for_test(MEM);
    const current = api.create_task(machine);
    using under = must(api.brd_alloc(machine, 1 << 21));
    using fragments = api.fragment_memory(machine, (i) => i % 2 === 1);
    expect(fragments.nr_pages).toBeGreaterThan(0);
    const len = 300 * PAGE_SIZE; // two bios, in requests of 16 pages
    expect(api.queue_limits_set(under, { max_sectors: 128 })).toBe(null);
    const buf = map_anon(current, len);
    const bytes = fill_pattern(current, buf, len);
    const write = (plan: api.FlakeyPlan): number | string => {
      using disk = api.dm_flakey(under, plan);
      const iter = api.iov_iter_ubuf(api.ITER_SOURCE, buf, len);
      const done = api.blkdev_direct_IO(current, { ki_pos: 0 }, iter, disk, { references });
      expect(left(machine)).toBe(0);
      return outcome(done);
    };
    for (const nr of [0, 1, 10, 18]) {
      expect(write((io) => (io.nr === nr ? { bytes: 4096, error: "EIO" } : null))).toBe("EIO");
    }
    expect(write(({ nr }) => ({ bytes: 4096 * (nr % 4), delay: (nr * 5) % 7 }))).toBe(len);
    expect(sha(disk_bytes(under).slice(0, len))).toBe(sha(bytes));
  });
  test("partial: a fault after some bytes is a short count, an error of the disk is none", () => {
    using machine = boot_for_test(MEM);
    const current = api.create_task(machine);
    using under = must(api.brd_alloc(machine, 1 << 16));
    const buf = map_anon(current, 4 * PAGE_SIZE);
    fill_pattern(current, buf, 4 * PAGE_SIZE);
    api.munmap(current, api.user_ptr_add(buf, 2 * PAGE_SIZE), PAGE_SIZE)._unsafeUnwrap();
    const extents = [
      { state: "mapped", bytes: 4096, addr: 0 },
      { state: "mapped", bytes: 12288, addr: 8192 },
    ] as const;
    const write = (bdev: api.BlockDevice, from: number): number | string => {
      const iter = api.iov_iter_ubuf(api.ITER_SOURCE, api.user_ptr_add(buf, from), 8192);
      const file = file_of(bdev, 16384, 4096, extents);
      const options = { references, partial: true };
      return outcome(api.iomap_dio_rw(current, { ki_pos: 0 }, iter, file, options));
    };
    expect(write(under, PAGE_SIZE)).toBe(PAGE_SIZE);
    expect(write(under, 2 * PAGE_SIZE)).toBe("EFAULT"); // nothing before it
    using bad = api.dm_flakey(under, () => ({ error: "EIO" }));
    expect(write(bad, PAGE_SIZE)).toBe("EIO");
    using second = api.dm_flakey(under, ({ nr }) => (nr === 1 ? { error: "EIO" } : null));
    expect(write(second, 0)).toBe("EIO"); // the first extent is through, the second is not
    expect(left(machine)).toBe(0);
  });
});

test.each(
  CONVENTIONS.flatMap((references) => [
    [4, references, "EFAULT"] as const,
    [16, references, 4096] as const,
  ]),
)(
  "a block of 4096 bytes in pieces of %i, %s: more pieces than a bio has segments",
  (len, references, expected) => {
    using machine = boot_for_test(MEM);
    const current = api.create_task(machine);
    using disk = must(api.brd_alloc(machine, 1 << 20));
    expect(api.queue_limits_set(disk, { logical_block_size: 4096, dma_alignment: 4 })).toBe(null);
    const nr = 4096 / len;
    const buf = map_anon(current, nr * 2 * PAGE_SIZE);
    const parts = Array.from({ length: nr }, (_, i) => [i * 2 * PAGE_SIZE, len] as const);
    const iter = iter_over(api.ITER_DEST, buf, parts);
    const done = api.blkdev_direct_IO(current, { ki_pos: 0 }, iter, disk, { references });
    expect([outcome(done), left(machine)]).toEqual([expected, 0]);
  },
);
