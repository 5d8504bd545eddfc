/** Pins of an owner: what it is asked for, what it counts, and releases that are not its own. */
import * as api from "user-page";
import { PAGE_SIZE } from "user-page";
import { expect, test } from "vitest";
import { page_flags, PG_dirty } from "../../src/machine/arena.js";
import {
  boot_for_test,
  boot_plain,
  counts,
  errno_of,
  forced,
  map_anon,
  must,
  report_of,
} from "../fixtures.js";

function bench(machine: api.Machine = boot_for_test({ mem: 1 << 20 })) {
  const current = api.create_task(machine);
  const buf = map_anon(current, 4 * PAGE_SIZE);
  const owner = new api.VaddrPin("file 1");
  const pins = (nr = 4) =>
    must(api.all_or_none(api.vaddr_pin_pages(current, buf, nr, "dest", owner)));
  return { machine, current, buf, owner, pins };
}
const outstanding = (machine: api.Machine): number => {
  const { nr_foll_pin_acquired, nr_foll_pin_released } = api.vmstat(machine);
  return nr_foll_pin_acquired - nr_foll_pin_released;
};
test("an owner counts what it has, short pins and several calls too", () => {
  const { machine, current, buf, owner, pins } = bench();
  const all = pins();
  api.munmap(current, api.user_ptr_add(buf, 3 * PAGE_SIZE), PAGE_SIZE)._unsafeUnwrap();
  const short = must(api.vaddr_pin_pages(current, buf, 4, "dest", owner));
  if (!api.IS_SHORT(short)) throw new Error("four pages");
  expect([owner.outstanding, outstanding(machine)]).toEqual([7, 7]);
  const none = api.vaddr_pin_pages(current, api.user_ptr_add(buf, 3 * PAGE_SIZE), 1, "dest", owner);
  expect([errno_of(none), owner.outstanding]).toEqual(["EFAULT", 7]);
  api.vaddr_unpin_pages(short.partial, owner);
  expect([owner.outstanding, outstanding(machine)]).toEqual([4, 4]);
  api.vaddr_unpin_pages(all, owner);
  expect([owner.outstanding, outstanding(machine)]).toEqual([0, 0]);
  machine[Symbol.dispose]();
});
test.each([false, true])("make_dirty %s: dirty then, and only then", (make_dirty) => {
  const { machine, current, owner, pins } = bench();
  const pages = pins();
  const pfns = pages.map((page) => api.page_to_pfn(page) as number);
  for (const pfn of pfns) page_flags[pfn]! &= ~PG_dirty;
  api.vaddr_unpin_pages_dirty_lock(pages, owner, make_dirty, current);
  expect(pfns.map((pfn) => (page_flags[pfn]! & PG_dirty) !== 0)).toEqual(
    pfns.map(() => make_dirty),
  );
  for (const pfn of pfns) expect(counts(pfn)).toEqual([1, 0]);
  expect(owner.outstanding).toBe(0);
  machine[Symbol.dispose]();
});
test("another owner, or none, is refused, and nothing is released or dirtied", () => {
  const { machine, current, buf, owner, pins } = bench(boot_plain({ mem: 1 << 20 }));
  const other = new api.VaddrPin("file 2");
  const pages = pins();
  const wrong = report_of(() => forced(api.vaddr_unpin_pages)(pages, other));
  expect([wrong.id, wrong.handle]).toEqual(["wrong-owner", "4 pages of file 1"]);
  expect(wrong.facts.map(({ text }) => text).join()).toContain("file 2");
  const plain = must(api.all_or_none(api.pin_user_pages_fast(current, buf, 1, "dest")));
  const unowned = report_of(() => forced(api.vaddr_unpin_pages)(plain, owner));
  expect([unowned.id, unowned.handle]).toEqual(["wrong-owner", "1 pages of no owner"]);
  for (const token of [null, undefined, {}, "file 1"]) {
    for (const name of ["vaddr_unpin_pages", "vaddr_unpin_pages_dirty_lock"] as const) {
      expect(report_of(() => forced(api[name])(pages, token, true, current)).id).toBe(
        "not-a-handle",
      );
    }
    const pin = () => forced(api.vaddr_pin_pages)(current, buf, 1, "dest", token);
    expect(report_of(pin).id).toBe("not-a-handle");
  }
  const dirty_none = () => forced(api.vaddr_unpin_pages_dirty_lock)(null, owner, true, current);
  expect(report_of(dirty_none).handle).toBe("no array of pins");
  expect([owner.outstanding, other.outstanding, outstanding(machine)]).toEqual([4, 0, 5]);
  api.put_user_pages(plain);
  api.vaddr_unpin_pages(pages, owner);
  expect(report_of(() => forced(api.vaddr_unpin_pages)(pages, owner)).id).toBe("double-release");
  expect([owner.outstanding, outstanding(machine)]).toEqual([0, 0]);
  machine[Symbol.dispose]();
});
test("pages of another machine are refused before any is dirtied", () => {
  const [here, there] = [bench(), bench()];
  const pages = there.pins();
  const pfns = pages.map((page) => api.page_to_pfn(page) as number);
  for (const pfn of pfns) page_flags[pfn]! &= ~PG_dirty;
  const call = () =>
    forced(api.vaddr_unpin_pages_dirty_lock)(pages, there.owner, true, here.current);
  expect(report_of(call).id).toBe("not-a-handle");
  for (const pfn of pfns) expect(page_flags[pfn]! & PG_dirty).toBe(0);
  expect([there.owner.outstanding, outstanding(there.machine)]).toEqual([4, 4]);
  api.vaddr_unpin_pages_dirty_lock(pages, there.owner, false, here.current);
  for (const { machine } of [here, there]) machine[Symbol.dispose]();
});
test("it walks with the lock: what lies before the end of the address space is pinned", () => {
  const { machine, current, buf, owner } = bench(boot_plain({ mem: 1 << 20 }));
  const many = must(api.vaddr_pin_pages(current, buf, 2 ** 41, "dest", owner));
  expect([api.IS_SHORT(many), owner.outstanding]).toEqual([true, 4]);
  expect(errno_of(api.pin_user_pages_fast(current, buf, 2 ** 41, "dest"))).toBe("EOVERFLOW");
  if (api.IS_SHORT(many)) api.vaddr_unpin_pages(many.partial, owner);
  machine[Symbol.dispose]();
});
