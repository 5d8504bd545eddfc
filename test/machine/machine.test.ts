/** Machines beside each other, their ends, and the queues between contexts. */
import * as api from "user-page";
import { PAGE_SIZE } from "user-page";
import { expect, test } from "vitest";
import { boot_for_test, changes, forced, map_anon, must, snapshot } from "../fixtures.js";

test.each([0, -4096, 4096, 1.5, NaN, 16 * PAGE_SIZE + 1, 2 ** 45])(
  "boot() refuses %d bytes",
  (mem) => {
    expect(() => boot_for_test({ mem })).toThrow(RangeError);
  },
);
test("what one machine does changes nothing in another", () => {
  using a = boot_for_test({ mem: 1 << 20 });
  using b = boot_for_test({ mem: 1 << 20 });
  const current = api.create_task(a);
  const before = snapshot(b);
  const buf = map_anon(current, 8 * PAGE_SIZE);
  using list = must(api.get_user_bvec(current, buf, 8 * PAGE_SIZE, "dest"));
  expect([list.nr_segs, changes(before, snapshot(b))]).toEqual([8, []]);
});
test("handles end with their machine: they are refused, and their blocks do nothing", () => {
  const machine = boot_for_test({ mem: 1 << 20 });
  const current = api.create_task(machine);
  const buf = map_anon(current, 8 * PAGE_SIZE);
  const page = must(api.alloc_page(current));
  {
    using list = must(api.get_user_bvec(current, buf, PAGE_SIZE, "dest"));
    using disk = must(api.brd_alloc(machine, 4096));
    using bio = api.bio_alloc_pinned(disk, 1, "REQ_OP_READ");
    using lock = api.mmap_read_lock(current, current.mm);
    expect([list.count, lock.mm === current.mm, api.bio_is_pinned(bio)]).toEqual([
      4096,
      true,
      true,
    ]);
    expect(api.shutdown(machine).lost_pages).toBe(2);
    expect(() => forced(api.pop_user_bvec)(list)).toThrow(/shut down/);
  }
  expect(() => forced(api.put_page)(page)).toThrow(/not-a-handle/);
  expect(() => api.vmstat(machine)).toThrow(/not-a-handle/);
  machine[Symbol.dispose]();
});
test("work runs in order, may add work, and that which feeds itself is ended", () => {
  using machine = boot_for_test({ mem: 1 << 20 });
  const current = api.create_task(machine);
  const order: number[] = [];
  api.schedule_work(current, (kworker) => {
    order.push(1);
    api.schedule_work(kworker, () => order.push(3));
  });
  api.schedule_work(current, () => order.push(2));
  expect([api.flush_work(machine), order]).toEqual([3, [1, 2, 3]]);
  const again = (kworker: api.ProcessContext): void => api.schedule_work(kworker, again);
  again(current);
  expect(() => api.flush_work(machine)).toThrow(RangeError);
});
