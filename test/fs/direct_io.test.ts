/** Bytes to a disk and back, by extents and by pages; the rules of Linux 6.18 for what is pinned and what comes back. */
import { createHash } from "node:crypto";
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import * as api from "user-page";
import { PAGE_SIZE, type Op } from "user-page";
import { afterAll, describe, expect, test } from "vitest";
import { boot_for_test, fill_pattern, map_anon, must, pattern_of } from "../fixtures.js";
import { disk_bytes, file_of, outcome, pins, read_mem } from "./dio_world.js";

const folder = mkdtempSync(join(tmpdir(), "user-page-"));
afterAll(() => {
  rmSync(folder, { recursive: true });
});
const sha = (bytes: Uint8Array): string => createHash("sha256").update(bytes).digest("hex");
const MEM = { mem: 32 << 20 };
const CALLS = { direct_io: api.direct_io, direct_io_pages: api.direct_io_pages };
const names = Object.keys(CALLS) as Array<keyof typeof CALLS>;
describe.each(names)("%s()", (name) => {
  const io = CALLS[name];
  test.each(["small", "huge", "fragmented"])("%s pages: what was written comes back", (kind) => {
    using machine = boot_for_test(MEM);
    const current = api.create_task(machine);
    using disk = must(api.brd_alloc(machine, 8 << 20));
    using fragments =
      kind === "fragmented" ? api.fragment_memory(machine, (i) => i % 2 === 1) : null;
    expect(fragments?.nr_pages).not.toBe(0);
    const len = (4 << 20) + 3 * 512; // no number of pages, more than one bio
    const [from, to] = [map_anon(current, 6 << 20), map_anon(current, 6 << 20)];
    if (kind === "huge") {
      for (const buf of [from, to]) api.madvise(current, buf, 6 << 20, api.MADV_HUGEPAGE);
    }
    const src = api.user_ptr_add(from, 512);
    const dst = api.user_ptr_add(to, 1024);
    const bytes = fill_pattern(current, src, len, 77);
    expect(io(current, disk, "REQ_OP_WRITE", src, len, 2048)._unsafeUnwrap()).toBe(len);
    expect(io(current, disk, "REQ_OP_READ", dst, len, 2048)._unsafeUnwrap()).toBe(len);
    expect(sha(read_mem(current, dst, len))).toBe(sha(bytes));
    const [acquired, released] = pins(machine);
    expect(acquired).toBe(released);
    if (name === "direct_io_pages") expect(acquired).toBe(2 * 1025);
    else if (kind === "huge") expect(acquired).toBeLessThanOrEqual(6);
  });
  test("a real file, of an odd length", () => {
    using machine = boot_for_test(MEM);
    const current = api.create_task(machine);
    const path = join(folder, name);
    const bytes = pattern_of(100_000, 5);
    writeFileSync(path, bytes);
    using disk = must(api.loop_configure(machine, path));
    expect(disk.size).toBe(100_352);
    const buf = map_anon(current, 1 << 20);
    // The end of the disk cuts a read; the last sector is filled up with zeroes.
    expect(io(current, disk, "REQ_OP_READ", buf, 1 << 17, 512)._unsafeUnwrap()).toBe(99_840);
    expect(sha(read_mem(current, buf, 99_488))).toBe(sha(bytes.slice(512)));
    const more = fill_pattern(current, buf, 8192, 9);
    expect(io(current, disk, "REQ_OP_WRITE", buf, 8192, 4096)._unsafeUnwrap()).toBe(8192);
    disk[Symbol.dispose]();
    expect(sha(readFileSync(path).subarray(4096, 12288))).toBe(sha(more));
  });
  test("R1: pages the range touches; R5: what is not aligned; the end of the disk", () => {
    using machine = boot_for_test(MEM);
    const current = api.create_task(machine);
    using disk = must(api.brd_alloc(machine, 1 << 16));
    const buf = map_anon(current, 1 << 20);
    fill_pattern(current, buf, 1 << 17);
    const result = (op: Op, at: number, len: number, position: number): number | string => {
      const done = io(current, disk, op, api.user_ptr_add(buf, at), len, position);
      return done.isOk() ? done.value : done.error.errno;
    };
    for (const [at, len, touched] of [
      [0, 4096, 1],
      [512, 4096, 2],
      [3584, 1024, 2],
      [512, 8192, 3],
    ] as const) {
      const [before] = pins(machine);
      expect(result("REQ_OP_READ", at, len, 0)).toBe(len);
      expect(pins(machine)).toEqual([before + touched, before + touched]);
    }
    const [before] = pins(machine);
    expect(result("REQ_OP_READ", 0, 1000, 0)).toBe("EINVAL");
    expect(result("REQ_OP_READ", 0, 512, 100)).toBe("EINVAL");
    expect(result("REQ_OP_WRITE", 0, 512, 1 << 16)).toBe("ENOSPC");
    expect(result("REQ_OP_READ", 0, 512, 1 << 16)).toBe(0);
    expect(result("REQ_OP_READ", 0, 0, 0)).toBe(0);
    expect(pins(machine)).toEqual([before, before]);
    expect(result("REQ_OP_WRITE", 0, 1 << 17, 0)).toBe(1 << 16);
    expect(result("REQ_OP_READ", 16, 4096, 0)).toBe("EINVAL");
    expect(result("REQ_OP_READ", 1, 512, 0)).toBe(512);
    expect(pins(machine)[0]).toBe(pins(machine)[1]);
  });
  test("a disk that fails: EIO, and all is released", () => {
    using machine = boot_for_test(MEM);
    const current = api.create_task(machine);
    const path = join(folder, `${name}-ro`);
    writeFileSync(path, pattern_of(8192));
    using disk = must(api.loop_configure(machine, path, api.LO_FLAGS_READ_ONLY));
    const buf = map_anon(current, 8192);
    fill_pattern(current, buf, 8192);
    const failed = io(current, disk, "REQ_OP_WRITE", buf, 8192, 0);
    expect(failed._unsafeUnwrapErr().errno).toBe("EIO");
    expect(pins(machine)[0]).toBe(pins(machine)[1]);
    expect(sha(readFileSync(path))).toBe(sha(pattern_of(8192)));
  });
});

describe("R5: by pages, a misaligned range is pinned first, one bio of it, and then refused", () => {
  test.each([true, false])("memory in one piece: %s", (contiguous) => {
    using machine = boot_for_test(MEM);
    const current = api.create_task(machine);
    using disk = must(api.brd_alloc(machine, 4 << 20));
    using fragments = contiguous ? null : api.fragment_memory(machine, (i) => i % 2 === 1);
    expect(fragments?.nr_pages).not.toBe(0);
    const buf = map_anon(current, 4 << 20);
    fill_pattern(current, buf, 4 << 20); // one after the other: their frames follow each other
    const at = api.user_ptr_add(buf, 16);
    const io = (pages: number) =>
      outcome(api.direct_io_pages(current, disk, "REQ_OP_READ", at, pages * PAGE_SIZE, 0));
    expect(io(8)).toBe("EINVAL");
    expect(pins(machine)).toEqual([9, 9]);
    expect(io(300)).toBe("EINVAL");
    // Neighbours are one segment: the bio has room for all of them.
    const pinned = 9 + (contiguous ? 301 : 256);
    expect(pins(machine)).toEqual([pinned, pinned]);
    // Length and position are looked at before.
    const direct = (len: number, position: number) =>
      outcome(api.direct_io_pages(current, disk, "REQ_OP_READ", buf, len, position));
    expect([direct(1000, 0), direct(512, 100)]).toEqual(["EINVAL", "EINVAL"]);
    expect(pins(machine)).toEqual([pinned, pinned]);
  });
});
describe("R7: a fault after k good pages", () => {
  test.each([
    [8, "disk", 5 * PAGE_SIZE],
    [8, "file", "EFAULT"],
    [256, "disk", 253 * PAGE_SIZE],
    [257, "disk", "EFAULT"],
    [512, "disk", "EFAULT"],
  ] as const)("%i pages, %s: %s", (pages, target, expected) => {
    using machine = boot_for_test(MEM);
    const current = api.create_task(machine);
    using disk = must(api.brd_alloc(machine, 4 << 20));
    const len = pages * PAGE_SIZE;
    const buf = map_anon(current, len);
    const bytes = fill_pattern(current, buf, len);
    const k = pages - 3;
    api.munmap(current, api.user_ptr_add(buf, k * PAGE_SIZE), PAGE_SIZE)._unsafeUnwrap();
    const iter = api.iov_iter_ubuf(api.ITER_SOURCE, buf, len);
    const file = file_of(disk, len, 512, [{ state: "mapped", bytes: len, addr: 0 }]);
    const options = { references: "per page" } as const;
    const done =
      target === "disk"
        ? api.blkdev_direct_IO(current, { ki_pos: 0 }, iter, disk, options)
        : api.iomap_dio_rw(current, { ki_pos: 0 }, iter, file, options);
    expect(outcome(done)).toBe(expected);
    expect(iter.count).toBe(3 * PAGE_SIZE);
    expect(pins(machine)).toEqual([k, k]);
    // The good pages were transferred either way.
    expect(sha(disk_bytes(disk).slice(0, k * PAGE_SIZE))).toBe(sha(bytes.slice(0, k * PAGE_SIZE)));
    expect(
      disk_bytes(disk)
        .slice(k * PAGE_SIZE)
        .every((byte) => byte === 0),
    ).toBe(true);
    // By extents: all or nothing.
    const all = api.iov_iter_ubuf(api.ITER_DEST, buf, len);
    expect(outcome(api.blkdev_direct_IO(current, { ki_pos: 0 }, all, disk))).toBe("EFAULT");
    expect(all.count).toBe(len);
  });
});
