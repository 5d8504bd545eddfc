/** What an iterator's pages cost and what they need, case by case. */
import * as api from "user-page";
import { ITER_DEST, ITER_SOURCE, PAGE_SIZE, type IovIter } from "user-page";
import { expect, test } from "vitest";
import {
  boot_for_test,
  counts,
  errno_of,
  fill_pattern,
  forced,
  map_anon,
  must,
} from "../fixtures.js";

const MEM = { mem: 8 << 20 };
const HUGE = 2 << 20;
function start(options: api.MachineOptions = MEM) {
  const machine = boot_for_test(options);
  const current = api.create_task(machine);
  return { machine, current, [Symbol.dispose]: () => machine[Symbol.dispose]() };
}
const live = (machine: api.Machine): number[] => {
  const s = api.vmstat(machine);
  return [
    s.nr_foll_pin_acquired - s.nr_foll_pin_released,
    s.nr_user_bvec_acquired - s.nr_user_bvec_released,
  ];
};

test("two ranges inside one page: a pin and an extent each", () => {
  using w = start();
  const buf = map_anon(w.current, PAGE_SIZE);
  fill_pattern(w.current, buf, PAGE_SIZE);
  const iov = [0, 512].map((at) => ({ iov_base: api.user_ptr_add(buf, at), iov_len: 512 }));
  const iter = api.iov_iter_init(ITER_SOURCE, iov);
  using first = must(api.iov_iter_extract_pages(iter, 1024, 16, w.current));
  using second = must(api.iov_iter_extract_pages(iter, 1024, 16, w.current));
  expect([first.length, first.offset, first.bytes]).toEqual([1, 0, 512]);
  expect([second.length, second.offset, second.bytes, iter.count]).toEqual([1, 512, 512, 0]);
  const pfn = api.page_to_pfn(first[0]!);
  expect(api.page_to_pfn(second[0]!)).toBe(pfn);
  expect(counts(pfn)[0]).toBe(1 + 2 * 1024);
  api.iov_iter_revert(iter, 1024);
  using bvecs = must(api.iov_iter_extract_bvecs(iter, 1024, w.current));
  expect([...bvecs].map(({ offset, len }) => [offset, len])).toEqual([
    [0, 512],
    [512, 512],
  ]);
  expect(counts(pfn)[0]).toBe(1 + 4 * 1024);
});
test("an extent of huge user memory is one reference, whatever its size", () => {
  using w = start();
  const buf = map_anon(w.current, 2 * HUGE);
  api.madvise(w.current, buf, 2 * HUGE, api.MADV_HUGEPAGE)._unsafeUnwrap();
  const iov = [
    { iov_base: api.user_ptr_add(buf, 100), iov_len: HUGE },
    { iov_base: api.user_ptr_add(buf, HUGE + 8192), iov_len: 8192 },
  ];
  const iter = api.iov_iter_init(ITER_DEST, iov);
  using bvecs = must(api.iov_iter_extract_bvecs(iter, Number.MAX_SAFE_INTEGER, w.current));
  expect([...bvecs].map(({ offset, len }) => [offset, len])).toEqual([
    [100, HUGE - 100],
    [0, 100],
    [0, 8192],
  ]);
  expect(live(w.machine)).toEqual([3, 3]);
  api.put_user_bvec_dirty_lock(bvecs, w.current);
  expect(live(w.machine)).toEqual([0, 0]);
});
test("the direction decides: 'dest' breaks copy-on-write, 'source' does not, and neither does a get", () => {
  using w = start();
  const buf = map_anon(w.current, 2 * PAGE_SIZE);
  const zero = api.page_to_pfn(api.ZERO_PAGE(w.current));
  const source = api.iov_iter_ubuf(ITER_SOURCE, buf, PAGE_SIZE);
  using read = must(api.iov_iter_get_pages2(source, PAGE_SIZE, 1, w.current));
  expect([...read].map((page) => api.page_to_pfn(page))).toEqual([zero]);
  for (const [at, take] of [
    [0, (iter: IovIter<"dest", "user">) => api.iov_iter_get_pages2(iter, PAGE_SIZE, 1, w.current)],
    [1, (iter: IovIter<"dest", "user">) => api.iov_iter_extract_pages(iter, 4096, 1, w.current)],
  ] as const) {
    const dest = api.iov_iter_ubuf(ITER_DEST, api.user_ptr_add(buf, at * PAGE_SIZE), PAGE_SIZE);
    using pages = must(take(dest));
    for (const page of pages) expect(api.page_to_pfn(page)).not.toBe(zero);
  }
});
test("a page in the middle that cannot be accessed makes it short; extents are all or nothing", () => {
  using w = start();
  const buf = map_anon(w.current, 8 * PAGE_SIZE);
  api.munmap(w.current, api.user_ptr_add(buf, 5 * PAGE_SIZE), PAGE_SIZE)._unsafeUnwrap();
  const iter = api.iov_iter_ubuf(ITER_DEST, api.user_ptr_add(buf, 100), 8 * PAGE_SIZE - 100);
  expect(errno_of(api.iov_iter_extract_bvecs(iter, iter.count, w.current))).toBe("EFAULT");
  expect([iter.count, ...live(w.machine)]).toEqual([8 * PAGE_SIZE - 100, 0, 0]);
  const pages = must(api.iov_iter_extract_pages(iter, iter.count, 64, w.current));
  expect([pages.length, pages.offset, pages.bytes]).toEqual([5, 100, 5 * PAGE_SIZE - 100]);
  expect([iter.count, live(w.machine)[0]]).toEqual([3 * PAGE_SIZE, 5]);
  expect(errno_of(api.iov_iter_extract_pages(iter, iter.count, 64, w.current))).toBe("EFAULT");
  expect(errno_of(api.iov_iter_get_pages2(iter, iter.count, 64, w.current))).toBe("EFAULT");
  expect(iter.count).toBe(3 * PAGE_SIZE);
  api.put_user_pages(pages);
});
test("extents of an earlier segment are put back when a later one fails", () => {
  using w = start();
  const buf = map_anon(w.current, 4 * PAGE_SIZE);
  const iov = [
    { iov_base: buf, iov_len: 3 * PAGE_SIZE },
    { iov_base: api.u64_to_user_ptr(4096), iov_len: 10 },
  ];
  const iter = api.iov_iter_init(ITER_DEST, iov);
  expect(errno_of(api.iov_iter_extract_bvecs(iter, iter.count, w.current))).toBe("EFAULT");
  expect([...live(w.machine), iter.count]).toEqual([0, 0, 3 * PAGE_SIZE + 10]);
  const wraps = [{ iov_base: api.u64_to_user_ptr(2 ** 53 - 1), iov_len: 10 }];
  const beyond = api.iov_iter_init(ITER_DEST, [iov[0]!, ...wraps]);
  expect(errno_of(api.iov_iter_extract_bvecs(beyond, 20_000, w.current))).toMatch(
    /EOVERFLOW|EINVAL/,
  );
});
test("nofault: only what is present", () => {
  using w = start();
  const buf = map_anon(w.current, 4 * PAGE_SIZE);
  fill_pattern(w.current, buf, PAGE_SIZE);
  const iter = api.iov_iter_ubuf(ITER_DEST, buf, 4 * PAGE_SIZE);
  iter.nofault = true;
  const { pgfault } = api.vmstat(w.machine);
  expect(errno_of(api.iov_iter_extract_bvecs(iter, iter.count, w.current))).toBe("EFAULT");
  using got = must(api.iov_iter_get_pages2(iter, iter.count, 4, w.current));
  expect([got.nr_pages, got.bytes]).toEqual([1, PAGE_SIZE]);
  api.iov_iter_revert(iter, PAGE_SIZE);
  using pinned = must(api.iov_iter_extract_pages(iter, iter.count, 4, w.current));
  expect([pinned.length, pinned.bytes, iter.count]).toEqual([1, PAGE_SIZE, 3 * PAGE_SIZE]);
  expect(errno_of(api.iov_iter_extract_pages(api.dup_iter(iter), 1, 1, w.current))).toBe("EFAULT");
  expect(api.vmstat(w.machine).pgfault).toBe(pgfault);
  iter.nofault = false;
  using rest = must(api.iov_iter_extract_pages(iter, iter.count, 4, w.current));
  expect(rest.length).toBe(3);
});
test("a killed task gets EAGAIN, and keeps nothing", () => {
  using w = start();
  const buf = map_anon(w.current, 4 * PAGE_SIZE);
  api.kill_task(w.current);
  const iter = api.iov_iter_ubuf(ITER_DEST, buf, 4 * PAGE_SIZE);
  expect(errno_of(api.iov_iter_extract_pages(iter, 8192, 4, w.current))).toBe("EAGAIN");
  expect(errno_of(api.iov_iter_extract_bvecs(iter, 8192, w.current))).toBe("EAGAIN");
  expect(errno_of(api.iov_iter_get_pages2(iter, 8192, 4, w.current))).toBe("EAGAIN");
  expect([iter.count, ...live(w.machine)]).toEqual([4 * PAGE_SIZE, 0, 0]);
});
test("pages of one segment may belong to several folios: each gets its own reference", () => {
  using w = start();
  const a = must(api.folio_alloc(w.current, 1));
  const b = must(api.folio_alloc(w.current, 1));
  const [low, high] = [a, b].sort((x, y) => (Number(x) % 2 ** 32) - (Number(y) % 2 ** 32));
  const first = api.folio_page(low!, 0);
  expect(Number(api.page_to_pfn(api.folio_page(high!, 0))) - Number(api.page_to_pfn(first))).toBe(
    2,
  );
  const iter = api.iov_iter_bvec(ITER_SOURCE, [{ page: first, offset: 0, len: 4 * PAGE_SIZE }]);
  const got = must(api.iov_iter_get_pages2(iter, iter.count, 16, w.current));
  expect([api.folio_ref_count(a), api.folio_ref_count(b)]).toEqual([3, 3]);
  for (let page = api.pop_iter_page(got); page; page = api.pop_iter_page(got)) api.put_page(page);
  api.iov_iter_put_pages(got);
  expect([api.folio_ref_count(a), api.folio_ref_count(b)]).toEqual([1, 1]);
  api.iov_iter_revert(iter, 4 * PAGE_SIZE);
  const { kernel } = must(api.iov_iter_extract_bvecs(iter, iter.count, w.current));
  expect(kernel.map(({ len }) => len)).toEqual([4 * PAGE_SIZE]); // its maker says that it is contiguous
  const queue = api.iov_iter_folio_queue(ITER_SOURCE, [low!, high!], 0, 0, 4 * PAGE_SIZE);
  const folios = must(api.iov_iter_extract_bvecs(queue, queue.count, w.current));
  expect(folios.kernel.map(({ len }) => len)).toEqual([2 * PAGE_SIZE, 2 * PAGE_SIZE]);
  expect([api.folio_ref_count(a), api.folio_ref_count(b)]).toEqual([1, 1]);
  api.folio_put(a);
  api.folio_put(b);
});
test("pages that are adjacent by chance are no extent: nobody says that they belong together", () => {
  using w = start();
  using area = must(api.vmalloc(w.current, 3 * PAGE_SIZE));
  const [first, , last] = [0, 1, 2].map((n) =>
    Number(api.page_to_pfn(api.vmalloc_to_page(area, n * PAGE_SIZE))),
  );
  expect(last! - first!).toBe(2);
  const kvec = { iov_base: area, iov_offset: 1, iov_len: 3 * PAGE_SIZE - 1 };
  const iter = api.iov_iter_kvec(ITER_DEST, [kvec]);
  const { kernel } = must(api.iov_iter_extract_bvecs(iter, iter.count, w.current));
  expect(kernel.map(({ offset, len }) => [offset, len])).toEqual([
    [1, PAGE_SIZE - 1],
    [0, PAGE_SIZE],
    [0, PAGE_SIZE],
  ]);
  using a = must(api.__free(api.folio_put, api.folio_alloc(w.current, 1)));
  using b = must(api.__free(api.folio_put, api.folio_alloc(w.current, 1)));
  const cache = new Map([
    [0, a.page],
    [2, b.page],
  ]);
  const file = api.iov_iter_xarray(ITER_DEST, cache, 100, 4 * PAGE_SIZE - 100);
  const found = must(api.iov_iter_extract_bvecs(file, file.count, w.current));
  expect(found.kernel.map(({ len }) => len)).toEqual([2 * PAGE_SIZE - 100, 2 * PAGE_SIZE]);
});
test("the folios of a file may be known by each index or by their first", () => {
  using w = start();
  using scope = must(api.__free(api.folio_put, api.folio_alloc(w.current, 2)));
  const folio = scope.page;
  const pfns = [0, 1, 2, 3].map((n) => api.page_to_pfn(api.folio_page(folio, n)));
  const maps = [new Map([[4, folio]]), new Map([4, 5, 6, 7].map((index) => [index, folio]))];
  for (const map of maps) {
    const iter = api.iov_iter_xarray(ITER_DEST, map, 5 * PAGE_SIZE + 7, 4 * PAGE_SIZE);
    const got = must(api.iov_iter_extract_pages(iter, iter.count, 16, w.current));
    expect(got.kernel.map((page) => api.page_to_pfn(page))).toEqual(pfns.slice(1));
    expect([got.offset, got.bytes, iter.count]).toEqual([7, 3 * PAGE_SIZE - 7, PAGE_SIZE + 7]);
  }
  expect(api.folio_ref_count(folio)).toBe(1);
});
test("a block ends what was extracted, once, and what was popped is not released with the rest", () => {
  using w = start();
  const buf = map_anon(w.current, 4 * PAGE_SIZE);
  fill_pattern(w.current, buf, 4 * PAGE_SIZE);
  const iter = api.iov_iter_ubuf(ITER_SOURCE, buf, 4 * PAGE_SIZE);
  let kept: api.OwnedPage | null;
  {
    using got = must(api.iov_iter_get_pages2(iter, iter.count, 16, w.current));
    kept = api.pop_iter_page(got);
    expect([got.nr_pages, got.bytes]).toEqual([3, 4 * PAGE_SIZE]);
    expect(api.page_ref_count(kept!)).toBe(2);
  }
  expect(api.page_ref_count(kept!)).toBe(2);
  api.put_page(kept!);
  api.iov_iter_revert(iter, 4 * PAGE_SIZE);
  const got = must(api.iov_iter_get_pages2(iter, iter.count, 16, w.current));
  api.iov_iter_put_pages(got);
  got[Symbol.dispose]();
  expect(() => forced(api.iov_iter_put_pages)(got)).toThrow(/double-release/);
  expect(() => forced(api.pop_iter_page)(got)).toThrow(/use-after-release/);
  api.exit_task(w.current);
  expect(api.shutdown(w.machine)).toEqual({ leaks: [], lost_pages: 0 });
});
test("nothing is asked for: nothing is given, and nothing is wrong", () => {
  using w = start();
  const buf = map_anon(w.current, PAGE_SIZE);
  const iter: IovIter<"dest"> = api.iov_iter_ubuf(ITER_DEST, buf, 100);
  for (const i of [iter, api.iov_iter_discard(ITER_DEST, 100)]) {
    for (const [size, pages] of [
      [0, 16],
      [100, 0],
    ] as const) {
      using got = must(api.iov_iter_get_pages2(i, size, pages, w.current));
      using pinned = must(api.iov_iter_extract_pages(i, size, pages, w.current));
      expect([got.nr_pages, got.bytes, pinned.bytes, i.count]).toEqual([0, 0, 0, 100]);
    }
    using bvecs = must(api.iov_iter_extract_bvecs(i, 0, w.current));
    expect(api.is_pinned(bvecs)).toBe(i === iter);
  }
  expect(errno_of(api.iov_iter_extract_pages(iter, -1, 1, w.current))).toBe("EINVAL");
  expect(errno_of(api.iov_iter_extract_bvecs(iter, 1.5, w.current))).toBe("EINVAL");
  expect(errno_of(api.iov_iter_get_pages2(iter, 1, NaN, w.current))).toBe("EINVAL");
});
test("pages of another machine are refused", () => {
  using w = start();
  using other = start();
  using page = must(api.__free(api.put_page, api.alloc_page(other.current)));
  const iter = api.iov_iter_bvec(ITER_DEST, [{ page: page.page, offset: 0, len: 100 }]);
  expect(() => api.iov_iter_extract_pages(iter, 100, 1, w.current)).toThrow(/two machines/);
  expect(() => api.iov_iter_get_pages2(iter, 100, 1, w.current)).toThrow(/two machines/);
  expect(() => api.iov_iter_extract_bvecs(iter, 100, w.current)).toThrow(/two machines/);
  expect(() => api.copy_to_iter(new Uint8Array(1), iter, w.current)).toThrow(/two machines/);
  expect(api.page_ref_count(page.page)).toBe(1);
});
