/** The queues behind completions, works and delayed requests, and what happens when a handler throws. */
import fc from "fast-check";
import * as api from "user-page";
import { expect, test } from "vitest";
import { raise_softirq, wait_for_completion } from "../../src/machine/context.js";
import { Fifo } from "../../src/machine/fifo.js";
import { Heap } from "../../src/machine/heap.js";
import { machine_state } from "../../src/machine/machine.js";
import { boot_for_test } from "../fixtures.js";

test("a queue gives what was put in, in that order", () => {
  fc.assert(
    fc.property(
      fc.array(fc.oneof(fc.integer({ min: 1, max: 4000 }), fc.integer({ min: -4000, max: -1 }))),
      (steps) => {
        const [fifo, model]: [Fifo<number>, number[]] = [new Fifo(), []];
        let next = 0;
        for (const step of steps) {
          for (let i = 0; i < step; i++) {
            fifo.push(next);
            model.push(next++);
          }
          for (let i = 0; i < -step; i++) if (fifo.shift() !== model.shift()) return false;
          if (fifo.length !== model.length) return false;
        }
        return true;
      },
    ),
    { numRuns: 50 },
  );
});
test("a heap gives the least", () => {
  fc.assert(
    fc.property(fc.array(fc.option(fc.integer({ min: 0, max: 50 }))), (steps) => {
      const heap = new Heap<number>((a, b) => a < b);
      const model: number[] = [];
      for (const step of steps) {
        if (step === null) expect(heap.pop()).toBe(model.shift());
        else {
          heap.push(step);
          model.push(step);
          model.sort((a, b) => a - b);
        }
        expect(heap.least).toBe(model[0]);
      }
    }),
  );
});
test("a wait goes on whatever somebody else's handlers and works throw; the first of it is thrown at its end", () => {
  using machine = boot_for_test({ mem: 4 << 20 });
  const state = machine_state(machine);
  const task = api.create_task(machine);
  const ran: string[] = [];
  const fail = (what: string) => (): never => {
    ran.push(what);
    throw new Error(what);
  };
  raise_softirq(state, fail("first"));
  raise_softirq(state, fail("second"));
  api.schedule_work(task, fail("third"));
  api.schedule_work(task, () => ran.push("done"));
  const wait = (): void => wait_for_completion(state, () => ran.includes("done"), "test");
  expect(wait).toThrow("first");
  expect(ran).toEqual(["first", "second", "third", "done"]);
  expect(wait).not.toThrow();
});
test("flush_work() runs all, whatever one throws", () => {
  using machine = boot_for_test({ mem: 4 << 20 });
  const task = api.create_task(machine);
  const ran: number[] = [];
  for (const i of [1, 2, 3]) {
    api.schedule_work(task, () => {
      ran.push(i);
      if (i < 3) throw new Error(`work ${i}`);
    });
  }
  expect(() => api.flush_work(machine)).toThrow("work 1");
  expect(ran).toEqual([1, 2, 3]);
  expect(api.flush_work(machine)).toBe(0);
});
test("completions that feed themselves are stopped, and none is lost", () => {
  using machine = boot_for_test({ mem: 4 << 20 });
  const state = machine_state(machine);
  const task = api.create_task(machine);
  let ran = 0;
  let left = 1_000_001;
  const again = (): void => {
    ran++;
    if (--left > 0) raise_softirq(state, again);
  };
  raise_softirq(state, again);
  expect(() => api.run_softirqs(machine)).toThrow(/more than 1000000 completions/);
  expect([ran, api.run_softirqs(machine)]).toEqual([1_000_000, 1]);
  expect(ran).toBe(1_000_001);
  // Also where somebody waits.
  left = Infinity;
  raise_softirq(state, again);
  const wait = (): void => wait_for_completion(state, () => false, "test");
  expect(wait).toThrow(/more than 1000000 completions/);
  left = 0;
  api.run_softirqs(machine);
  // The same of works.
  let works = 1_000_001;
  const work = (): void => {
    if (--works > 0) api.schedule_work(task, work);
  };
  api.schedule_work(task, work);
  expect(() => api.flush_work(machine)).toThrow(/more than 1000000 work items/);
  expect([works, api.flush_work(machine)]).toEqual([1, 1]);
  expect(works).toBe(0);
});
