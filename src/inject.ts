/** Every failure a driver can meet, one at a time (ours). */

import { file_bytes, type Driver, type DriverWorld, type DriverWorldOptions } from "./driver.js";
import {
  world_text,
  type InjectionReport,
  type InjectionRun,
  type SkippedPoints,
} from "./inject_report.js";
import { run_once, type Ran, type Subject } from "./inject_run.js";
import type { FaultPlan } from "./machine/fault-inject.js";
import {
  FAULT_CAPABILITIES,
  FAULT_NAMES,
  format_fault,
  type FaultName,
  type FaultPoint,
} from "./machine/fault_spec.js";

/** Told after each run. */
export type InjectionProgress = (done: number, of: number, run: InjectionRun) => void;
/** How inject_each() runs a driver; every option has a default. */
export interface InjectionOptions<W extends DriverWorld = DriverWorld> {
  /** the world of each run; its `inject` and its debug level are not used */
  readonly world?: DriverWorldOptions;
  /** What the driver needs beside it: files, registrations.  Nothing fails there. */
  readonly prepare?: (world: DriverWorld) => W;
  /** Whether what the driver claims is so: false or an exception says that data is lost. */
  readonly verify?: (world: W, result: unknown) => unknown;
  /** Releases what may be held when the driver returned. */
  readonly cleanup?: (world: W) => unknown;
  /** what is tried; everything by default */
  readonly capabilities?: readonly FaultName[];
  /** points at most, seeds aside; 2000 by default.  The report says what was left out. */
  readonly max_runs?: number;
  /** Goes on though something is wrong without any failure already; what is wrong then is found in each run again. */
  readonly anyway?: boolean;
  /** Seeds instead of one point at a time: these, or 1 to this number. */
  readonly seeds?: number | readonly number[];
  readonly progress?: InjectionProgress;
}
const MAX_RUNS = 2000;

// --- what to try --------------------------------------------------------------------------------------------
/** Numbers that are tried where one can be given: the first, the second and one in the middle. */
function values_of(
  name: FaultName,
  [least, most]: readonly [number, number],
): Array<number | null> {
  if (name === "delay_completion") return [null, 1];
  const tried = new Set([0, 1, Math.floor((least + most) / 2)]);
  return [...tried].filter((k) => k >= least && k <= most);
}
function points_of(plan: FaultPlan, name: FaultName): FaultPoint[] {
  const takes_value: boolean = FAULT_CAPABILITIES[name].value !== null;
  const points: FaultPoint[] = [];
  for (let nth = 1; nth <= plan.asked[name]; nth++) {
    const range = plan.ranges?.get(name)?.[nth - 1];
    const values = takes_value && range ? values_of(name, range) : [null];
    for (const value of values) points.push({ name, nth, value });
  }
  return points;
}
interface Choice {
  readonly points: readonly FaultPoint[];
  readonly skipped: readonly SkippedPoints[];
}
/** The points of each capability in turn, as far as there are runs: no capability is left out for another. */
function choose(plan: FaultPlan, names: readonly FaultName[], max: number): Choice {
  const left = new Map(names.map((name) => [name, points_of(plan, name)]));
  const taken = new Map(names.map((name) => [name, 0]));
  const all = [...left.values()].reduce((sum, points) => sum + points.length, 0);
  for (let budget = Math.min(max, all); budget > 0;) {
    for (const [name, points] of left) {
      const n = taken.get(name)!;
      if (budget === 0 || n === points.length) continue;
      taken.set(name, n + 1);
      budget--;
    }
  }
  const points: FaultPoint[] = [];
  const skipped: SkippedPoints[] = [];
  for (const [name, mine] of left) {
    const n = taken.get(name)!;
    points.push(...mine.slice(0, n));
    if (n === mine.length) continue;
    skipped.push({ name, from: mine[n]!.nth, to: mine.at(-1)!.nth, runs: mine.length - n });
  }
  return { points, skipped };
}

// --- the runs -----------------------------------------------------------------------------------------------
/** Whether what was to fail did. */
function reached({ run, plan }: Ran): InjectionRun {
  if (plan.injected.length === plan.spec.points.length || plan.spec.seed !== null) return run;
  const sentence = `${run.spec} was not reached: the driver does not run alike every time`;
  const missing = {
    kind: "not reached",
    sentence,
    count: 1,
    places: [],
    report: null,
    leak: null,
  } as const;
  return { ...run, findings: [...run.findings, missing] };
}
/** A run at the level that is cheap, and, if anything is wrong, once more at the level that names places. */
function run_and_repeat<W extends DriverWorld>(
  subject: Subject<W>,
  spec: string,
): { run: InjectionRun; repeated: boolean; plan: FaultPlan } {
  const first = run_once(subject, spec, "owners");
  const run = reached(first);
  const { plan } = first;
  if (run.findings.length === 0) return { run, repeated: false, plan };
  const again = reached(run_once(subject, run.spec, true));
  // A driver that is well the second time was not the first time.
  const told = again.findings.length === 0 ? run : { ...again, seed: run.seed };
  return { run: told, repeated: true, plan };
}
function clean_run<W extends DriverWorld>(subject: Subject<W>): ReturnType<typeof run_and_repeat> {
  const clean = run_and_repeat(subject, "");
  if (clean.run.outcome !== "error") return clean;
  const sentence = "the driver fails though nothing was made to fail";
  const failed = {
    kind: "failed",
    sentence,
    count: 1,
    places: [],
    report: null,
    leak: null,
  } as const;
  return { ...clean, run: { ...clean.run, findings: [failed, ...clean.run.findings] } };
}
function check<W extends DriverWorld>(driver: Driver<W>, options: InjectionOptions<W>): void {
  const called = "inject_each()";
  if (typeof options !== "object" || (options as unknown) === null) {
    throw new RangeError(`${called}: the options are no object`);
  }
  const { capabilities = [], max_runs = MAX_RUNS, seeds = [] } = options;
  for (const [call, what] of [
    [driver, "the driver"],
    [options.prepare, "prepare"],
    [options.verify, "verify"],
    [options.cleanup, "cleanup"],
    [options.progress, "progress"],
  ] as const) {
    if (typeof call === "function" || (call === undefined && what !== "the driver")) continue;
    throw new RangeError(`${called}: ${what} is no function`);
  }
  if (!Array.isArray(capabilities)) throw new RangeError(`${called}: capabilities are no list`);
  for (const name of capabilities as readonly FaultName[]) {
    if (FAULT_NAMES.includes(name)) continue;
    throw new RangeError(`${called}: "${String(name)}" is none of ${FAULT_NAMES.join(", ")}`);
  }
  if (!Number.isSafeInteger(max_runs) || max_runs < 1) {
    throw new RangeError(`${called}: max_runs: ${String(max_runs)} is no number of runs`);
  }
  const listed: unknown = typeof seeds === "number" ? [seeds] : seeds;
  if (!Array.isArray(listed)) throw new RangeError(`${called}: seeds are no list`);
  for (const seed of listed as readonly number[]) {
    if (Number.isInteger(seed) && seed >= 0 && seed < 2 ** 32) continue;
    throw new RangeError(`${called}: ${String(seed)} is no seed: 0 to ${2 ** 32 - 1}`);
  }
}
/**
 * Runs a driver once without failures, and then once for each thing that can fail on its way, each time on a fresh machine
 * (ours).  A driver is right if it releases everything and claims nothing that is not so, whatever fails.  What is wrong is
 * run again with the places recorded.  Plain data: format_injection() makes a text of it.
 *
 * @param driver - synchronous, and alike in every run; it claims success unless it throws or returns an error, a ShortPin, an
 *   `Err`, a negative number or false
 * @param options - a RangeError for what is none
 * @example
 * const report = inject_each(({ current, disk, buf, len }) =>
 *   direct_io(current, disk, "REQ_OP_READ", buf, len, 0),
 * );
 * console.log(report.runs.length > 0, report.runs.every((run) => run.findings.length === 0)); // -> true true
 */
export function inject_each<W extends DriverWorld = DriverWorld>(
  driver: Driver<W>,
  options: InjectionOptions<W> = {},
): InjectionReport {
  check(driver, options);
  const { capabilities = FAULT_NAMES, max_runs = MAX_RUNS, seeds, progress } = options;
  const subject: Subject<W> = {
    driver,
    world: { ...options.world, file: file_bytes(options.world?.file) },
    // Without prepare() nothing but a DriverWorld can be asked for.
    prepare: options.prepare ?? ((world) => world as W),
    again: world_text(options),
    verify: options.verify ?? null,
    cleanup: options.cleanup ?? null,
  };
  const clean = clean_run(subject);
  const asked = { ...clean.plan.asked };
  let repeated = Number(clean.repeated);
  const runs: InjectionRun[] = [];
  if (clean.run.findings.length > 0 && !options.anyway)
    return { clean: clean.run, asked, runs, repeated, skipped: [] };
  const { specs, skipped } = specs_of(clean.plan, capabilities, seeds, max_runs);
  for (const spec of specs) {
    const ran = run_and_repeat(subject, spec);
    runs.push(ran.run);
    repeated += Number(ran.repeated);
    progress?.(runs.length, specs.length, ran.run);
  }
  return { clean: clean.run, asked, runs, repeated, skipped };
}
function specs_of(
  plan: FaultPlan,
  names: readonly FaultName[],
  seeds: number | readonly number[] | undefined,
  max: number,
): { specs: string[]; skipped: readonly SkippedPoints[] } {
  if (seeds === undefined) {
    const { points, skipped } = choose(plan, names, max);
    return { specs: points.map(format_fault), skipped };
  }
  const all = typeof seeds === "number" ? Array.from({ length: seeds }, (_, i) => i + 1) : seeds;
  return { specs: all.map(String), skipped: [] };
}
