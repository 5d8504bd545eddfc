/** FOLL_LONGTERM: pages move to where they may stay before they are pinned, or the call fails and holds nothing. */
import * as api from "user-page";
import { describe, expect, test } from "vitest";
import { errno_of, fill_pattern, map_anon, must } from "../fixtures.js";
import {
  counted,
  hold,
  is_pinnable,
  mixed,
  PAGE,
  pfn_at,
  pin_slow,
  same,
  scoped,
  touch,
  world,
} from "./longterm_world.js";

const CMA = { cma: 2 << 20 };
const { FOLL_LONGTERM } = api;
const at = (buf: api.UserAddr, page: number) => api.user_ptr_add(buf, page * PAGE);
const bytes_at = (task: api.Task, buf: api.UserAddr, bytes: number): Uint8Array => {
  const to = new Uint8Array(bytes);
  api.copy_from_user(task, to, buf)._unsafeUnwrap();
  return to;
};

describe.each([
  ["the CMA area", { cma: 2 << 20 }],
  ["ZONE_MOVABLE", { movable: 2 << 20 }],
])("pages in %s", (_, zones) => {
  test("are moved: pinned twice, unpinned once, and their bytes stay", () => {
    using w = world(zones);
    const buf = mixed(w, 4, [2]);
    const bytes = fill_pattern(w.current, buf, 4 * PAGE);
    const before = pfn_at(w.current, buf + 2 * PAGE);
    const counts = counted(w, () => {
      using pages = must(api.all_or_none(pin_slow(w, buf, 4)));
      expect(pages.map((page) => api.page_to_pfn(page) as unknown as number)).toEqual(
        [0, 1, 2, 3].map((i) => pfn_at(w.current, buf + i * PAGE)),
      );
      expect(pages.every((page) => api.folio_is_longterm_pinnable(api.page_folio(page)))).toBe(
        true,
      );
    });
    expect(counts).toEqual([8, 8]); // of them 4 at the end of the block
    expect(pfn_at(w.current, buf + 2 * PAGE)).not.toBe(before);
    expect(same(bytes_at(w.current, buf, 4 * PAGE), bytes)).toBe(true);
  });
  test("cannot be moved while anybody holds them: ENOMEM, and zero pins", () => {
    using w = world(zones);
    const buf = mixed(w, 4, [2]);
    using _held = hold(w, at(buf, 2));
    const counts = counted(w, () => {
      expect(errno_of(pin_slow(w, buf, 4))).toBe("ENOMEM");
    });
    expect(counts).toEqual([4, 4]);
    for (let i = 0; i < 4; i++) {
      using folio = hold(w, at(buf, i));
      void folio;
      const pages: api.Page[] = [];
      api.get_user_pages_fast(w.current, at(buf, i), 1, 0, pages);
      expect(api.folio_maybe_dma_pinned(api.page_folio(pages[0]!))).toBe(false);
      api.put_page(pages.pop()!);
    }
  });
  test("of a fast call: what was pinned before the first of them stays pinned", () => {
    using w = world(zones);
    const buf = mixed(w, 4, [2]);
    using _held = hold(w, at(buf, 2));
    const counts = counted(w, () => {
      using short = api.pin_user_pages_fast(w.current, buf, 4, "dest", FOLL_LONGTERM);
      expect(api.IS_SHORT(short) && [short.asked, short.partial.length]).toEqual([4, 2]);
    });
    expect(counts).toEqual([4, 4]); // 2 fast, 2 slow and back
  });
  test("a fast call counts the pages behind the first of them twice", () => {
    using w = world(zones);
    const buf = mixed(w, 4, [2]);
    const counts = counted(w, () => {
      using pages = must(
        api.all_or_none(api.pin_user_pages_fast(w.current, buf, 4, "dest", FOLL_LONGTERM)),
      );
      expect(pages.length).toBe(4);
    });
    expect(counts).toEqual([6, 6]);
  });
  test("a single page, and pages of an owner", () => {
    using w = world(zones);
    const buf = mixed(w, 2, [0, 1]);
    const page = must(api.get_user_page(w.current, buf, "dest", FOLL_LONGTERM));
    expect(is_pinnable(w, buf)).toBe(true);
    api.put_user_page(page);
    const owner = new api.VaddrPin("test");
    const pages = must(api.all_or_none(api.vaddr_pin_pages(w.current, buf, 2, "source", owner)));
    expect(is_pinnable(w, buf + PAGE)).toBe(true);
    api.vaddr_unpin_pages(pages, owner);
  });
  test("extents: the whole range is pinned, moved and pinned again", () => {
    using w = world(zones);
    const buf = mixed(w, 4, [0, 3]);
    const bytes = fill_pattern(w.current, buf, 4 * PAGE);
    const counts = counted(w, () => {
      using bvecs = must(api.get_user_bvec(w.current, at(buf, 0), 4 * PAGE, "dest", FOLL_LONGTERM));
      expect([bvecs.count, bvecs.nr_segs]).toEqual([4 * PAGE, 4]);
      for (const { page } of bvecs) {
        expect(api.folio_is_longterm_pinnable(api.page_folio(page))).toBe(true);
      }
    });
    expect(counts).toEqual([8, 8]);
    expect(same(bytes_at(w.current, buf, 4 * PAGE), bytes)).toBe(true);
  });
  test("extents that cannot be moved: ENOMEM, and zero pins", () => {
    using w = world(zones);
    const buf = mixed(w, 4, [1]);
    using _held = hold(w, at(buf, 1));
    const counts = counted(w, () => {
      const got = api.get_user_bvec(w.current, buf, 4 * PAGE, "dest", FOLL_LONGTERM);
      expect(errno_of(got)).toBe("ENOMEM");
    });
    expect(counts).toEqual([4, 4]);
    expect(api.vmstat(w.machine).nr_user_bvec_acquired).toBe(0);
  });
  test("stay there for the length of a call: a short pin moves nothing", () => {
    using w = world(zones);
    const buf = mixed(w, 1, [0]);
    using page = scoped(api.get_user_page(w.current, buf, "dest"));
    expect(api.folio_is_longterm_pinnable(api.page_folio(page.page))).toBe(false);
  });
  test("are not where a long-term pin allocates", () => {
    using w = world(zones);
    const buf = map_anon(w.current, 4 * PAGE);
    const counts = counted(w, () => {
      using pages = must(api.all_or_none(pin_slow(w, buf, 4)));
      expect(pages.length).toBe(4);
    });
    expect(counts).toEqual([4, 4]);
    expect([0, 1, 2, 3].every((i) => is_pinnable(w, buf + i * PAGE))).toBe(true);
  });
  test("a hole behind them: the pages before it, moved", () => {
    using w = world(zones);
    const buf = mixed(w, 5, [3]);
    using short = pin_slow(w, buf, 8);
    expect(api.IS_SHORT(short) && short.partial.length).toBe(5);
    expect(is_pinnable(w, buf + 3 * PAGE)).toBe(true);
  });
  test("a huge page moves whole, and not where no 2 MiB are free", () => {
    using w = world({ mem: 32 << 20, cma: 4 << 20, movable: 4 << 20, ...zones });
    const buf = map_anon(w.current, 2 << 20);
    api.madvise(w.current, buf, 2 << 20, api.MADV_HUGEPAGE)._unsafeUnwrap();
    const bytes = fill_pattern(w.current, buf, 2 << 20);
    expect(is_pinnable(w, buf)).toBe(false);
    {
      using _fragments = api.fragment_memory(w.machine, (index) => index % 2 === 1);
      expect(errno_of(pin_slow(w, at(buf, 3), 4))).toBe("ENOMEM");
    }
    using bvecs = must(api.get_user_bvec(w.current, at(buf, 3), 4 * PAGE, "dest", FOLL_LONGTERM));
    expect(bvecs.nr_segs).toBe(1);
    expect(is_pinnable(w, buf)).toBe(true);
    expect(pfn_at(w.current, buf + 511 * PAGE) - pfn_at(w.current, buf)).toBe(511);
    expect(same(bytes_at(w.current, buf, 2 << 20), bytes)).toBe(true);
  });
});

describe("read-only pins that last", () => {
  test("of a private mapping are never of the zero page", () => {
    using w = world(CMA);
    const buf = map_anon(w.current, 2 * PAGE);
    {
      using short = scoped(api.get_user_page(w.current, buf, "source"));
      expect(api.is_zero_page(short.page)).toBe(true);
    }
    using long = scoped(api.get_user_page(w.current, buf, "source", FOLL_LONGTERM));
    expect(api.is_zero_page(long.page)).toBe(false);
    // The program's store goes to the page that was pinned.
    touch(w.current, buf, 7);
    const byte = new Uint8Array(1);
    api.memcpy_from_page(byte, long.page, 0);
    expect(byte[0]).toBe(7);
  });
  test("the zero page is no reason to move anything", () => {
    using w = world(CMA);
    const buf = map_anon(w.current, PAGE, api.PROT_READ);
    api.copy_from_user(w.current, new Uint8Array(1), buf)._unsafeUnwrap();
    using page = scoped(api.get_user_page(w.current, buf, "source", FOLL_LONGTERM));
    expect(api.is_zero_page(page.page)).toBe(false);
  });
});

describe("between unpinning and moving", () => {
  test("another CPU takes a short pin: the page stays, and the call fails", () => {
    using w = world(CMA);
    const buf = mixed(w, 2, [1]);
    const taken: Array<api.UserPage<"source">> = [];
    let times = 0;
    using _cpu = api.on_preemption(w.machine, (point, pfn) => {
      if (point !== "migrate: unpinned" || times++ > 0) return;
      expect(pfn).toBe(pfn_at(w.current, buf + PAGE));
      taken.push(must(api.get_user_page(w.current, at(buf, 1), "source")));
    });
    const got = api.get_user_bvec(w.current, buf, 2 * PAGE, "dest", FOLL_LONGTERM);
    expect(errno_of(got)).toBe("ENOMEM");
    expect(taken.length).toBe(1);
    for (let page = taken.pop(); page; page = taken.pop()) api.put_user_page(page);
    using pages = must(api.all_or_none(pin_slow(w, buf, 2)));
    expect(pages.length).toBe(2);
  });
  test("another CPU moves a page in after the fast walk has looked: it does not stay", () => {
    using w = world(CMA);
    const buf = mixed(w, 3, []);
    let raced = 0;
    using _cpu = api.on_preemption(w.machine, (point, pfn) => {
      if (point !== "gup_fast: reference taken" || pfn !== pfn_at(w.current, buf)) return;
      if (raced++ > 0) return;
      api.madvise(w.current, at(buf, 1), PAGE, api.MADV_DONTNEED)._unsafeUnwrap();
      touch(w.current, at(buf, 1));
      expect(is_pinnable(w, buf + PAGE)).toBe(false);
    });
    const counts = counted(w, () => {
      using pages = must(
        api.all_or_none(api.pin_user_pages_fast(w.current, buf, 3, "dest", FOLL_LONGTERM)),
      );
      expect(pages.every((page) => api.folio_is_longterm_pinnable(api.page_folio(page)))).toBe(
        true,
      );
    });
    expect([raced > 0, counts[0] === counts[1]]).toEqual([true, true]);
  });
  test("another CPU pins pages of its own meanwhile: each call gets its pages", () => {
    using w = world(CMA);
    const buf = mixed(w, 3, [2]);
    const other = mixed(w, 4, []);
    const points: string[] = [];
    using _cpu = api.on_preemption(w.machine, (point) => {
      points.push(point);
      using theirs = must(
        api.all_or_none(api.pin_user_pages_fast(w.current, other, 4, "dest", FOLL_LONGTERM)),
      );
      expect(theirs.map((page) => api.page_to_pfn(page) as unknown as number)).toEqual(
        [0, 1, 2, 3].map((i) => pfn_at(w.current, other + i * PAGE)),
      );
    });
    using pages = must(
      api.all_or_none(api.pin_user_pages_fast(w.current, buf, 3, "dest", FOLL_LONGTERM)),
    );
    expect(pages.map((page) => api.page_to_pfn(page) as unknown as number)).toEqual(
      [0, 1, 2].map((i) => pfn_at(w.current, buf + i * PAGE)),
    );
    expect(points).toContain("migrate: unpinned");
    expect(points).toContain("gup_fast: reference taken");
  });
  test("another CPU gives the page back: there is nothing to move, and the next attempt faults", () => {
    using w = world(CMA);
    const buf = mixed(w, 2, [1]);
    using _cpu = api.on_preemption(w.machine, (point) => {
      if (point !== "migrate: unpinned") return;
      api.madvise(w.current, at(buf, 1), PAGE, api.MADV_DONTNEED)._unsafeUnwrap();
    });
    using bvecs = must(api.get_user_bvec(w.current, buf, 2 * PAGE, "dest", FOLL_LONGTERM));
    expect([bvecs.nr_segs, is_pinnable(w, buf + PAGE)]).toEqual([2, true]);
  });
  test("another CPU gives the page back and touches it again: moved at the second attempt", () => {
    using w = world(CMA);
    const buf = mixed(w, 2, [1]);
    const other = map_anon(w.current, PAGE);
    let times = 0;
    using _cpu = api.on_preemption(w.machine, (point) => {
      if (point !== "migrate: unpinned" || times++ > 0) return;
      const old = pfn_at(w.current, buf + PAGE);
      api.madvise(w.current, at(buf, 1), PAGE, api.MADV_DONTNEED)._unsafeUnwrap();
      touch(w.current, other); // the page that was given back
      expect(pfn_at(w.current, other)).toBe(old);
      touch(w.current, at(buf, 1), 9);
      expect(is_pinnable(w, buf + PAGE)).toBe(false); // that CPU's page may be movable
    });
    using bvecs = must(api.get_user_bvec(w.current, buf, 2 * PAGE, "dest", FOLL_LONGTERM));
    expect(bvecs.nr_segs).toBe(2);
    expect(times).toBe(2);
    expect(bytes_at(w.current, at(buf, 1), 1)[0]).toBe(9);
  });
});

test("a call of several batches that fails in the last one holds nothing", () => {
  using w = world({ mem: 300 << 20, cma: 1 << 20 });
  const nr = 65536 + 2;
  const buf = map_anon(w.current, nr * PAGE);
  const last = at(buf, nr - 1);
  touch(w.current, last);
  using _held = hold(w, last);
  const counts = counted(w, () => expect(errno_of(pin_slow(w, buf, nr))).toBe("ENOMEM"));
  expect(counts).toEqual([nr, nr]);
}, 30_000);
