/** Packet memory of AF_XDP: packets arrive, the last socket may go in a softirq, and no error path forgets the pins. */
import {
  copy_from_user,
  create_task,
  flush_work,
  madvise,
  MADV_HUGEPAGE,
  munmap,
  PAGE_SIZE,
  PMD_SIZE,
  run_softirqs,
  user_ptr_add,
} from "user-page";
import { describe, expect, test } from "vitest";
import * as converted from "../../call-sites/xdp_umem/converted.js";
import * as legacy from "../../call-sites/xdp_umem/legacy.js";
import { boot_for_test, debug_mode, fill_pattern, map_anon, pattern_of } from "../fixtures.js";
import {
  dirty,
  dma_write,
  errno_name,
  interrupt,
  left_over,
  NOTHING,
  pfns_of,
  pins,
  succeeded,
} from "./device.js";

const SIZE = 64 * PAGE_SIZE;
describe.each([
  ["legacy", legacy.XdpUmem],
  ["converted", converted.XdpUmem],
] as const)("%s", (name, XdpUmem) => {
  const per_extent = name === "converted";

  test("packets arrive; the last of two sockets goes in a softirq", () => {
    const machine = boot_for_test();
    const current = create_task(machine);
    const addr = map_anon(current, SIZE);
    fill_pattern(current, addr, SIZE);
    const umem = succeeded(XdpUmem.reg(current, addr, SIZE));
    umem.get();
    const { sg } = umem;
    dma_write(machine, sg, pattern_of(SIZE, 2));
    interrupt(machine, (softirq) => umem.put(softirq));
    run_softirqs(machine);
    expect(flush_work(machine)).toBe(0);
    expect(pins(machine)).toEqual([64, 0]);
    interrupt(machine, (softirq) => umem.put(softirq));
    run_softirqs(machine);
    expect(pins(machine)).toEqual([64, 0]);
    expect(flush_work(machine)).toBe(1);
    expect(pins(machine)).toEqual([64, 64]);
    expect(dirty(pfns_of(sg)).every(Boolean)).toBe(true);
    const now = new Uint8Array(SIZE);
    copy_from_user(current, now, addr)._unsafeUnwrap();
    expect(Buffer.compare(now, pattern_of(SIZE, 2))).toBe(0);
    expect(left_over(machine)).toEqual(NOTHING);
  });
  test("a huge page: 512 pins that are never trimmed, or one extent", () => {
    const machine = boot_for_test();
    const current = create_task(machine);
    const addr = map_anon(current, PMD_SIZE);
    madvise(current, addr, PMD_SIZE, MADV_HUGEPAGE)._unsafeUnwrap();
    const umem = succeeded(XdpUmem.reg(current, addr, PMD_SIZE));
    expect(pins(machine)).toEqual([per_extent ? 1 : 512, 0]);
    interrupt(machine, (softirq) => umem.put(softirq));
    flush_work(machine);
    expect(pins(machine)).toEqual(per_extent ? [1, 1] : [512, 512]);
    expect(left_over(machine)).toEqual(NOTHING);
  });
  test.each([
    [0, "EFAULT", "EFAULT"],
    [9, "ENOMEM", "EFAULT"],
  ] as const)("a hole after %d pages: nothing stays pinned", (good, legacy_errno, errno) => {
    const machine = boot_for_test();
    const current = create_task(machine);
    const addr = map_anon(current, SIZE);
    munmap(current, user_ptr_add(addr, good * PAGE_SIZE), PAGE_SIZE)._unsafeUnwrap();
    const error = errno_name(XdpUmem.reg(current, addr, SIZE));
    expect(error).toBe(per_extent ? errno : legacy_errno);
    const [acquired, released] = pins(machine);
    expect(released).toBe(acquired);
    expect(left_over(machine)).toEqual(NOTHING);
  });
  test("no memory for the table of addresses: nothing stays pinned", () => {
    const machine = boot_for_test();
    const current = create_task(machine);
    const addr = map_anon(current, SIZE);
    expect(errno_name(XdpUmem.reg(current, addr, SIZE, () => false))).toBe("ENOMEM");
    expect(pins(machine)).toEqual([64, 64]);
    expect(left_over(machine)).toEqual(NOTHING);
  });
});

test("Linux 4.19: packets arrive, but nothing says that the references last", () => {
  const machine = boot_for_test();
  const current = create_task(machine);
  const addr = map_anon(current, SIZE);
  fill_pattern(current, addr, SIZE);
  const umem = succeeded(legacy.XdpUmem419.reg(current, addr, SIZE));
  dma_write(machine, umem.sg, pattern_of(SIZE, 2));
  expect(pins(machine)).toEqual([0, 0]);
  umem.unpin_pages(current);
  const now = new Uint8Array(SIZE);
  copy_from_user(current, now, addr)._unsafeUnwrap();
  expect(Buffer.compare(now, pattern_of(SIZE, 2))).toBe(0);
  expect(left_over(machine)).toEqual(NOTHING);
});
test("the hazard: the wrong label leaks every page, and only debug mode can list them", () => {
  const machine = boot_for_test();
  const current = create_task(machine);
  const addr = map_anon(current, SIZE);
  expect(errno_name(legacy.XdpUmem419.reg(current, addr, SIZE, () => false))).toBe("ENOMEM");
  expect(left_over(machine)).toEqual({ leaks: debug_mode ? 64 : 0, lost_pages: 64 });
});
