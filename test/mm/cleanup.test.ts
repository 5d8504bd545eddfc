/** Lists and arrays of pins leave their scope as a whole: released by whom they went to, and by nobody else. */
import * as api from "user-page";
import { PAGE_SIZE } from "user-page";
import { expect, test } from "vitest";
import { boot_for_test, forced, map_anon, must } from "../fixtures.js";

const live = (machine: api.Machine): number => {
  const s = api.vmstat(machine);
  return s.nr_foll_pin_acquired - s.nr_foll_pin_released;
};
/** Registers a range; what fails after the pins were taken gives them back. */
function register(current: api.Task, addr: api.UserAddr, fails: boolean) {
  using bvecs = must(api.get_user_bvec(current, addr, 4 * PAGE_SIZE, "dest"));
  api.put_user_bvec(must(api.pop_user_bvec(bvecs))!);
  if (fails) return null;
  return api.no_free_ptr(bvecs);
}
test("a list that was moved out is not released by its old block", () => {
  const machine = boot_for_test({ mem: 8 << 20 });
  const current = api.create_task(machine);
  const buf = map_anon(current, 4 * PAGE_SIZE);
  expect(register(current, buf, true)).toBe(null);
  expect(live(machine)).toBe(0);
  const kept = register(current, buf, false)!;
  expect([kept.count, kept.nr_segs, live(machine)]).toEqual([3 * PAGE_SIZE, 3, 3]);
  api.put_user_bvec(kept);
  expect(live(machine)).toBe(0);
  expect(() => forced(api.no_free_ptr)(kept)).toThrow(/use-after-release/);
  expect(api.shutdown(machine)).toEqual({ leaks: [], lost_pages: 0 });
});
test("an array that was moved out keeps what it knows, its owner too", () => {
  const machine = boot_for_test({ mem: 8 << 20 });
  const current = api.create_task(machine);
  const buf = map_anon(current, 4 * PAGE_SIZE);
  const owner = new api.VaddrPin("region");
  const move = () => {
    using pages = must(api.all_or_none(api.vaddr_pin_pages(current, buf, 4, "dest", owner)));
    return api.no_free_ptr(pages);
  };
  const kept = move();
  expect([kept.length, live(machine), owner.outstanding]).toEqual([4, 4, 4]);
  api.vaddr_unpin_pages(kept, owner);
  expect([live(machine), owner.outstanding]).toEqual([0, 0]);
  const pages = must(api.all_or_none(api.pin_user_pages_fast(current, buf, 4, "source")));
  api.put_user_pages(pages);
  expect(() => forced(api.no_free_ptr)(pages)).toThrow(/use-after-release/);
  expect(api.shutdown(machine)).toEqual({ leaks: [], lost_pages: 0 });
});
