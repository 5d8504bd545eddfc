// As much of vitest as the tests need that mutants are run against: in one process, without the seconds that vitest takes to
// begin.  The first test that fails ends the run.
import { existsSync, readFileSync, writeFileSync } from "node:fs";
import { performance } from "node:perf_hooks";
import { JestAsymmetricMatchers, JestChaiExpect, JestExtend } from "@vitest/expect";
import * as chai from "chai";

chai.use(JestExtend);
chai.use(JestChaiExpect);
chai.use(JestAsymmetricMatchers);
export const { expect } = chai;

/** @typedef {() => unknown} Body */
/** @typedef {{ name: string, body: Body, before: Body[], after: Body[] }} Test */

/** @type {Test[]} */
const tests = [];
/** @type {{ name: string, before: Body[], after: Body[] }} */
const file = { name: "", before: [], after: [] };
const suites = [file];

/** @param {string} name @param {unknown[]} args @param {number} index */
const title = (name, args, index) => {
  let at = 0;
  return name.replace(/%[sdifo#%]/g, (key) => (key === "%#" ? String(index) : String(args[at++])));
};
/** @param {unknown[]} given */
const body_of = (given) => /** @type {Body} */ (given.find((one) => typeof one === "function"));
/** @param {(name: string, body: Body) => void} add */
function with_variants(add) {
  /** @param {string} name @param {unknown[]} given */
  const define = (name, ...given) => add(name, body_of(given));
  const skip = () => undefined;
  skip.each = () => () => undefined;
  return Object.assign(define, {
    skip,
    each:
      (/** @type {unknown[]} */ rows) =>
      (/** @type {string} */ name, /** @type {unknown[]} */ ...given) =>
        rows.forEach((row, i) => {
          const args = /** @type {unknown[]} */ (Array.isArray(row) ? row : [row]);
          const body = /** @type {(...args: unknown[]) => unknown} */ (body_of(given));
          add(title(name, args, i), () => body(...args));
        }),
    skipIf: (/** @type {unknown} */ no) => (no ? skip : test),
    runIf: (/** @type {unknown} */ yes) => (yes ? test : skip),
  });
}
export const test = with_variants((name, body) => {
  const before = suites.flatMap((one) => one.before);
  const after = suites.flatMap((one) => one.after);
  tests.push({ name: [...suites.map((one) => one.name), name].join(" "), body, before, after });
});
export const describe = with_variants((name, body) => {
  suites.push({ name, before: [], after: [] });
  body();
  suites.pop();
});
describe.runIf = (/** @type {unknown} */ yes) => (yes ? describe : describe.skip);
/** @param {Body} body */
export const beforeEach = (body) => void (suites.at(-1) ?? file).before.push(body);
/** @param {Body} body */
export const afterEach = (body) => void (suites.at(-1) ?? file).after.push(body);

/**
 * Which tests reach a mutant: written by the run without one, read by the others.  Mutants of what runs while modules load
 * are run against every test.
 *
 * @typedef {{ always: string[], by_test: Array<[test: number, ms: number, mutants: string[]]> }} Reached
 */
const REACHED = new URL("reached.json", import.meta.url);
/** @typedef {{ activeMutant?: string, currentTestId?: string, mutantCoverage?: { static: object, perTest: Record<string, object> } }} Stryker */
const shared = /** @type {{ __stryker__?: Stryker }} */ (globalThis);
const stryker = (shared.__stryker__ ??= {});

/** The tests that can notice the active mutant, the quick ones first. */
function to_run() {
  const all = tests.map((_, i) => i);
  const mutant = process.env["__STRYKER_ACTIVE_MUTANT__"];
  if (mutant === undefined || !existsSync(REACHED)) return all;
  const { always, by_test } = /** @type {Reached} */ (JSON.parse(readFileSync(REACHED, "utf8")));
  if (always.includes(mutant)) return all;
  const reaching = by_test.filter(([, , mutants]) => mutants.includes(mutant));
  return reaching.sort(([, a], [, b]) => a - b).map(([test]) => test);
}

/** Runs what was defined; the first test that fails ends the process with 1. */
export async function finish() {
  /** @type {Reached["by_test"]} */
  const by_test = [];
  const running = to_run();
  for (const i of running) {
    const { name, body, before, after } = /** @type {Test} */ (tests[i]);
    stryker.currentTestId = String(i);
    const began = performance.now();
    try {
      for (const begin of before) await begin();
      await body();
      for (const end of after) await end();
    } catch (error) {
      const text = error instanceof Error ? error.message : String(error);
      console.error(`${name}: ${text} (${Math.round(performance.now() - began)} ms)`);
      process.exit(1);
    }
    const mutants = Object.keys(stryker.mutantCoverage?.perTest[String(i)] ?? {});
    by_test.push([i, performance.now() - began, mutants]);
  }
  if (stryker.activeMutant === undefined) {
    const always = Object.keys(stryker.mutantCoverage?.static ?? {});
    writeFileSync(REACHED, JSON.stringify({ always, by_test }));
  }
  if (process.env["MUTATE_TIMES"]) {
    const slow = by_test.sort(([, a], [, b]) => b - a).slice(0, 30);
    for (const [i, ms] of slow) console.log(Math.round(ms), tests[i]?.name);
  }
  console.log(`${running.length} tests`);
  process.exit(0);
}
