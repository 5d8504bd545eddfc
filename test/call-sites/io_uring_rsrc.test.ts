/** Fixed buffers: registration as a live kernel counts it (rule R10), transfers without a reference, every way out. */
import {
  brd_alloc,
  copy_from_user,
  create_task,
  madvise,
  MADV_HUGEPAGE,
  munmap,
  PAGE_SIZE,
  PMD_SIZE,
  user_ptr_add,
  type BlockDevice,
  type Machine,
  type Task,
  type UserAddr,
} from "user-page";
import { describe, expect, test } from "vitest";
import * as converted from "../../call-sites/io_uring_rsrc/converted.js";
import * as legacy from "../../call-sites/io_uring_rsrc/legacy.js";
import { boot_for_test, debug_mode, fill_pattern, map_anon, must } from "../fixtures.js";
import { errno_name, left_over, NOTHING, pins } from "./device.js";

interface Bench {
  readonly machine: Machine;
  readonly current: Task;
  readonly disk: BlockDevice;
  /** 4 MiB: two huge pages, or the first one huge, or none */
  readonly addr: UserAddr;
}
function bench(huge: number): Bench {
  const machine = boot_for_test();
  const current = create_task(machine);
  const disk = must(brd_alloc(machine, 4 << 20));
  const addr = map_anon(current, 2 * PMD_SIZE);
  if (huge > 0) madvise(current, addr, huge * PMD_SIZE, MADV_HUGEPAGE)._unsafeUnwrap();
  fill_pattern(current, addr, 2 * PMD_SIZE);
  return { machine, current, disk, addr };
}
type Ranges = ReadonlyArray<readonly [start: number, len: number]>;
const iovs_of = (addr: UserAddr, ranges: Ranges) =>
  ranges.map(([start, len]) => ({ iov_base: user_ptr_add(addr, start), iov_len: len }));

/** what, huge pages, buffers, and of each form: registered pins and those given back, then the pins the end gives back */
const COUNTED: ReadonlyArray<
  readonly [string, number, Ranges, [number, number, number], [number, number, number]]
> = [
  ["64 small pages", 0, [[0, 64 * PAGE_SIZE]], [64, 0, 64], [64, 0, 64]],
  ["a huge page", 2, [[0, PMD_SIZE]], [512, 511, 1], [1, 0, 1]],
  ["8 pages of a huge page", 2, [[3 * PAGE_SIZE, 8 * PAGE_SIZE]], [8, 7, 1], [1, 0, 1]],
  ["2 MiB over two huge pages", 2, [[PAGE_SIZE, PMD_SIZE]], [512, 510, 2], [2, 0, 2]],
  ["513 pages of two", 2, [[0, PMD_SIZE + PAGE_SIZE]], [513, 511, 2], [2, 0, 2]],
  ["a huge page and a small one", 1, [[0, PMD_SIZE + PAGE_SIZE]], [513, 0, 513], [2, 0, 2]],
  [
    "a buffer for each of 4 pages of a huge page",
    2,
    [0, 1, 2, 3].map((i) => [i * PAGE_SIZE, PAGE_SIZE] as const),
    [4, 0, 4],
    [4, 0, 4],
  ],
  ["odd bytes of three pages", 2, [[100, 2 * PAGE_SIZE]], [3, 2, 1], [1, 0, 1]],
];

describe.each([
  ["legacy", legacy.FixedBuffers],
  ["converted", converted.FixedBuffers],
] as const)("%s", (name, FixedBuffers) => {
  test.each(COUNTED)("%s", (_what, huge, ranges, legacy_counts, converted_counts) => {
    const { machine, current, disk, addr } = bench(huge);
    const [acquired, given_back, kept] = name === "legacy" ? legacy_counts : converted_counts;
    const buffers = new FixedBuffers(disk);
    expect(errno_name(buffers.register(current, iovs_of(addr, ranges)))).toBeNull();
    expect(pins(machine)).toEqual([acquired, given_back]);
    buffers.unregister();
    expect(pins(machine)).toEqual([acquired, given_back + kept]);
    buffers.unregister();
    expect(left_over(machine)).toEqual(NOTHING);
  });
  test.each([0, 1, 2])("to the disk and back through %d huge pages, no pin taken", (huge) => {
    const { machine, current, disk, addr } = bench(huge);
    const buffers = new FixedBuffers(disk);
    const start = PMD_SIZE - 300 * PAGE_SIZE + 1024;
    const len = 700 * PAGE_SIZE;
    buffers.register(
      current,
      iovs_of(addr, [
        [512, PAGE_SIZE],
        [start - 512, len + 1024],
      ]),
    );
    const before = pins(machine);
    const at = user_ptr_add(addr, start);
    const pattern = fill_pattern(current, at, len, 4);
    expect(buffers.rw_fixed(current, "REQ_OP_WRITE", 1, at, len)).toBe(len);
    fill_pattern(current, addr, 2 * PMD_SIZE, 5);
    expect(buffers.rw_fixed(current, "REQ_OP_READ", 1, at, len)).toBe(len);
    const now = new Uint8Array(len);
    copy_from_user(current, now, at)._unsafeUnwrap();
    expect(Buffer.compare(now, pattern)).toBe(0);
    expect(pins(machine)).toEqual(before);
    buffers.unregister();
    expect(left_over(machine)).toEqual(NOTHING);
  });
  test("out of the buffer: EFAULT", () => {
    const { machine, current, disk, addr } = bench(0);
    const buffers = new FixedBuffers(disk);
    buffers.register(current, iovs_of(addr, [[PAGE_SIZE, PAGE_SIZE]]));
    for (const [index, start, len] of [
      [0, 0, PAGE_SIZE],
      [0, PAGE_SIZE, PAGE_SIZE + 512],
      [1, PAGE_SIZE, PAGE_SIZE],
    ] as const) {
      const at = user_ptr_add(addr, start);
      expect(errno_name(buffers.rw_fixed(current, "REQ_OP_READ", index, at, len))).toBe("EFAULT");
    }
    buffers.unregister();
    expect(left_over(machine)).toEqual(NOTHING);
  });
  test.each([0, 5])("the second buffer has a hole after %d pages: the first is undone", (good) => {
    const { machine, current, disk, addr } = bench(0);
    munmap(current, user_ptr_add(addr, (16 + good) * PAGE_SIZE), PAGE_SIZE)._unsafeUnwrap();
    const buffers = new FixedBuffers(disk);
    const ranges = [
      [0, 8 * PAGE_SIZE],
      [16 * PAGE_SIZE, 8 * PAGE_SIZE],
    ] as const;
    expect(errno_name(buffers.register(current, iovs_of(addr, ranges)))).toBe("EFAULT");
    const [acquired, released] = pins(machine);
    expect(released).toBe(acquired);
    expect(left_over(machine)).toEqual(NOTHING);
  });
  test("no memory for the second description: nothing stays pinned", () => {
    const { machine, current, disk, addr } = bench(1);
    let room = 1;
    const buffers = new FixedBuffers(disk, () => room-- > 0);
    const ranges = [
      [0, PMD_SIZE],
      [PMD_SIZE, 8 * PAGE_SIZE],
    ] as const;
    expect(errno_name(buffers.register(current, iovs_of(addr, ranges)))).toBe("ENOMEM");
    const [acquired, released] = pins(machine);
    expect(released).toBe(acquired);
    expect(left_over(machine)).toEqual(NOTHING);
  });
});

test("the hazard: an exit between the pins and the table leaks them all", () => {
  const { machine, current, disk, addr } = bench(0);
  const buffers = new legacy.FixedBuffers(disk, () => false);
  const ranges = [[0, 8 * PAGE_SIZE]] as const;
  const error = buffers.register_leaks_without_memory(current, iovs_of(addr, ranges));
  expect(errno_name(error)).toBe("ENOMEM");
  expect(pins(machine)).toEqual([8, 0]);
  expect(left_over(machine)).toEqual({ leaks: debug_mode ? 8 : 0, lost_pages: 8 });
});
