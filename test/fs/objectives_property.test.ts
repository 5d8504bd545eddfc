/**
 * Both objectives under random programs: kept by "hold", step by step, with every byte where it belongs; and the same programs
 * find what is wrong with the other policies, so they are able to.
 */
import type { PolicyName, Violation } from "user-page";
import { expect, test } from "vitest";
import { debug_mode } from "../fixtures.js";
import { run_program } from "./objectives_steps.js";

/** In each project, so 100,000 in all. */
const STEPS = 50_000;
const STEPS_PER_RUN = 600;
const first_seed = debug_mode ? 100_000 : 1;

test("hold: no violation, no torn block, no lost byte", () => {
  const done = new Map<string, number>();
  let steps = 0;
  let [copied, skipped] = [0, 0];
  for (let seed = first_seed; steps < STEPS; seed++) {
    const ran = run_program(
      { policy: "hold", seed, bytes: true },
      STEPS_PER_RUN,
      (v) => v.length > 0,
    );
    expect(ran.violations, `seed ${seed}`).toEqual([]);
    expect(ran.stats).toMatchObject({ unprepared: 0, lost: 0, written_pinned: 0 });
    steps += ran.steps;
    copied += ran.stats.copied;
    skipped += ran.stats.skipped;
    for (const [name, nr] of ran.done) done.set(name, (done.get(name) ?? 0) + nr);
  }
  expect(Math.min(...done.values())).toBeGreaterThan(20);
  expect(Math.min(copied, skipped)).toBeGreaterThan(500);
}, 120_000);

/** What random programs find, within this many steps, under policies that do not keep both. */
const FOUND: Partial<Record<PolicyName, readonly string[]>> = {
  ignore: ["O1", "O2"],
  linux: ["O1", "O2"],
  skip: ["O1", "O2"],
  bounce: ["O2"],
  "no mkclean": ["O1"],
  "dirty on unpin": ["O2"],
  mapcount: ["O1", "O2"],
  "bounce late": ["O1"],
  "page_mkwrite on put": ["O1", "O2"],
};
const BOUND = 2_000;
test.each(Object.entries(FOUND))("%s: the same programs violate %j", (name, expected) => {
  const policy = name as PolicyName;
  const found = new Set<string>();
  let steps = 0;
  for (let seed = first_seed; steps < BOUND; seed++) {
    const ran = run_program({ policy, seed, bytes: false }, 300, () => false);
    for (const { objective } of ran.violations) found.add(objective);
    steps += ran.steps;
  }
  expect([...found].sort()).toEqual(expected);
});
test("linux: a program of a few hundred steps is enough, and is told what led there", () => {
  const both = (violations: readonly Violation[]): boolean =>
    new Set(violations.map(({ objective }) => objective)).size === 2;
  const ran = run_program({ policy: "linux", seed: first_seed, bytes: false }, 500, both);
  expect(ran.steps).toBeLessThan(500);
  for (const { history } of ran.violations) expect(history.length).toBeGreaterThan(0);
});
