/** fault_in_iov_iter_readable() and fault_in_iov_iter_writeable(): how far memory can be made ready, and what that changes. */
import * as api from "user-page";
import { PAGE_SIZE } from "user-page";
import { describe, expect, test } from "vitest";
import { boot_for_test, fill_pattern, forced, map_anon, must } from "../fixtures.js";

const NOFAULT = (iter: api.IovIter): void => {
  iter.nofault = true;
};
/** Pages that can be pinned without a fault, from the beginning. */
function ready(current: api.Task, buf: api.UserAddr, pages: number, dir: api.Dir): number {
  const iter = api.iov_iter_ubuf(dir, buf, pages * PAGE_SIZE);
  NOFAULT(iter);
  using got = api.iov_iter_extract_pages(iter, pages * PAGE_SIZE, pages, current);
  return api.IS_ERR(got) ? 0 : got.length;
}

describe("faulting in", () => {
  test("makes untouched memory readable as the zero page, and writeable as pages of its own", () => {
    using machine = boot_for_test();
    const current = api.create_task(machine);
    const buf = map_anon(current, 4 * PAGE_SIZE);
    const source = api.iov_iter_ubuf(api.ITER_SOURCE, buf, 3 * PAGE_SIZE);
    expect(api.fault_in_iov_iter_readable(source, 3 * PAGE_SIZE, current)).toBe(0);
    expect(api.iov_iter_count(source)).toBe(3 * PAGE_SIZE);
    expect([ready(current, buf, 4, "source"), ready(current, buf, 4, "dest")]).toEqual([3, 0]);
    const dest = api.iov_iter_ubuf(api.ITER_DEST, buf, 3 * PAGE_SIZE);
    expect(api.fault_in_iov_iter_writeable(dest, 2 * PAGE_SIZE, current)).toBe(0);
    expect([ready(current, buf, 4, "source"), ready(current, buf, 4, "dest")]).toEqual([3, 2]);
  });
  test("goes from the position on, over the parts, and ends with what cannot be accessed", () => {
    using machine = boot_for_test();
    const current = api.create_task(machine);
    const buf = map_anon(current, 8 * PAGE_SIZE);
    const at = (pages: number): api.UserAddr => api.user_ptr_add(buf, pages * PAGE_SIZE);
    api.munmap(current, at(6), PAGE_SIZE)._unsafeUnwrap();
    const iter = api.iov_iter_init(api.ITER_DEST, [
      { iov_base: at(0), iov_len: 2 * PAGE_SIZE },
      { iov_base: api.user_ptr_add(at(4), 100), iov_len: 4 * PAGE_SIZE - 100 },
    ]);
    api.iov_iter_advance(iter, PAGE_SIZE);
    // Of page 1, and of pages 4 and 5 from byte 100 on, everything; then nothing.
    const can = 3 * PAGE_SIZE - 100;
    expect(api.fault_in_iov_iter_writeable(iter, 5 * PAGE_SIZE - 100, current)).toBe(
      5 * PAGE_SIZE - 100 - can,
    );
    expect(ready(current, at(0), 1, "dest")).toBe(0);
    expect(ready(current, at(1), 2, "dest")).toBe(1);
    expect(ready(current, at(4), 3, "dest")).toBe(2);
    expect(ready(current, at(7), 1, "dest")).toBe(0);
    // More than the iterator has is not there either.
    const one = api.iov_iter_ubuf(api.ITER_DEST, at(0), PAGE_SIZE);
    expect(api.fault_in_iov_iter_writeable(one, PAGE_SIZE + 7, current)).toBe(7);
  });
  test("keeps the bytes, and breaks what a child shares", () => {
    using machine = boot_for_test();
    const current = api.create_task(machine);
    const buf = map_anon(current, 2 * PAGE_SIZE);
    const bytes = fill_pattern(current, buf, 2 * PAGE_SIZE);
    using child = must(api.fork(current));
    expect(ready(current, buf, 2, "dest")).toBe(0);
    const iter = api.iov_iter_ubuf(api.ITER_DEST, buf, 2 * PAGE_SIZE);
    expect(api.fault_in_iov_iter_writeable(iter, 2 * PAGE_SIZE, current)).toBe(0);
    expect(ready(current, buf, 2, "dest")).toBe(2);
    const now = new Uint8Array(2 * PAGE_SIZE);
    api.copy_from_user(current, now, buf)._unsafeUnwrap();
    expect(Buffer.compare(now, bytes)).toBe(0);
    void child;
  });
  test("needs the rights of the mapping, and nothing for kernel memory", () => {
    using machine = boot_for_test();
    const current = api.create_task(machine);
    const read_only = map_anon(current, PAGE_SIZE, api.PROT_READ);
    const none = map_anon(current, PAGE_SIZE, api.PROT_NONE);
    const left = (addr: api.UserAddr): [readable: number, writeable: number] => [
      api.fault_in_iov_iter_readable(api.iov_iter_ubuf("source", addr, 4096), 4096, current),
      api.fault_in_iov_iter_writeable(api.iov_iter_ubuf("dest", addr, 4096), 4096, current),
    ];
    expect([left(read_only), left(none)]).toEqual([
      [0, 4096],
      [4096, 4096],
    ]);
    expect(left(api.u64_to_user_ptr(api.TASK_SIZE - 10))[1]).toBe(4096);
    const nowhere = api.iov_iter_discard(api.ITER_DEST, 4096);
    expect(api.fault_in_iov_iter_writeable(nowhere, 4096, current)).toBe(0);
  });
  test("refuses an iterator of the other direction", () => {
    using machine = boot_for_test();
    const current = api.create_task(machine);
    const iter = api.iov_iter_ubuf(api.ITER_SOURCE, map_anon(current, PAGE_SIZE), PAGE_SIZE);
    const writeable = forced(api.fault_in_iov_iter_writeable);
    expect(() => writeable(iter, 1, current)).toThrow(/other direction/);
  });
});
