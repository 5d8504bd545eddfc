/** The drivers of the comparison move the right bytes: what they count is not all they do. */
import * as api from "user-page";
import { PAGE_SIZE } from "user-page";
import { describe, expect, test } from "vitest";
import { btrfs_io } from "../../conform/drivers/btrfs.js";
import { PageCache } from "../../conform/drivers/page_cache.js";
import { Pipe } from "../../conform/drivers/pipe.js";
import { mem_read, mlock, move_pages_query } from "../../conform/drivers/unpinned.js";
import { OpenFile } from "../../conform/open_file.js";
import type { FileLayout } from "../../conform/scenario.js";
import { boot_for_test, fill_pattern, map_anon, must } from "../fixtures.js";
import { disk_bytes, fill_disk, left, pins, read_mem } from "../fs/dio_world.js";

const PAGES = 12;
const BYTES = PAGES * PAGE_SIZE;
const same = (a: Uint8Array, b: Uint8Array): boolean => Buffer.compare(a, b) === 0;
const written = (size: number): FileLayout => ({
  size,
  extents: [{ bytes: Math.ceil(size / PAGE_SIZE) * PAGE_SIZE, state: "written" }],
});
function world(layout = written(BYTES)) {
  const machine = boot_for_test({ mem: 16 << 20 });
  const current = api.create_task(machine);
  const disk = must(api.brd_alloc(machine, BYTES));
  const old = fill_disk(disk);
  const cache = new PageCache(disk, layout);
  const buf = map_anon(current, BYTES);
  const at = (pages: number): api.UserAddr => api.user_ptr_add(buf, pages * PAGE_SIZE);
  const read = (addr: api.UserAddr, bytes: number, pos: number) =>
    btrfs_io(current, disk, cache, layout, api.iov_iter_ubuf("dest", addr, bytes), pos);
  const write = (addr: api.UserAddr, bytes: number, pos: number) =>
    btrfs_io(current, disk, cache, layout, api.iov_iter_ubuf("source", addr, bytes), pos);
  const mem = (addr: api.UserAddr, bytes: number) => read_mem(current, addr, bytes);
  return { machine, current, disk, old, cache, buf, at, read, write, mem };
}
/** Nothing is left behind. */
function end({ machine, cache }: { machine: api.Machine; cache?: PageCache }): void {
  cache?.drop();
  expect(left(machine)).toBe(0);
  const { leaks, lost_pages } = api.shutdown(machine);
  expect([leaks.length, lost_pages]).toEqual([0, 0]);
}

describe("btrfs", () => {
  test("pins what is there, then what it faulted in", () => {
    const w = world();
    fill_pattern(w.current, w.at(0), PAGE_SIZE);
    expect(w.read(w.buf, 8 * PAGE_SIZE, 2 * PAGE_SIZE)).toBe(8 * PAGE_SIZE);
    expect(pins(w.machine)).toEqual([8, 8]);
    expect(same(w.mem(w.buf, 8 * PAGE_SIZE), w.old.slice(2 * PAGE_SIZE, 10 * PAGE_SIZE))).toBe(
      true,
    );
    end(w);
  });
  test("copies where nothing is there yet, and where anything is not aligned", () => {
    for (const [offset, bytes, pos] of [
      [0, 2 * PAGE_SIZE, 0],
      [16, 2 * PAGE_SIZE, 0],
      [0, 5000, PAGE_SIZE],
      [0, PAGE_SIZE, 512],
    ] as const) {
      const w = world();
      if (offset !== 0) fill_pattern(w.current, w.buf, 3 * PAGE_SIZE);
      const to = api.user_ptr_add(w.buf, offset);
      expect(w.read(to, bytes, pos)).toBe(bytes);
      expect(pins(w.machine)).toEqual([0, 0]);
      expect(same(w.mem(to, bytes), w.old.slice(pos, pos + bytes))).toBe(true);
      end(w);
    }
  });
  test("ends short at memory that cannot be written, of a hole too; EFAULT where that is all", () => {
    const hole: FileLayout = { size: BYTES, extents: [{ bytes: BYTES, state: "hole" }] };
    for (const layout of [written(BYTES), hole]) {
      const w = world(layout);
      const bytes = fill_pattern(w.current, w.buf, 4 * PAGE_SIZE);
      api.munmap(w.current, w.at(3), PAGE_SIZE)._unsafeUnwrap();
      expect(w.read(w.at(1), 4 * PAGE_SIZE, 0)).toBe(2 * PAGE_SIZE);
      const want = layout === hole ? new Uint8Array(2 * PAGE_SIZE) : w.old.slice(0, 2 * PAGE_SIZE);
      expect(same(w.mem(w.at(1), 2 * PAGE_SIZE), want)).toBe(true);
      expect(same(w.mem(w.buf, PAGE_SIZE), bytes.slice(0, PAGE_SIZE))).toBe(true);
      expect(w.read(w.at(3), PAGE_SIZE, 0)).toBe("EFAULT");
      expect(w.write(w.at(3), PAGE_SIZE, 0)).toBe("EFAULT");
      end(w);
    }
  });
  test("writes through the page cache to the disk, around what it does not write", () => {
    const w = world();
    const bytes = fill_pattern(w.current, w.buf, 3 * PAGE_SIZE, 7);
    expect(w.write(api.user_ptr_add(w.buf, 10), 5000, 3 * PAGE_SIZE + 100)).toBe(5000);
    expect(pins(w.machine)).toEqual([0, 0]);
    const want = w.old.slice();
    want.set(bytes.slice(10, 5010), 3 * PAGE_SIZE + 100);
    expect(same(disk_bytes(w.disk), want)).toBe(true);
    // A direct read sees it.
    expect(w.read(w.buf, 2 * PAGE_SIZE, 3 * PAGE_SIZE)).toBe(2 * PAGE_SIZE);
    expect(pins(w.machine)).toEqual([2, 2]);
    expect(same(w.mem(w.buf, 2 * PAGE_SIZE), want.slice(3 * PAGE_SIZE, 5 * PAGE_SIZE))).toBe(true);
    end(w);
  });
  test("has no block for a small file, and no bytes behind its end", () => {
    const inline = world(written(100));
    fill_pattern(inline.current, inline.buf, PAGE_SIZE);
    expect(inline.read(inline.buf, PAGE_SIZE, 0)).toBe(100);
    expect(pins(inline.machine)).toEqual([0, 0]);
    expect(same(inline.mem(inline.buf, 100), inline.old.slice(0, 100))).toBe(true);
    end(inline);
    const longer = world(written(5000));
    fill_pattern(longer.current, longer.buf, PAGE_SIZE);
    expect(longer.read(longer.buf, PAGE_SIZE, PAGE_SIZE)).toBe(904);
    expect(longer.read(longer.buf, PAGE_SIZE, 2 * PAGE_SIZE)).toBe(0);
    expect(pins(longer.machine)).toEqual([1, 1]);
    end(longer);
  });
});

describe("a page cache", () => {
  test("keeps what is dirty until it is written back, and only then lets it go", () => {
    const w = world();
    fill_pattern(w.current, w.buf, PAGE_SIZE, 5);
    const bytes = w.mem(w.buf, 100);
    const iter = api.iov_iter_ubuf("source", w.buf, 100);
    expect(w.cache.write(w.current, iter, PAGE_SIZE)).toBe(100);
    expect(same(disk_bytes(w.disk), w.old)).toBe(true);
    w.cache.invalidate();
    expect(w.cache.write_and_wait(w.current)).toBe(null);
    w.cache.invalidate();
    const want = w.old.slice();
    want.set(bytes, PAGE_SIZE);
    expect(same(disk_bytes(w.disk), want)).toBe(true);
    const to = api.iov_iter_ubuf("dest", w.at(1), 2 * PAGE_SIZE);
    expect(w.cache.read(w.current, to, 0)).toBe(2 * PAGE_SIZE);
    expect(same(w.mem(w.at(1), 2 * PAGE_SIZE), want.slice(0, 2 * PAGE_SIZE))).toBe(true);
    end(w);
  });
  test("is written back before a direct read, and emptied before a direct write", () => {
    const w = world();
    const file = new OpenFile(w.disk, undefined);
    const io = (op: api.Op, addr: api.UserAddr, direct: boolean) =>
      direct
        ? file.direct_io(w.current, "file", op, [{ addr, len: PAGE_SIZE }], 0)
        : file.buffered_io(w.current, "file", op, [{ addr, len: PAGE_SIZE }], 0);
    const [first, second] = [1, 2].map((seed) =>
      fill_pattern(w.current, w.at(seed), PAGE_SIZE, seed),
    );
    io("REQ_OP_WRITE", w.at(1), false);
    expect(same(disk_bytes(w.disk), w.old)).toBe(true);
    io("REQ_OP_READ", w.at(5), true);
    expect(same(w.mem(w.at(5), PAGE_SIZE), first!)).toBe(true);
    io("REQ_OP_WRITE", w.at(2), true);
    io("REQ_OP_READ", w.at(6), false);
    expect(same(w.mem(w.at(6), PAGE_SIZE), second!)).toBe(true);
    file.close();
    expect(() => io("REQ_OP_READ", w.at(6), true)).toThrow(/closed/);
    end(w);
  });
});

describe("a pipe", () => {
  test("holds the pages themselves after vmsplice(), and copies after write()", () => {
    const w = world();
    const bytes = fill_pattern(w.current, w.buf, 2 * PAGE_SIZE);
    const part = { addr: api.user_ptr_add(w.buf, 100), len: PAGE_SIZE };
    const drain = (call: "vmsplice" | "write"): Uint8Array => {
      const pipe = new Pipe(w.current, PAGE_SIZE);
      expect(pipe[call](part)).toBe(PAGE_SIZE);
      api.copy_to_user(w.current, part.addr, new Uint8Array([1, 2, 3]))._unsafeUnwrap();
      expect(pipe.read({ addr: w.at(4), len: PAGE_SIZE }, false)).toBe(PAGE_SIZE);
      pipe.close();
      api.copy_to_user(w.current, w.buf, bytes)._unsafeUnwrap();
      return w.mem(w.at(4), PAGE_SIZE);
    };
    const was = bytes.slice(100, 100 + PAGE_SIZE);
    expect(same(drain("write"), was)).toBe(true);
    const now = was.slice();
    now.set([1, 2, 3]);
    expect(same(drain("vmsplice"), now)).toBe(true);
    expect(pins(w.machine)).toEqual([0, 0]);
    end(w);
  });
  test("gives one packet, or all, and the pages of a file", () => {
    const w = world();
    const bytes = fill_pattern(w.current, w.buf, 3 * PAGE_SIZE);
    const pipe = new Pipe(w.current, 3 * PAGE_SIZE);
    expect(pipe.write({ addr: w.buf, len: 3 * PAGE_SIZE })).toBe(3 * PAGE_SIZE);
    const to = { addr: w.at(5), len: 3 * PAGE_SIZE };
    expect(pipe.read(to, true)).toBe(PAGE_SIZE);
    expect(pipe.read(to, false)).toBe(2 * PAGE_SIZE);
    expect(same(w.mem(w.at(5), 2 * PAGE_SIZE), bytes.slice(PAGE_SIZE))).toBe(true);
    expect(pipe.splice(w.cache, 100, PAGE_SIZE)).toBe(PAGE_SIZE);
    const copy = new PageCache(null, { size: 0, extents: [] });
    expect(pipe.write_to(copy, 7, PAGE_SIZE)).toBe(PAGE_SIZE);
    expect(copy.i_size).toBe(PAGE_SIZE + 7);
    const iter = api.iov_iter_ubuf("dest", w.at(5), 2 * PAGE_SIZE);
    expect(copy.read(w.current, iter, 7)).toBe(PAGE_SIZE);
    expect(same(w.mem(w.at(5), PAGE_SIZE), w.old.slice(100, 100 + PAGE_SIZE))).toBe(true);
    copy.drop();
    pipe.close();
    end(w);
  });
});

describe("calls without pins", () => {
  test("/proc/self/mem reads what the program may not, and ends short at a hole", () => {
    const w = world();
    const bytes = fill_pattern(w.current, w.buf, 3 * PAGE_SIZE);
    api.mprotect(w.current, w.at(1), PAGE_SIZE, api.PROT_NONE)._unsafeUnwrap();
    api.munmap(w.current, w.at(3), PAGE_SIZE)._unsafeUnwrap();
    const from = api.user_ptr_add(w.buf, 100);
    const got = mem_read(w.current, w.current.mm, from, w.at(6), 4 * PAGE_SIZE);
    expect(got).toBe(3 * PAGE_SIZE - 100);
    expect(same(w.mem(w.at(6), 3 * PAGE_SIZE - 100), bytes.slice(100))).toBe(true);
    expect(mem_read(w.current, w.current.mm, w.at(3), w.at(6), 8)).toBe("EIO");
    end(w);
  });
  test("mlock() charges and faults in; move_pages() only looks", () => {
    const w = world();
    const faults = (): number => api.vmstat(w.machine).pgfault;
    const before = faults();
    expect(move_pages_query(w.current, w.buf, BYTES)).toBe(0);
    expect(faults()).toBe(before);
    expect(mlock(w.current, w.buf, BYTES)).toBe(0);
    expect(faults()).toBe(before + PAGES);
    api.setrlimit(w.current, api.RLIMIT_MEMLOCK, BYTES)._unsafeUnwrap();
    expect(mlock(w.current, w.buf, PAGE_SIZE)).toBe("ENOMEM");
    end(w);
  });
});
