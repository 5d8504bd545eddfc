/** What is refused to pinned pages: to be split, to be merged, to be swapped out. */
import * as api from "user-page";
import { PAGE_SIZE } from "user-page";
import { describe, expect, test } from "vitest";
import { folio_try_share_anon_rmap } from "../../src/mm/rmap_anon.js";
import {
  boot_for_test,
  boot_plain,
  counts,
  fill_pattern,
  forced,
  map_anon,
  must,
} from "../fixtures.js";
import {
  byte_at,
  dma,
  free,
  get,
  HUGE,
  huge_buffer,
  is_exclusive,
  MEM,
  pfn_at,
  store,
} from "./fork_world.js";

const read_all = (task: api.Task, from: api.UserAddr, bytes: number): Uint8Array => {
  const to = new Uint8Array(bytes);
  api.copy_from_user(task, to, from)._unsafeUnwrap();
  return to;
};
/** A reference on the folio at an address. */
function folio_at(machine: api.Machine, task: api.Task, addr: api.UserAddr) {
  const page = get(task, addr);
  const folio = api.try_get_folio(must(api.pfn_to_page(machine, api.page_to_pfn(page))));
  api.put_page(page);
  if (!folio) throw new Error("no folio");
  return folio;
}
const page_at = (buf: api.UserAddr, index: number): api.UserAddr =>
  api.user_ptr_add(buf, index * PAGE_SIZE);

describe("split_folio()", () => {
  test("makes 512 pages of a huge page: bytes and mappings stay, and each page is freed by itself", () => {
    using machine = boot_for_test(MEM);
    const current = api.create_task(machine);
    const start = free(machine);
    const buf = huge_buffer(current);
    const bytes = fill_pattern(current, buf, HUGE);
    const head = pfn_at(current, buf);
    const folio = folio_at(machine, current, buf);
    expect([counts(head), api.folio_order(folio)]).toEqual([[2, 0], 9]);
    expect(api.split_folio(folio, current).isOk()).toBe(true);
    expect([counts(head), counts(head + 1), api.folio_order(folio)]).toEqual([[2, 0], [1, 0], 0]);
    api.folio_put(folio);
    for (const index of [0, 1, 511]) {
      expect([pfn_at(current, page_at(buf, index)), counts(head + index)]).toEqual([
        head + index,
        [1, 0],
      ]);
      expect(is_exclusive(head + index)).toBe(true);
    }
    expect(Buffer.compare(read_all(current, buf, HUGE), bytes)).toBe(0);
    const before = free(machine);
    api.munmap(current, page_at(buf, 3), PAGE_SIZE)._unsafeUnwrap();
    expect(free(machine)).toBe(before + 1); // of a folio that is whole nothing comes back
    const pin = must(api.get_user_page(current, page_at(buf, 4), "dest"));
    expect(counts(head + 4)).toEqual([1025, 0]); // a page of order 0 again
    api.put_user_page(pin);
    api.exit_task(current);
    expect([free(machine), api.dmesg(machine)]).toEqual([start, []]);
  });
  test("of a folio that two tasks map, whole and in part", () => {
    using machine = boot_for_test(MEM);
    const parent = api.create_task(machine);
    const start = free(machine);
    const buf = huge_buffer(parent);
    const bytes = fill_pattern(parent, buf, HUGE);
    const child = must(api.fork(parent));
    api.munmap(child, page_at(buf, 5), PAGE_SIZE)._unsafeUnwrap();
    api.munmap(parent, page_at(buf, 5), PAGE_SIZE)._unsafeUnwrap();
    const folio = folio_at(machine, parent, buf);
    const head = pfn_at(parent, buf);
    const before = free(machine);
    api.split_folio(folio, parent)._unsafeUnwrap();
    expect(free(machine)).toBe(before + 1); // the page that nobody maps
    expect([counts(head), counts(head + 1)]).toEqual([
      [3, 0],
      [2, 0],
    ]);
    api.folio_put(folio);
    expect(read_all(child, page_at(buf, 6), PAGE_SIZE)).toEqual(
      bytes.slice(6 * PAGE_SIZE, 7 * PAGE_SIZE),
    );
    api.exit_task(parent);
    api.exit_task(child);
    expect(free(machine)).toBe(start);
  });
  test("is refused while one page is pinned or referenced: EAGAIN, and nothing changed", () => {
    using machine = boot_for_test(MEM);
    const current = api.create_task(machine);
    const buf = huge_buffer(current);
    store(current, buf, 1);
    const folio = folio_at(machine, current, buf);
    const head = pfn_at(current, buf);
    const pin = must(api.get_user_page(current, page_at(buf, 100), "dest"));
    expect(api.split_folio(folio, current)._unsafeUnwrapErr().errno).toBe("EAGAIN");
    expect([counts(head), api.folio_order(folio)]).toEqual([[3, 1], 9]);
    api.put_user_page(pin);
    const page = get(current, page_at(buf, 200));
    expect(api.split_folio(folio, current)._unsafeUnwrapErr().errno).toBe("EAGAIN");
    api.put_page(page);
    expect(api.split_folio(folio, current).isOk()).toBe(true);
    expect(api.split_folio(folio, current)._unsafeUnwrapErr().errno).toBe("EINVAL");
    api.folio_put(folio);
  });
  test("is refused for the huge zero page, for memory of a driver and for folios of a file: EBUSY", () => {
    using machine = boot_for_test(MEM);
    const current = api.create_task(machine);
    const buf = huge_buffer(current);
    expect(byte_at(current, buf)).toBe(0);
    using memfd = must(api.memfd_create(current, HUGE, api.MFD_HUGE));
    const shared = api.mmap(current, null, HUGE, 3, api.MAP_SHARED, memfd)._unsafeUnwrap();
    store(current, shared, 1);
    const folios = [
      folio_at(machine, current, buf),
      folio_at(machine, current, shared),
      must(api.folio_alloc(current, 9)),
    ];
    for (const folio of folios) {
      expect(api.split_folio(folio, current)._unsafeUnwrapErr().errno).toBe("EBUSY");
      api.folio_put(folio);
    }
    const other = boot_for_test(MEM);
    const folio = must(api.folio_alloc(current, 9));
    expect(() => api.split_folio(folio, api.create_task(other))).toThrow(/not-a-handle/);
    other[Symbol.dispose]();
    api.folio_put(folio);
  });
});
describe("try_to_merge_one_page()", () => {
  function two_alike(machine: api.Machine): [a: api.Task, b: api.Task, buf: api.UserAddr] {
    const [a, b] = [api.create_task(machine), api.create_task(machine)];
    const [buf, same] = [map_anon(a, 2 * PAGE_SIZE), map_anon(b, 2 * PAGE_SIZE)];
    expect(same).toBe(buf);
    for (const task of [a, b]) fill_pattern(task, buf, PAGE_SIZE, 5);
    return [a, b, buf];
  }
  const merge = (a: api.Task, b: api.Task, buf: api.UserAddr): string => {
    const done = api.try_to_merge_one_page(a, buf, b, buf);
    return done.isOk() ? "merged" : done.error.errno;
  };
  test("two pages that are alike become one, exclusive to nobody, and are copied before the next store", () => {
    using machine = boot_for_test(MEM);
    const [a, b, buf] = two_alike(machine);
    const before = free(machine);
    const kept = pfn_at(b, buf);
    expect(merge(a, b, buf)).toBe("merged");
    expect([pfn_at(a, buf), free(machine), counts(kept)]).toEqual([kept, before + 1, [2, 0]]);
    expect(is_exclusive(kept)).toBe(false);
    expect(merge(a, b, buf)).toBe("merged"); // it is one already
    store(a, buf, 1);
    expect([byte_at(a, buf), byte_at(b, buf)]).toEqual([1, fill_byte]);
    // What was merged never becomes exclusive again: the last one copies it too.
    store(b, buf, 2);
    expect([pfn_at(b, buf) === kept, free(machine)]).toEqual([false, before]);
  });
  const fill_byte = ((Math.imul(5, 1664525) + 1013904223) >>> 24) & 255;
  test.each(["the page that goes", "the page that stays"])("refuses a pinned page: %s", (which) => {
    using machine = boot_for_test(MEM);
    const [a, b, buf] = two_alike(machine);
    const owner = which === "the page that goes" ? a : b;
    const pin = must(api.get_user_page(owner, buf, "dest"));
    const pfn = api.page_to_pfn(pin) as number;
    expect([merge(a, b, buf), counts(pfn), is_exclusive(pfn)]).toEqual(["EBUSY", [1025, 0], true]);
    const faults = api.vmstat(machine).pgfault;
    store(owner, buf, 9); // its entry is writable as before
    expect([api.vmstat(machine).pgfault, pfn_at(owner, buf)]).toEqual([faults, pfn]);
    dma(pin, 10);
    expect(byte_at(owner, buf)).toBe(10);
    api.put_user_page(pin);
    fill_pattern(owner, buf, PAGE_SIZE, 5);
    expect(merge(a, b, buf)).toBe("merged");
  });
  test("refuses what somebody references, what differs, and what is no single page that was written", () => {
    using machine = boot_for_test(MEM);
    const [a, b, buf] = two_alike(machine);
    const page = get(a, buf);
    expect(merge(a, b, buf)).toBe("EBUSY");
    api.put_page(page);
    store(a, buf, fill_byte ^ 1);
    expect(merge(a, b, buf)).toBe("EAGAIN");
    expect(byte_at(a, buf)).toBe(fill_byte ^ 1);
    expect(merge(a, b, page_at(buf, 1))).toBe("EFAULT"); // nothing there yet
    expect(merge(a, b, page_at(buf, 7))).toBe("EFAULT");
    const huge = huge_buffer(a);
    store(a, huge, 1);
    expect(api.try_to_merge_one_page(a, huge, b, buf)._unsafeUnwrapErr().errno).toBe("EFAULT");
    using other = boot_for_test(MEM);
    const stranger = api.create_task(other);
    expect(() => api.try_to_merge_one_page(a, buf, stranger, buf)).toThrow(/not-a-handle/);
  });
  test("a pin for reading of what was merged gets a copy first", () => {
    using machine = boot_for_test(MEM);
    const [a, b, buf] = two_alike(machine);
    expect(merge(a, b, buf)).toBe("merged");
    const shared = pfn_at(a, buf);
    const pin = must(api.get_user_page(a, buf, "source"));
    expect([api.page_to_pfn(pin) === shared, pfn_at(b, buf)]).toEqual([false, shared]);
    api.put_user_page(pin);
  });
});
test("once a page is pinned, it does not cease to be exclusive; a plain reference does not keep it so", () => {
  using machine = boot_for_test(MEM);
  const current = api.create_task(machine);
  const buf = map_anon(current, PAGE_SIZE);
  store(current, buf, 1);
  const pfn = pfn_at(current, buf);
  const pin = must(api.get_user_page(current, buf, "dest"));
  expect([folio_try_share_anon_rmap(pfn), is_exclusive(pfn)]).toEqual([false, true]);
  api.put_user_page(pin);
  const page = get(current, buf);
  expect([folio_try_share_anon_rmap(pfn), is_exclusive(pfn)]).toEqual([true, false]);
  expect(folio_try_share_anon_rmap(pfn)).toBe(true);
  api.put_page(page);
});
test("a page that was put once too often is not given to a child", () => {
  using machine = boot_plain(MEM);
  const parent = api.create_task(machine);
  const buf = map_anon(parent, 2 * PAGE_SIZE);
  fill_pattern(parent, buf, 2 * PAGE_SIZE);
  const page = get(parent, buf);
  api.put_page(page);
  forced(api.put_page)(page); // the entry's own reference
  const child = must(api.fork(parent));
  expect(byte_at(child, buf)).toBe(0);
  expect(byte_at(child, page_at(buf, 1))).toBe(byte_at(parent, page_at(buf, 1)));
});
