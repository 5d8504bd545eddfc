/** Ranges of pins at the ends of the address space and of their arguments, and what a refusal leaves. */
import * as api from "user-page";
import { ITER_DEST, PAGE_SIZE } from "user-page";
import { expect, test } from "vitest";
import { boot_for_test, changes, errno_of, forced, map_anon, must, snapshot } from "../fixtures.js";

function bench() {
  const machine = boot_for_test({ mem: 1 << 20 });
  const current = api.create_task(machine);
  const buf = map_anon(current, 4 * PAGE_SIZE);
  return { machine, current, buf };
}

test("the last page of the address space is one like any, and nothing lies behind it", () => {
  const { machine, current, buf } = bench();
  const last = api.user_ptr_add(buf, api.TASK_SIZE - PAGE_SIZE - buf);
  const flags = api.MAP_PRIVATE | api.MAP_ANONYMOUS | api.MAP_FIXED;
  api.mmap(current, last, PAGE_SIZE, api.PROT_READ | api.PROT_WRITE, flags)._unsafeUnwrap();
  {
    using one = must(api.all_or_none(api.pin_user_pages_fast(current, last, 1, ITER_DEST)));
    using page = must(api.__free(api.put_user_page, api.get_user_page(current, last, ITER_DEST)));
    using list = must(api.get_user_bvec(current, last, PAGE_SIZE, ITER_DEST));
    expect([one.length, list.nr_segs, api.page_ref_count(page.page)]).toEqual([1, 1, 1 + 3 * 1024]);
  }
  expect(errno_of(api.pin_user_pages_fast(current, last, 2, ITER_DEST))).toBe("EFAULT");
  expect(errno_of(api.get_user_bvec(current, last, PAGE_SIZE + 1, ITER_DEST))).toBe("EFAULT");
  const slow = must(api.pin_user_pages_unlocked(current, last, 2, ITER_DEST));
  if (!api.IS_SHORT(slow)) throw new Error("two pages");
  expect(slow.partial).toHaveLength(1);
  api.put_user_pages(slow.partial);
  machine[Symbol.dispose]();
});
test("a start within a page is that page, for one and for all", () => {
  const { machine, current, buf } = bench();
  const within = api.user_ptr_add(buf, PAGE_SIZE + 5);
  using pages = must(api.all_or_none(api.pin_user_pages_fast(current, within, 3, ITER_DEST)));
  using first = must(api.__free(api.put_user_page, api.get_user_page(current, within, ITER_DEST)));
  expect(api.page_to_pfn(first.page)).toBe(api.page_to_pfn(pages[0]!));
  expect(new Set(pages.map((page) => api.page_to_pfn(page))).size).toBe(3);
  first[Symbol.dispose]();
  pages[Symbol.dispose]();
  machine[Symbol.dispose]();
});
test("flags that are refused: an error without the lock; with it an empty short pin, of no pages too", () => {
  const { machine, current, buf } = bench();
  const before = snapshot(machine);
  const illegal = api.FOLL_GET;
  for (const name of ["pin_user_pages_fast", "pin_user_pages_unlocked"] as const) {
    for (const nr of [0, 1, 4]) {
      const refused: unknown = forced(api[name])(current, buf, nr, ITER_DEST, illegal);
      if (name === "pin_user_pages_fast") expect(errno_of(refused)).toBe("EINVAL");
      else {
        const short = refused as api.ShortPin<"dest", "short">;
        expect([api.IS_SHORT(short), short.partial.length]).toEqual([true, 0]);
      }
    }
  }
  expect(errno_of(forced(api.get_user_page)(current, buf, ITER_DEST, illegal))).toBe("EINVAL");
  expect(changes(before, snapshot(machine))).toEqual([]);
  expect(api.dmesg(machine).join()).toContain("pin_user_pages_unlocked(): FOLL_GET excludes");
  machine[Symbol.dispose]();
});
test("what is no direction, no number of pages and no address is refused, and nothing changes", () => {
  const { machine, current, buf } = bench();
  const before = snapshot(machine);
  for (const dir of ["both", undefined, null, 1]) {
    expect(() => forced(api.get_user_page)(current, buf, dir)).toThrow(RangeError);
    expect(() => forced(api.pin_user_pages_fast)(current, buf, 1, dir)).toThrow(RangeError);
    expect(() => forced(api.get_user_bvec)(current, buf, 1, dir)).toThrow(RangeError);
  }
  for (const nr of [-1, 0.5, Number.NaN, 2 ** 53]) {
    for (const name of ["pin_user_pages_fast", "pin_user_pages_unlocked"] as const) {
      expect(errno_of(forced(api[name])(current, buf, nr, ITER_DEST))).toBe("EINVAL");
    }
  }
  for (const at of [-PAGE_SIZE, -1, 0.5, Number.NaN, 2 ** 53]) {
    expect(errno_of(forced(api.get_user_page)(current, at, ITER_DEST))).toBe("EFAULT");
    for (const name of ["pin_user_pages_fast", "pin_user_pages_unlocked"] as const) {
      expect(errno_of(forced(api[name])(current, at, 1, ITER_DEST))).toBe("EFAULT");
    }
  }
  using none = must(api.all_or_none(api.pin_user_pages_fast(current, buf, 0, ITER_DEST)));
  expect(none).toHaveLength(0);
  expect(changes(before, snapshot(machine))).toEqual([]);
  none[Symbol.dispose]();
  machine[Symbol.dispose]();
});
