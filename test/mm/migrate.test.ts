/** Zones, contiguous allocations, and what moves for them. */
import * as api from "user-page";
import { describe, expect, test } from "vitest";
import {
  page_flags,
  PG_allocated,
  PG_anon,
  PG_anon_exclusive,
  PG_dirty,
  PG_touched,
} from "../../src/machine/arena.js";
import { ref_count } from "../../src/mm/page_ref.js";
import {
  boot_for_test,
  debug_mode,
  errno_of,
  fill_pattern,
  forced,
  map_anon,
  must,
} from "../fixtures.js";
import { hold, PAGE, pfn_at, same, scoped, touch, world, type World } from "./longterm_world.js";

const ZONES = { mem: 2 << 20, cma: 256 << 10, movable: 512 << 10 }; // 320, 64 and 128 pages
const where = (w: World, pfn: number): string => {
  const index = pfn - w.state.base;
  return index < 320 ? "normal" : index < 384 ? "cma" : "movable";
};
const read = (task: api.Task, buf: api.UserAddr, bytes: number): Uint8Array => {
  const to = new Uint8Array(bytes);
  api.copy_from_user(task, to, buf)._unsafeUnwrap();
  return to;
};

describe("where pages come from", () => {
  test("users: ZONE_MOVABLE, then the CMA area, then normal memory; and back", () => {
    using w = world(ZONES);
    const free = api.vmstat(w.machine).nr_free_pages;
    const buf = map_anon(w.current, 300 * PAGE);
    const seen: string[] = [];
    for (let i = 0; i < 300; i++) {
      touch(w.current, api.user_ptr_add(buf, i * PAGE));
      seen.push(where(w, pfn_at(w.current, buf + i * PAGE)));
    }
    const in_order = [128, 64, 108].flatMap((n, i) =>
      Array<string>(n).fill(["movable", "cma", "normal"][i]!),
    );
    expect(seen).toEqual(in_order);
    api.munmap(w.current, buf, 300 * PAGE)._unsafeUnwrap();
    expect(api.vmstat(w.machine).nr_free_pages).toBe(free);
    touch(w.current, map_anon(w.current, PAGE));
    expect(api.vmstat(w.machine).nr_free_pages).toBe(free - 1);
  });
  test("the kernel: normal memory only, and ENOMEM when that is used up", () => {
    using w = world(ZONES);
    const pages: api.Page[] = [];
    for (;;) {
      const page = api.alloc_page(w.current);
      if (api.IS_ERR(page)) break;
      expect(where(w, api.page_to_pfn(page))).toBe("normal");
      pages.push(page);
    }
    expect(pages.length).toBe(319); // the zero page is one
    expect(errno_of(api.folio_alloc(w.current, 0))).toBe("ENOMEM");
    expect(errno_of(api.vmalloc(w.current, PAGE))).toBe("ENOMEM");
    expect(errno_of(api.dax_file(w.current, PAGE))).toBe("ENOMEM");
    const buf = map_anon(w.current, PAGE);
    touch(w.current, buf);
    expect(where(w, pfn_at(w.current, buf))).toBe("movable");
    // What may stay has nowhere to go.
    expect(errno_of(api.get_user_page(w.current, buf, "dest", api.FOLL_LONGTERM))).toBe("ENOMEM");
    for (let page = pages.pop(); page; page = pages.pop()) api.put_page(page);
  });
  test("a shuffled machine keeps its zones apart", () => {
    using w = world({ ...ZONES, shuffle: 7 });
    const buf = map_anon(w.current, 192 * PAGE);
    for (let i = 0; i < 192; i++) touch(w.current, api.user_ptr_add(buf, i * PAGE));
    const all = Array.from({ length: 192 }, (_, i) => where(w, pfn_at(w.current, buf + i * PAGE)));
    expect(all.slice(0, 128).every((zone) => zone === "movable")).toBe(true);
    expect(all.slice(128).every((zone) => zone === "cma")).toBe(true);
    api.munmap(w.current, buf, 192 * PAGE)._unsafeUnwrap();
    using pages = must(api.cma_alloc(w.current, 64));
    expect(pages.nr_pages).toBe(64);
  });
  test("free blocks of two zones are no block of both", () => {
    // 32 pages each, which are buddies.
    using w = world({ mem: 2 << 20, cma: 128 << 10, movable: 128 << 10 });
    const first_movable = w.state.base + 480;
    for (let times = 0; times < 2; times++) {
      const buf = map_anon(w.current, 100 * PAGE);
      for (let i = 0; i < 100; i++) {
        touch(w.current, api.user_ptr_add(buf, i * PAGE));
        const pfn = pfn_at(w.current, buf + i * PAGE);
        expect([pfn >= first_movable, pfn < first_movable - 32]).toEqual([i < 32, i >= 64]);
      }
      api.munmap(w.current, buf, 100 * PAGE)._unsafeUnwrap();
    }
  });
  test("fragments are taken from every zone", () => {
    using w = world(ZONES);
    using fragments = api.fragment_memory(w.machine, () => true);
    expect(fragments.nr_pages).toBe(511);
    expect(api.vmstat(w.machine).nr_free_pages).toBe(0);
  });
  test.each([
    { cma: 100 },
    { movable: -4096 },
    { movable: NaN },
    { mem: 1 << 20, movable: 512 << 10, cma: 512 << 10 },
  ])("%j is refused", (options) => {
    expect(() => boot_for_test(options)).toThrow(RangeError);
  });
});

describe("cma_alloc()", () => {
  const all_cma = { mem: 1 << 20, cma: 256 << 10 };
  test("moves what users have there, and their bytes stay", () => {
    using w = world(all_cma);
    const buf = map_anon(w.current, 32 * PAGE);
    const bytes = fill_pattern(w.current, buf, 32 * PAGE);
    const in_area = pfn_at(w.current, buf);
    const pins = must(api.all_or_none(api.pin_user_pages_fast(w.current, buf, 1, "dest")));
    api.put_user_pages_dirty_lock(pins, w.current);
    const flags = page_flags[in_area];
    expect(flags).toBe(PG_allocated | PG_touched | PG_anon | PG_anon_exclusive | PG_dirty);
    expect(in_area).toBeGreaterThanOrEqual(w.state.unpinnable_from);
    using pages = must(api.cma_alloc(w.current, 64));
    expect([pages.pfn, pages.nr_pages]).toEqual([w.state.unpinnable_from, 64]);
    expect(pfn_at(w.current, buf)).toBeLessThan(w.state.unpinnable_from);
    expect(page_flags[pfn_at(w.current, buf)]).toBe(flags);
    expect(same(read(w.current, buf, 32 * PAGE), bytes)).toBe(true);
    // Both are somebody's: what one stores the other does not see.
    api.memcpy_to_page(api.cma_page(pages, in_area - pages.pfn), 0, new Uint8Array([255, 254]));
    expect(same(read(w.current, buf, 32 * PAGE), bytes)).toBe(true);
    expect(api.page_ref_count(api.cma_page(pages, 0))).toBe(1);
  });
  test("fails with EBUSY while one page is pinned, for however short, and works then", () => {
    using w = world(all_cma);
    const buf = map_anon(w.current, 4 * PAGE);
    fill_pattern(w.current, buf, 4 * PAGE);
    const free = api.vmstat(w.machine).nr_free_pages;
    {
      using _pin = scoped(api.get_user_page(w.current, buf, "source"));
      expect(errno_of(api.cma_alloc(w.current, 64))).toBe("EBUSY");
      expect(api.vmstat(w.machine).nr_free_pages).toBe(free);
      // A shorter range beside it can be had.
      using pages = must(api.cma_alloc(w.current, 60));
      expect(pages.pfn).toBeGreaterThan(pfn_at(w.current, buf));
    }
    {
      using _held = hold(w, buf);
      expect(errno_of(api.cma_alloc(w.current, 64))).toBe("EBUSY");
    }
    using pages = must(api.cma_alloc(w.current, 64));
    expect(pages.nr_pages).toBe(64);
  });
  test("is not in the way of a long-term pin, which does not stay there", () => {
    using w = world(all_cma);
    const buf = map_anon(w.current, 4 * PAGE);
    const bytes = fill_pattern(w.current, buf, 4 * PAGE);
    using pins = must(
      api.all_or_none(api.pin_user_pages_fast(w.current, buf, 4, "dest", api.FOLL_LONGTERM)),
    );
    using pages = must(api.cma_alloc(w.current, 64));
    expect([pins.length, pages.nr_pages]).toEqual([4, 64]);
    expect(same(read(w.current, buf, 4 * PAGE), bytes)).toBe(true);
  });
  test("fails when what is in the way has nowhere to go", () => {
    using w = world(all_cma);
    const buf = map_anon(w.current, 4 * PAGE);
    fill_pattern(w.current, buf, 4 * PAGE);
    {
      // Neither the kernel's memory nor the rest of the area, which is taken first, has room.
      using _fragments = api.fragment_memory(w.machine, (index) => index < 192);
      expect(errno_of(api.cma_alloc(w.current, 64))).toBe("EBUSY");
    }
    using pages = must(api.cma_alloc(w.current, 64));
    expect(pages.nr_pages).toBe(64);
  });
  test("twice gives two ranges, then EBUSY; what is released can be had again", () => {
    using w = world(all_cma);
    const first = must(api.cma_alloc(w.current, 40));
    expect(errno_of(api.cma_alloc(w.current, 40))).toBe("EBUSY");
    using second = must(api.cma_alloc(w.current, 24));
    expect(second.pfn).toBe(first.pfn + 40);
    api.cma_release(first);
    using third = must(api.cma_alloc(w.current, 40));
    expect(third.pfn + 40).toBe(second.pfn);
    expect(errno_of(api.cma_alloc(w.current, 65))).toBe("ENOMEM");
    expect(errno_of(api.cma_alloc(w.current, 0))).toBe("EINVAL");
  });
  test("pages are given back once, and not used afterwards", () => {
    const w = world(all_cma);
    const pages = must(api.cma_alloc(w.current, 4));
    expect(() => api.cma_page(pages, 4)).toThrow(RangeError);
    const page = api.cma_page(pages, 0);
    if (debug_mode) {
      expect(() => forced(api.put_page)(page)).toThrow(api.MisuseError);
    }
    api.cma_release(pages);
    expect(() => forced(api.cma_release)(pages)).toThrow(/second time/);
    expect(() => forced(api.cma_page)(pages, 0)).toThrow(/after its reference had ended/);
    expect(api.shutdown(w.machine)).toEqual({ leaks: [], lost_pages: 0 });
  });
  test("moves a huge page of which it needs a part, for all who map it", () => {
    using w = world({ mem: 16 << 20, cma: 4 << 20 });
    const buf = map_anon(w.current, 2 << 20);
    api.madvise(w.current, buf, 2 << 20, api.MADV_HUGEPAGE)._unsafeUnwrap();
    const bytes = fill_pattern(w.current, buf, 2 << 20);
    using child = must(api.fork(w.current));
    const before = pfn_at(w.current, buf);
    using pages = must(api.cma_alloc(w.current, 600));
    expect(pages.pfn).toBe(w.state.unpinnable_from);
    expect(before).toBe(pages.pfn);
    expect(pfn_at(child, buf)).toBe(pfn_at(w.current, buf));
    expect(ref_count(pfn_at(child, buf))).toBe(2);
    expect(same(read(child, buf, 2 << 20), bytes)).toBe(true);
    api.copy_to_user(child, buf, new Uint8Array([1, 2, 3]))._unsafeUnwrap();
    expect(same(read(w.current, buf, 2 << 20), bytes)).toBe(true);
  });
  test("leaves what is frozen and nobody maps alone", () => {
    using w = world(all_cma);
    const buf = map_anon(w.current, PAGE);
    touch(w.current, buf);
    const pages: api.Page[] = [];
    expect(api.get_user_pages_fast(w.current, buf, 1, 0, pages)).toBe(1);
    api.munmap(w.current, buf, PAGE)._unsafeUnwrap();
    const page = pages.pop()!;
    expect(api.page_ref_freeze(page, 1)).toBe(true);
    expect(errno_of(api.cma_alloc(w.current, 64))).toBe("EBUSY");
    api.page_ref_unfreeze(page, 1);
    api.put_page(page);
    using all = must(api.cma_alloc(w.current, 64));
    expect(all.nr_pages).toBe(64);
  });
  test("a page that was never written shows zeroes where it goes", () => {
    using w = world(all_cma);
    const memfd = must(api.memfd_create(w.current, 64 * PAGE));
    // The memory that the page goes to held something before.
    const dirty = must(api.folio_alloc(w.current, 0));
    api.folio_put(dirty);
    const pages = Array.from({ length: 150 }, () => must(api.alloc_page(w.current)));
    for (const page of pages) api.memcpy_to_page(page, 0, new Uint8Array(PAGE).fill(9));
    for (const page of pages) api.put_page(page);
    const buf = api.mmap(w.current, null, 64 * PAGE, 3, api.MAP_SHARED, memfd)._unsafeUnwrap();
    expect(read(w.current, buf, 64 * PAGE).every((byte) => byte === 0)).toBe(true);
    using all = must(api.cma_alloc(w.current, 64));
    expect(all.nr_pages).toBe(64);
    expect(read(w.current, buf, 64 * PAGE).every((byte) => byte === 0)).toBe(true);
    memfd[Symbol.dispose]();
  });
  test("passes over entries of what was swapped out", () => {
    using w = world(all_cma);
    const buf = map_anon(w.current, 8 * PAGE);
    const bytes = fill_pattern(w.current, buf, 8 * PAGE);
    api.madvise(w.current, buf, 4 * PAGE, api.MADV_PAGEOUT)._unsafeUnwrap();
    using all = must(api.cma_alloc(w.current, 64));
    expect(all.nr_pages).toBe(64);
    expect(same(read(w.current, buf, 8 * PAGE), bytes)).toBe(true);
  });
  test("moves pages that a fork shares, and each still has its own after a store", () => {
    using w = world(all_cma);
    const buf = map_anon(w.current, 4 * PAGE);
    const bytes = fill_pattern(w.current, buf, 4 * PAGE);
    using child = must(api.fork(w.current));
    using pages = must(api.cma_alloc(w.current, 64));
    expect(pages.nr_pages).toBe(64);
    expect(pfn_at(child, buf)).toBe(pfn_at(w.current, buf));
    touch(child, buf, 99);
    expect(same(read(w.current, buf, 4 * PAGE), bytes)).toBe(true);
    expect(read(child, buf, 1)[0]).toBe(99);
  });
});
