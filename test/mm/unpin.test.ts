/** Releases of pins where the fast path must not go on: the last reference, two machines in one array, handles of none. */
import * as api from "user-page";
import { describe, expect, test } from "vitest";
import { boot_for_test, forced, id_of, map_anon, must } from "../fixtures.js";

const NR = 4;
function bench() {
  const machine = boot_for_test({ mem: 1 << 20 });
  const current = api.create_task(machine);
  const buf = map_anon(current, NR * 4096);
  const pins = () =>
    must(api.all_or_none(api.pin_user_pages_fast(current, buf, NR, api.ITER_DEST)));
  return { machine, current, buf, pins };
}
const stat = (machine: api.Machine): number[] => {
  const { nr_foll_pin_acquired, nr_foll_pin_released } = api.vmstat(machine);
  return [nr_foll_pin_acquired, nr_foll_pin_released];
};

describe("pages that only their pins keep", () => {
  test.each(["all at once", "one by one"])("are freed by the last unpin, %s", (how) => {
    const { machine, current, buf, pins } = bench();
    const before = api.vmstat(machine).nr_free_pages;
    const pages = pins();
    api.munmap(current, buf, NR * 4096)._unsafeUnwrap();
    expect(api.vmstat(machine).nr_free_pages).toBe(before - NR);
    if (how === "all at once") api.put_user_pages(pages);
    else for (const page of pages) api.put_user_page(page);
    expect(api.vmstat(machine).nr_free_pages).toBe(before);
    expect(stat(machine)).toEqual([NR, NR]);
    expect(api.shutdown(machine).lost_pages).toBe(0);
  });
});
test("an array of pins of two machines: each counts its own", () => {
  const [here, there] = [bench(), bench()];
  const mixed = here.pins().flatMap((page, i) => [page, ...there.pins().slice(i, i + 1)]);
  expect(mixed.length).toBe(2 * NR);
  forced(api.put_user_pages)(mixed);
  expect(stat(here.machine)).toEqual([NR, NR]);
  expect(stat(there.machine)).toEqual([NR * NR, NR]);
  for (const { machine } of [here, there]) machine[Symbol.dispose]();
});
test.each(["put_user_page", "unpin_user_page"] as const)(
  "%s() of a machine that was shut down, or of none: no handle, whatever is counted there",
  (name) => {
    const gone = bench();
    const [page] = gone.pins();
    api.shutdown(gone.machine);
    expect(id_of(() => forced(api[name])(page))).toBe("not-a-handle");
    expect(id_of(() => forced(api[name])(64 * 3))).toBe("not-a-handle");
    const { machine } = bench();
    expect(id_of(() => forced(api[name])(64 * (2 ** 24 + 5)))).toBe("not-a-handle");
    machine[Symbol.dispose]();
  },
);
/** Counts the stacks that are taken, until it is asked how many. */
function count_stacks(): () => number {
  const before = Object.getOwnPropertyDescriptor(Error, "captureStackTrace")!;
  const capture = before.value as (target: object, below?: unknown) => void;
  let looks = 0;
  const value = (target: object, below?: unknown): void => {
    looks++;
    capture(target, below);
  };
  Object.defineProperty(Error, "captureStackTrace", { ...before, value });
  return () => {
    Object.defineProperty(Error, "captureStackTrace", before);
    return looks;
  };
}
test("debug mode looks once where an array is released, and remembers it for each page", () => {
  const machine = api.boot({ mem: 1 << 20, CONFIG_DEBUG_USER_PAGE_REFERENCES: true });
  const current = api.create_task(machine);
  const buf = map_anon(current, NR * 4096);
  const pages = must(api.all_or_none(api.pin_user_pages_fast(current, buf, NR, api.ITER_DEST)));
  const again: unknown[] = [...pages];
  const stacks_taken = count_stacks();
  api.put_user_pages(pages);
  expect(stacks_taken()).toBe(1);
  for (const page of again) {
    let report: api.MisuseReport | null = null;
    try {
      forced(api.put_user_page)(page);
    } catch (error) {
      if (error instanceof api.MisuseError) report = error.report;
    }
    const last = report?.history.at(-1);
    expect(last?.what).toBe("ended");
    expect(last?.at).toMatch(/^test\/mm\/unpin\.test\.ts:/);
  }
  machine[Symbol.dispose]();
});
