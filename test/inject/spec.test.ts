import fc from "fast-check";
/** Specifications: what they say, what is wrong with them, and what a machine tells of them. */
import {
  alloc_page,
  boot,
  copy_to_user,
  create_task,
  dmesg,
  FAULT_CAPABILITIES,
  get_user_page,
  injection,
  IS_ERR,
  put_page,
  put_user_page,
  shutdown,
  type FaultName,
  type Page,
} from "user-page";
import { expect, test } from "vitest";
import { FAULT_NAMES, format_fault, parse_fault_spec } from "../../src/machine/fault_spec.js";
import { machine_state } from "../../src/machine/machine.js";
import { reproduce_of } from "../../src/machine/reproduce.js";
import { boot_for_test, map_anon, must } from "../fixtures.js";
import { program, run } from "../properties/program.js";

const ALL = Object.keys(FAULT_CAPABILITIES).join(", ");

test.each([
  ["", []],
  ["  ", []],
  ["fail_page_alloc@3", [{ name: "fail_page_alloc", nth: 3, value: null }]],
  [
    "short_pin@1:2, delay_completion@2:5",
    [
      { name: "short_pin", nth: 1, value: 2 },
      { name: "delay_completion", nth: 2, value: 5 },
    ],
  ],
  ["fault_in_pin@10:0", [{ name: "fault_in_pin", nth: 10, value: 0 }]],
])("%j is a list", (spec, points) => {
  expect(parse_fault_spec(spec)).toEqual({ spec, seed: null, points });
});
test.each(["0", "1", "42", "4294967295"])("%s is a seed", (spec) => {
  expect(parse_fault_spec(spec)).toEqual({ spec, seed: Number(spec), points: [] });
});
test.each([
  ["fail_page_aloc@1", `"fail_page_aloc" is none of ${ALL}`],
  ["toString@1", `"toString" is none of ${ALL}`],
  ["kill", `"kill" is none of ${ALL}`],
  ["kill_wait", '"kill_wait" is not of the form kill_wait@N, where N counts from 1'],
  ["kill_wait@", '"kill_wait@" is not of the form kill_wait@N, where N counts from 1'],
  ["kill_wait@-1", '"kill_wait@-1" is not of the form kill_wait@N, where N counts from 1'],
  ["kill_wait@1.5", '"kill_wait@1.5" is not of the form kill_wait@N, where N counts from 1'],
  ["kill_wait@0", '"kill_wait@0": the first time is kill_wait@1'],
  ["kill_wait@1,", `"" is none of ${ALL}`],
  ["kill_wait@1,kill_wait@1", "kill_wait@1 is there twice"],
  ["fail_page_alloc@1:2", '"fail_page_alloc@1:2": fail_page_alloc takes no number after a colon'],
  ["short_pin@1:0", '"short_pin@1:0": short_pin takes pages still taken, 1 and more'],
  ["fail_usercopy@1:x", '"fail_usercopy@1:x" is not of the form fail_usercopy@N, where N counts'],
  ["4294967296", "a seed is 0 to 4294967295"],
  ["99999999999999999999", "a seed is 0 to 4294967295"],
])("%j is refused, and no machine is booted", (spec, why) => {
  expect(() => boot({ inject: spec })).toThrow(RangeError);
  expect(() => boot({ inject: spec })).toThrow(why);
});
test.each([null, 5, {}])("%j is no string", (spec) => {
  expect(() => boot({ inject: spec as unknown as string })).toThrow(/a specification is a string/);
});
test("what is written is read again", () => {
  const point = fc.record({
    name: fc.constantFrom(...FAULT_NAMES),
    nth: fc.integer({ min: 1, max: 1e9 }),
    k: fc.option(fc.integer({ min: 1, max: 1e9 })),
  });
  const points = fc.uniqueArray(point, { selector: (p) => `${p.name}@${p.nth}`, minLength: 1 });
  fc.assert(
    fc.property(points, (drawn) => {
      const list = drawn.map(({ name, nth, k }) => ({
        name,
        nth,
        value: FAULT_CAPABILITIES[name].value === null ? null : k,
      }));
      expect(parse_fault_spec(list.map(format_fault).join(",")).points).toEqual(list);
    }),
  );
});

const nothing_asked = Object.fromEntries(FAULT_NAMES.map((name) => [name, 0]));
test("a machine without it: nothing is asked, and it says so", () => {
  const machine = boot_for_test();
  expect(machine_state(machine).faults).toBeNull();
  must(alloc_page(create_task(machine)));
  const none = { spec: null, asked: nothing_asked, injected: [], line: "" };
  expect(injection(machine)).toEqual(none);
  expect(() => injection({} as never)).toThrow(/no machine/);
});
test("the second of three fails; it is told in dmesg, by injection() and for reports", () => {
  const machine = boot_for_test({ inject: "fail_page_alloc@2" });
  const current = create_task(machine);
  expect(reproduce_of(machine_state(machine))).toMatch(/^the same calls on boot\(/);
  const [first, second, third] = [1, 2, 3].map(() => alloc_page(current));
  expect([IS_ERR(first), IS_ERR(second), IS_ERR(third)]).toEqual([false, true, false]);
  const told = {
    spec: "fail_page_alloc@2",
    asked: { ...nothing_asked, fail_page_alloc: 3 },
    injected: [
      {
        name: "fail_page_alloc",
        nth: 2,
        value: null,
        called: "alloc_page()",
        at: expect.stringMatching(/^test\/inject\/spec\.test\.ts:\d+:\d+$/) as string,
      },
    ],
    line: "fail_page_alloc@2",
  };
  expect(injection(machine)).toEqual(told);
  expect(JSON.parse(JSON.stringify(injection(machine)))).toEqual(told);
  expect(dmesg(machine)).toEqual([
    "FAULT_INJECTION: forcing a failure: fail_page_alloc@2 in alloc_page()",
  ]);
  expect(reproduce_of(machine_state(machine))).toMatch(
    /^the same calls on boot\(\{ .*inject: "fail_page_alloc@2" \}\)$/,
  );
  put_page(first as Page);
  put_page(third as Page);
  expect(shutdown(machine).lost_pages).toBe(0);
  expect(injection(machine)).toEqual(told);
});
test("somebody else's reproduce line stays", () => {
  const machine = boot_for_test({ inject: "fail_page_alloc@1" });
  machine_state(machine).reproduce = "run it again";
  alloc_page(create_task(machine));
  expect(reproduce_of(machine_state(machine))).toBe("run it again");
});

/** Faults of every kind that a seed can draw. */
function busy(inject: string) {
  const machine = boot_for_test({ inject, mem: 4 << 20 });
  const current = create_task(machine);
  const buf = map_anon(current, 4096);
  const trace: unknown[] = [];
  for (let i = 0; i < 200; i++) {
    const page = alloc_page(current);
    trace.push(IS_ERR(page) || put_page(page));
    const pin = get_user_page(current, buf, "dest");
    trace.push(IS_ERR(pin) ? pin.errno : put_user_page(pin));
  }
  const reproduce = reproduce_of(machine_state(machine));
  return { trace, told: injection(machine), lost: shutdown(machine).lost_pages, reproduce };
}
test("a seed fails alike every time, another one otherwise, and its list fails the same", () => {
  const first = busy("7");
  expect(busy("7")).toEqual(first);
  expect(first.told.injected.length).toBeGreaterThan(3);
  expect(first.told.injected.length).toBeLessThan(60);
  expect(busy("8").trace).not.toEqual(first.trace);
  const { line } = first.told;
  expect(first.reproduce).toContain(`inject: "${line}"`);
  expect(first.reproduce).toMatch(/, drawn by seed 7$/);
  const again = busy(line);
  expect(again.trace).toEqual(first.trace);
  expect(again.told).toEqual({ ...first.told, spec: line });
  expect(again.lost).toBe(0);
});
test("a capability fails alike whatever others are asked between", () => {
  const nths = (name: FaultName) =>
    busy("11")
      .told.injected.filter((fault) => fault.name === name)
      .map(({ nth }) => nth);
  const machine = boot_for_test({ inject: "11" });
  const current = create_task(machine);
  const alone: number[] = [];
  for (let nth = 1; nth <= 201; nth++) {
    const page = alloc_page(current);
    if (IS_ERR(page)) alone.push(nth);
    else put_page(page);
  }
  expect(alone).toEqual(nths("fail_page_alloc").filter((nth) => nth <= 201));
});
test('with "" a program answers and counts as without', () => {
  fc.assert(
    fc.property(program, (ops) => {
      expect(run({ inject: "" }, ops)).toEqual(run({}, ops));
    }),
    { numRuns: 30 },
  );
}, 120_000);
test("a machine on which nobody asks what could fail keeps nothing of each request", () => {
  const machine = boot_for_test({ inject: "" });
  const current = create_task(machine);
  const buf = map_anon(current, 4096);
  for (let i = 0; i < 100; i++) copy_to_user(current, buf, new Uint8Array(8));
  expect(injection(machine).asked.fail_usercopy).toBe(100);
  const plan = machine_state(machine).faults!;
  expect(plan.ranges).toBeNull();
  // inject_each() asks, and then it has a bound.
  plan.ranges = new Map();
  for (let i = 0; i < 70_000; i++) copy_to_user(current, buf, new Uint8Array(8));
  expect(plan.ranges.get("fail_usercopy")).toHaveLength(65536);
  expect(plan.ranges.get("fail_usercopy")![0]).toEqual([0, 7]);
  shutdown(machine);
});
