/** What inject_each() and driver_world() are given. */
import * as api from "user-page";
import {
  driver_world,
  format_injection,
  inject_each,
  injection,
  type DriverWorld,
} from "user-page";
import { describe, expect, test } from "vitest";
import { forced, must } from "../fixtures.js";
import { ALL_FINE, FILE, arrived, faulty, reads, world } from "./mistakes.js";

describe("options", () => {
  test("prepare() is not failed, and what it adds is the driver's", () => {
    interface Mine extends DriverWorld {
      readonly page: api.OwnedPage;
    }
    const report = inject_each<Mine>(
      ({ current, page, buf }) => {
        api.put_page(page);
        return api.copy_to_user(current, buf, FILE);
      },
      { world, prepare: (w) => ({ ...w, page: must(api.alloc_page(w.current)) }) },
    );
    expect(format_injection(report)).toMatch(ALL_FINE);
    // The table and the pages of the copy, and not the page of prepare().
    expect(report.asked.fail_page_alloc).toBe(9);
  });
  test("progress, and a bound that says what it leaves out", () => {
    const seen: unknown[] = [];
    const report = inject_each(reads("none"), {
      world,
      max_runs: 10,
      progress: (done, of, { spec }) => seen.push([done, of, spec]),
    });
    expect(seen).toEqual(report.runs.map(({ spec }, i) => [i + 1, 10, spec]));
    const names = report.runs.map(({ spec }) => spec.replace(/@.*/, ""));
    // Every capability that is asked at all has its turn.
    expect(new Set(names).size).toBe(6);
    expect(report.skipped).toEqual([
      { name: "fail_page_alloc", from: 3, to: 9, runs: 7 },
      { name: "fault_in_pin", from: 1, to: 1, runs: 1 },
      { name: "kill_wait", from: 2, to: 8, runs: 7 },
    ]);
    expect(format_injection(report)).toContain(
      "not tried: fail_page_alloc@3 to @9, 7 runs: more than max_runs",
    );
    expect(seen.length + 7 + 1 + 7).toBe(inject_each(reads("none"), { world }).runs.length);
  });
  test("capabilities", () => {
    const report = inject_each(reads("none"), {
      world,
      capabilities: ["short_pin", "fail_migrate"],
    });
    expect(report.runs.map(({ spec }) => spec)).toEqual(["short_pin@1:1", "short_pin@1:4"]);
  });
  test("seeds: a list that does the same again, and all fine for the right driver", () => {
    const right = inject_each(reads("none"), { world, seeds: 40, verify: arrived });
    expect(format_injection(right)).toBe("40 seeds tried: all fine");
    expect(right.runs.map(({ seed }) => seed)).toEqual(Array.from({ length: 40 }, (_, i) => i + 1));
    const wrong = faulty(inject_each(reads("short pin"), { world, seeds: 40 }).runs);
    expect(wrong.length).toBeGreaterThan(3);
    for (const { seed, spec, injected, findings } of wrong) {
      const again = inject_each(reads("short pin"), { world, seeds: [seed!] }).runs[0]!;
      expect([again.spec, again.injected]).toEqual([spec, injected]);
      const listed = driver_world({ ...world, machine: { inject: spec } });
      reads("short pin")(listed);
      expect(injection(listed.machine).injected).toEqual(injected);
      listed.machine[Symbol.dispose]();
      expect(findings[0]!.places[0]).toContain("mistakes.ts");
    }
    const text = format_injection(
      inject_each(reads("short pin"), { world, seeds: [wrong[0]!.seed!] }),
    );
    expect(text).toContain(`(seed ${wrong[0]!.seed})`);
    expect(text).toContain(`driver_world({ file, machine: { inject: "${wrong[0]!.spec}" } })`);
  });
  test.each([
    [null, {}, "the driver is no function"],
    [() => true, { verify: 5 }, "verify is no function"],
    [() => true, { prepare: null }, "prepare is no function"],
    [() => true, { cleanup: {} }, "cleanup is no function"],
    [() => true, { progress: "text" }, "progress is no function"],
    [() => true, { capabilities: ["nothing"] }, '"nothing" is none of fail_page_alloc, '],
    [() => true, { capabilities: 5 }, "capabilities"],
    [() => true, { max_runs: 0 }, "max_runs: 0 is no number of runs"],
    [() => true, { max_runs: NaN }, "max_runs: NaN is no number of runs"],
    [() => true, { seeds: -1 }, "-1 is no seed"],
    [() => true, { seeds: [1.5] }, "1.5 is no seed"],
    [() => true, { seeds: "text" }, "seeds"],
    [() => true, { world: { file: "text" } }, "neither bytes nor their number"],
    [() => true, { world: { pages: "large" } }, "none of small, huge, mixed"],
    [() => Promise.resolve(1), {}, "the driver returned a promise"],
    [() => true, null, "the options are no object"],
  ])("%s, %j: a RangeError", (driver, options, why) => {
    expect(() => forced(inject_each)(driver, options)).toThrow(RangeError);
    expect(() => forced(inject_each)(driver, options)).toThrow(why);
  });
});

test("prepare() that shuts the machine down is refused", () => {
  const prepare = (w: DriverWorld): DriverWorld => (api.shutdown(w.machine), w);
  expect(() => inject_each(() => true, { prepare })).toThrow(RangeError);
  expect(() => inject_each(() => true, { prepare })).toThrow("prepare() shut the machine down");
});
test("a driver that is refused goes on: what it throws then is nobody's", async () => {
  const unhandled: unknown[] = [];
  const listener = (reason: unknown): void => void unhandled.push(reason);
  process.on("unhandledRejection", listener);
  try {
    const driver = async ({ current }: DriverWorld): Promise<void> => {
      await Promise.resolve();
      api.alloc_page(current); // its machine is gone
    };
    expect(() => inject_each(driver)).toThrow("what it throws from here on is not told");
    await new Promise((done) => setTimeout(done, 20));
  } finally {
    process.off("unhandledRejection", listener);
  }
  expect(unhandled).toEqual([]);
});

describe("a world", () => {
  test.each([
    [new Uint8Array(0), 512],
    [new Uint8Array([1, 2, 3]), 512],
    [512, 512],
    [513, 1024],
    [undefined, 65536],
  ] as const)("of %j has %d bytes", (file, len) => {
    const w = driver_world(file === undefined ? {} : { file });
    expect([w.len, w.disk.size]).toEqual([len, len]);
    const read = api.direct_io(w.current, w.disk, "REQ_OP_READ", w.buf, len, 0);
    expect(read._unsafeUnwrap()).toBe(len);
    const bytes = new Uint8Array(len);
    api.copy_from_user(w.current, bytes, w.buf)._unsafeUnwrap();
    const given = file instanceof Uint8Array ? file : bytes.subarray(0, file ?? 65536);
    expect(bytes.subarray(0, given.length)).toEqual(given);
    expect(bytes.subarray(given.length).every((byte) => byte === 0)).toBe(true);
    expect(api.shutdown(w.machine).lost_pages).toBe(0);
  });
  test.each([
    ["small", 0],
    ["huge", 2],
    ["mixed", 1],
  ] as const)("of %s pages has %d huge ones", (pages, huge) => {
    const file = 2 * api.PMD_SIZE;
    const w = driver_world({ file, pages });
    expect(api.vmstat(w.machine).pgfault).toBe(0);
    const bvecs = must(api.get_user_bvec(w.current, w.buf, w.len, api.ITER_DEST));
    expect(api.vmstat(w.machine).thp_fault_alloc).toBe(huge);
    expect(bvecs.nr_segs).toBe(pages === "small" ? 1024 : pages === "huge" ? 2 : 513);
    api.put_user_bvec(bvecs);
    expect(api.shutdown(w.machine).lost_pages).toBe(0);
  });
  test("nothing fails while it is made", () => {
    const w = driver_world({ machine: { inject: "fail_page_alloc@1,fail_usercopy@1" } });
    expect(injection(w.machine).injected).toEqual([]);
    expect(api.IS_ERR(api.alloc_page(w.current))).toBe(true);
    w.machine[Symbol.dispose]();
  });
  test("what cannot be one leaves no machine", () => {
    const too_small = { file: 64 << 20, machine: { mem: 1 << 20, inject: "nonsense" } };
    expect(() => driver_world(too_small)).toThrow(/is none of/);
    expect(() => driver_world({ file: -1 })).toThrow(RangeError);
    expect(() => driver_world({ file: 1.5 })).toThrow(RangeError);
    expect(() => forced(driver_world)(null)).toThrow(RangeError);
    expect(() => forced(driver_world)({ file: null })).toThrow(RangeError);
  });
});
