/** Extents: where a range is cut, what holds a reference, and who releases it. */
import * as api from "user-page";
import { ITER_DEST, ITER_SOURCE, PAGE_SIZE, type UserAddr } from "user-page";
import { expect, test } from "vitest";
import { page_flags, PG_dirty } from "../../src/machine/arena.js";
import { boot_for_test, counts, errno_of, forced, map_anon, must } from "../fixtures.js";

const MEM = { mem: 16 << 20 };
const HUGE = 2 << 20;
const live = (machine: api.Machine): number[] => {
  const s = api.vmstat(machine);
  return [
    s.nr_foll_pin_acquired - s.nr_foll_pin_released,
    s.nr_user_bvec_acquired - s.nr_user_bvec_released,
  ];
};
function huge_anon(current: api.Task, bytes: number): UserAddr {
  const buf = map_anon(current, bytes);
  api.madvise(current, buf, bytes, api.MADV_HUGEPAGE)._unsafeUnwrap();
  return buf;
}
const shape = (list: api.PinnedBvecList): number[][] =>
  [...list].map((bvec) => [api.page_to_pfn(bvec.page), bvec.offset, bvec.len]);

test("one page of a huge file copied: three extents, A B A", () => {
  using machine = boot_for_test(MEM);
  const current = api.create_task(machine);
  const memfd = must(api.memfd_create(current, HUGE, api.MFD_HUGE));
  const buf = api.mmap(current, null, HUGE, 3, api.MAP_PRIVATE, memfd)._unsafeUnwrap();
  api.copy_to_user(current, api.user_ptr_add(buf, PAGE_SIZE), new Uint8Array(1))._unsafeUnwrap();
  const list = must(api.get_user_bvec(current, buf, 4 * PAGE_SIZE, ITER_SOURCE));
  const [a, b, rest] = shape(list) as [number[], number[], number[]];
  expect([a, rest]).toEqual([
    [a[0], 0, PAGE_SIZE],
    [a[0]! + 2, 0, 2 * PAGE_SIZE],
  ]);
  expect(b.slice(1)).toEqual([0, PAGE_SIZE]);
  expect(Math.abs(b[0]! - a[0]!)).toBeGreaterThan(1);
  expect(list.nr_segs).toBe(3);
  expect(counts(a[0]!)[1]).toBe(2); // one for each of its extents, for three pages
  expect(live(machine)).toEqual([3, 3]);
  expect(shape(list)).toHaveLength(3); // iterating released nothing
  api.put_user_bvec(list);
  expect([counts(a[0]!)[1], ...live(machine)]).toEqual([0, 0, 0]);
});
test("a huge page is one reference, and two huge pages are two", () => {
  using machine = boot_for_test(MEM);
  const current = api.create_task(machine);
  const buf = huge_anon(current, 2 * HUGE);
  using one = must(api.get_user_bvec(current, api.user_ptr_add(buf, 0x5000), 0x800, ITER_DEST));
  const [extent] = shape(one);
  expect(extent!.slice(1)).toEqual([0, 0x800]);
  using both = must(api.get_user_bvec(current, api.user_ptr_add(buf, 100), 2 * HUGE - 200, "dest"));
  expect(shape(both).map(([, offset, len]) => [offset, len])).toEqual([
    [100, HUGE - 100],
    [0, HUGE - 100],
  ]);
  expect(counts(extent![0]!)).toEqual([1 + 2, 2]);
  expect(extent![0]! - shape(both)[0]![0]!).toBe(5);
});
test("where no two free pages are adjacent, each page is an extent", () => {
  using machine = boot_for_test(MEM);
  const current = api.create_task(machine);
  using fragments = api.fragment_memory(machine, (index) => index % 2 === 1);
  expect(fragments.nr_pages).toBeGreaterThan(2000);
  const buf = huge_anon(current, HUGE); // falls back
  using list = must(
    api.get_user_bvec(current, api.user_ptr_add(buf, 1), 16 * PAGE_SIZE, ITER_DEST),
  );
  expect(shape(list).map(([, , len]) => len)).toEqual([4095, ...Array<number>(15).fill(4096), 1]);
  expect(api.vmstat(machine).thp_fault_fallback).toBeGreaterThan(0);
});
test("all or nothing: a hole at the end, in the middle, no memory", () => {
  using machine = boot_for_test(MEM);
  const current = api.create_task(machine);
  const buf = huge_anon(current, 2 * HUGE);
  api.copy_to_user(current, buf, new Uint8Array(1))._unsafeUnwrap();
  expect(errno_of(api.get_user_bvec(current, buf, 2 * HUGE + 1, ITER_DEST))).toBe("EFAULT");
  const hole = api.user_ptr_add(buf, HUGE + 7 * PAGE_SIZE);
  api.munmap(current, hole, PAGE_SIZE)._unsafeUnwrap();
  expect(errno_of(api.get_user_bvec(current, buf, 2 * HUGE, ITER_DEST))).toBe("EFAULT");
  const fresh = map_anon(current, 64 * PAGE_SIZE);
  const before = api.vmstat(machine).nr_free_pages;
  {
    using all = api.fragment_memory(machine, () => true);
    expect(all.nr_pages).toBe(before);
    expect(errno_of(api.get_user_bvec(current, fresh, 4096, ITER_DEST))).toBe("ENOMEM");
    expect(errno_of(api.pin_user_pages_fast(current, fresh, 4, ITER_DEST))).toBe("ENOMEM");
  }
  expect(api.vmstat(machine).nr_free_pages).toBe(before);
  expect(live(machine)).toEqual([0, 0]);
});
test("split gives a reference of its own, of the page the rest begins in", () => {
  using machine = boot_for_test(MEM);
  const current = api.create_task(machine);
  const buf = huge_anon(current, HUGE);
  const list = must(api.get_user_bvec(current, api.user_ptr_add(buf, 10), 3 * PAGE_SIZE, "dest"));
  const front = api.pop_user_bvec(list)!;
  const pfn = api.page_to_pfn(front.page) as number;
  const rest = must(api.split_user_bvec(front, 5000));
  expect([front.offset, front.len]).toEqual([10, 5000]);
  expect([api.page_to_pfn(rest.page) - pfn, rest.offset, rest.len]).toEqual([1, 914, 7288]);
  expect(counts(pfn)).toEqual([1 + 2, 2]);
  for (const bytes of [0, 5000, 5001, -1]) {
    expect(errno_of(api.split_user_bvec(front, bytes))).toBe("EINVAL");
  }
  api.put_user_bvec(front);
  expect(counts(pfn)).toEqual([2, 1]);
  api.put_user_bvec_dirty_lock(rest, current);
  expect(live(machine)).toEqual([0, 0]);
  expect([list.count, list.nr_segs, api.pop_user_bvec(list)]).toEqual([0, 0, null]);
  api.put_user_bvec(list);
});
test("popping moves out: the list releases only what is left", () => {
  using machine = boot_for_test(MEM);
  const current = api.create_task(machine);
  const buf = map_anon(current, 4 * PAGE_SIZE);
  let kept: api.PinnedBvec<"dest">;
  {
    using list = must(api.get_user_bvec(current, buf, 4 * PAGE_SIZE, ITER_DEST));
    kept = api.pop_user_bvec(list)!;
    expect([list.count, list.nr_segs]).toEqual([3 * PAGE_SIZE, 3]);
  }
  expect(live(machine)).toEqual([1, 1]);
  kept[Symbol.dispose]();
  kept[Symbol.dispose]();
  expect(live(machine)).toEqual([0, 0]);
});
test("whatever was acquired ends with its block once, and not when it was released or moved", () => {
  using machine = boot_for_test(MEM);
  const current = api.create_task(machine);
  const buf = map_anon(current, 8 * PAGE_SIZE);
  using disk = must(api.brd_alloc(machine, 1 << 16));
  {
    using list = must(api.get_user_bvec(current, buf, 8192, ITER_DEST));
    using bvec = api.pop_user_bvec(list)!;
    using pages = api.pin_user_pages_fast(current, buf, 2, ITER_DEST);
    using page = must(api.__free(api.put_user_page, api.get_user_page(current, buf, ITER_DEST)));
    using short = api.pin_user_pages_fast(current, buf, 100, ITER_DEST);
    using bio = api.bio_alloc_pinned(disk, 2, "REQ_OP_READ");
    api.bio_add_user_bvecs(bio, list);
    using lock = api.mmap_read_lock(current, current.mm);
    expect([api.IS_SHORT(short), api.IS_ERR(pages), bvec.len, lock.mm === current.mm]).toEqual([
      true,
      false,
      4096,
      true,
    ]);
    expect(live(machine)).toEqual([2 + 2 + 1 + 8, 2]);
    expect(api.page_ref_count(page.page)).toBe(1 + 4 * 1024);
  }
  expect(live(machine)).toEqual([0, 0]);
  {
    using list = must(api.get_user_bvec(current, buf, 8192, ITER_DEST));
    using pages = must(api.all_or_none(api.pin_user_pages_fast(current, buf, 2, ITER_DEST)));
    using scope = must(api.__free(api.put_user_page, api.get_user_page(current, buf, "dest")));
    const out = api.no_free_ptr(scope);
    api.put_user_bvec(list);
    api.put_user_pages(pages);
    expect(live(machine)).toEqual([1, 0]);
    expect(() => scope.page).toThrow(/use-after-release/);
    api.put_user_page(out);
  }
  expect(live(machine)).toEqual([0, 0]);
  // Of the scope that was moved out of, and of nothing else.
  const others = api.misuse_reports(machine).filter(({ id }) => id !== "use-after-release");
  expect(others).toEqual([]);
});
test("a second release, and the release of what is lent, are always refused", () => {
  using machine = boot_for_test(MEM);
  const current = api.create_task(machine);
  const buf = map_anon(current, 8 * PAGE_SIZE);
  const list = must(api.get_user_bvec(current, buf, 8192, ITER_SOURCE));
  const [lent] = [...list];
  expect(() => forced(api.put_user_bvec)(lent)).toThrow(/release-lent/);
  expect(() => forced(api.put_user_bvec_dirty_lock)(list, current)).toThrow(/wrong-direction/);
  api.put_user_bvec(list);
  expect(() => forced(api.put_user_bvec)(list)).toThrow(/double-release/);
  expect(() => forced(api.pop_user_bvec)(list)).toThrow(/use-after-release/);
  expect(live(machine)).toEqual([0, 0]);
});
test("dirty: each extent that is left in a list, and none that was moved out", () => {
  using machine = boot_for_test(MEM);
  const current = api.create_task(machine);
  const buf = map_anon(current, 4 * PAGE_SIZE);
  const list = must(api.get_user_bvec(current, buf, 4 * PAGE_SIZE, ITER_DEST));
  const pfns = shape(list).map(([pfn]) => pfn!);
  for (const pfn of pfns) page_flags[pfn]! &= ~PG_dirty;
  const dirty = (): boolean[] => pfns.map((pfn) => (page_flags[pfn]! & PG_dirty) !== 0);
  const front = api.pop_user_bvec(list)!;
  api.put_user_bvec_dirty_lock(list, current);
  expect(dirty()).toEqual([false, true, true, true]);
  api.put_user_bvec_dirty_lock(front, current);
  expect(dirty()).toEqual([true, true, true, true]);
  expect(live(machine)).toEqual([0, 0]);
});
test("the end of a block of what is lent ends nothing", () => {
  using machine = boot_for_test(MEM);
  const current = api.create_task(machine);
  using list = must(api.get_user_bvec(current, map_anon(current, 8192), 8192, ITER_DEST));
  for (const lent of list) (lent as unknown as Disposable)[Symbol.dispose]();
  expect([live(machine), list.nr_segs]).toEqual([[2, 2], 2]);
});
test("an extent that was split off is written through only if the whole was pinned to be written", () => {
  using machine = api.boot({ ...MEM, CONFIG_DEBUG_USER_PAGE_REFERENCES: "owners" });
  const current = api.create_task(machine);
  const buf = map_anon(current, PAGE_SIZE);
  for (const dir of [ITER_DEST, ITER_SOURCE] as const) {
    using list = must(api.get_user_bvec(current, buf, PAGE_SIZE, dir));
    using front = api.pop_user_bvec(list)!;
    using rest = must(api.split_user_bvec(front, 512));
    const write = () => forced(api.memcpy_to_page)(rest.page, 512, new Uint8Array(1));
    if (dir === ITER_DEST) expect(write).not.toThrow();
    else expect(write).toThrow(/wrong-direction/);
  }
  using padding = must(api.zero_user_bvec(current, 512));
  const write = () => forced(api.memcpy_to_page)(padding.page, 0, new Uint8Array(1));
  expect(write).toThrow(/wrong-direction/);
});
