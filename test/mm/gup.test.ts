/** What the pinning calls answer: numbers, errors, flags, and what they leave behind. */
import * as api from "user-page";
import { ITER_DEST, ITER_SOURCE, PAGE_SIZE, type Page } from "user-page";
import { describe, expect, test } from "vitest";
import { boot_for_test, counts, errno_of, forced, map_anon, must } from "../fixtures.js";

const MEM = { mem: 16 << 20 };
const bits = (n: number): never => api.gup_flags_from(n) as never;
const live = (machine: api.Machine): number => {
  const { nr_foll_pin_acquired, nr_foll_pin_released } = api.vmstat(machine);
  return nr_foll_pin_acquired - nr_foll_pin_released;
};
function bench(machine: api.Machine, pages = 8, prot = 3) {
  const current = api.create_task(machine);
  return { current, buf: map_anon(current, pages * PAGE_SIZE, prot) };
}

describe("numbers", () => {
  test("no pages are no error, anywhere", () => {
    using machine = boot_for_test(MEM);
    const { current, buf } = bench(machine);
    for (const addr of [buf, api.u64_to_user_ptr(0)]) {
      expect(must(api.all_or_none(api.pin_user_pages_fast(current, addr, 0, "dest")))).toHaveLength(
        0,
      );
      expect(api.get_user_pages_fast(current, addr, 0, 0, [])).toBe(0);
      using list = must(api.get_user_bvec(current, addr, 0, ITER_DEST));
      expect([list.count, list.nr_segs, [...list]]).toEqual([0, 0, []]);
    }
  });
  test("the start is rounded down to its page", () => {
    using machine = boot_for_test(MEM);
    const { current, buf } = bench(machine);
    using pins = must(
      api.all_or_none(api.pin_user_pages_fast(current, api.user_ptr_add(buf, 4097), 2, "dest")),
    );
    using second = must(
      api.all_or_none(api.pin_user_pages_fast(current, api.user_ptr_add(buf, 4096), 2, "dest")),
    );
    expect(pins.map((page) => api.page_to_pfn(page))).toEqual(
      second.map((page) => api.page_to_pfn(page)),
    );
  });
  test("the end of user space: the last page can be pinned, the one after it not", () => {
    using machine = boot_for_test(MEM);
    const { current } = bench(machine);
    const last = api.u64_to_user_ptr(api.TASK_SIZE - PAGE_SIZE);
    const flags = api.MAP_PRIVATE | api.MAP_ANONYMOUS | api.MAP_FIXED;
    api.mmap(current, last, PAGE_SIZE, 3, flags)._unsafeUnwrap();
    using one = must(api.all_or_none(api.pin_user_pages_fast(current, last, 1, "dest")));
    expect(one.length).toBe(1);
    expect(errno_of(api.pin_user_pages_fast(current, last, 2, "dest"))).toBe("EFAULT");
    const short = api.pin_user_pages_unlocked(current, last, 2, "dest");
    expect(api.IS_SHORT(short) && short.partial.length).toBe(1);
    short[Symbol.dispose]();
    expect(errno_of(api.get_user_bvec(current, last, PAGE_SIZE + 1, "dest"))).toBe("EFAULT");
    const far = api.u64_to_user_ptr(2 ** 53 - 1);
    expect(errno_of(api.get_user_bvec(current, far, 4096, "dest"))).toBe("EOVERFLOW");
    expect(live(machine)).toBe(1);
  });
  test("512 pages of one huge page are 512 pins, whichever way they are walked", () => {
    using machine = boot_for_test(MEM);
    const { current, buf } = bench(machine, 1024);
    api.madvise(current, buf, 4 << 20, api.MADV_HUGEPAGE)._unsafeUnwrap();
    const slow = must(api.all_or_none(api.pin_user_pages_unlocked(current, buf, 1024, "dest")));
    const first = api.page_to_pfn(slow[0]!) as number;
    expect(counts(first)).toEqual([1 + 512, 512]);
    expect(slow.slice(0, 512).map((page) => api.page_to_pfn(page) - first)).toEqual([
      ...Array(512).keys(),
    ]);
    api.put_user_pages(slow);
    using fast = must(api.all_or_none(api.pin_user_pages_fast(current, buf, 1024, "dest")));
    expect([counts(first), live(machine), fast.length]).toEqual([[513, 512], 1024, 1024]);
  });
});

describe("flags", () => {
  test("what a call does not take is EINVAL or 0 pages, with a warning and nothing held", () => {
    using machine = boot_for_test(MEM);
    const { current, buf } = bench(machine);
    for (const wrong of [1 << 16, 1 << 19, 1 << 12, (1 << 8) | (1 << 10), 1 << 1]) {
      expect(errno_of(api.pin_user_pages_fast(current, buf, 2, "dest", bits(wrong)))).toBe(
        "EINVAL",
      );
      const none = api.pin_user_pages_unlocked(current, buf, 2, "dest", bits(wrong));
      expect(api.IS_SHORT(none) && none.partial.length).toBe(0);
      expect(errno_of(api.get_user_bvec(current, buf, 2, "dest", bits(wrong)))).toBe("EINVAL");
    }
    // FOLL_LONGTERM needs a pin; some flags are of the slow calls only; null pages cannot be counted on.
    expect(api.get_user_pages_fast(current, buf, 1, bits(1 << 8), [])).toBe(-22);
    expect(errno_of(api.pin_user_pages_fast(current, buf, 1, "dest", bits(1 << 7)))).toBe("EINVAL");
    expect(forced<number>(api.get_user_pages_fast)(current, buf, 1, 0, null)).toBe(-22);
    expect(live(machine)).toBe(0);
    expect(api.dmesg(machine).filter((line) => line.startsWith("WARNING")).length).toBeGreaterThan(
      3,
    );
  });
  test("pages === null only faults in", () => {
    using machine = boot_for_test(MEM);
    const { current, buf } = bench(machine);
    expect(api.get_user_pages_unlocked(current, buf, 8, null, api.FOLL_WRITE)).toBe(8);
    using pin = api.__free(
      api.put_user_page,
      api.get_user_page(current, buf, "dest", api.FOLL_NOFAULT),
    );
    if (api.IS_ERR(pin)) throw new Error(pin.message);
    expect(api.page_ref_count(pin.page)).toBe(1025);
  });
  test("FOLL_NOFAULT: present pages only", () => {
    using machine = boot_for_test(MEM);
    const { current, buf } = bench(machine);
    const at = (n: number) => api.user_ptr_add(buf, n * PAGE_SIZE);
    expect(errno_of(api.pin_user_pages_fast(current, buf, 2, "dest", api.FOLL_NOFAULT))).toBe(
      "EFAULT",
    );
    api.copy_to_user(current, buf, new Uint8Array(1))._unsafeUnwrap();
    using short = api.pin_user_pages_fast(current, buf, 2, "dest", api.FOLL_NOFAULT);
    expect(api.IS_SHORT(short) && short.partial.length).toBe(1);
    expect(errno_of(api.get_user_bvec(current, at(1), 1, "source", api.FOLL_NOFAULT))).toBe(
      "EFAULT",
    );
  });
  test("FOLL_ANON: a file is EFAULT", () => {
    using machine = boot_for_test(MEM);
    const { current, buf } = bench(machine);
    const memfd = must(api.memfd_create(current, PAGE_SIZE));
    const file = api.mmap(current, null, PAGE_SIZE, 3, api.MAP_SHARED, memfd)._unsafeUnwrap();
    using yes = api.pin_user_pages_unlocked(current, buf, 1, "dest", api.FOLL_ANON);
    expect(api.IS_ERR(yes) || api.IS_SHORT(yes)).toBe(false);
    expect(errno_of(api.pin_user_pages_unlocked(current, file, 1, "dest", api.FOLL_ANON))).toBe(
      "EFAULT",
    );
  });
  test.each([api.PROT_READ, api.PROT_NONE])(
    "FOLL_FORCE passes over protection %i, and the program still cannot",
    (prot) => {
      for (const huge of [false, true]) {
        using machine = boot_for_test(MEM);
        const { current, buf } = bench(machine, 512);
        if (huge) api.madvise(current, buf, 2 << 20, api.MADV_HUGEPAGE)._unsafeUnwrap();
        api.copy_to_user(current, buf, new Uint8Array([5]))._unsafeUnwrap();
        api.mprotect(current, buf, 2 << 20, prot)._unsafeUnwrap();
        expect(errno_of(api.pin_user_pages_unlocked(current, buf, 1, "dest"))).toBe("EFAULT");
        for (const dir of [ITER_DEST, ITER_SOURCE] as const) {
          using pins = must(
            api.all_or_none(api.pin_user_pages_unlocked(current, buf, 2, dir, api.FOLL_FORCE)),
          );
          const byte = new Uint8Array(1);
          api.memcpy_from_page(byte, pins[0]!, 0)._unsafeUnwrap();
          expect([byte[0], pins.length]).toEqual([5, 2]);
        }
        expect(api.copy_to_user(current, buf, new Uint8Array(1)).isErr()).toBe(true);
        const far = api.user_ptr_add(buf, PAGE_SIZE); // nothing was there before the debugger came
        const readable = api.copy_from_user(current, new Uint8Array(1), far).isOk();
        expect(readable).toBe(prot === api.PROT_READ);
      }
    },
  );
  test("FOLL_FORCE does not write into shared memory", () => {
    using machine = boot_for_test(MEM);
    const { current } = bench(machine);
    const flags = api.MAP_SHARED | api.MAP_ANONYMOUS;
    const buf = api.mmap(current, null, PAGE_SIZE, api.PROT_READ, flags)._unsafeUnwrap();
    expect(errno_of(api.get_user_page(current, buf, "dest", api.FOLL_FORCE))).toBe("EFAULT");
  });
  test("FOLL_LONGTERM never pins the zero page of a private mapping", () => {
    using machine = boot_for_test(MEM);
    const { current, buf } = bench(machine);
    api.copy_from_user(current, new Uint8Array(1), buf)._unsafeUnwrap();
    const short = must(api.get_user_page(current, buf, "source"));
    const long = must(api.get_user_page(current, buf, "source", api.FOLL_LONGTERM));
    expect([api.is_zero_page(short), api.is_zero_page(long)]).toEqual([true, false]);
    // The page stays the mapping's when it is written: nobody else has it.
    api.copy_to_user(current, buf, new Uint8Array([9]))._unsafeUnwrap();
    const seen = new Uint8Array(1);
    api.memcpy_from_page(seen, long, 0)._unsafeUnwrap();
    expect(seen[0]).toBe(9);
    api.put_user_page(short);
    api.put_user_page(long);
  });
});

describe("who asks", () => {
  test("a killed task: EINTR with the lock, EAGAIN in the fast call, what is present still comes", () => {
    using machine = boot_for_test(MEM);
    const { current, buf } = bench(machine);
    api.copy_to_user(current, buf, new Uint8Array(1))._unsafeUnwrap();
    const absent = api.user_ptr_add(buf, PAGE_SIZE);
    api.kill_task(current);
    using lock = api.mmap_read_lock(current, current.mm);
    expect(errno_of(api.pin_user_pages(lock, buf, 1, "dest"))).toBe("EINTR");
    expect(api.get_user_pages(lock, buf, 1, 0, [])).toBe(-4);
    api.mmap_read_unlock(lock);
    expect(errno_of(api.pin_user_pages_fast(current, absent, 1, "dest"))).toBe("EAGAIN");
    expect(errno_of(api.get_user_bvec(current, buf, 8192, "dest"))).toBe("EAGAIN");
    using short = api.pin_user_pages_fast(current, buf, 2, "dest");
    expect(api.IS_SHORT(short) && short.partial.length).toBe(1);
  });
  test("another address space: by its lock, from a task and from a kworker", () => {
    using machine = boot_for_test(MEM);
    const { current, buf } = bench(machine);
    const other = api.create_task(machine);
    using lock = api.mmap_read_lock(other, current.mm);
    const pages: Page[] = [];
    expect(api.get_user_pages_remote(lock, buf, 2, api.FOLL_WRITE, pages)).toBe(2);
    using pins = must(api.all_or_none(api.pin_user_pages_remote(lock, buf, 2, "dest")));
    expect(pins.map((page) => api.page_ref_count(page))).toEqual([1026, 1026]);
    // munmap() would wait for the lock that is held.
    expect(() => api.munmap(current, buf, PAGE_SIZE)).toThrow(api.MisuseError);
    api.mmap_read_unlock(lock);
    for (const page of pages) api.put_page(page);
    let extents = 0;
    api.schedule_work(current, (kworker) => {
      using list = must(api.get_user_bvec_remote(kworker, current.mm, buf, 8192, "dest"));
      extents = list.nr_segs;
      expect(() => forced(api.get_user_bvec)(kworker, buf, 1, "dest")).toThrow(api.MisuseError);
    });
    api.flush_work(machine);
    expect([extents, live(machine)]).toEqual([2, 2]);
  });
  test("what is held by a lock that ended, or taken twice, is refused", () => {
    using machine = boot_for_test(MEM);
    const { current, buf } = bench(machine);
    const lock = api.mmap_read_lock(current, current.mm);
    for (const call of [
      () => api.mmap_read_lock(current, current.mm),
      () => api.pin_user_pages_fast(current, buf, 1, "dest"),
    ]) {
      expect(call).toThrow(expect.objectContaining({ id: "lock-recursion" }));
    }
    api.mmap_read_unlock(lock);
    expect(() => forced(api.pin_user_pages)(lock, buf, 1, "dest")).toThrow(/lock-not-held/);
  });
  test("a context, a mapping or a page of another machine is refused", () => {
    using machine = boot_for_test(MEM);
    using other = boot_for_test(MEM);
    const a = bench(machine);
    const b = bench(other);
    expect(() => api.mmap_read_lock(a.current, b.current.mm)).toThrow(/another machine/);
    expect(() => api.get_user_bvec_remote(a.current, b.current.mm, b.buf, 1, "dest")).toThrow(
      /another machine/,
    );
    using disk = must(api.brd_alloc(machine, 4096));
    using bio = api.bio_alloc_pinned(disk, 1, "REQ_OP_READ");
    const pin = must(api.get_user_page(b.current, b.buf, "dest"));
    expect(() => forced(api.bio_add_user_page)(bio, pin, 512, 0)).toThrow(api.MisuseError);
    expect(api.page_ref_count(pin)).toBe(1025);
    api.put_user_page(pin);
    expect(() => api.direct_io(b.current, disk, "REQ_OP_READ", b.buf, 512, 0)).toThrow(
      api.MisuseError,
    );
  });
});
