/** Pins taken from a page that is held already: at the ends of the count, on the zero page, and where none is held. */
import * as api from "user-page";
import { expect, test } from "vitest";
import { machine_state } from "../../src/machine/machine.js";
import { ref_add, ref_count, REF_MAX } from "../../src/mm/page_ref.js";
import { boot_for_test, errno_of, must } from "../fixtures.js";

function bench() {
  const machine = boot_for_test({ mem: 1 << 20 });
  const current = api.create_task(machine);
  const page = must(api.alloc_page(current));
  return { machine, current, page, pfn: api.page_to_pfn(page) };
}
const pins = (machine: api.Machine): number[] => {
  const { nr_foll_pin_acquired, nr_foll_pin_released } = api.vmstat(machine);
  return [nr_foll_pin_acquired, nr_foll_pin_released];
};

test("page_to_user_page() adds one pin, and counts it as one", () => {
  const { machine, page, pfn } = bench();
  const pin = must(api.page_to_user_page(page));
  expect([ref_count(pfn), ...pins(machine)]).toEqual([1025, 1, 0]);
  expect(api.page_to_pfn(pin)).toBe(pfn);
  api.put_user_page(pin);
  expect([ref_count(pfn), ...pins(machine)]).toEqual([1, 1, 1]);
  api.put_page(page);
  expect(api.shutdown(machine)).toMatchObject({ leaks: [], lost_pages: 0 });
});
test.each([
  ["the last count that has room for a pin", REF_MAX - 1, 2 ** 31 - 2],
  ["the first that has not: it overflows as Linux's does", REF_MAX + 1, -(2 ** 31)],
])("page_to_user_page() at %s", (_, count, after) => {
  const { machine, page, pfn } = bench();
  ref_add(pfn, count - 1);
  expect(api.IS_ERR(api.page_to_user_page(page))).toBe(false);
  expect(ref_count(pfn)).toBe(after);
  expect(api.page_ref_count(page)).toBe(after);
  machine[Symbol.dispose]();
});
test.each(["frozen", "overflowed"])(
  "no pin on a page that is %s: ENOMEM, nothing counted",
  (how) => {
    const { machine, page, pfn } = bench();
    if (how === "frozen") api.page_ref_freeze(page, 1);
    else ref_add(pfn, 2 ** 31 - 1);
    const before = ref_count(pfn);
    expect(errno_of(api.page_to_user_page(page))).toBe("ENOMEM");
    expect([ref_count(pfn), ...pins(machine)]).toEqual([before, 0, 0]);
    machine[Symbol.dispose]();
  },
);
test("folio_add_pin() leaves the zero page alone, and warns where no pin is held", () => {
  const { machine, current, page, pfn } = bench();
  const { zero_pfn } = machine_state(machine);
  const zeros = ref_count(zero_pfn);
  api.folio_add_pin(api.page_folio(api.ZERO_PAGE(current)));
  expect(ref_count(zero_pfn)).toBe(zeros);
  const pin = must(api.page_to_user_page(page));
  api.folio_add_pin(api.page_folio(page));
  expect(api.dmesg(machine)).toEqual([]);
  api.unpin_user_folio(api.page_folio(pin), 2);
  expect(ref_count(pfn)).toBe(1);
  api.folio_add_pin(api.page_folio(page));
  expect(api.dmesg(machine).join()).toMatch(/no pin is held/);
  expect(ref_count(pfn)).toBe(1025);
  machine[Symbol.dispose]();
});
