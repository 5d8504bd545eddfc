/**
 * Each misuse in each shape, on each level: seen where the table says, by the call that does it, and the correct twin is silent.
 * Every place of the library that reports is reached by one of them: a new one without its trigger fails the last test.
 */
import { MISUSE, MisuseError, misuse_reports, vmstat, type MisuseId } from "user-page";
import { describe, expect, test } from "vitest";
import { places_of, reporting_places } from "./places.js";
import { BIO_ADD } from "./triggers/bio_add.js";
import { BIO_END } from "./triggers/bio_end.js";
import { LOCKS } from "./triggers/locks.js";
import { MACHINE } from "./triggers/machine.js";
import { MACHINES } from "./triggers/machines.js";
import { MEMORY } from "./triggers/memory.js";
import { NO_OBJECTS } from "./triggers/no_objects.js";
import { NO_VALUES } from "./triggers/no_values.js";
import { OWNERS } from "./triggers/owners.js";
import { PAGES } from "./triggers/pages.js";
import { LEVELS, make_world, sees } from "./world.js";

const TRIGGERS = {
  ...BIO_ADD,
  ...BIO_END,
  ...LOCKS,
  ...MACHINE,
  ...MACHINES,
  ...MEMORY,
  ...NO_OBJECTS,
  ...NO_VALUES,
  ...OWNERS,
  ...PAGES,
};
const reached = new Set<string>();

function misuse_of(call: () => unknown): MisuseError | null {
  try {
    call();
  } catch (error) {
    if (!(error instanceof MisuseError)) throw error;
    for (const place of places_of(error)) reached.add(place);
    return error;
  }
  return null;
}

describe.each(Object.keys(TRIGGERS))("%s", (name) => {
  const { id, seen, wrong, right, pins_added = 0 } = TRIGGERS[name]!;
  test.each(LEVELS)(`${id}, level %s`, (level) => {
    const w = make_world(level);
    const error = misuse_of(() => wrong(w));
    expect(error?.id ?? null).toBe(sees(level, seen) ? id : null);
    w.end();
  });
  test.each(LEVELS)("its correct twin, level %s", (level) => {
    const w = make_world(level);
    const { nr_foll_pin_acquired, nr_foll_pin_released } = vmstat(w.machine);
    expect(misuse_of(() => right(w))?.message).toBeUndefined();
    const after = vmstat(w.machine);
    expect(after.nr_foll_pin_released - nr_foll_pin_released).toBe(
      after.nr_foll_pin_acquired - nr_foll_pin_acquired + pins_added,
    );
    expect(misuse_reports(w.machine)).toEqual([]);
    for (const report of w.end()) expect(report).toMatchObject({ leaks: [], lost_pages: 0 });
  });
});

describe("the table of misuses", () => {
  const shapes = (id: MisuseId) => Object.values(TRIGGERS).filter((trigger) => trigger.id === id);
  test.each(Object.keys(MISUSE) as MisuseId[])("%s is seen by whom it says", (id) => {
    const by: readonly string[] = MISUSE[id].seen_by;
    const at_run_time = shapes(id).map(({ seen }) => seen);
    if (!by.includes("debug") && !by.includes("always")) {
      expect(by).toEqual(["types"]);
      expect(at_run_time).toEqual([]); // types-test/misuse and compilers/messages.test.ts have it
    }
    if (by.includes("always")) expect(at_run_time).toContain("always");
    if (by.includes("debug")) expect(at_run_time.some((seen) => seen !== "always")).toBe(true);
  });
});

/** Reached by other tests only, each with the reason. */
const ELSEWHERE: Readonly<Record<string, string>> = {
  "the garbage collector": "runs when the engine wants it to; test/debug has the test",
};
test.skipIf(process.env["MUTATE"])("every place that reports is reached by a trigger", () => {
  const missing = [...reporting_places()]
    .filter(([place]) => !reached.has(place))
    .filter(([, line]) => !Object.keys(ELSEWHERE).some((text) => line.includes(text)))
    .map(([place, line]) => `${place}: ${line}`);
  expect(missing).toEqual([]);
});
