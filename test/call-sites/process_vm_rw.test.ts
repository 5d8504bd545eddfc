/** process_vm_readv() and process_vm_writev(): the bytes, the counts a live kernel showed, and the forgotten FOLL_WRITE. */
import {
  copy_from_user,
  create_task,
  munmap,
  PAGE_SIZE,
  user_ptr_add,
  type Machine,
  type Task,
  type UserAddr,
} from "user-page";
import { describe, expect, test } from "vitest";
import * as converted from "../../call-sites/process_vm_rw/converted.js";
import * as legacy from "../../call-sites/process_vm_rw/legacy.js";
import { boot_for_test, fill_pattern, map_anon, pattern_of } from "../fixtures.js";
import { errno_name, left_over, NOTHING, pins } from "./device.js";

function bytes_at(current: Task, at: UserAddr, len: number): Uint8Array {
  const bytes = new Uint8Array(len);
  copy_from_user(current, bytes, at)._unsafeUnwrap();
  return bytes;
}
interface Bench {
  readonly machine: Machine;
  readonly current: Task;
  readonly child: Task;
}
function bench(): Bench {
  const machine = boot_for_test();
  return { machine, current: create_task(machine), child: create_task(machine) };
}
const pages = (n: number): number => n * PAGE_SIZE;

describe.each([
  ["legacy", legacy, false],
  ["converted", converted, true],
] as const)("%s", (_name, { process_vm_rw }, pinned) => {
  /** What the counters show of n pins: plain references are not counted. */
  const both = (n: number): [number, number] => (pinned ? [n, n] : [0, 0]);

  test.each([false, true])("moves bytes at odd places, vm_write %s", (vm_write) => {
    const { machine, current, child } = bench();
    const local = map_anon(current, pages(4));
    const remote = map_anon(child, pages(4));
    const [from, at] = vm_write ? ([current, local] as const) : ([child, remote] as const);
    const pattern = fill_pattern(from, at, pages(4));
    fill_pattern(vm_write ? child : current, vm_write ? remote : local, pages(4), 7);
    const iovs = [
      { iov_base: user_ptr_add(remote, 100), iov_len: 6000 },
      { iov_base: user_ptr_add(remote, 9000), iov_len: 0 },
      { iov_base: user_ptr_add(remote, 9001), iov_len: 4097 },
    ];
    expect(process_vm_rw(current, child.mm, vm_write, user_ptr_add(local, 33), iovs)).toBe(10097);
    const here = bytes_at(current, user_ptr_add(local, 33), 10097);
    expect(here.subarray(0, 6000)).toEqual(bytes_at(child, user_ptr_add(remote, 100), 6000));
    expect(here.subarray(6000)).toEqual(bytes_at(child, user_ptr_add(remote, 9001), 4097));
    expect(bytes_at(from, at, pages(4))).toEqual(pattern);
    expect(pins(machine)).toEqual(both(2 + 2));
    expect(left_over(machine)).toEqual(NOTHING);
  });
  test("one byte of each of 512 pages is 512 pins", () => {
    const { machine, current, child } = bench();
    const local = map_anon(current, pages(1));
    const remote = map_anon(child, pages(512));
    const pattern = fill_pattern(child, remote, pages(512));
    const iovs = Array.from({ length: 512 }, (_, i) => ({
      iov_base: user_ptr_add(remote, pages(i) + 5),
      iov_len: 1,
    }));
    expect(process_vm_rw(current, child.mm, false, local, iovs)).toBe(512);
    const expected = Uint8Array.from({ length: 512 }, (_, i) => pattern[pages(i) + 5]!);
    expect(bytes_at(current, local, 512)).toEqual(expected);
    expect(pins(machine)).toEqual(both(512));
    expect(left_over(machine)).toEqual(NOTHING);
  });
  test("a remote fault after 4 pages: 16384 bytes, 4 pins", () => {
    const { machine, current, child } = bench();
    const local = map_anon(current, pages(8));
    const remote = map_anon(child, pages(8));
    const pattern = fill_pattern(child, remote, pages(8));
    munmap(child, user_ptr_add(remote, pages(4)), pages(4))._unsafeUnwrap();
    const iovs = [{ iov_base: remote, iov_len: pages(8) }];
    expect(process_vm_rw(current, child.mm, false, local, iovs)).toBe(16384);
    expect(bytes_at(current, local, 16384)).toEqual(pattern.subarray(0, 16384));
    expect(pins(machine)).toEqual(both(4));
    expect(left_over(machine)).toEqual(NOTHING);
  });
  test.each([false, true])("a remote fault at once: EFAULT and nothing held, %s", (vm_write) => {
    const { machine, current, child } = bench();
    const local = map_anon(current, pages(1));
    const remote = map_anon(child, pages(1));
    munmap(child, remote, pages(1))._unsafeUnwrap();
    const iovs = [{ iov_base: remote, iov_len: 10 }];
    const result = process_vm_rw(current, child.mm, vm_write, local, iovs);
    expect(errno_name(result)).toBe("EFAULT");
    expect(pins(machine)).toEqual([0, 0]);
    expect(left_over(machine)).toEqual(NOTHING);
  });
  test.each([
    [0, "EFAULT", 1024],
    [2048, pages(2048), 3072],
  ] as const)("a local fault after %d of 4096 pages", (good, expected, acquired) => {
    const machine = boot_for_test();
    const current = create_task(machine);
    const child = create_task(machine);
    const local = map_anon(current, pages(4096));
    const remote = map_anon(child, pages(4096));
    const pattern = fill_pattern(child, remote, pages(4096));
    munmap(current, user_ptr_add(local, pages(good)), pages(4096 - good))._unsafeUnwrap();
    const iovs = [{ iov_base: remote, iov_len: pages(4096) }];
    const result = process_vm_rw(current, child.mm, false, local, iovs);
    expect(errno_name(result) ?? result).toBe(expected);
    expect(pins(machine)).toEqual(both(acquired));
    const moved = bytes_at(current, local, pages(good));
    expect(Buffer.compare(moved, pattern.subarray(0, pages(good)))).toBe(0);
    expect(left_over(machine)).toEqual(NOTHING);
  });
  test("memory the other task never touched: it has the bytes, a stranger has zeroes", () => {
    const { machine, current, child } = bench();
    const local = map_anon(current, pages(1));
    fill_pattern(current, local, 16, 3);
    const remote = map_anon(child, pages(1));
    const iovs = [{ iov_base: remote, iov_len: 16 }];
    expect(process_vm_rw(current, child.mm, true, local, iovs)).toBe(16);
    expect(bytes_at(child, remote, 16)).toEqual(pattern_of(16, 3));
    const stranger = create_task(machine);
    expect(bytes_at(stranger, map_anon(stranger, pages(1)), 16)).toEqual(new Uint8Array(16));
    expect(pins(machine)).toEqual(both(1));
    expect(left_over(machine)).toEqual(NOTHING);
  });
});

test("the hazard: without FOLL_WRITE the bytes land in the zero page of everybody, and no layer notices", () => {
  const { machine, current, child } = bench();
  const local = map_anon(current, pages(1));
  const secret = fill_pattern(current, local, 16, 3);
  const remote = map_anon(child, pages(1));
  const iovs = [{ iov_base: remote, iov_len: 16 }];
  expect(legacy.process_vm_writev_without_foll_write(current, child.mm, local, iovs)).toBe(16);
  const stranger = create_task(machine);
  expect(bytes_at(stranger, map_anon(stranger, pages(1)), 16)).toEqual(secret);
});
