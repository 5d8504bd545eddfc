/** DMA mappings of a guest: what the device reaches, and whose pin a frame number releases. */
import {
  copy_from_user,
  create_task,
  FOLL_LONGTERM,
  get_user_page,
  ITER_DEST,
  madvise,
  MADV_HUGEPAGE,
  munmap,
  page_to_pfn,
  PAGE_SIZE,
  PMD_SIZE,
  put_user_page,
  schedule_work,
  flush_work,
  user_ptr_add,
  type Machine,
} from "user-page";
import { describe, expect, test } from "vitest";
import * as converted from "../../call-sites/vfio_type1/converted.js";
import * as legacy from "../../call-sites/vfio_type1/legacy.js";
import {
  boot_for_test,
  boot_plain,
  fill_pattern,
  map_anon,
  must,
  pattern_of,
} from "../fixtures.js";
import {
  dirty,
  dma_read,
  dma_write,
  errno_name,
  left_over,
  misuse_of,
  NOTHING,
  pfns_of,
  pins,
  type DmaSegment,
} from "./device.js";

const IOVA = 0x100000;
interface Iommu {
  iommu_iova_to_phys(iova: number): number | null;
}
/** What the device sees of a range of its addresses. */
const seen = (vfio: Iommu, pages: number): DmaSegment[] =>
  Array.from({ length: pages }, (_, i) => {
    const phys = vfio.iommu_iova_to_phys(IOVA + i * PAGE_SIZE);
    return phys === null ? [] : [{ pfn: phys / PAGE_SIZE, offset: 0, len: PAGE_SIZE }];
  }).flat();

describe.each([
  ["legacy", (machine: Machine, room?: number) => new legacy.Vfio(machine, room)],
  ["converted", (_: Machine, room?: number) => new converted.Vfio(room)],
] as const)("%s", (name, make) => {
  const per_extent = name === "converted";

  test("the device reads and writes guest memory, mapped from a worker", () => {
    const machine = boot_for_test();
    const current = create_task(machine);
    const size = 1030 * PAGE_SIZE;
    const addr = map_anon(current, size);
    const pattern = fill_pattern(current, addr, size);
    const vfio = make(machine);
    schedule_work(current, (kworker) => {
      expect(errno_name(vfio.map_dma(kworker, current.mm, IOVA, addr, size, true))).toBeNull();
    });
    flush_work(machine);
    const segments = seen(vfio, 1030);
    expect(pins(machine)).toEqual([1030, 0]);
    expect(Buffer.compare(dma_read(machine, segments), pattern)).toBe(0);
    dma_write(machine, segments, pattern_of(size, 2));
    vfio.unmap_dma(current, IOVA, size);
    expect(seen(vfio, 1030)).toEqual([]);
    expect(pins(machine)).toEqual([1030, 1030]);
    expect(dirty(pfns_of(segments)).every(Boolean)).toBe(true);
    const now = new Uint8Array(size);
    copy_from_user(current, now, addr)._unsafeUnwrap();
    expect(Buffer.compare(now, pattern_of(size, 2))).toBe(0);
    expect(left_over(machine)).toEqual(NOTHING);
  });
  test("a huge page", () => {
    const machine = boot_for_test();
    const current = create_task(machine);
    const addr = map_anon(current, PMD_SIZE);
    madvise(current, addr, PMD_SIZE, MADV_HUGEPAGE)._unsafeUnwrap();
    const pattern = fill_pattern(current, addr, PMD_SIZE);
    const vfio = make(machine);
    expect(errno_name(vfio.map_dma(current, current.mm, IOVA, addr, PMD_SIZE, false))).toBeNull();
    expect(pins(machine)).toEqual([per_extent ? 1 : 512, 0]);
    const segments = seen(vfio, 512);
    expect(Buffer.compare(dma_read(machine, segments), pattern)).toBe(0);
    vfio.unmap_dma(current, IOVA, PMD_SIZE);
    vfio.unmap_dma(current, IOVA, PMD_SIZE);
    expect(dirty(pfns_of(segments)).some(Boolean)).toBe(false);
    expect(pins(machine)).toEqual(per_extent ? [1, 1] : [512, 512]);
    expect(left_over(machine)).toEqual(NOTHING);
  });
  test("untouched memory that is only read: no zero page stays behind", () => {
    const machine = boot_for_test();
    const current = create_task(machine);
    const addr = map_anon(current, 4 * PAGE_SIZE);
    const vfio = make(machine);
    vfio.map_dma(current, current.mm, IOVA, addr, 4 * PAGE_SIZE, false);
    expect(dma_read(machine, seen(vfio, 4))).toEqual(new Uint8Array(4 * PAGE_SIZE));
    vfio.unmap_dma(current, IOVA, 4 * PAGE_SIZE);
    const [acquired, released] = pins(machine);
    expect(released).toBe(acquired);
    expect(left_over(machine)).toEqual(NOTHING);
  });
  test.each([0, 3, 520])("a hole after %d pages: nothing stays pinned or mapped", (good) => {
    const machine = boot_for_test();
    const current = create_task(machine);
    const size = 600 * PAGE_SIZE;
    const addr = map_anon(current, size);
    fill_pattern(current, addr, size);
    munmap(current, user_ptr_add(addr, good * PAGE_SIZE), PAGE_SIZE)._unsafeUnwrap();
    const vfio = make(machine);
    const error = vfio.map_dma(current, current.mm, IOVA, addr, size, true);
    expect(errno_name(error)).toBe("EFAULT");
    expect(seen(vfio, 600)).toEqual([]);
    const [acquired, released] = pins(machine);
    expect(released).toBe(acquired);
    expect(left_over(machine)).toEqual(NOTHING);
  });
  test("the IOMMU's table is full in the middle: nothing stays pinned or mapped", () => {
    const machine = boot_for_test();
    const current = create_task(machine);
    const size = 600 * PAGE_SIZE;
    const addr = map_anon(current, size);
    const vfio = make(machine, 550);
    const error = vfio.map_dma(current, current.mm, IOVA, addr, size, true);
    expect(errno_name(error)).toBe("ENOSPC");
    expect(seen(vfio, 600)).toEqual([]);
    const [acquired, released] = pins(machine);
    expect(acquired).toBe(600);
    expect(released).toBe(600);
    expect(left_over(machine)).toEqual(NOTHING);
  });
});

/** The same page, pinned by vfio and by another driver; vfio unmaps twice. */
function unmapped_twice(machine: Machine) {
  const current = create_task(machine);
  const addr = map_anon(current, PAGE_SIZE);
  fill_pattern(current, addr, PAGE_SIZE);
  const vfio = new legacy.Vfio(machine);
  vfio.map_dma(current, current.mm, IOVA, addr, PAGE_SIZE, true);
  const others = must(get_user_page(current, addr, ITER_DEST, FOLL_LONGTERM));
  vfio.unmap_dma_and_forget_the_table(current, IOVA, PAGE_SIZE);
  vfio.unmap_dma_and_forget_the_table(current, IOVA, PAGE_SIZE);
  return { current, addr, others };
}
test("the hazard: the second unmap releases the pin of somebody else, and debug mode reports the victim", () => {
  const machine = boot_for_test({ CONFIG_DEBUG_USER_PAGE_REFERENCES: true });
  const { others } = unmapped_twice(machine);
  expect(pins(machine)).toEqual([2, 2]);
  expect(misuse_of(() => put_user_page(others))).toBe("double-release");
});
test("and without debug mode: the page is freed, and the other device writes into the next task's memory", () => {
  const machine = boot_plain();
  const { current, addr, others } = unmapped_twice(machine);
  const segment = { pfn: page_to_pfn(others), offset: 0, len: 16 };
  munmap(current, addr, PAGE_SIZE)._unsafeUnwrap();
  const size = 64 * PAGE_SIZE;
  const next = create_task(machine);
  const victim = map_anon(next, size);
  const pattern = fill_pattern(next, victim, size, 6);
  dma_write(
    machine,
    [segment],
    dma_read(machine, [segment]).map((byte) => ~byte),
  );
  const now = new Uint8Array(size);
  copy_from_user(next, now, victim)._unsafeUnwrap();
  expect(now.filter((byte, i) => byte !== pattern[i])).toHaveLength(16);
});
test("the same, converted: the second unmap finds nothing, the other pin holds", () => {
  const machine = boot_for_test();
  const current = create_task(machine);
  const addr = map_anon(current, PAGE_SIZE);
  const vfio = new converted.Vfio();
  expect(vfio.map_dma(current, current.mm, IOVA, addr, PAGE_SIZE, true)).toBeNull();
  expect(errno_name(vfio.map_dma(current, current.mm, IOVA, addr, PAGE_SIZE, true))).toBe("EEXIST");
  const others = must(get_user_page(current, addr, ITER_DEST, FOLL_LONGTERM));
  vfio.unmap_dma(current, IOVA);
  vfio.unmap_dma(current, IOVA);
  expect(pins(machine)).toEqual([2, 1]);
  put_user_page(others);
  expect(left_over(machine)).toEqual(NOTHING);
});
