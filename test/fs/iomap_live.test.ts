/** Direct I/O on files where random cases on a live kernel answered otherwise than was thought: ends, alignment, holes. */
import * as api from "user-page";
import { describe, expect, test } from "vitest";
import { boot_for_test, fill_pattern, map_anon, must } from "../fixtures.js";
import {
  CONVENTIONS,
  disk_bytes,
  file_of,
  fill_disk,
  outcome,
  pins,
  read_mem,
  type Extent,
} from "./dio_world.js";

const BLOCK = 4096;
const MEMORY = 16 * BLOCK;
const mapped = (blocks: number, addr: number): Extent => ({
  state: "mapped",
  bytes: blocks * BLOCK,
  addr,
});
const hole = (blocks: number): Extent => ({ state: "hole", bytes: blocks * BLOCK, addr: 0 });

describe.each(CONVENTIONS)("%s", (references) => {
  function world(machine: api.Machine) {
    const current = api.create_task(machine);
    const disk = must(api.brd_alloc(machine, 1 << 20));
    const on_disk = fill_disk(disk);
    const buf = map_anon(current, MEMORY);
    const bytes = fill_pattern(current, buf, MEMORY);
    const io = (
      op: "dest" | "source",
      file: api.IomapFile,
      ki_pos: number,
      at: number,
      len: number,
    ): [outcome: number | string, moved: number] => {
      const iter = api.iov_iter_ubuf(op, api.user_ptr_add(buf, at), len);
      const done = api.iomap_dio_rw(current, { ki_pos }, iter, file, { references });
      return [outcome(done), len - iter.count];
    };
    const memory = (from: number, end: number): Uint8Array =>
      read_mem(current, api.user_ptr_add(buf, from), end - from);
    return { current, disk, on_disk, buf, bytes, io, memory };
  }

  test("a read fills the memory behind the end of the file with zeroes", () => {
    using machine = boot_for_test();
    const { disk, on_disk, bytes, io, memory } = world(machine);
    const file = file_of(disk, 5000, BLOCK, [mapped(2, 65536)]);
    expect(io("dest", file, 0, 0, 5 * BLOCK)).toEqual([5000, 5000]);
    expect(memory(0, 2 * BLOCK)).toEqual(on_disk.slice(65536, 65536 + 2 * BLOCK));
    expect(memory(2 * BLOCK, 5 * BLOCK)).toEqual(new Uint8Array(3 * BLOCK));
    expect(memory(5 * BLOCK, 6 * BLOCK)).toEqual(bytes.slice(5 * BLOCK, 6 * BLOCK));
    expect(pins(machine)).toEqual([2, 2]); // nothing of the zeroes is pinned
  });
  test("a read that begins at the end or behind it touches nothing, however it is aligned", () => {
    using machine = boot_for_test();
    const { disk, bytes, io, memory } = world(machine);
    const file = file_of(disk, BLOCK, BLOCK, [mapped(1, 65536)]);
    expect(io("dest", file, BLOCK, 0, BLOCK)).toEqual([0, 0]);
    expect(io("dest", file, BLOCK + 243, 0, 700)).toEqual([0, 0]);
    expect(memory(0, BLOCK)).toEqual(bytes.slice(0, BLOCK));
    expect(pins(machine)).toEqual([0, 0]);
  });
  test("memory that ends where the file does is a fault", () => {
    using machine = boot_for_test();
    const { current, disk, buf, on_disk, io, memory } = world(machine);
    api.munmap(current, api.user_ptr_add(buf, 2 * BLOCK), BLOCK)._unsafeUnwrap();
    const file = file_of(disk, 2 * BLOCK, BLOCK, [mapped(2, 65536)]);
    expect(io("dest", file, 0, 0, 2 * BLOCK)).toEqual([2 * BLOCK, 2 * BLOCK]);
    expect(io("dest", file, 0, 0, 3 * BLOCK)).toEqual(["EFAULT", 2 * BLOCK]);
    expect(memory(0, 2 * BLOCK)).toEqual(on_disk.slice(65536, 65536 + 2 * BLOCK));
  });
  test("a hole is read at any position, with any length", () => {
    using machine = boot_for_test();
    const { disk, bytes, io, memory } = world(machine);
    const file = file_of(disk, 4 * BLOCK, BLOCK, [hole(2), mapped(2, 65536)]);
    expect(io("dest", file, 243, 512, 1001)).toEqual([1001, 1001]);
    expect(memory(512, 1513)).toEqual(new Uint8Array(1001));
    expect(memory(1513, 2000)).toEqual(bytes.slice(1513, 2000));
    expect(pins(machine)).toEqual([0, 0]);
  });
  test("each run is refused by itself: what lies before was transferred", () => {
    using machine = boot_for_test();
    const { disk, on_disk, bytes, io, memory } = world(machine);
    const file = file_of(disk, 4 * BLOCK, BLOCK, [mapped(1, 65536), hole(1), mapped(2, 131072)]);
    // The last run would get 100 bytes.
    expect(io("dest", file, 0, 0, 2 * BLOCK + 100)).toEqual(["EINVAL", 2 * BLOCK]);
    expect(memory(0, BLOCK)).toEqual(on_disk.slice(65536, 65536 + BLOCK));
    expect(memory(BLOCK, 2 * BLOCK)).toEqual(new Uint8Array(BLOCK));
    expect(memory(2 * BLOCK, 3 * BLOCK)).toEqual(bytes.slice(2 * BLOCK, 3 * BLOCK));
    expect(pins(machine)).toEqual([1, 1]);
    // Behind the end of the file the length does not matter.
    expect(io("dest", file, 2 * BLOCK, 0, 3 * BLOCK + 7)).toEqual([2 * BLOCK, 2 * BLOCK]);
    expect(memory(2 * BLOCK, 3 * BLOCK + 7)).toEqual(new Uint8Array(BLOCK + 7));
  });
  test("a write of an odd length is refused in its last run", () => {
    using machine = boot_for_test();
    const { disk, on_disk, bytes, io } = world(machine);
    const ended: Array<readonly [number, number]> = [];
    const layout = [mapped(1, 65536), mapped(1, 131072)];
    const file = file_of(disk, 2 * BLOCK, BLOCK, layout, ended);
    expect(io("source", file, 0, 0, BLOCK + 100)).toEqual(["EINVAL", BLOCK]);
    expect(ended).toEqual([]);
    const want = on_disk.slice();
    want.set(bytes.slice(0, BLOCK), 65536);
    expect(disk_bytes(disk)).toEqual(want);
  });
  test("a bio that is refused stops the next one, and not a hole between", () => {
    using machine = boot_for_test();
    const { disk, bytes, io, memory } = world(machine);
    const layout = [mapped(2, 65536), hole(1), mapped(1, 131072)];
    const file = file_of(disk, 4 * BLOCK, BLOCK, layout);
    const at = 100; // the memory is not aligned, and crosses pages
    expect(io("dest", file, 0, at, 4 * BLOCK)[0]).toBe("EINVAL");
    expect(memory(at, at + 2 * BLOCK)).toEqual(bytes.slice(at, at + 2 * BLOCK));
    expect(memory(at + 2 * BLOCK, at + 3 * BLOCK)).toEqual(new Uint8Array(BLOCK));
    expect(memory(at + 3 * BLOCK, at + 4 * BLOCK)).toEqual(
      bytes.slice(at + 3 * BLOCK, at + 4 * BLOCK),
    );
    const [acquired, released] = pins(machine);
    expect([acquired, released]).toEqual([3, 3]); // of the first run only
  });
});
