/**
 * What Linux 6.12 does, case by case.  Left out: migration from CMA (no such zone here), two iovecs in one page (no
 * iovec here), fork with a pinned page (no fork() here), a file of 512 cached pages (a huge memfd stands for it).
 */
import * as api from "user-page";
import { ITER_DEST, ITER_SOURCE, PAGE_SIZE, type Page, type UserPage } from "user-page";
import { describe, expect, test } from "vitest";
import { page_flags, PG_dirty } from "../../src/machine/arena.js";
import { ref_add } from "../../src/mm/page_ref.js";
import {
  boot_for_test,
  boot_plain,
  counts,
  errno_of,
  forced,
  map_anon,
  must,
} from "../fixtures.js";

const MEM = { mem: 16 << 20 };
function anon_pin(machine: api.Machine) {
  const current = api.create_task(machine);
  const buf = map_anon(current, 8 * PAGE_SIZE);
  const pin: UserPage<"dest"> = must(api.get_user_page(current, buf, ITER_DEST));
  return { current, buf, pin, pfn: api.page_to_pfn(pin) as number };
}
function huge_pins(machine: api.Machine) {
  const current = api.create_task(machine);
  const memfd = must(api.memfd_create(current, 2 << 20, api.MFD_HUGE));
  const buf = api.mmap(current, null, 2 << 20, 3, api.MAP_SHARED, memfd)._unsafeUnwrap();
  return { current, buf };
}
const pinned = (page: UserPage): boolean => api.folio_maybe_dma_pinned(api.page_folio(page));

describe("counts", () => {
  test("oracle 1: a pin on a single page adds 1024, each", () => {
    using machine = boot_for_test(MEM);
    const { current, buf, pin, pfn } = anon_pin(machine);
    expect(counts(pfn)).toEqual([1025, 0]); // the mapping, and the pin
    const again = must(api.get_user_page(current, buf, ITER_DEST));
    expect(counts(pfn)).toEqual([2049, 0]);
    expect(pinned(again)).toBe(true);
    api.put_user_page(pin);
    expect(pinned(again)).toBe(true);
    const folio = api.page_folio(again);
    api.unpin_user_page(again);
    expect([...counts(pfn), api.folio_maybe_dma_pinned(folio)]).toEqual([1, 0, false]);
  });
  test("oracle 2: pins on a huge folio add 1 to each of two counters", () => {
    using machine = boot_for_test(MEM);
    const { current, buf } = huge_pins(machine);
    const pins = must(api.all_or_none(api.pin_user_pages_fast(current, buf, 512, ITER_DEST)));
    const pfn = api.page_to_pfn(pins[0]!) as number;
    // 512 of the file, 512 entries that map it, 512 pins
    expect(counts(pfn)).toEqual([1536, 512]);
    const folio = api.page_folio(pins[3]!);
    api.unpin_user_folio(folio, 512);
    expect([...counts(pfn), api.folio_maybe_dma_pinned(folio)]).toEqual([1024, 0, false]);
  });
  test("oracle 3: 1024 references look like a pin on a single page, never on a large folio", () => {
    using machine = boot_for_test(MEM);
    const current = api.create_task(machine);
    for (const [order, looks_pinned] of [
      [0, true],
      [9, false],
    ] as const) {
      const folio = must(api.folio_alloc(current, order));
      const more = Array.from({ length: 1023 }, () => api.folio_get(folio));
      expect(api.folio_ref_count(folio)).toBe(1024);
      expect(api.folio_maybe_dma_pinned(folio)).toBe(looks_pinned);
      for (const one of more) api.folio_put(one);
      expect(api.folio_maybe_dma_pinned(folio)).toBe(false);
      api.folio_put(folio);
    }
  });
  test("folio_add_pin() is not counted and its release is: more pins are released than were acquired", () => {
    using machine = boot_for_test(MEM);
    const { pin, pfn } = anon_pin(machine);
    const of_pins = (): number[] => {
      const { nr_foll_pin_acquired, nr_foll_pin_released } = api.vmstat(machine);
      return [nr_foll_pin_acquired, nr_foll_pin_released];
    };
    const folio = api.page_folio(pin);
    api.folio_add_pin(folio);
    expect([counts(pfn), of_pins()]).toEqual([
      [2049, 0],
      [1, 0],
    ]);
    api.unpin_user_folio(folio, 1);
    api.put_user_page(pin);
    expect([counts(pfn), of_pins()]).toEqual([
      [1, 0],
      [1, 2],
    ]);
  });
  test("oracle 5: a page cannot be frozen while a pin or reference is out", () => {
    using machine = boot_for_test(MEM);
    const { pin, pfn } = anon_pin(machine);
    expect(api.page_ref_freeze(pin, 1)).toBe(false);
    expect(counts(pfn)).toEqual([1025, 0]);
    expect(api.page_ref_freeze(pin, 1025)).toBe(true);
    expect(counts(pfn)).toEqual([0, 0]);
    api.page_ref_unfreeze(pin, 1025);
    api.put_user_page(pin);
  });
  test("oracle 6: a frozen page is ENOMEM and a warning, after the fast walk passed it over", () => {
    using machine = boot_for_test(MEM);
    const { current, buf, pin } = anon_pin(machine);
    expect(api.page_ref_freeze(pin, 1025)).toBe(true);
    expect(errno_of(api.pin_user_pages_fast(current, buf, 1, ITER_DEST))).toBe("ENOMEM");
    expect(errno_of(api.get_user_bvec(current, buf, 1, ITER_DEST))).toBe("ENOMEM");
    expect(api.get_user_pages_fast(current, buf, 1, 0, [])).toBe(-12);
    expect(api.dmesg(machine).join()).toMatch(/WARNING: refcount 0/);
    api.page_ref_unfreeze(pin, 1025);
    api.put_user_page(pin);
  });
  test("oracle 10: pins on the zero page count nothing, references do", () => {
    using machine = boot_for_test(MEM);
    const current = api.create_task(machine);
    const buf = map_anon(current, 4 * PAGE_SIZE);
    const before = api.vmstat(machine).nr_foll_pin_acquired;
    const zero = api.ZERO_PAGE(current);
    using pins = must(api.all_or_none(api.pin_user_pages_fast(current, buf, 4, ITER_SOURCE)));
    expect(pins.every((page) => api.is_zero_page(page))).toBe(true);
    expect(api.page_ref_count(zero)).toBe(1);
    expect(api.vmstat(machine).nr_foll_pin_acquired).toBe(before);
    const pages: Page[] = [];
    expect(api.get_user_pages_fast(current, buf, 2, 0, pages)).toBe(2);
    expect(api.page_ref_count(zero)).toBe(3);
    for (const page of pages) api.put_page(page);
    expect(api.page_ref_count(zero)).toBe(1);
  });
  test("the huge zero folio is counted like any other", () => {
    using machine = boot_for_test(MEM);
    const current = api.create_task(machine);
    const buf = map_anon(current, 2 << 20);
    api.madvise(current, buf, 2 << 20, api.MADV_HUGEPAGE)._unsafeUnwrap();
    using pins = must(api.all_or_none(api.pin_user_pages_fast(current, buf, 8, ITER_SOURCE)));
    expect(api.is_zero_page(pins[0]!)).toBe(false);
    expect(counts(api.page_to_pfn(pins[0]!))).toEqual([1 + 1 + 8, 8]);
    expect(api.vmstat(machine).nr_foll_pin_acquired).toBe(8);
  });
  test("a count that overflowed refuses more and still looks pinned", () => {
    using machine = boot_for_test(MEM);
    const { current, buf, pin, pfn } = anon_pin(machine);
    ref_add(pfn, 0x7fffffff - 1025);
    const over = must(api.get_user_page(current, buf, ITER_DEST)); // 2^31 - 1 + 1024
    expect(api.page_ref_count(over)).toBe(-(2 ** 31) + 1023);
    expect(pinned(over)).toBe(true);
    expect(errno_of(api.get_user_page(current, buf, ITER_DEST))).toBe("ENOMEM");
    expect(api.dmesg(machine).join()).toMatch(/WARNING: refcount -/);
    api.put_user_page(over);
    expect(api.page_ref_count(pin)).toBe(0x7fffffff);
    api.put_user_page(pin);
    expect(counts(pfn)).toEqual([0x7fffffff - 1024, 0]);
  });
});

describe("results", () => {
  test("oracle 7: an error after the first page is a short count; asked again from there, EFAULT", () => {
    using machine = boot_for_test(MEM);
    const current = api.create_task(machine);
    const buf = map_anon(current, 8 * PAGE_SIZE);
    const hole = api.user_ptr_add(buf, 5 * PAGE_SIZE);
    api.munmap(current, hole, PAGE_SIZE)._unsafeUnwrap();
    using short = api.pin_user_pages_fast(current, buf, 8, ITER_DEST);
    expect(api.IS_SHORT(short) && [short.partial.length, short.asked]).toEqual([5, 8]);
    expect(errno_of(api.pin_user_pages_fast(current, hole, 3, ITER_DEST))).toBe("EFAULT");
    const pages: Page[] = [];
    expect(api.get_user_pages_fast(current, buf, 8, 0, pages)).toBe(5);
    expect(api.get_user_pages_fast(current, hole, 3, 0, [])).toBe(-14);
    for (const page of pages) api.put_page(page);
  });
  test("oracle 13: FOLL_GET to a pin call is 0 pages, but EINVAL in the fast one", () => {
    using machine = boot_for_test(MEM);
    const current = api.create_task(machine);
    const buf = map_anon(current, PAGE_SIZE);
    const flags = api.gup_flags_from(1 << 1);
    using lock = api.mmap_read_lock(current, current.mm);
    using none = api.pin_user_pages(lock, buf, 1, ITER_SOURCE, flags);
    expect(api.IS_SHORT(none) && none.partial.length).toBe(0);
    lock[Symbol.dispose]();
    expect(errno_of(api.pin_user_pages_fast(current, buf, 1, ITER_SOURCE, flags))).toBe("EINVAL");
    expect(api.dmesg(machine).join()).toContain("FOLL_GET excludes FOLL_PIN");
  });
  test("oracle 14: NULL entries are passed over, unless they must be dirtied", () => {
    using machine = boot_for_test(MEM);
    const { current, pin, pfn } = anon_pin(machine);
    const dirty = forced(api.unpin_user_pages_dirty_lock);
    expect(() => dirty([null, pin], true, current)).toThrow(api.MisuseError);
    expect(counts(pfn)).toEqual([1025, 0]);
    dirty([0, pin, null], false, current);
    expect(counts(pfn)).toEqual([1, 0]);
  });
  test("oracle 11: dirtying from end_io is refused; bio_check_pages_dirty() finds its way", () => {
    using machine = boot_for_test(MEM);
    using disk = must(api.brd_alloc(machine, 1 << 16));
    const { current, pin, pfn } = anon_pin(machine);
    const bio = api.bio_alloc_pinned(disk, 1, "REQ_OP_READ");
    expect(api.bio_add_user_page(bio, pin, 512, 0)).toBe(true);
    api.bio_set_pages_dirty(bio, current);
    let refused: unknown;
    api.bio_set_end_io(bio, (ended) => {
      try {
        api.bio_release_pages(ended, true, current); // captured: it may sleep, this place may not
      } catch (error) {
        refused = error;
      }
      api.bio_check_pages_dirty(ended);
    });
    api.submit_bio(bio);
    page_flags[pfn]! &= ~PG_dirty; // written back meanwhile
    api.run_softirqs(machine);
    expect((refused as api.MisuseError).id).toBe("sleep-in-atomic");
    expect(counts(pfn)).toEqual([1025, 0]); // deferred
    api.flush_work(machine);
    expect([...counts(pfn), page_flags[pfn]! & PG_dirty]).toEqual([1, 0, PG_dirty]);
  });
});

/** What a wrong release does to the counts; nothing notices it without debug mode. */
describe("the matrix of wrong pairs", () => {
  test("oracle 4: a pin that is put leaves 1023 references, for ever", () => {
    using machine = boot_plain(MEM);
    const { current, buf, pin, pfn } = anon_pin(machine);
    api.munmap(current, buf, 8 * PAGE_SIZE)._unsafeUnwrap();
    const before = api.vmstat(machine).nr_free_pages;
    forced(api.put_page)(pin);
    expect(counts(pfn)).toEqual([1023, 0]);
    expect(api.vmstat(machine).nr_free_pages).toBe(before);
    expect(api.shutdown(machine).lost_pages).toBe(1);
  });
  test("a pin on a large folio that is put: a bad page when freed, and lost", () => {
    using machine = boot_plain(MEM);
    const { current, buf } = huge_pins(machine);
    const pin = must(api.get_user_page(current, buf, ITER_DEST));
    const pfn = api.page_to_pfn(pin) as number;
    forced(api.put_page)(pin);
    expect(counts(pfn)).toEqual([512 + 1, 1]); // one entry maps it, and the pin count is stuck
    api.exit_task(current);
    expect(api.shutdown(machine).lost_pages).toBe(512);
  });
  test("a reference that is unpinned: the count goes negative and every later pin fails", () => {
    using machine = boot_plain(MEM);
    const current = api.create_task(machine);
    const buf = map_anon(current, PAGE_SIZE);
    const pages: Page[] = [];
    api.get_user_pages_fast(current, buf, 1, api.FOLL_WRITE, pages);
    const pfn = api.page_to_pfn(pages[0]!) as number;
    forced(api.put_user_page)(pages[0]);
    expect(counts(pfn)).toEqual([2 - 1024, 0]);
    expect(errno_of(api.get_user_page(current, buf, ITER_DEST))).toBe("ENOMEM");
    expect(api.dmesg(machine).join()).toMatch(/WARNING: refcount -1022/);
  });
  test("a reference that is unpinned steals another holder's pin", () => {
    using machine = boot_plain(MEM);
    const { current, buf, pin, pfn } = anon_pin(machine);
    const pages: Page[] = [];
    api.get_user_pages_fast(current, buf, 1, 0, pages);
    forced(api.put_user_page)(pages[0]);
    expect(counts(pfn)).toEqual([2, 0]);
    expect(pinned(pin)).toBe(false); // though it is held
  });
  test("a reference on a large folio that is unpinned hides the next pin", () => {
    using machine = boot_plain(MEM);
    const current = api.create_task(machine);
    const buf = map_anon(current, 2 << 20);
    api.madvise(current, buf, 2 << 20, api.MADV_HUGEPAGE)._unsafeUnwrap();
    const pages: Page[] = [];
    api.get_user_pages_fast(current, buf, 1, api.FOLL_WRITE, pages);
    const pfn = api.page_to_pfn(pages[0]!) as number;
    forced(api.put_user_page)(pages[0]);
    expect(counts(pfn)).toEqual([1, -1]);
    const pin = must(api.get_user_page(current, buf, ITER_DEST));
    expect([...counts(pfn), pinned(pin)]).toEqual([2, 0, false]);
  });
  test("the zero page drifts down by pins that are put, up by references that are unpinned", () => {
    using machine = boot_plain(MEM);
    const current = api.create_task(machine);
    const buf = map_anon(current, PAGE_SIZE);
    const zero = api.ZERO_PAGE(current);
    for (let i = 0; i < 3; i++) forced(api.put_user_page)(api.get_page(zero));
    expect(api.page_ref_count(zero)).toBe(4);
    for (let i = 0; i < 2; i++) {
      forced(api.put_page)(api.get_user_page(current, buf, ITER_SOURCE));
    }
    expect(api.page_ref_count(zero)).toBe(2);
  });
});
