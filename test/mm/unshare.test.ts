/** Copy-on-write, unsharing, and what FOLL_WRITE and FOLL_FORCE may do to which mapping. */
import * as api from "user-page";
import { PAGE_SIZE } from "user-page";
import { describe, expect, test } from "vitest";
import { boot_for_test, counts, errno_of, map_anon, must } from "../fixtures.js";
import {
  byte_at,
  dma,
  free,
  get,
  huge_buffer,
  is_exclusive,
  MEM,
  pfn_at,
  pins,
  store,
} from "./fork_world.js";

describe("a pin for reading of a page that is shared with a child", () => {
  test("is preceded by an unshare fault: the page is exclusive then, and still read-only", () => {
    using machine = boot_for_test(MEM);
    const parent = api.create_task(machine);
    const buf = map_anon(parent, PAGE_SIZE);
    store(parent, buf, 1);
    const old = pfn_at(parent, buf);
    using child = must(api.fork(parent));
    const pin = must(api.get_user_page(parent, buf, "source"));
    const mine = api.page_to_pfn(pin) as number;
    expect([mine === old, is_exclusive(mine), pfn_at(child, buf)]).toEqual([false, true, old]);
    // The parent writes into the page that the device reads, without another copy.
    const faults = api.vmstat(machine).pgfault;
    store(parent, buf, 2);
    expect([api.vmstat(machine).pgfault, pfn_at(parent, buf)]).toEqual([faults + 1, mine]);
    api.put_user_page(pin);
    expect(byte_at(child, buf)).toBe(1);
  });
  test("copies nothing when the other reference is gone", () => {
    using machine = boot_for_test(MEM);
    const parent = api.create_task(machine);
    const buf = map_anon(parent, PAGE_SIZE);
    store(parent, buf, 1);
    const old = pfn_at(parent, buf);
    api.exit_task(must(api.fork(parent)));
    expect(is_exclusive(old)).toBe(false);
    const pin = must(api.get_user_page(parent, buf, "source"));
    expect([api.page_to_pfn(pin), is_exclusive(old)]).toEqual([old, true]);
    api.put_user_page(pin);
  });
  test("a plain reference for reading shares it as it is", () => {
    using machine = boot_for_test(MEM);
    const parent = api.create_task(machine);
    const buf = map_anon(parent, PAGE_SIZE);
    store(parent, buf, 1);
    const old = pfn_at(parent, buf);
    using child = must(api.fork(parent));
    const page = get(parent, buf);
    expect([api.page_to_pfn(page), is_exclusive(old), byte_at(child, buf)]).toEqual([
      old,
      false,
      1,
    ]);
    api.put_page(page);
  });
  test("counts once more than it holds: the walk without the lock takes the pin, sees it, drops it, and it is taken again", () => {
    using machine = boot_for_test(MEM);
    const parent = api.create_task(machine);
    const buf = map_anon(parent, 8 * PAGE_SIZE);
    for (let i = 0; i < 8; i++) store(parent, api.user_ptr_add(buf, i * PAGE_SIZE), i);
    using child = must(api.fork(parent));
    const through = (call: () => api.PinResult<"source", "short">): [number, number] => {
      const before = pins(machine)[0];
      const found = must(api.all_or_none(call()));
      const nr = found.length;
      api.put_user_pages(found);
      expect(pins(machine)[0]).toBe(pins(machine)[1]);
      return [nr, pins(machine)[0] - before];
    };
    const fast = () => api.pin_user_pages_fast(parent, buf, 8, "source");
    expect(through(fast)).toEqual([8, 9]);
    expect(through(fast)).toEqual([8, 8]);
    const slow = () => api.pin_user_pages_unlocked(child, buf, 8, "source");
    expect(through(slow)).toEqual([8, 8]);
  });
  test.each([
    [8, 8],
    [300, 300],
    [512, 512],
  ])("of %i pages of a huge page counts %i more", (nr, extra) => {
    using machine = boot_for_test(MEM);
    const parent = api.create_task(machine);
    const buf = huge_buffer(parent);
    store(parent, buf, 1);
    using child = must(api.fork(parent));
    const found = must(api.all_or_none(api.pin_user_pages_fast(parent, buf, nr, "source")));
    expect([pins(machine), byte_at(child, buf)]).toEqual([[nr + extra, extra], 1]);
    api.put_user_pages(found);
  });
  test("a pin for writing declines before it takes anything, and so does a plain reference", () => {
    using machine = boot_for_test(MEM);
    const parent = api.create_task(machine);
    const buf = map_anon(parent, PAGE_SIZE);
    store(parent, buf, 1);
    using child = must(api.fork(parent));
    const page = get(child, buf);
    expect(pins(machine)).toEqual([0, 0]);
    api.put_page(page);
    api.put_user_page(must(api.get_user_page(parent, buf, "dest")));
    expect(pins(machine)).toEqual([1, 1]);
  });
});
describe("FOLL_WRITE and FOLL_FORCE", () => {
  /** What a forced and an unforced pin for writing answer. */
  function ask(task: api.Task, addr: api.UserAddr): string[] {
    return [api.gup_flags(), api.FOLL_FORCE].map((flags) => {
      const pin = api.get_user_page(task, addr, "dest", flags);
      if (api.IS_ERR(pin)) return pin.errno;
      api.put_user_page(pin);
      return "pinned";
    });
  }
  const PRIVATE = api.MAP_PRIVATE | api.MAP_ANONYMOUS;
  const SHARED = api.MAP_SHARED | api.MAP_ANONYMOUS;
  test.each([
    ["private, writable", PRIVATE, 3, ["pinned", "pinned"]],
    ["private, read-only: what force writes to is a copy", PRIVATE, 1, ["EFAULT", "pinned"]],
    ["private, no access", PRIVATE, 0, ["EFAULT", "pinned"]],
    ["shared, writable", SHARED, 3, ["pinned", "pinned"]],
    ["shared, read-only: force would write to what others see", SHARED, 1, ["EFAULT", "EFAULT"]],
    ["shared, no access", SHARED, 0, ["EFAULT", "EFAULT"]],
  ] as const)("%s", (_, flags, prot, answers) => {
    using machine = boot_for_test(MEM);
    const current = api.create_task(machine);
    const buf = api.mmap(current, null, PAGE_SIZE, prot, flags)._unsafeUnwrap();
    expect(ask(current, buf)).toEqual(answers);
  });
  test("forced through a read-only entry that a child shares: the parent's own copy is written, its entry stays read-only", () => {
    using machine = boot_for_test(MEM);
    const parent = api.create_task(machine);
    const buf = map_anon(parent, PAGE_SIZE);
    store(parent, buf, 1);
    api.mprotect(parent, buf, PAGE_SIZE, api.PROT_READ)._unsafeUnwrap();
    using child = must(api.fork(parent));
    const old = pfn_at(parent, buf);
    expect(errno_of(api.get_user_page(parent, buf, "dest"))).toBe("EFAULT");
    const pin = must(api.get_user_page(parent, buf, "dest", api.FOLL_FORCE));
    expect(api.page_to_pfn(pin)).not.toBe(old);
    dma(pin, 9);
    expect([byte_at(parent, buf), byte_at(child, buf)]).toEqual([9, 1]);
    expect(api.copy_to_user(parent, buf, new Uint8Array(1)).isErr()).toBe(true);
    api.put_user_page(pin);
  });
  test("a pin for writing of a file's page in a private mapping is one of a copy; the file does not change", () => {
    using machine = boot_for_test(MEM);
    const current = api.create_task(machine);
    using memfd = must(api.memfd_create(current, PAGE_SIZE));
    const shared = api.mmap(current, null, PAGE_SIZE, 3, api.MAP_SHARED, memfd)._unsafeUnwrap();
    const priv = api.mmap(current, null, PAGE_SIZE, 1, api.MAP_PRIVATE, memfd)._unsafeUnwrap();
    store(current, shared, 1);
    expect(byte_at(current, priv)).toBe(1);
    const pin = must(api.get_user_page(current, priv, "dest", api.FOLL_FORCE));
    dma(pin, 5);
    expect([byte_at(current, priv), byte_at(current, shared)]).toEqual([5, 1]);
    api.put_user_page(pin);
  });
  test("a long-term pin for reading of a private mapping never keeps the file's page or the zero page", () => {
    using machine = boot_for_test(MEM);
    const current = api.create_task(machine);
    using memfd = must(api.memfd_create(current, PAGE_SIZE));
    const priv = api.mmap(current, null, PAGE_SIZE, 3, api.MAP_PRIVATE, memfd)._unsafeUnwrap();
    const anon = map_anon(current, PAGE_SIZE);
    for (const at of [priv, anon]) {
      expect(byte_at(current, at)).toBe(0);
      const before = pfn_at(current, at);
      const short = must(api.get_user_page(current, at, "source"));
      expect(api.page_to_pfn(short)).toBe(before);
      api.put_user_page(short);
      const pin = must(api.get_user_page(current, at, "source", api.FOLL_LONGTERM));
      expect(api.page_to_pfn(pin)).not.toBe(before);
      expect(is_exclusive(api.page_to_pfn(pin) as number)).toBe(true);
      store(current, at, 3); // the device sees it
      const seen = new Uint8Array(1);
      api.memcpy_from_page(seen, pin, 0)._unsafeUnwrap();
      expect(seen[0]).toBe(3);
      api.put_user_page(pin);
    }
  });
});
describe("what a pin outlives", () => {
  const ends: ReadonlyArray<readonly [string, (task: api.Task, buf: api.UserAddr) => void]> = [
    ["MADV_DONTNEED", (t, b) => api.madvise(t, b, PAGE_SIZE, api.MADV_DONTNEED)._unsafeUnwrap()],
    [
      "munmap() and mmap()",
      (t, b) => {
        api.munmap(t, b, PAGE_SIZE)._unsafeUnwrap();
        const flags = api.MAP_PRIVATE | api.MAP_ANONYMOUS | api.MAP_FIXED;
        api.mmap(t, b, PAGE_SIZE, 3, flags)._unsafeUnwrap();
      },
    ],
  ];
  test.each(ends)(
    "%s: another page at the next fault; the device fills the old one, and no mapping sees it",
    (_, end) => {
      using machine = boot_for_test(MEM);
      const current = api.create_task(machine);
      const buf = map_anon(current, PAGE_SIZE);
      store(current, buf, 1);
      const pin = must(api.get_user_page(current, buf, "dest"));
      const old = api.page_to_pfn(pin) as number;
      const before = [pins(machine), free(machine)];
      end(current, buf);
      expect([pins(machine), free(machine)]).toEqual(before); // the pin is not ended, the page not freed
      expect(counts(old)).toEqual([1024, 0]);
      store(current, buf, 2);
      dma(pin, 77);
      expect([byte_at(current, buf), pfn_at(current, buf) === old]).toEqual([2, false]);
      api.put_user_page(pin);
      expect(free(machine)).toBe(before[1] as number);
    },
  );
  test("the end of the task: the pin keeps the page, and its release frees it", () => {
    using machine = boot_for_test(MEM);
    const current = api.create_task(machine);
    const start = free(machine);
    const buf = map_anon(current, PAGE_SIZE);
    store(current, buf, 1);
    const pin = must(api.get_user_page(current, buf, "dest"));
    using child = must(api.fork(current));
    api.exit_task(current);
    dma(pin, 77);
    expect([pins(machine), byte_at(child, buf)]).toEqual([[1, 0], 1]);
    api.put_user_page(pin);
    expect([pins(machine), free(machine)]).toEqual([[1, 1], start - 1]);
  });
});
