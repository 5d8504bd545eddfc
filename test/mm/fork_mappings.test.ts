/** What fork() does with each sort of mapping, when memory is out, and at the end of a child. */
import * as api from "user-page";
import { PAGE_SIZE } from "user-page";
import { describe, expect, test } from "vitest";
import { boot_for_test, counts, errno_of, fill_pattern, map_anon, must } from "../fixtures.js";
import { byte_at, dma, free, huge_buffer, MEM, mm_of, pfn_at, store } from "./fork_world.js";

describe("fork()", () => {
  test("zero pages, small and huge, are shared and not counted by the small one", () => {
    using machine = boot_for_test(MEM);
    const parent = api.create_task(machine);
    const buf = map_anon(parent, PAGE_SIZE);
    const huge = huge_buffer(parent);
    expect([byte_at(parent, buf), byte_at(parent, huge)]).toEqual([0, 0]);
    const zero = pfn_at(parent, buf);
    const huge_zero = pfn_at(parent, huge);
    const before = [counts(zero), free(machine)];
    const child = must(api.fork(parent));
    expect([counts(zero), free(machine)]).toEqual(before);
    expect(counts(huge_zero)).toEqual([3, 0]);
    expect([pfn_at(child, buf), pfn_at(child, huge)]).toEqual([zero, huge_zero]);
    store(child, buf, 4);
    store(child, huge, 5);
    expect([byte_at(parent, buf), byte_at(parent, huge)]).toEqual([0, 0]);
    expect([byte_at(child, buf), byte_at(child, huge)]).toEqual([4, 5]);
    api.exit_task(child);
    expect([free(machine), counts(huge_zero)]).toEqual([before[1], [2, 0]]);
  });
  test("shared memory stays shared, and pages of a file that a private mapping only read", () => {
    using machine = boot_for_test(MEM);
    const parent = api.create_task(machine);
    using memfd = must(api.memfd_create(parent, 2 * PAGE_SIZE));
    const shared = api.mmap(parent, null, PAGE_SIZE, 3, api.MAP_SHARED, memfd)._unsafeUnwrap();
    const priv = api.mmap(parent, null, 2 * PAGE_SIZE, 3, api.MAP_PRIVATE, memfd)._unsafeUnwrap();
    const second = api.user_ptr_add(priv, PAGE_SIZE);
    store(parent, shared, 1);
    expect(byte_at(parent, priv)).toBe(1);
    store(parent, second, 2);
    const file = pfn_at(parent, priv);
    const pin = must(api.get_user_page(parent, shared, "dest"));
    expect(counts(file)).toEqual([1 + 2 + 1024, 0]);
    const child = must(api.fork(parent));
    store(child, shared, 3);
    api.memcpy_to_page(pin, 1, new Uint8Array([4]))._unsafeUnwrap();
    expect([byte_at(parent, shared), byte_at(child, api.user_ptr_add(shared, 1))]).toEqual([3, 4]);
    expect([pfn_at(child, shared), pfn_at(child, priv)]).toEqual([file, file]);
    expect(counts(file)).toEqual([1 + 4 + 1024, 0]);
    store(child, priv, 7);
    store(child, second, 8);
    expect([byte_at(parent, priv), byte_at(parent, second)]).toEqual([3, 2]);
    api.put_user_page(pin);
    api.exit_task(parent);
    expect([byte_at(child, shared), byte_at(child, priv), byte_at(child, second)]).toEqual([
      3, 7, 8,
    ]);
    api.exit_task(child);
    expect(counts(file)).toEqual([1, 0]);
  });
  test("entries of PROT_NONE are copied like others, pinned ones too", () => {
    using machine = boot_for_test(MEM);
    const parent = api.create_task(machine);
    const buf = map_anon(parent, 2 * PAGE_SIZE);
    const next = api.user_ptr_add(buf, PAGE_SIZE);
    store(parent, buf, 1);
    store(parent, next, 2);
    const pin = must(api.get_user_page(parent, buf, "dest"));
    api.mprotect(parent, buf, 2 * PAGE_SIZE, api.PROT_NONE)._unsafeUnwrap();
    const before = free(machine);
    const child = must(api.fork(parent));
    expect(free(machine)).toBe(before - 1);
    expect(errno_of(api.get_user_page(child, buf, "source"))).toBe("EFAULT");
    for (const task of [parent, child]) api.mprotect(task, buf, 2 * PAGE_SIZE, 3)._unsafeUnwrap();
    dma(pin, 9);
    store(child, next, 5);
    expect([byte_at(parent, buf), byte_at(parent, next)]).toEqual([9, 2]);
    expect([byte_at(child, buf), byte_at(child, next)]).toEqual([1, 5]);
    api.put_user_page(pin);
  });
  test("ENOMEM for a copy leaves nothing of the child", () => {
    using machine = boot_for_test(MEM);
    const parent = api.create_task(machine);
    const pages = 64;
    const buf = map_anon(parent, pages * PAGE_SIZE);
    const bytes = fill_pattern(parent, buf, pages * PAGE_SIZE);
    using memfd = must(api.memfd_create(parent, PAGE_SIZE));
    const shared = api.mmap(parent, null, PAGE_SIZE, 3, api.MAP_SHARED, memfd)._unsafeUnwrap();
    store(parent, shared, 1);
    const file = pfn_at(parent, shared);
    using list = must(
      api.get_user_bvec(parent, api.user_ptr_add(buf, 32 * PAGE_SIZE), 4096, "dest"),
    );
    const pinned = pfn_at(parent, api.user_ptr_add(buf, 32 * PAGE_SIZE));
    {
      using all = api.fragment_memory(machine, () => true);
      expect([free(machine), all.nr_pages > 0]).toEqual([0, true]);
      expect(errno_of(api.fork(parent))).toBe("ENOMEM");
      expect(free(machine)).toBe(0);
    }
    for (let i = 0; i < pages; i++) {
      const pfn = pfn_at(parent, api.user_ptr_add(buf, i * PAGE_SIZE));
      expect(counts(pfn)).toEqual([pfn === pinned ? 1025 : 1, 0]);
    }
    expect(counts(file)).toEqual([2, 0]);
    expect(mm_of(parent).write_protect_seq % 2).toBe(0);
    const before = free(machine);
    expect(fill_pattern(parent, buf, pages * PAGE_SIZE)).toEqual(bytes);
    expect(free(machine)).toBe(before); // each is used again
    using child = must(api.fork(parent));
    expect(free(machine)).toBe(before - 1);
    expect(child.pid).not.toBe(parent.pid);
    expect(list.count).toBe(4096);
  });
  test("the end of a `using` block ends the child; ending it before is no error", () => {
    using machine = boot_for_test(MEM);
    const parent = api.create_task(machine);
    const buf = map_anon(parent, PAGE_SIZE);
    store(parent, buf, 1);
    const pfn = pfn_at(parent, buf);
    {
      using child = must(api.fork(parent));
      expect([byte_at(child, buf), counts(pfn)]).toEqual([1, [2, 0]]);
    }
    expect(counts(pfn)).toEqual([1, 0]);
    {
      using child = must(api.fork(parent));
      api.exit_task(child);
    }
    {
      using other = boot_for_test(MEM);
      using child = must(api.fork(api.create_task(other)));
      expect(child.pid).toBe(2);
      api.shutdown(other);
    }
    const lock = api.mmap_read_lock(parent, parent.mm);
    expect(() => api.fork(parent)).toThrow(/lock-recursion/);
    api.mmap_read_unlock(lock);
  });
  test("MADV_DONTFORK: the child has nothing there, and the parent keeps its pages for itself", () => {
    using machine = boot_for_test(MEM);
    const parent = api.create_task(machine);
    const buf = map_anon(parent, 3 * PAGE_SIZE);
    fill_pattern(parent, buf, 3 * PAGE_SIZE);
    const second = api.user_ptr_add(buf, PAGE_SIZE);
    api.madvise(parent, second, PAGE_SIZE, api.MADV_DONTFORK)._unsafeUnwrap();
    const pfn = pfn_at(parent, second);
    {
      using child = must(api.fork(parent));
      expect(api.copy_from_user(child, new Uint8Array(1), second).isErr()).toBe(true);
      expect(byte_at(child, buf)).toBe(byte_at(parent, buf));
      expect(counts(pfn)).toEqual([1, 0]);
    }
    api.madvise(parent, second, PAGE_SIZE, api.MADV_DOFORK)._unsafeUnwrap();
    using child = must(api.fork(parent));
    expect(byte_at(child, second)).toBe(byte_at(parent, second));
  });
  test("children of children: the page goes with the last of them", () => {
    using machine = boot_for_test(MEM);
    const parent = api.create_task(machine);
    const start = free(machine);
    const buf = map_anon(parent, PAGE_SIZE);
    store(parent, buf, 1);
    const pfn = pfn_at(parent, buf);
    const child = must(api.fork(parent));
    const grandchild = must(api.fork(child));
    expect(counts(pfn)).toEqual([3, 0]);
    api.exit_task(parent);
    api.exit_task(child);
    expect([byte_at(grandchild, buf), counts(pfn)]).toEqual([1, [1, 0]]);
    api.exit_task(grandchild);
    expect(free(machine)).toBe(start);
  });
});
