/** Folios between one page and 2 MiB for anonymous memory: when there are any, and that all else goes on as with other folios. */
import * as api from "user-page";
import { PAGE_SIZE, PMD_SIZE } from "user-page";
import { describe, expect, test } from "vitest";
import { machine_state } from "../../src/machine/machine.js";
import { boot_for_test, fill_pattern, map_anon, must } from "../fixtures.js";

const KIB_64 = 16 * PAGE_SIZE;
function world(thp_anon: string, bytes = PMD_SIZE) {
  const machine = boot_for_test({ mem: 32 << 20, thp_anon });
  const current = api.create_task(machine);
  return { machine, current, buf: map_anon(current, bytes) };
}
const advise = (current: api.Task, buf: api.UserAddr, bytes: number, advice: number): void =>
  api.madvise(current, buf, bytes, advice)._unsafeUnwrap();
/** Orders of the folios of the first `n` pages, each once. */
function orders(current: api.Task, buf: api.UserAddr, n: number): number[] {
  const seen = new Map<number, number>();
  const pages: api.Page[] = [];
  expect(api.get_user_pages_fast(current, buf, n, 0, pages)).toBe(n);
  for (const page of pages.splice(0)) {
    const folio = api.page_folio(page);
    seen.set(api.page_to_pfn(api.folio_page(folio, 0)), api.folio_order(folio));
    api.put_page(page);
  }
  return [...seen.values()];
}
const touch = (current: api.Task, buf: api.UserAddr, page: number): void =>
  void api
    .copy_to_user(current, api.user_ptr_add(buf, page * PAGE_SIZE), new Uint8Array([1]))
    ._unsafeUnwrap();

describe("thp_anon", () => {
  test("gives folios of the largest size that fits, on MADV_HUGEPAGE alone", () => {
    const { machine, current, buf } = world("16K,64K:madvise;2M:never");
    touch(current, buf, 100);
    expect(orders(current, api.user_ptr_add(buf, 100 * PAGE_SIZE), 1)).toEqual([0]);
    advise(current, buf, PMD_SIZE, api.MADV_HUGEPAGE);
    const free = machine_free(machine);
    touch(current, buf, 5);
    expect(free - machine_free(machine)).toBe(16);
    expect(orders(current, buf, 16)).toEqual([4]);
    // Of the 16 pages from 96 on one is there: 16 KiB that do not hold it are free.
    touch(current, buf, 96);
    expect(orders(current, api.user_ptr_add(buf, 96 * PAGE_SIZE), 4)).toEqual([2]);
    touch(current, buf, 101);
    expect(orders(current, api.user_ptr_add(buf, 101 * PAGE_SIZE), 1)).toEqual([0]);
    // Reading brings the zero page, and what is there is not made larger.
    api.copy_from_user(current, new Uint8Array(1), api.user_ptr_add(buf, 200 * PAGE_SIZE));
    touch(current, buf, 200);
    expect(orders(current, api.user_ptr_add(buf, 200 * PAGE_SIZE), 1)).toEqual([0]);
    expect(api.shutdown(machine).lost_pages).toBe(0);
  });
  test("stays inside the mapping", () => {
    const { machine, current, buf } = world("64K:always", 24 * PAGE_SIZE);
    for (let page = 0; page < 24; page++) touch(current, buf, page);
    expect(orders(current, buf, 24)).toEqual([4, 0, 0, 0, 0, 0, 0, 0, 0]);
    expect(api.shutdown(machine).lost_pages).toBe(0);
  });
  test("goes for 2 MiB as for other sizes, and MADV_NOHUGEPAGE against all", () => {
    const { machine, current, buf } = world("2M:always");
    touch(current, buf, 0);
    expect(orders(current, buf, 512)).toEqual([9]);
    const other = map_anon(current, PMD_SIZE);
    advise(current, other, PMD_SIZE, api.MADV_NOHUGEPAGE);
    touch(current, other, 0);
    expect(orders(current, other, 1)).toEqual([0]);
    const never = world("2M:never");
    advise(never.current, never.buf, PMD_SIZE, api.MADV_HUGEPAGE);
    touch(never.current, never.buf, 0);
    expect(orders(never.current, never.buf, 1)).toEqual([0]);
    for (const one of [machine, never.machine]) expect(api.shutdown(one).lost_pages).toBe(0);
  });
  test("is one extent, and a pin counts each page of it", () => {
    const { machine, current, buf } = world("64K:always");
    fill_pattern(current, buf, 2 * KIB_64);
    const before = api.vmstat(machine);
    {
      using bvecs = must(api.get_user_bvec(current, buf, 2 * KIB_64, api.ITER_DEST));
      expect([...bvecs].map(({ len }) => len)).toEqual([KIB_64, KIB_64]);
    }
    using pages = must(api.all_or_none(api.pin_user_pages_fast(current, buf, 20, api.ITER_DEST)));
    const after = api.vmstat(machine);
    expect(after.nr_foll_pin_acquired - before.nr_foll_pin_acquired).toBe(22);
    expect(api.folio_pincount(api.page_folio(pages[0]!))).toBe(16);
    expect(api.folio_ref_count(api.page_folio(pages[0]!))).toBe(32);
    api.put_user_pages(pages);
    expect(api.shutdown(machine).lost_pages).toBe(0);
  });
  test("is shared by fork(), copied page by page, swapped out and unmapped in parts", () => {
    const { machine, current, buf } = world("64K:always");
    const bytes = fill_pattern(current, buf, 2 * KIB_64);
    const now = (task: api.Task): Uint8Array => {
      const to = new Uint8Array(2 * KIB_64);
      api.copy_from_user(task, to, buf)._unsafeUnwrap();
      return to;
    };
    const child = must(api.fork(current));
    touch(child, buf, 3);
    expect(orders(child, buf, 16)).toEqual([4, 0]);
    expect(Buffer.compare(now(current), bytes)).toBe(0);
    api.exit_task(child);
    advise(current, buf, PAGE_SIZE, api.MADV_PAGEOUT);
    expect(Buffer.compare(now(current), bytes)).toBe(0);
    expect(orders(current, buf, 16)).toEqual(new Array(16).fill(0));
    // The folio is there until the last part of it is unmapped.
    const free = machine_free(machine);
    api.munmap(current, api.user_ptr_add(buf, KIB_64), 8 * PAGE_SIZE)._unsafeUnwrap();
    expect(machine_free(machine) - free).toBe(0);
    api.munmap(current, api.user_ptr_add(buf, KIB_64), KIB_64)._unsafeUnwrap();
    expect(machine_free(machine) - free).toBe(16);
    expect(api.shutdown(machine).lost_pages).toBe(0);
  });
  test("falls back where no block is free", () => {
    const { machine, current, buf } = world("64K:always");
    {
      using fragments = api.fragment_memory(machine, (index) => index % 2 === 1);
      touch(current, buf, 0);
      void fragments;
    }
    expect(orders(current, buf, 1)).toEqual([0]);
    expect(api.shutdown(machine).lost_pages).toBe(0);
  });
  test.each([
    "64",
    "64K",
    "64K:sometimes",
    "8K:always",
    "4M:always",
    "48K:always",
    "64K-16K:always",
    "16K-32K-64K:always",
    "64K:always:never",
    ";",
  ])("%j is refused", (thp_anon) => {
    expect(() => api.boot({ thp_anon })).toThrow(RangeError);
  });
});
function machine_free(machine: api.Machine): number {
  return machine_state(machine).allocator.free_pages;
}

describe("MAP_POPULATE", () => {
  const populated = (current: api.Task, addr: api.UserAddr, dir: api.Dir): number => {
    const iter = api.iov_iter_ubuf(dir, addr, 4 * PAGE_SIZE);
    iter.nofault = true;
    using pages = api.iov_iter_extract_pages(iter, 4 * PAGE_SIZE, 4, current);
    return api.IS_ERR(pages) ? 0 : pages.length;
  };
  test.each([
    ["private", api.MAP_PRIVATE | api.MAP_ANONYMOUS, api.PROT_READ | api.PROT_WRITE, 4, 4],
    ["read-only", api.MAP_PRIVATE | api.MAP_ANONYMOUS, api.PROT_READ, 4, 0],
    ["shared", api.MAP_SHARED | api.MAP_ANONYMOUS, api.PROT_READ | api.PROT_WRITE, 4, 0],
    ["not accessible", api.MAP_PRIVATE | api.MAP_ANONYMOUS, api.PROT_NONE, 0, 0],
  ])("faults in what is %s", (_, type, prot, readable, writeable) => {
    using machine = boot_for_test();
    const current = api.create_task(machine);
    const map = (flags: number): api.UserAddr =>
      api.mmap(current, null, 4 * PAGE_SIZE, prot, flags)._unsafeUnwrap();
    const before = api.vmstat(machine).pgfault;
    map(type);
    expect(api.vmstat(machine).pgfault).toBe(before);
    const addr = map(type | api.MAP_POPULATE);
    expect(populated(current, addr, "source")).toBe(readable);
    expect(populated(current, addr, "dest")).toBe(writeable);
  });
  test("ends where the file does, and the mapping is there all the same", () => {
    using machine = boot_for_test();
    const current = api.create_task(machine);
    using memfd = must(api.memfd_create(current, 2 * PAGE_SIZE));
    const flags = api.MAP_SHARED | api.MAP_POPULATE;
    const addr = api
      .mmap(current, null, 4 * PAGE_SIZE, api.PROT_READ, flags, memfd)
      ._unsafeUnwrap();
    expect(populated(current, addr, "source")).toBe(2);
    void memfd;
  });
});
