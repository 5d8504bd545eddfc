/** Address spaces: mapping, changing, ending, and what pins outlive. */
import * as api from "user-page";
import { PAGE_SIZE } from "user-page";
import { expect, test } from "vitest";
import { boot_for_test, counts, errno_of, fill_pattern, map_anon, must } from "../fixtures.js";

const MEM = { mem: 16 << 20 };
const ANON = api.MAP_PRIVATE | api.MAP_ANONYMOUS;
const free = (machine: api.Machine): number => api.vmstat(machine).nr_free_pages;
const read = (current: api.Task, from: api.UserAddr, bytes: number): Uint8Array => {
  const to = new Uint8Array(bytes);
  api.copy_from_user(current, to, from)._unsafeUnwrap();
  return to;
};

test("MAP_FIXED replaces, MAP_FIXED_NOREPLACE refuses", () => {
  using machine = boot_for_test(MEM);
  const current = api.create_task(machine);
  const buf = map_anon(current, 4 * PAGE_SIZE);
  fill_pattern(current, buf, 4 * PAGE_SIZE);
  const at = api.user_ptr_add(buf, PAGE_SIZE);
  const refused = api.mmap(current, at, PAGE_SIZE, 3, ANON | api.MAP_FIXED_NOREPLACE);
  expect(refused._unsafeUnwrapErr().errno).toBe("EEXIST");
  const before = free(machine);
  expect(api.mmap(current, at, PAGE_SIZE, 3, ANON | api.MAP_FIXED)._unsafeUnwrap()).toBe(at);
  expect(free(machine)).toBe(before + 1);
  expect(read(current, at, PAGE_SIZE).every((byte) => byte === 0)).toBe(true);
});
test("cutting a huge page keeps its bytes and its folio; what is left of it goes with the last page", () => {
  using machine = boot_for_test(MEM);
  const current = api.create_task(machine);
  const start = free(machine);
  const buf = map_anon(current, 2 << 20);
  api.madvise(current, buf, 2 << 20, api.MADV_HUGEPAGE)._unsafeUnwrap();
  const bytes = fill_pattern(current, buf, 2 << 20);
  expect(api.vmstat(machine).thp_fault_alloc).toBe(1);
  using pin = must(api.__free(api.put_user_page, api.get_user_page(current, buf, "source")));
  const pfn = api.page_to_pfn(pin.page) as number;
  expect(counts(pfn)).toEqual([2, 1]);
  api.munmap(current, api.user_ptr_add(buf, 100 * PAGE_SIZE), PAGE_SIZE)._unsafeUnwrap();
  expect([counts(pfn), api.page_mapcount(pin.page)]).toEqual([[511 + 1, 1], 1]);
  api.mprotect(current, api.user_ptr_add(buf, 7 * PAGE_SIZE), PAGE_SIZE, 1)._unsafeUnwrap();
  expect(Buffer.compare(read(current, buf, 100 * PAGE_SIZE), bytes.slice(0, 100 * PAGE_SIZE))).toBe(
    0,
  );
  const protected_page = api.user_ptr_add(buf, 7 * PAGE_SIZE);
  expect(api.copy_to_user(current, protected_page, bytes.slice(0, 1)).isErr()).toBe(true);
  api.munmap(current, buf, 2 << 20)._unsafeUnwrap();
  expect([counts(pfn), free(machine)]).toEqual([[1, 1], start - 512]); // the pin holds all of it
  const seen = new Uint8Array(16);
  api.memcpy_from_page(seen, pin.page, 0)._unsafeUnwrap();
  expect(seen).toEqual(bytes.slice(0, 16));
  pin[Symbol.dispose]();
  expect(free(machine)).toBe(start);
});
test("advice about nothing changes nothing; about a hole it is ENOMEM", () => {
  using machine = boot_for_test(MEM);
  const current = api.create_task(machine);
  const buf = map_anon(current, 2 << 20);
  api.madvise(current, buf, 2 << 20, api.MADV_HUGEPAGE)._unsafeUnwrap();
  api.madvise(current, buf, 1, api.MADV_POPULATE_WRITE)._unsafeUnwrap();
  api.madvise(current, api.user_ptr_add(buf, 4096), 0, api.MADV_DONTNEED)._unsafeUnwrap();
  using list = must(api.get_user_bvec(current, buf, 2 << 20, "dest"));
  expect(list.nr_segs).toBe(1);
  const far = api.user_ptr_add(buf, 4 << 20);
  expect(api.madvise(current, far, 4096, api.MADV_DONTNEED)._unsafeUnwrapErr().errno).toBe(
    "ENOMEM",
  );
  expect(api.madvise(current, buf, 4096, 77)._unsafeUnwrapErr().errno).toBe("EINVAL");
});
test("MADV_DONTNEED on a pinned page: the mapping gets another one, the pin keeps the old", () => {
  using machine = boot_for_test(MEM);
  const current = api.create_task(machine);
  const buf = map_anon(current, PAGE_SIZE);
  const old = must(api.get_user_page(current, buf, "dest"));
  api.madvise(current, buf, PAGE_SIZE, api.MADV_DONTNEED)._unsafeUnwrap();
  api.memcpy_to_page(old, 0, new Uint8Array([42]))._unsafeUnwrap();
  expect(read(current, buf, 1)[0]).toBe(0);
  expect(api.page_ref_count(old)).toBe(1024);
  api.put_user_page(old);
});
test("shared memory: two tasks see the same bytes, and it goes with its last user", () => {
  using machine = boot_for_test(MEM);
  const [a, b] = [api.create_task(machine), api.create_task(machine)];
  const start = free(machine);
  const memfd = must(api.memfd_create(a, 8 * PAGE_SIZE));
  const at_a = api.mmap(a, null, 8 * PAGE_SIZE, 3, api.MAP_SHARED, memfd)._unsafeUnwrap();
  const at_b = api
    .mmap(b, null, 4 * PAGE_SIZE, 1, api.MAP_SHARED, memfd, 4 * PAGE_SIZE)
    ._unsafeUnwrap();
  const copy = api.mmap(b, null, 8 * PAGE_SIZE, 3, api.MAP_PRIVATE, memfd)._unsafeUnwrap();
  const bytes = fill_pattern(a, at_a, 8 * PAGE_SIZE);
  expect(read(b, at_b, 4 * PAGE_SIZE)).toEqual(bytes.slice(4 * PAGE_SIZE));
  api.copy_to_user(b, copy, new Uint8Array([1, 2, 3]))._unsafeUnwrap();
  expect(read(a, at_a, 3)).toEqual(bytes.slice(0, 3));
  memfd[Symbol.dispose]();
  expect(() => api.mmap(a, null, 4096, 3, api.MAP_SHARED, memfd)).toThrow(/not-a-handle/);
  api.exit_task(a);
  expect(read(b, at_b, PAGE_SIZE)).toEqual(bytes.slice(4 * PAGE_SIZE, 5 * PAGE_SIZE));
  const pin = must(api.get_user_page(b, at_b, "source"));
  api.exit_task(b);
  expect(free(machine)).toBe(start - 1);
  api.put_user_page(pin);
  expect(free(machine)).toBe(start);
  expect(() => api.get_user_page(b, at_b, "source")).toThrow(/not-a-handle/);
});
test("anonymous shared memory has no offset", () => {
  using machine = boot_for_test(MEM);
  const current = api.create_task(machine);
  const flags = api.MAP_SHARED | api.MAP_ANONYMOUS;
  const buf = api.mmap(current, null, PAGE_SIZE, 3, flags, null, PAGE_SIZE)._unsafeUnwrap();
  expect(api.copy_to_user(current, buf, new Uint8Array(PAGE_SIZE)).isOk()).toBe(true);
});
test("a huge file that began with small pages keeps them when memory comes back", () => {
  using machine = boot_for_test(MEM);
  const current = api.create_task(machine);
  const start = free(machine);
  const memfd = must(api.memfd_create(current, 2 << 20, api.MFD_HUGE));
  const buf = api.mmap(current, null, 2 << 20, 3, api.MAP_SHARED, memfd)._unsafeUnwrap();
  let bytes: Uint8Array;
  {
    using fragments = api.fragment_memory(machine, (index) => index % 2 === 1);
    expect(fragments.nr_pages).toBeGreaterThan(0);
    bytes = fill_pattern(current, buf, 3 * PAGE_SIZE);
  }
  api.copy_to_user(current, api.user_ptr_add(buf, 9 * PAGE_SIZE), bytes)._unsafeUnwrap();
  api.munmap(current, buf, 2 << 20)._unsafeUnwrap();
  const again = api.mmap(current, null, 2 << 20, 1, api.MAP_SHARED, memfd)._unsafeUnwrap();
  expect(read(current, again, 3 * PAGE_SIZE)).toEqual(bytes);
  memfd[Symbol.dispose]();
  api.exit_task(current);
  expect(free(machine)).toBe(start);
});
test("out of memory: errors, nothing lost, and it goes on when there is some again", () => {
  using machine = boot_for_test(MEM);
  const current = api.create_task(machine);
  const start = free(machine);
  const size = 32 << 20; // twice the memory
  const buf = map_anon(current, size);
  const huge = map_anon(current, 4 << 20);
  api.madvise(current, huge, 4 << 20, api.MADV_HUGEPAGE)._unsafeUnwrap();
  const more = map_anon(current, 4 << 20);
  api.madvise(current, more, 4 << 20, api.MADV_HUGEPAGE)._unsafeUnwrap();
  const full = api.madvise(current, buf, size, api.MADV_POPULATE_WRITE);
  expect([full._unsafeUnwrapErr().errno, free(machine)]).toEqual(["ENOMEM", 0]);
  expect(errno_of(api.get_user_bvec(current, huge, 4 << 20, "dest"))).toBe("ENOMEM");
  expect(errno_of(api.alloc_page(current))).toBe("ENOMEM");
  expect(errno_of(api.folio_alloc(current, 0))).toBe("ENOMEM");
  using short = api.pin_user_pages_fast(current, buf, size / PAGE_SIZE, "dest");
  expect(api.IS_SHORT(short) && short.partial.length).toBe(start);
  expect(api.copy_to_user(current, huge, new Uint8Array(1)).isErr()).toBe(true);
  short[Symbol.dispose]();
  api.munmap(current, buf, size)._unsafeUnwrap();
  expect(free(machine)).toBe(start);
  using list = must(api.get_user_bvec(current, more, 4 << 20, "dest"));
  expect(list.nr_segs).toBe(2); // merged back into blocks large enough
  api.put_user_bvec(list);
  api.exit_task(current);
  expect(free(machine)).toBe(start);
  expect(api.shutdown(machine)).toEqual({ leaks: [], lost_pages: 0 });
});
test("a page that is unmapped while it is frozen is warned of, and shows as lost", () => {
  const machine = boot_for_test({ mem: 4 << 20 });
  const current = api.create_task(machine);
  const buf = map_anon(current, PAGE_SIZE);
  const pin = must(api.get_user_page(current, buf, "dest"));
  expect(api.page_ref_freeze(pin, 1 + api.GUP_PIN_COUNTING_BIAS)).toBe(true);
  api.munmap(current, buf, PAGE_SIZE)._unsafeUnwrap();
  expect(api.dmesg(machine).join()).toContain("unmapped while it is frozen");
  api.page_ref_unfreeze(pin, 1 + api.GUP_PIN_COUNTING_BIAS);
  api.put_user_page(pin);
  expect(api.shutdown(machine).lost_pages).toBe(1);
});
test("a task ends once; a mapping keeps its file, whose descriptor was closed", () => {
  using machine = boot_for_test(MEM);
  const current = api.create_task(machine);
  const start = free(machine);
  const memfd = must(api.memfd_create(current, PAGE_SIZE));
  const buf = api.mmap(current, null, PAGE_SIZE, 3, api.MAP_SHARED, memfd)._unsafeUnwrap();
  memfd[Symbol.dispose]();
  const bytes = fill_pattern(current, buf, PAGE_SIZE);
  expect([read(current, buf, PAGE_SIZE), free(machine)]).toEqual([bytes, start - 1]);
  api.exit_task(current);
  expect(free(machine)).toBe(start);
  expect(() => api.exit_task(current)).toThrow("not-a-handle");
});
