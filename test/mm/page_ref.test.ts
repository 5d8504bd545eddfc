/** The arithmetic of counts by itself: signed, 32 bits, freed at exactly 0, and what a pin adds to which kind of page. */
import * as api from "user-page";
import { describe, expect, test } from "vitest";
import { page_flags, page_ref, PG_file } from "../../src/machine/arena.js";
import { machine_state } from "../../src/machine/machine.js";
import {
  count_carefully,
  describe_pfn,
  head_of,
  is_zero_pfn,
  maybe_dma_pinned,
  order_of,
  page_counts,
  pin_add,
  pin_add_uncounted,
  pin_count,
  pin_sub,
  ref_add,
  ref_count,
  ref_freeze,
  ref_sub,
  ref_unfreeze,
  REF_MAX,
} from "../../src/mm/page_ref.js";
import { boot_for_test, id_of, must } from "../fixtures.js";

const INT_MAX = 2 ** 31 - 1;
const BIAS = api.GUP_PIN_COUNTING_BIAS;

/** A machine, a page and a folio of four, each with one reference; `small` is a second page. */
function bench() {
  const machine = boot_for_test({ mem: 1 << 20 });
  const current = api.create_task(machine);
  const page = must(api.alloc_page(current));
  const folio = must(api.folio_alloc(current, 2));
  const single = api.page_to_pfn(page);
  const large = api.page_to_pfn(api.folio_page(folio, 0));
  return { machine, single, large, zero: machine_state(machine).zero_pfn };
}
const free_pages = (machine: api.Machine): number => api.vmstat(machine).nr_free_pages;
const pins = (machine: api.Machine): number[] => {
  const { nr_foll_pin_acquired, nr_foll_pin_released } = api.vmstat(machine);
  return [nr_foll_pin_acquired, nr_foll_pin_released];
};

describe("what a page is", () => {
  test("a report shows its counts, and a pincount where there is one", () => {
    const { machine, single, large } = bench();
    pin_add(single, 1);
    pin_add(large + 1, 2);
    const both = { maybe_pinned: true, is_zero: false };
    expect(page_counts(single)).toEqual({ ...both, refcount: 1025, pincount: null, pages: 1 });
    expect(page_counts(large)).toEqual({ ...both, refcount: 3, pincount: 2, pages: 4 });
    expect(describe_pfn(10)).toBe("page at 0x280 (pfn 10)");
    machine[Symbol.dispose]();
  });
  test("the pages of a folio have its count, its order and its head", () => {
    const { machine, single, large, zero } = bench();
    for (let i = 0; i < 4; i++) {
      expect(head_of(large + i)).toBe(large);
      expect(order_of(large + i)).toBe(2);
      ref_add(large + i, 1);
      pin_add(large + i, 1);
    }
    expect(ref_count(large + 3)).toBe(9);
    expect(pin_count(large + 3)).toBe(4);
    expect([head_of(single), order_of(single), pin_count(single)]).toEqual([single, 0, 0]);
    expect([head_of(zero), order_of(zero)]).toEqual([zero, 0]);
    expect([single, large, zero].map(is_zero_pfn)).toEqual([false, false, true]);
    machine[Symbol.dispose]();
  });
  test("1024 references look like a pin, 1023 do not; a large folio is exact", () => {
    const { machine, single, large } = bench();
    ref_add(single, BIAS - 2);
    expect([ref_count(single), maybe_dma_pinned(single)]).toEqual([BIAS - 1, false]);
    ref_add(single, 1);
    expect([ref_count(single), maybe_dma_pinned(single)]).toEqual([BIAS, true]);
    ref_add(large, 2 * BIAS);
    expect(maybe_dma_pinned(large)).toBe(false);
    pin_add(large, 1);
    expect([maybe_dma_pinned(large), maybe_dma_pinned(large + 1)]).toEqual([true, true]);
    pin_sub(large + 1, 1);
    expect(maybe_dma_pinned(large)).toBe(false);
    machine[Symbol.dispose]();
  });
  test("the same where the count of a single page is kept aside", () => {
    const { machine, single } = bench();
    count_carefully(single);
    ref_add(single, BIAS - 2);
    expect([ref_count(single), maybe_dma_pinned(single)]).toEqual([BIAS - 1, false]);
    ref_add(single, 1);
    expect([ref_count(single), maybe_dma_pinned(single)]).toEqual([BIAS, true]);
    expect([order_of(single), head_of(single), pin_count(single)]).toEqual([0, single, 0]);
    machine[Symbol.dispose]();
  });
});

describe("a count is a signed 32-bit number", () => {
  test.each(["single", "large"] as const)("%s: up over the end, and down again", (which) => {
    const b = bench();
    const pfn = b[which];
    const free = free_pages(b.machine);
    ref_add(pfn, INT_MAX - 1);
    expect(ref_count(pfn)).toBe(INT_MAX);
    ref_add(pfn, 1);
    expect(ref_count(pfn)).toBe(-INT_MAX - 1);
    expect(maybe_dma_pinned(pfn)).toBe(which === "single"); // unsigned there
    ref_sub(pfn, 1);
    expect(ref_count(pfn)).toBe(INT_MAX);
    ref_sub(pfn, INT_MAX - 1);
    expect([ref_count(pfn), free_pages(b.machine) - free]).toEqual([1, 0]);
    ref_sub(pfn, 1);
    expect([ref_count(pfn), free_pages(b.machine) - free]).toEqual([0, which === "single" ? 1 : 4]);
    b.machine[Symbol.dispose]();
  });
  test.each(["single", "large"] as const)("%s: below 0 nothing is freed, at 0 it is", (which) => {
    const b = bench();
    const pfn = b[which];
    const free = free_pages(b.machine);
    ref_sub(pfn, BIAS);
    expect(ref_count(pfn)).toBe(1 - BIAS);
    expect(free_pages(b.machine)).toBe(free);
    ref_add(pfn, BIAS);
    expect([ref_count(pfn), free_pages(b.machine) - free]).toEqual([1, 0]);
    ref_sub(pfn, 1);
    expect(free_pages(b.machine) - free).toBe(which === "single" ? 1 : 4);
    b.machine[Symbol.dispose]();
  });
  test("what is dropped is what was asked for, and nothing is freed before the last one", () => {
    const { machine, single } = bench();
    const free = free_pages(machine);
    ref_add(single, 6);
    ref_sub(single, 2);
    ref_sub(single, 4);
    expect([ref_count(single), free_pages(machine)]).toEqual([1, free]);
    ref_add(single, 1);
    ref_sub(single, 2);
    expect([ref_count(single), free_pages(machine)]).toEqual([0, free + 1]);
    expect(id_of(() => ref_sub(single, 1))).toBe("page-is-free");
    expect([ref_count(single), free_pages(machine)]).toEqual([0, free + 1]);
    machine[Symbol.dispose]();
  });
  test("in its own column as long as it is 1 to INT_MAX, where the fast paths find it", () => {
    const { machine, single } = bench();
    ref_add(single, INT_MAX - 1);
    expect(page_ref[single]).toBe(INT_MAX);
    ref_sub(single, INT_MAX - 5);
    expect(page_ref[single]).toBe(5);
    ref_sub(single, 4);
    expect(page_ref[single]).toBe(1);
    ref_add(single, INT_MAX - 1);
    ref_add(single, 1);
    expect(page_ref[single]).toBeLessThan(0); // an entry of the table
    expect(ref_count(single)).toBe(-INT_MAX - 1);
    machine[Symbol.dispose]();
  });
  test("with room for one more pin below REF_MAX, and for none at it", () => {
    const { machine, single } = bench();
    ref_add(single, REF_MAX - 2);
    pin_add(single, 1);
    expect(ref_count(single)).toBe(INT_MAX - 1);
    pin_add(single, 1);
    expect(ref_count(single)).toBeLessThan(0);
    machine[Symbol.dispose]();
  });
});

describe("pins", () => {
  test("1024 references on a single page; one and one on a large folio; nothing on the zero page", () => {
    const { machine, single, large, zero } = bench();
    const zeros = ref_count(zero);
    for (const pfn of [single, large, zero]) pin_add(pfn, 3);
    expect([ref_count(single), pin_count(single)]).toEqual([1 + 3 * BIAS, 0]);
    expect([ref_count(large), pin_count(large)]).toEqual([4, 3]);
    expect([ref_count(zero), pin_count(zero)]).toEqual([zeros, 0]);
    expect(pins(machine)).toEqual([6, 0]);
    for (const pfn of [single, large, zero]) pin_sub(pfn, 2);
    expect([ref_count(single), pin_count(single)]).toEqual([1 + BIAS, 0]);
    expect([ref_count(large), pin_count(large)]).toEqual([2, 1]);
    expect(ref_count(zero)).toBe(zeros);
    expect(pins(machine)).toEqual([6, 4]);
    machine[Symbol.dispose]();
  });
  test("the last reference may be one of a pin: it frees the page", () => {
    const { machine, single, large } = bench();
    const free = free_pages(machine);
    for (const pfn of [single, large]) {
      pin_add(pfn, 1);
      ref_sub(pfn, 1);
    }
    expect(free_pages(machine)).toBe(free);
    for (const pfn of [single, large]) pin_sub(pfn, 1);
    expect(free_pages(machine)).toBe(free + 5);
    expect(pins(machine)).toEqual([2, 2]);
    machine[Symbol.dispose]();
  });
  test("of folio_add_pin() are not counted when they are taken", () => {
    const { machine, single, large } = bench();
    for (const pfn of [single, large]) pin_add_uncounted(pfn, 2);
    expect([ref_count(single), ref_count(large), pin_count(large)]).toEqual([1 + 2 * BIAS, 3, 2]);
    expect(pins(machine)).toEqual([0, 0]);
    for (const pfn of [single, large]) pin_sub(pfn, 2);
    expect(pins(machine)).toEqual([0, 4]);
    machine[Symbol.dispose]();
  });
  test("more are dropped than there are: the pincount goes below 0, and no pin is seen", () => {
    const { machine, large } = bench();
    ref_add(large, 5);
    pin_sub(large, 2);
    expect([ref_count(large), pin_count(large)]).toEqual([4, -2]);
    pin_add(large, 1);
    expect([pin_count(large), maybe_dma_pinned(large)]).toEqual([-1, false]);
    machine[Symbol.dispose]();
  });
  test("the last one of a page of a file tells the file, once, and only where it is one", () => {
    const { machine, single } = bench();
    const told: number[] = [];
    machine_state(machine).unpinned_file_page = (pfn) => told.push(pfn);
    count_carefully(single);
    pin_add(single, 1);
    pin_sub(single, 1);
    expect(told).toEqual([]); // no file
    page_flags[single] = page_flags[single]! | PG_file;
    pin_add(single, 2);
    pin_sub(single, 1);
    expect(told).toEqual([]); // one is left
    pin_sub(single, 1);
    expect(told).toEqual([single]);
    expect(ref_count(single)).toBe(1);
    page_flags[single] = page_flags[single] & ~PG_file;
    machine[Symbol.dispose]();
  });
});

describe("freezing", () => {
  test("a count of 0 can be frozen again, and added to by who does not ask", () => {
    const { machine, single } = bench();
    expect(ref_freeze(single, 1)).toBe(true);
    expect([ref_freeze(single, 1), ref_freeze(single, 0)]).toEqual([false, true]);
    ref_add(single, 3);
    expect(ref_count(single)).toBe(3);
    ref_sub(single, 2);
    machine[Symbol.dispose]();
  });
  test("a frozen page has no pin to drop: nothing is counted", () => {
    const { machine, single } = bench();
    pin_add(single, 1);
    expect(ref_freeze(single, 1 + BIAS)).toBe(true);
    expect(id_of(() => pin_sub(single, 1))).toBe("page-is-free");
    expect([ref_count(single), ...pins(machine)]).toEqual([0, 1, 0]);
    machine[Symbol.dispose]();
  });
  test.each(["single", "careful", "large"] as const)("%s: exactly, or not at all", (which) => {
    const b = bench();
    const pfn = which === "large" ? b.large : b.single;
    if (which === "careful") count_carefully(pfn);
    ref_add(pfn, 2);
    const free = free_pages(b.machine);
    for (const wrong of [2, 4, 0, -3]) expect(ref_freeze(pfn, wrong)).toBe(false);
    expect(ref_count(pfn)).toBe(3);
    expect(ref_freeze(pfn, 3)).toBe(true);
    expect([ref_count(pfn), free_pages(b.machine)]).toEqual([0, free]); // frozen is not free
    ref_unfreeze(pfn, 2);
    expect(ref_count(pfn)).toBe(2);
    ref_sub(pfn, 1);
    expect([ref_count(pfn), free_pages(b.machine)]).toEqual([1, free]);
    ref_sub(pfn, 1);
    expect(free_pages(b.machine) - free).toBe(which === "large" ? 4 : 1);
    b.machine[Symbol.dispose]();
  });
  test("a page that is free or frozen gets no entry of its own", () => {
    const { machine, single } = bench();
    expect(ref_freeze(single, 1)).toBe(true);
    count_carefully(single);
    expect(id_of(() => ref_sub(single, 1))).toBe("page-is-free");
    ref_unfreeze(single, 1);
    count_carefully(single);
    count_carefully(single);
    expect([ref_count(single), order_of(single)]).toEqual([1, 0]);
    machine[Symbol.dispose]();
  });
});
