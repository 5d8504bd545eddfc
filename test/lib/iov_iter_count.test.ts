/** Counts at the edges: nothing at all, more than a pipe takes, and where a walk fails. */
import * as api from "user-page";
import { PAGE_SIZE } from "user-page";
import { expect, test } from "vitest";
import { boot_for_test, map_anon, must } from "../fixtures.js";

test("an iterator over nothing has a count of 0, and not of -0", () => {
  expect(Object.is(api.iov_iter_bvec("dest", []).count, 0)).toBe(true);
  const empty = api.iov_iter_init("source", []);
  expect(Object.is(empty.count, 0)).toBe(true);
  api.iov_iter_reexpand(empty, 0);
  expect(() => api.iov_iter_reexpand(empty, 1)).toThrow(/segments that have 0$/);
});
test("a pipe can be truncated and reexpanded whatever its ring has room for", () => {
  using machine = boot_for_test({ mem: 4 << 20 });
  const current = api.create_task(machine);
  using pipe = must(api.alloc_pipe_info(current, 2));
  const iter = api.iov_iter_pipe("dest", pipe, 5 * PAGE_SIZE);
  api.iov_iter_truncate(iter, 100);
  api.iov_iter_reexpand(iter, 5 * PAGE_SIZE);
  const put = api.copy_to_iter(new Uint8Array(5 * PAGE_SIZE), iter, current);
  expect(put.unwrapOr(0)).toBe(2 * PAGE_SIZE);
  expect(iter.count).toBe(3 * PAGE_SIZE);
});
test("an EFAULT of extents names the first byte that cannot be accessed", () => {
  using machine = boot_for_test({ mem: 4 << 20 });
  const current = api.create_task(machine);
  const buf = map_anon(current, 8 * PAGE_SIZE);
  const hole = api.user_ptr_add(buf, 5 * PAGE_SIZE);
  api.munmap(current, hole, PAGE_SIZE)._unsafeUnwrap();
  const where = `nothing at 0x${hole.toString(16)} can be accessed that way`;
  const iov = [
    { iov_base: buf, iov_len: 2 * PAGE_SIZE },
    { iov_base: api.user_ptr_add(buf, 2 * PAGE_SIZE + 100), iov_len: 4 * PAGE_SIZE },
  ];
  for (const dir of ["dest", "source"] as const) {
    const iter = api.iov_iter_init(dir, iov);
    const got = api.iov_iter_extract_bvecs(iter, iter.count, current);
    expect(got).toMatchObject({ errno: "EFAULT", message: where });
    const list = api.get_user_bvec(current, api.user_ptr_add(buf, 100), 8000 + 4 * PAGE_SIZE, dir);
    expect(list).toMatchObject({ errno: "EFAULT", message: where });
  }
  const { nr_foll_pin_acquired, nr_foll_pin_released } = api.vmstat(machine);
  expect(nr_foll_pin_acquired).toBe(nr_foll_pin_released);
});
test("a list of extents that was released is not walked, in any mode, even if nothing is left in it", () => {
  using machine = boot_for_test({ mem: 4 << 20 });
  const current = api.create_task(machine);
  const list = must(api.get_user_bvec(current, map_anon(current, 8192), 8192, "dest"));
  const kept: Iterable<unknown> = list;
  api.put_user_bvec(list);
  expect(() => [...kept]).toThrow(/use-after-release/);
});
