/** Extents at the ends of what may be asked for: lengths, counts, flags, and who else has the lock. */
import * as api from "user-page";
import { ITER_DEST, ITER_SOURCE, PAGE_SIZE } from "user-page";
import { expect, test } from "vitest";
import { machine_state } from "../../src/machine/machine.js";
import { ref_add, ref_count, REF_MAX } from "../../src/mm/page_ref.js";
import { boot_for_test, counts, errno_of, forced, map_anon, must } from "../fixtures.js";

function bench() {
  const machine = boot_for_test({ mem: 2 << 20 });
  const current = api.create_task(machine);
  const buf = map_anon(current, 4 * PAGE_SIZE);
  const extent = (dir: api.Dir = ITER_DEST) => {
    using list = must(api.get_user_bvec(current, buf, PAGE_SIZE, dir));
    return api.pop_user_bvec(list)!;
  };
  return { machine, current, buf, extent };
}
const live = (machine: api.Machine): number => {
  const { nr_user_bvec_acquired, nr_user_bvec_released } = api.vmstat(machine);
  return nr_user_bvec_acquired - nr_user_bvec_released;
};

/** As another CPU could leave it. */
const set_count = (pfn: number, count: number): void => ref_add(pfn, count - ref_count(pfn));

test("the zero page is an extent of 1 to 4096 bytes, and nothing is counted on it", () => {
  const { machine, current } = bench();
  const { zero_pfn } = machine_state(machine);
  const before = ref_count(zero_pfn);
  for (const len of [1, 512, 4096]) {
    using padding = must(api.zero_user_bvec(current, len));
    expect([padding.offset, padding.len]).toEqual([0, len]);
    expect([ref_count(zero_pfn), live(machine)]).toEqual([before, 1]);
  }
  for (const len of [0, -1, 4097, 8192, 0.5, Number.NaN]) {
    expect(errno_of(api.zero_user_bvec(current, len))).toBe("EINVAL");
  }
  expect(live(machine)).toBe(0);
  machine[Symbol.dispose]();
});
test("an extent is cut after its first byte, and before its last", () => {
  const { machine, extent } = bench();
  for (const bytes of [1, PAGE_SIZE - 1]) {
    using front = extent();
    using rest = must(api.split_user_bvec(front, bytes));
    expect([front.len, rest.offset, rest.len]).toEqual([bytes, bytes, PAGE_SIZE - bytes]);
    expect(live(machine)).toBe(2);
  }
  expect(live(machine)).toBe(0);
  machine[Symbol.dispose]();
});
test.each([
  ["frozen", 0, "ENOMEM"],
  ["just above where there is room for a pin", REF_MAX + 1, "ENOMEM"],
  ["the last with room for a pin", REF_MAX, ""],
])("an extent of a page whose count is %s", (_, count, errno) => {
  const { machine, extent } = bench();
  const front = extent();
  const pfn = api.page_to_pfn(front.page) as number;
  const before = ref_count(pfn);
  set_count(pfn, count);
  const rest = api.split_user_bvec(front, 512);
  expect(api.IS_ERR(rest) ? errno_of(rest) : "").toBe(errno);
  expect(front.len).toBe(errno === "" ? 512 : PAGE_SIZE);
  set_count(pfn, before + (errno === "" ? 1024 : 0));
  if (!api.IS_ERR(rest)) api.put_user_bvec(rest);
  api.put_user_bvec(front);
  expect([counts(pfn), live(machine)]).toEqual([[1, 0], 0]);
  machine[Symbol.dispose]();
});
test("is_dest() tells what the extents were pinned for", () => {
  const { machine, current, buf } = bench();
  for (const dir of [ITER_DEST, ITER_SOURCE] as const) {
    using list = must(api.get_user_bvec(current, buf, 8192, dir));
    expect(api.is_dest(list)).toBe(dir === ITER_DEST);
  }
  machine[Symbol.dispose]();
});
test("flags of the caller are looked at, of this address space and of another", () => {
  const { machine, current, buf } = bench();
  const illegal = api.FOLL_NOWAIT; // not without the lock
  const [one, other] = [forced(api.get_user_bvec), forced(api.get_user_bvec_remote)];
  expect(errno_of(one(current, buf, 1, ITER_DEST, illegal))).toBe("EINVAL");
  expect(errno_of(other(current, current.mm, buf, 1, ITER_DEST, illegal))).toBe("EINVAL");
  for (const flags of [undefined, api.FOLL_LONGTERM]) {
    (one(current, buf, 1, ITER_DEST, flags) as Disposable)[Symbol.dispose]();
    (other(current, current.mm, buf, 1, ITER_DEST, flags) as Disposable)[Symbol.dispose]();
  }
  expect(live(machine)).toBe(0);
  machine[Symbol.dispose]();
});
test("a killed task gets EAGAIN, as from every call that takes the lock itself", () => {
  const { machine, current } = bench();
  const other = api.create_task(machine);
  api.kill_task(other);
  const fresh = map_anon(current, PAGE_SIZE);
  const killed = api.get_user_bvec_remote(other, current.mm, fresh, PAGE_SIZE, ITER_DEST);
  expect([errno_of(killed), live(machine)]).toEqual(["EAGAIN", 0]);
  machine[Symbol.dispose]();
});
