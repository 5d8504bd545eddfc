/** An RDMA region: the device reaches exactly its bytes, and every way out gives back every pin. */
import {
  copy_from_user,
  create_task,
  madvise,
  MADV_HUGEPAGE,
  mprotect,
  munmap,
  PAGE_SIZE,
  PMD_SIZE,
  PROT_READ,
  user_ptr_add,
} from "user-page";
import { describe, expect, test } from "vitest";
import * as converted from "../../call-sites/rdma_umem/converted.js";
import * as legacy from "../../call-sites/rdma_umem/legacy.js";
import { boot_for_test, debug_mode, fill_pattern, map_anon, pattern_of } from "../fixtures.js";
import {
  bytes_in,
  dirty,
  dma_read,
  dma_write,
  errno_name,
  left_over,
  NOTHING,
  pfns_of,
  pins,
  succeeded,
} from "./device.js";

describe.each([
  ["legacy", legacy.IbUmem],
  ["converted", converted.IbUmem],
] as const)("%s", (name, IbUmem) => {
  const per_extent = name === "converted";

  test("the device writes and reads the bytes of the program", () => {
    const machine = boot_for_test();
    const current = create_task(machine);
    const size = 699 * PAGE_SIZE;
    const addr = user_ptr_add(map_anon(current, 700 * PAGE_SIZE), 300);
    const pattern = fill_pattern(current, addr, size);
    const umem = succeeded(IbUmem.get(current, addr, size, true));
    expect(bytes_in(umem.sg)).toBe(size);
    expect(Buffer.compare(dma_read(machine, umem.sg), pattern)).toBe(0);
    dma_write(machine, umem.sg, pattern_of(size, 5));
    const pfns = pfns_of(umem.sg);
    expect(pfns).toHaveLength(700);
    umem.release(current);
    expect(dirty(pfns)).toEqual(pfns.map(() => true));
    const now = new Uint8Array(size);
    copy_from_user(current, now, addr)._unsafeUnwrap();
    expect(Buffer.compare(now, pattern_of(size, 5))).toBe(0);
    expect(pins(machine)).toEqual([700, 700]);
    expect(left_over(machine)).toEqual(NOTHING);
  });
  test("a huge page is one entry of the list", () => {
    const machine = boot_for_test();
    const current = create_task(machine);
    const addr = map_anon(current, 2 * PMD_SIZE);
    madvise(current, addr, PMD_SIZE, MADV_HUGEPAGE)._unsafeUnwrap();
    fill_pattern(current, addr, PMD_SIZE);
    const umem = succeeded(IbUmem.get(current, addr, PMD_SIZE, true));
    expect(umem.sg).toHaveLength(1);
    expect(pins(machine)).toEqual([per_extent ? 1 : 512, 0]);
    umem.release(current);
    expect(pins(machine)).toEqual(per_extent ? [1, 1] : [512, 512]);
    expect(left_over(machine)).toEqual(NOTHING);
  });
  test("a region that is only read is not dirtied, whatever is released", () => {
    const machine = boot_for_test();
    const current = create_task(machine);
    const addr = map_anon(current, 4 * PAGE_SIZE);
    fill_pattern(current, addr, 4 * PAGE_SIZE);
    const umem = succeeded(IbUmem.get(current, addr, 4 * PAGE_SIZE, false));
    const pfns = pfns_of(umem.sg);
    umem.release(current);
    umem.release(current);
    expect(dirty(pfns)).toEqual([false, false, false, false]);
    expect(left_over(machine)).toEqual(NOTHING);
  });
  test("a region may outlive its mapping", () => {
    const machine = boot_for_test();
    const current = create_task(machine);
    const addr = map_anon(current, 8 * PAGE_SIZE);
    const pattern = fill_pattern(current, addr, 8 * PAGE_SIZE);
    const umem = succeeded(IbUmem.get(current, addr, 8 * PAGE_SIZE, true));
    munmap(current, addr, 8 * PAGE_SIZE)._unsafeUnwrap();
    fill_pattern(current, map_anon(current, 64 * PAGE_SIZE), 64 * PAGE_SIZE, 9);
    expect(Buffer.compare(dma_read(machine, umem.sg), pattern)).toBe(0);
    umem.release(current);
    expect(left_over(machine)).toEqual(NOTHING);
  });
  test.each([
    ["a hole at once", 0, "EFAULT"],
    ["a hole in the first chunk", 100, "EFAULT"],
    ["a hole in the second chunk", 600, "EFAULT"],
  ] as const)("%s: nothing stays pinned", (_what, good, errno) => {
    const machine = boot_for_test();
    const current = create_task(machine);
    const addr = map_anon(current, 700 * PAGE_SIZE);
    munmap(current, user_ptr_add(addr, good * PAGE_SIZE), PAGE_SIZE)._unsafeUnwrap();
    expect(errno_name(IbUmem.get(current, addr, 700 * PAGE_SIZE, true))).toBe(errno);
    const [acquired, released] = pins(machine);
    expect(released).toBe(acquired);
    expect(left_over(machine)).toEqual(NOTHING);
  });
  test("a mapping the device refuses in the middle: nothing stays pinned", () => {
    const machine = boot_for_test({ shuffle: 4 });
    const current = create_task(machine);
    const addr = map_anon(current, 600 * PAGE_SIZE);
    const umem = IbUmem.get(current, addr, 600 * PAGE_SIZE, true, 20);
    expect(errno_name(umem)).toBe("ENOMEM");
    const [acquired, released] = pins(machine);
    expect(acquired).toBeGreaterThan(20);
    expect(released).toBe(acquired);
    expect(left_over(machine)).toEqual(NOTHING);
  });
});

test("read-only memory: only the converted form can register it to be read", () => {
  const machine = boot_for_test();
  const current = create_task(machine);
  const addr = map_anon(current, PAGE_SIZE);
  const pattern = fill_pattern(current, addr, PAGE_SIZE);
  mprotect(current, addr, PAGE_SIZE, PROT_READ)._unsafeUnwrap();
  expect(errno_name(legacy.IbUmem.get(current, addr, PAGE_SIZE, false))).toBe("EFAULT");
  const umem = succeeded(converted.IbUmem.get(current, addr, PAGE_SIZE, false));
  expect(dma_read(machine, umem.sg)).toEqual(pattern);
  umem.release(current);
  expect(left_over(machine)).toEqual(NOTHING);
});
test("the hazard: pins counted by bytes leave the last page pinned, and only debug mode knows which", () => {
  const machine = boot_for_test();
  const current = create_task(machine);
  const addr = user_ptr_add(map_anon(current, 2 * PAGE_SIZE), 512);
  fill_pattern(current, addr, PAGE_SIZE);
  const umem = succeeded(legacy.IbUmem.get(current, addr, PAGE_SIZE, true));
  const one_entry = umem.sg.length === 1;
  umem.release_by_length(current);
  expect(one_entry).toBe(true);
  expect(pins(machine)).toEqual([2, 1]);
  expect(left_over(machine)).toEqual({ leaks: debug_mode ? 1 : 0, lost_pages: 1 });
});
