/** Bytes to a disk and back, by extents and by pages; the rules of Linux 6.18 for what is pinned and what comes back. */
import { createHash } from "node:crypto";
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import * as api from "user-page";
import { PAGE_SIZE, type Op, type UserAddr } from "user-page";
import { afterAll, describe, expect, test } from "vitest";
import { boot_for_test, fill_pattern, map_anon, must, pattern_of } from "../fixtures.js";

const folder = mkdtempSync(join(tmpdir(), "user-page-"));
afterAll(() => {
  rmSync(folder, { recursive: true });
});
const sha = (bytes: Uint8Array): string => createHash("sha256").update(bytes).digest("hex");
const MEM = { mem: 32 << 20 };
const CALLS = { direct_io: api.direct_io, direct_io_pages: api.direct_io_pages };
const names = Object.keys(CALLS) as Array<keyof typeof CALLS>;
const pins = (machine: api.Machine): number[] => {
  const s = api.vmstat(machine);
  return [s.nr_foll_pin_acquired, s.nr_foll_pin_released];
};
const read = (current: api.Task, from: UserAddr, bytes: number): Uint8Array => {
  const to = new Uint8Array(bytes);
  api.copy_from_user(current, to, from)._unsafeUnwrap();
  return to;
};

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
    expect(sha(read(current, dst, len))).toBe(sha(bytes));
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
    expect(sha(read(current, buf, 99_488))).toBe(sha(bytes.slice(512)));
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
      expect(pins(machine)).toEqual([before! + touched, before! + touched]);
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
    expect(result("REQ_OP_READ", 1, 512, 0)).toBe(name === "direct_io" ? "EINVAL" : 512);
    expect(pins(machine)[0]).toBe(pins(machine)[1]);
  });
  test("a disk that fails: EIO, and all is released", () => {
    using machine = boot_for_test(MEM);
    const current = api.create_task(machine);
    const path = join(folder, `${name}-ro`);
    writeFileSync(path, pattern_of(8192));
    using disk = must(api.loop_configure(machine, path, true));
    const buf = map_anon(current, 8192);
    fill_pattern(current, buf, 8192);
    const failed = io(current, disk, "REQ_OP_WRITE", buf, 8192, 0);
    expect(failed._unsafeUnwrapErr().errno).toBe("EIO");
    expect(pins(machine)[0]).toBe(pins(machine)[1]);
    expect(sha(readFileSync(path))).toBe(sha(pattern_of(8192)));
  });
});

test("R5: by pages, a misaligned range is pinned first, one bio of it, and then refused", () => {
  using machine = boot_for_test(MEM);
  const current = api.create_task(machine);
  using disk = must(api.brd_alloc(machine, 4 << 20));
  const buf = map_anon(current, 4 << 20);
  const io = (pages: number) =>
    api.direct_io_pages(
      current,
      disk,
      "REQ_OP_READ",
      api.user_ptr_add(buf, 16),
      pages * PAGE_SIZE,
      0,
    );
  expect(io(8)._unsafeUnwrapErr().errno).toBe("EINVAL");
  expect(pins(machine)).toEqual([9, 9]);
  expect(io(300)._unsafeUnwrapErr().errno).toBe("EINVAL");
  expect(pins(machine)).toEqual([9 + 256, 9 + 256]);
});
describe("R7: a fault after k good pages", () => {
  test.each([
    [8, "block device", 5 * PAGE_SIZE],
    [8, "iomap", "EFAULT"],
    [512, "block device", "EFAULT"],
  ] as const)("%i pages, %s: %s", (pages, rule, expected) => {
    using machine = boot_for_test(MEM);
    const current = api.create_task(machine);
    using disk = must(api.brd_alloc(machine, 4 << 20));
    const buf = map_anon(current, pages * PAGE_SIZE);
    const bytes = fill_pattern(current, buf, pages * PAGE_SIZE);
    const k = pages - 3;
    api.munmap(current, api.user_ptr_add(buf, k * PAGE_SIZE), PAGE_SIZE)._unsafeUnwrap();
    const done = api.direct_io_pages(
      current,
      disk,
      "REQ_OP_WRITE",
      buf,
      pages * PAGE_SIZE,
      0,
      rule,
    );
    expect(done.isOk() ? done.value : done.error.errno).toBe(expected);
    expect(pins(machine)).toEqual([k, k]);
    // The good pages were transferred either way.
    const back = map_anon(current, pages * PAGE_SIZE);
    api.direct_io(current, disk, "REQ_OP_READ", back, k * PAGE_SIZE, 0)._unsafeUnwrap();
    expect(sha(read(current, back, k * PAGE_SIZE))).toBe(sha(bytes.slice(0, k * PAGE_SIZE)));
    // By extents: all or nothing.
    const all = api.direct_io(current, disk, "REQ_OP_READ", buf, pages * PAGE_SIZE, 0);
    expect(all._unsafeUnwrapErr().errno).toBe("EFAULT");
  });
});
test("in flight: all pinned until the disk ends it, whatever becomes of the mapping", () => {
  using machine = boot_for_test(MEM);
  const current = api.create_task(machine);
  using disk = must(api.brd_alloc(machine, 4 << 20));
  const buf = map_anon(current, 300 * PAGE_SIZE);
  let told: number | undefined;
  const iocb = {
    ki_complete: (r: { unwrapOr(n: number): number }) => void (told = r.unwrapOr(-1)),
  };
  const start = api.vmstat(machine).nr_free_pages;
  const len = 300 * PAGE_SIZE;
  const sent = api.direct_io_pages_async(current, iocb, disk, "REQ_OP_READ", buf, len, 0);
  expect([sent._unsafeUnwrap(), told, ...pins(machine)]).toEqual([len, undefined, 300, 0]);
  api.exit_task(current);
  expect(api.vmstat(machine).nr_free_pages).toBe(start - 300);
  expect(api.run_softirqs(machine)).toBe(2);
  expect([told, ...pins(machine), api.vmstat(machine).nr_free_pages]).toEqual([
    len,
    300,
    300,
    start,
  ]);
});
