/** Releases of arrays and ranges of pins: which pages become dirty, where a range may end, which acquisitions it ends. */
import * as api from "user-page";
import { PAGE_SIZE, PMD_SIZE } from "user-page";
import { expect, test } from "vitest";
import { page_flags, PG_dirty } from "../../src/machine/arena.js";
import { machine_state } from "../../src/machine/machine.js";
import { boot_for_test, boot_plain, counts, forced, id_of, map_anon, must } from "../fixtures.js";

function huge(machine: api.Machine) {
  const current = api.create_task(machine);
  const buf = map_anon(current, PMD_SIZE);
  api.madvise(current, buf, PMD_SIZE, api.MADV_HUGEPAGE)._unsafeUnwrap();
  const pins = (nr: number, from = 0) =>
    must(
      api.all_or_none(
        api.pin_user_pages_fast(current, api.user_ptr_add(buf, from * PAGE_SIZE), nr, "dest"),
      ),
    );
  return { machine, current, buf, pins };
}
const pfns = (pages: readonly api.BorrowedUserPage[]): number[] => pages.map(api.page_to_pfn);
function clean(at: readonly number[]): void {
  for (const pfn of at) page_flags[pfn]! &= ~PG_dirty;
}
const dirty = (at: readonly number[]): boolean[] =>
  at.map((pfn) => (page_flags[pfn]! & PG_dirty) !== 0);

test.each([
  ["an array", false],
  ["an array", true],
  ["a range", false],
  ["a range", true],
] as const)("%s, make_dirty %s: dirty then, and only then", (what, make_dirty) => {
  using machine = boot_for_test({ mem: 1 << 20 });
  const current = api.create_task(machine);
  const buf = map_anon(current, 4 * PAGE_SIZE);
  const pages = must(api.all_or_none(api.pin_user_pages_fast(current, buf, 4, "dest")));
  const at = pfns(pages);
  clean(at);
  if (what === "an array") api.unpin_user_pages_dirty_lock(pages, make_dirty, current);
  else {
    // Four ranges of one page each: where the next one lies in memory is the allocator's.
    for (const page of pages) {
      api.unpin_user_page_range_dirty_lock(page, 1, make_dirty, current);
    }
  }
  expect(dirty(at)).toEqual(at.map(() => make_dirty));
  for (const pfn of at) expect(counts(pfn)).toEqual([1, 0]);
});
test("what dirties nothing may be called where nobody may sleep", () => {
  using machine = boot_for_test({ mem: 1 << 20 });
  const current = api.create_task(machine);
  const buf = map_anon(current, 2 * PAGE_SIZE);
  using disk = must(api.brd_alloc(machine, 1 << 16));
  const pages = must(api.all_or_none(api.pin_user_pages_fast(current, buf, 1, "dest")));
  const range = must(api.get_user_page(current, buf, "dest"));
  const bio = api.bio_alloc(disk, 1, "REQ_OP_WRITE");
  api.bio_add_page(bio, api.ZERO_PAGE(current), PAGE_SIZE, 0);
  let ran = false;
  api.bio_set_end_io(bio, (ended, softirq) => {
    api.bio_put(ended);
    forced(api.unpin_user_pages_dirty_lock)(pages, false, softirq);
    forced(api.unpin_user_page_range_dirty_lock)(range, 1, false, softirq);
    ran = true;
  });
  api.submit_bio(bio);
  api.run_softirqs(machine);
  const { nr_foll_pin_acquired, nr_foll_pin_released } = api.vmstat(machine);
  expect([ran, nr_foll_pin_acquired - nr_foll_pin_released]).toEqual([true, 0]);
});
test("a range has 1 page and more, and ends with the machine's memory at the latest", () => {
  using machine = boot_for_test({ mem: 1 << 20 });
  const { base, nr_pages } = machine_state(machine);
  const current = api.create_task(machine);
  const nr = api.vmstat(machine).nr_free_pages;
  const buf = map_anon(current, nr * PAGE_SIZE);
  const pages = must(api.all_or_none(api.pin_user_pages_fast(current, buf, nr, "dest")));
  const last = pages.find((page) => api.page_to_pfn(page) === base + nr_pages - 1)!;
  const rest = pages.filter((page) => page !== last);
  pages.length = 0; // they are released one by one
  const range = forced(api.unpin_user_page_range_dirty_lock);
  for (const npages of [0, -1, 0.5, 1.5, Number.NaN, Infinity, 2]) {
    expect(id_of(() => range(last, npages, false, current))).toBe("not-a-handle");
  }
  expect(api.page_ref_count(last)).toBe(1 + 1024);
  api.unpin_user_page_range_dirty_lock(last, 1, false, current);
  for (const page of rest) api.put_user_page(page);
  const { nr_foll_pin_acquired, nr_foll_pin_released } = api.vmstat(machine);
  expect([nr_foll_pin_acquired, nr_foll_pin_released]).toEqual([nr, nr]);
});
test("a range ends the acquisitions of its own call, not older ones of the same pages", () => {
  const machine = api.boot({ mem: 16 << 20, CONFIG_DEBUG_USER_PAGE_REFERENCES: "owners" });
  const { current, pins } = huge(machine);
  const [older] = pins(1, 2);
  const range = pins(4);
  const [first, ...others] = range;
  expect(pfns([older!])).toEqual(pfns([others[1]!]));
  range.length = 0;
  api.unpin_user_page_range_dirty_lock(first!, 4, true, current);
  expect(api.leaks(machine).count).toBe(1);
  expect(id_of(() => forced(api.put_user_page)(others[1]))).toBe("double-release");
  api.put_user_page(older!);
  expect(api.shutdown(machine)).toEqual({ leaks: [], lost_pages: 0 });
});
test("a range ends the acquisitions of its pages in whatever order they were pinned", () => {
  const machine = api.boot({ mem: 16 << 20, CONFIG_DEBUG_USER_PAGE_REFERENCES: "owners" });
  const { current, pins } = huge(machine);
  const backwards = [3, 2, 1, 0].map((page) => pins(1, page).splice(0)[0]!);
  const others = pins(2, 8);
  api.unpin_user_page_range_dirty_lock(backwards[3]!, 4, true, current);
  expect(api.leaks(machine).count).toBe(2);
  api.put_user_pages(others);
  expect(api.shutdown(machine)).toEqual({ leaks: [], lost_pages: 0 });
});
test("pages of an owner are refused without debug mode too, and stay pinned", () => {
  using machine = boot_plain({ mem: 1 << 20 });
  const current = api.create_task(machine);
  const buf = map_anon(current, 2 * PAGE_SIZE);
  const owner = new api.VaddrPin("file 1");
  const pages = must(api.all_or_none(api.vaddr_pin_pages(current, buf, 2, "dest", owner)));
  expect(id_of(() => api.put_user_pages(pages))).toBe("wrong-owner");
  expect([owner.outstanding, api.page_ref_count(pages[0]!)]).toEqual([2, 1 + 1024]);
  forced(api.vaddr_unpin_pages)(pages, owner);
  expect(owner.outstanding).toBe(0);
});
