/** iomap_end(): what a file system is told of each run, and what it can make of a run that could not be submitted. */
import * as api from "user-page";
import { PAGE_SIZE } from "user-page";
import { describe, expect, test } from "vitest";
import { boot_for_test, fill_pattern, map_anon, must } from "../fixtures.js";
import { CONVENTIONS, file_of, fill_disk, left, outcome, pins, read_mem } from "./dio_world.js";

type Told = [pos: number, length: number, submitted: number, op: api.Op, type: api.Iomap["type"]];
function world(machine: api.Machine, answer: api.RunError | null) {
  const current = api.create_task(machine);
  const disk = must(api.brd_alloc(machine, 64 * PAGE_SIZE));
  const old = fill_disk(disk);
  const told: Told[] = [];
  const layout = [
    { state: "mapped", bytes: 4 * PAGE_SIZE, addr: 0 },
    { state: "hole", bytes: 2 * PAGE_SIZE, addr: 0 },
    { state: "mapped", bytes: 4 * PAGE_SIZE, addr: 8 * PAGE_SIZE },
  ] as const;
  const file: api.IomapFile = {
    ...file_of(disk, 10 * PAGE_SIZE, 4096, layout),
    iomap_end: (pos, length, submitted, op, map) => {
      told.push([pos, length, submitted, op, map.type]);
      return answer;
    },
  };
  const buf = map_anon(current, 16 * PAGE_SIZE);
  return { current, disk, file, told, buf, old };
}
const ENOTBLK = api.ERR_PTR("ENOTBLK", "the rest is buffered I/O's");

describe.each(CONVENTIONS)("iomap_end(), %s", (references) => {
  const options = { references, partial: true };
  test("is told each run, and of a run that was submitted nothing is asked", () => {
    using machine = boot_for_test();
    const { current, file, told, buf, old } = world(machine, ENOTBLK);
    const iter = api.iov_iter_ubuf(api.ITER_DEST, buf, 10 * PAGE_SIZE);
    const done = api.iomap_dio_rw(current, { ki_pos: PAGE_SIZE }, iter, file, options);
    expect(outcome(done)).toBe(9 * PAGE_SIZE);
    expect(told).toEqual([
      [PAGE_SIZE, 3 * PAGE_SIZE, 3 * PAGE_SIZE, "REQ_OP_READ", "IOMAP_MAPPED"],
      [4 * PAGE_SIZE, 2 * PAGE_SIZE, 2 * PAGE_SIZE, "REQ_OP_READ", "IOMAP_HOLE"],
      [6 * PAGE_SIZE, 4 * PAGE_SIZE, 4 * PAGE_SIZE, "REQ_OP_READ", "IOMAP_MAPPED"],
    ]);
    const now = read_mem(current, buf, 3 * PAGE_SIZE);
    expect(Buffer.compare(now, old.slice(PAGE_SIZE, 4 * PAGE_SIZE))).toBe(0);
  });
  test("ends a transfer short with ENOTBLK, and the iterator stands where buffered I/O goes on", () => {
    using machine = boot_for_test();
    const { current, file, told, buf } = world(machine, ENOTBLK);
    fill_pattern(current, buf, 6 * PAGE_SIZE);
    const iter = api.iov_iter_ubuf(api.ITER_DEST, buf, 10 * PAGE_SIZE);
    iter.nofault = true; // pages 6 to 9 were never touched
    expect(outcome(api.iomap_dio_rw(current, { ki_pos: 0 }, iter, file, options))).toBe(
      6 * PAGE_SIZE,
    );
    expect(told.at(-1)!.slice(1, 3)).toEqual([4 * PAGE_SIZE, 0]);
    expect([api.iov_iter_count(iter), left(machine)]).toEqual([4 * PAGE_SIZE, 0]);
    const nothing = api.iov_iter_ubuf(
      api.ITER_DEST,
      api.user_ptr_add(buf, 6 * PAGE_SIZE),
      4 * PAGE_SIZE,
    );
    nothing.nofault = true;
    const before = pins(machine);
    expect(outcome(api.iomap_dio_rw(current, { ki_pos: 0 }, nothing, file, options))).toBe(0);
    expect(pins(machine)).toEqual(before);
    // Without the file system's word it is the fault that counts.
    const plain: api.IomapFile = { ...file, iomap_end: () => null };
    expect(outcome(api.iomap_dio_rw(current, { ki_pos: 0 }, nothing, plain, options))).toBe(
      "EFAULT",
    );
  });
  test("has no run to end where iomap_begin() said ENOTBLK", () => {
    using machine = boot_for_test();
    const { current, file, told, buf } = world(machine, null);
    const inline: api.IomapFile = {
      ...file,
      iomap_begin: (pos, len, op) =>
        pos < 4 * PAGE_SIZE ? file.iomap_begin(pos, len, op) : ENOTBLK,
    };
    for (const [ki_pos, done] of [
      [0, 4 * PAGE_SIZE],
      [4 * PAGE_SIZE, 0],
    ] as const) {
      const iter = api.iov_iter_ubuf(api.ITER_DEST, buf, 6 * PAGE_SIZE);
      expect(outcome(api.iomap_dio_rw(current, { ki_pos }, iter, inline, options))).toBe(done);
      expect(api.iov_iter_count(iter)).toBe(6 * PAGE_SIZE - done);
    }
    expect([told.length, left(machine)]).toEqual([1, 0]);
  });
  test("may name another error, which counts where nothing of the run was submitted", () => {
    using machine = boot_for_test();
    const { current, file, buf } = world(machine, api.ERR_PTR("EIO", "no longer"));
    fill_pattern(current, buf, 4 * PAGE_SIZE);
    for (const begin of [0, 4]) {
      const at = api.user_ptr_add(buf, begin * PAGE_SIZE);
      const iter = api.iov_iter_ubuf(api.ITER_DEST, at, 10 * PAGE_SIZE);
      iter.nofault = true;
      const without_holes = { ...file, iomap_begin: () => ({ type, offset: 0, length, addr: 0 }) };
      const done = api.iomap_dio_rw(current, { ki_pos: 0 }, iter, without_holes, options);
      // By pages four of them are submitted; an extent is taken whole or not at all.
      const some = begin === 0 && references === "per page";
      expect(outcome(done)).toBe(some ? 4 * PAGE_SIZE : "EIO");
      expect(left(machine)).toBe(0);
    }
  });
});
const type = "IOMAP_MAPPED" as const;
const length = 10 * PAGE_SIZE;
