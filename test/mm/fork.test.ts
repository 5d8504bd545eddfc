/** What a child shares with its parent, what it gets a copy of, and what a pin changes about that. */
import * as api from "user-page";
import { PAGE_SIZE } from "user-page";
import { describe, expect, test } from "vitest";
import { boot_for_test, counts, errno_of, fill_pattern, map_anon, must } from "../fixtures.js";
import {
  byte_at,
  dma,
  free,
  get,
  HUGE,
  huge_buffer,
  is_exclusive,
  MEM,
  mm_of,
  pfn_at,
  store,
} from "./fork_world.js";

describe("fork()", () => {
  test("a page nobody pinned is shared: exclusive to neither, read-only in both, copied by the first who writes", () => {
    using machine = boot_for_test(MEM);
    const parent = api.create_task(machine);
    const buf = map_anon(parent, PAGE_SIZE);
    store(parent, buf, 1);
    const old = pfn_at(parent, buf);
    const before = free(machine);
    expect([is_exclusive(old), counts(old)]).toEqual([true, [1, 0]]);
    const child = must(api.fork(parent));
    expect([free(machine), pfn_at(child, buf), pfn_at(parent, buf)]).toEqual([before, old, old]);
    expect([is_exclusive(old), counts(old)]).toEqual([false, [2, 0]]);
    store(parent, buf, 2);
    expect([byte_at(parent, buf), byte_at(child, buf)]).toEqual([2, 1]);
    expect(pfn_at(parent, buf)).not.toBe(old);
    expect([pfn_at(child, buf), counts(old), free(machine)]).toEqual([old, [1, 0], before - 1]);
    // The child's is the only reference now: it is used again, not copied.
    store(child, buf, 3);
    expect([pfn_at(child, buf), is_exclusive(old), free(machine)]).toEqual([old, true, before - 1]);
    api.exit_task(child);
    expect([byte_at(parent, buf), free(machine)]).toEqual([2, before]);
  });
  test("an exclusive page that may be pinned is copied for the child at once; the parent keeps it, writable", () => {
    using machine = boot_for_test(MEM);
    const parent = api.create_task(machine);
    const buf = map_anon(parent, 2 * PAGE_SIZE);
    store(parent, buf, 1);
    store(parent, api.user_ptr_add(buf, PAGE_SIZE), 9);
    const pin = must(api.get_user_page(parent, buf, "dest"));
    const old = api.page_to_pfn(pin) as number;
    const before = free(machine);
    const child = must(api.fork(parent));
    expect([free(machine), counts(old), is_exclusive(old)]).toEqual([before - 1, [1025, 0], true]);
    expect(pfn_at(child, buf)).not.toBe(old);
    expect(is_exclusive(pfn_at(child, buf))).toBe(true);
    // The neighbour is not pinned and shared.
    const next = api.user_ptr_add(buf, PAGE_SIZE);
    expect(pfn_at(child, next)).toBe(pfn_at(parent, next));
    const faults = api.vmstat(machine).pgfault;
    store(parent, buf, 2);
    store(child, buf, 3);
    expect(api.vmstat(machine).pgfault).toBe(faults); // both entries are writable
    dma(pin, 77);
    expect([pfn_at(parent, buf), byte_at(parent, buf), byte_at(child, buf)]).toEqual([old, 77, 3]);
    api.put_user_page(pin);
    api.exit_task(child);
    expect(free(machine)).toBe(before);
  });
  test("a plain reference protects nothing: the parent writes, and the device fills a page that nobody sees", () => {
    using machine = boot_for_test(MEM);
    const parent = api.create_task(machine);
    const buf = map_anon(parent, PAGE_SIZE);
    store(parent, buf, 1);
    const page = get(parent, buf, api.FOLL_WRITE);
    const device = api.page_to_pfn(page) as number;
    const child = must(api.fork(parent));
    store(parent, buf, 2); // copies away, since the child and the reference are in the way
    dma(page, 77);
    expect(pfn_at(parent, buf)).not.toBe(device);
    expect([byte_at(parent, buf), byte_at(child, buf)]).toEqual([2, 77]);
    api.put_page(page);
  });
  test("without a child a plain reference is enough: an exclusive page is written again without a look at its count", () => {
    using machine = boot_for_test(MEM);
    const current = api.create_task(machine);
    const buf = map_anon(current, PAGE_SIZE);
    store(current, buf, 1);
    const page = get(current, buf);
    using pin = must(api.__free(api.put_user_page, api.get_user_page(current, buf, "dest")));
    const pfn = api.page_to_pfn(pin.page) as number;
    expect(counts(pfn)).toEqual([1 + 1 + 1024, 0]);
    api.mprotect(current, buf, PAGE_SIZE, api.PROT_READ)._unsafeUnwrap();
    api.mprotect(current, buf, PAGE_SIZE, 3)._unsafeUnwrap();
    const faults = api.vmstat(machine).pgfault;
    store(current, buf, 5);
    expect([api.vmstat(machine).pgfault, pfn_at(current, buf)]).toEqual([faults + 1, pfn]);
    api.put_page(page);
  });
  test("MMF_HAS_PINNED is sticky, and without it fork() does not look for pins", () => {
    using machine = boot_for_test(MEM);
    const parent = api.create_task(machine);
    const buf = map_anon(parent, PAGE_SIZE);
    store(parent, buf, 1);
    const page = get(parent, buf, api.FOLL_WRITE);
    expect(mm_of(parent).has_pinned).toBe(false);
    // A pin that was not taken through this address space.
    const pin = must(api.page_to_user_page(page));
    const old = api.page_to_pfn(pin) as number;
    expect(api.folio_maybe_dma_pinned(api.page_folio(pin))).toBe(true);
    {
      using child = must(api.fork(parent));
      expect(pfn_at(child, buf)).toBe(old); // shared, in spite of the pin
    }
    store(parent, buf, 2);
    const mine = pfn_at(parent, buf);
    expect(mine).not.toBe(old);
    api.put_page(page);
    api.put_user_page(pin);
    api.put_user_page(must(api.get_user_page(parent, buf, "dest")));
    expect(mm_of(parent).has_pinned).toBe(true);
    const held = get(parent, buf);
    const late = must(api.page_to_user_page(held));
    using child = must(api.fork(parent));
    expect(pfn_at(child, buf)).not.toBe(mine);
    expect(mm_of(child).has_pinned).toBe(false); // a child begins without it
    api.put_user_page(late);
    api.put_page(held);
  });
  const PINS: ReadonlyArray<
    readonly [name: string, (task: api.Task, at: api.UserAddr) => unknown]
  > = [
    ["get_user_page()", (task, at) => api.get_user_page(task, at, "dest")],
    ["pin_user_pages_fast()", (task, at) => api.pin_user_pages_fast(task, at, 1, "dest")],
    ["pin_user_pages_unlocked()", (task, at) => api.pin_user_pages_unlocked(task, at, 1, "dest")],
    ["get_user_bvec()", (task, at) => api.get_user_bvec(task, at, 1, "dest")],
    ["FOLL_LONGTERM", (task, at) => api.get_user_page(task, at, "dest", api.FOLL_LONGTERM)],
    [
      "pin_user_pages()",
      (task, at) => {
        using lock = api.mmap_read_lock(task, task.mm);
        return api.pin_user_pages(lock, at, 1, "dest");
      },
    ],
  ];
  test.each(PINS)("MMF_HAS_PINNED is set before pages are grabbed: %s that fails", (_, pin) => {
    using machine = boot_for_test(MEM);
    const task = api.create_task(machine);
    const buf = map_anon(task, PAGE_SIZE);
    api.munmap(task, buf, PAGE_SIZE)._unsafeUnwrap();
    expect(api.get_user_pages_fast(task, buf, 1, 0, [])).toBe(-14);
    expect(mm_of(task).has_pinned).toBe(false);
    expect(errno_of(pin(task, buf))).toBe("EFAULT");
    expect(mm_of(task).has_pinned).toBe(true);
  });
  test("1024 plain references look like a pin: one needless copy, and nothing else", () => {
    using machine = boot_for_test(MEM);
    const parent = api.create_task(machine);
    const buf = map_anon(parent, PAGE_SIZE);
    store(parent, buf, 1);
    api.put_user_page(must(api.get_user_page(parent, buf, "dest")));
    const pages: api.Page[] = [];
    for (let i = 0; i < 1022; i++) {
      pages.push(get(parent, buf));
    }
    const copies = (): number => {
      const before = free(machine);
      using child = must(api.fork(parent));
      expect(byte_at(child, buf)).toBe(1);
      const used = before - free(machine);
      store(parent, buf, 1);
      return used;
    };
    const pfn = pfn_at(parent, buf);
    expect([counts(pfn), copies()]).toEqual([[1023, 0], 0]);
    for (const page of pages.splice(0)) api.put_page(page);
    const now = pfn_at(parent, buf); // the store found 1022 strange references and copied
    for (let i = 0; i < 1023; i++) {
      pages.push(get(parent, buf));
    }
    const start = free(machine);
    expect([counts(now), copies(), free(machine)]).toEqual([[1024, 0], 1, start]);
    expect([pfn_at(parent, buf), counts(now)]).toEqual([now, [1024, 0]]);
    for (const page of pages.splice(0)) api.put_page(page);
  });
  test("a huge page is shared whole, and split into entries by the first who writes", () => {
    using machine = boot_for_test(MEM);
    const parent = api.create_task(machine);
    const buf = huge_buffer(parent);
    const bytes = fill_pattern(parent, buf, HUGE);
    const head = pfn_at(parent, buf);
    const before = free(machine);
    const child = must(api.fork(parent));
    expect([counts(head), free(machine)]).toEqual([[2, 0], before]);
    const at = api.user_ptr_add(buf, 7 * PAGE_SIZE);
    store(parent, at, 200);
    expect([pfn_at(child, at), free(machine)]).toEqual([head + 7, before - 1]);
    expect([byte_at(parent, at), byte_at(child, at)]).toEqual([200, bytes[7 * PAGE_SIZE]!]);
    expect(counts(head)).toEqual([1 + 511, 0]); // the child's entry, and those of the parent but one
    api.exit_task(parent);
    expect([counts(head), free(machine)]).toEqual([[1, 0], before]);
    store(child, buf, 1); // the only one left: the whole is used again
    expect([pfn_at(child, buf), free(machine)]).toEqual([head, before]);
    api.exit_task(child);
    expect(free(machine)).toBe(before + 512);
  });
  test("1024 plain references on a huge page do not: it is shared, for its pins are counted exactly", () => {
    using machine = boot_for_test(MEM);
    const parent = api.create_task(machine);
    const buf = huge_buffer(parent);
    store(parent, buf, 1);
    api.put_user_page(must(api.get_user_page(parent, buf, "dest")));
    expect(mm_of(parent).has_pinned).toBe(true);
    const head = pfn_at(parent, buf);
    const pages = Array.from({ length: 1024 }, () => get(parent, buf));
    const before = free(machine);
    const child = must(api.fork(parent));
    expect([counts(head), free(machine)]).toEqual([[1024 + 2, 0], before]);
    expect([pfn_at(child, buf), is_exclusive(head)]).toEqual([head, false]);
    for (const page of pages) api.put_page(page);
    expect(counts(head)).toEqual([2, 0]);
  });
  test("a huge page of which one page is pinned is split, and each page of it copied for the child", () => {
    using machine = boot_for_test(MEM);
    const parent = api.create_task(machine);
    const buf = huge_buffer(parent);
    const bytes = fill_pattern(parent, buf, HUGE);
    const at = api.user_ptr_add(buf, 100 * PAGE_SIZE);
    const pin = must(api.get_user_page(parent, at, "dest"));
    const head = pfn_at(parent, buf);
    const before = free(machine);
    const child = must(api.fork(parent));
    expect([free(machine), counts(head)]).toEqual([before - 512, [512 + 1, 1]]);
    const faults = api.vmstat(machine).pgfault;
    store(parent, at, 5);
    expect([pfn_at(parent, at), api.vmstat(machine).pgfault]).toEqual([head + 100, faults]);
    const seen = new Uint8Array(HUGE);
    api.copy_from_user(child, seen, buf)._unsafeUnwrap();
    expect(Buffer.compare(seen, bytes)).toBe(0);
    api.put_user_page(pin);
    api.exit_task(child);
    expect(free(machine)).toBe(before);
  });
});
