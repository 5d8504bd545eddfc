/** One run of a driver on a machine of its own, in which what a specification says fails (ours). */

import { shutdown } from "./boot.js";
import type { DebugLevel } from "./debug/debug.js";
import { driver_world, type Driver, type DriverWorld, type DriverWorldOptions } from "./driver.js";
import { to_machine } from "./handle/cast.js";
import { ERRNO, IS_ERR, type ErrnoName } from "./handle/errno.js";
import type { FindingKind, InjectionFinding, InjectionRun } from "./inject_report.js";
import { WouldSpin } from "./machine/arch.js";
import { flush_work } from "./machine/context.js";
import { plan_of, without_faults, type FaultPlan } from "./machine/fault-inject.js";
import { group_leaks } from "./machine/leaks.js";
import { machine_state, type MachineState } from "./machine/machine.js";
import { MisuseError, type MisuseReport } from "./machine/misuse.js";
import type { HeldReference } from "./machine/probe.js";
import { place_of } from "./machine/site.js";
import { all_thrown, first_thrown } from "./machine/thrown.js";
import { IS_SHORT } from "./mm/user_pages.js";

/** What to run, and what to ask of it. */
export interface Subject<W extends DriverWorld> {
  readonly driver: Driver<W>;
  readonly world: DriverWorldOptions;
  readonly prepare: (world: DriverWorld) => W;
  readonly verify: ((world: W, result: unknown) => unknown) | null;
  readonly cleanup: ((world: W) => unknown) | null;
  /** of a specification: how to see the same again */
  readonly again: (spec: string) => string;
}
/** A run, and what it asked for. */
export interface Ran {
  readonly run: InjectionRun;
  readonly plan: FaultPlan;
}

const ERRNO_NAMES = Object.keys(ERRNO) as ErrnoName[];
const finding = (
  kind: FindingKind,
  sentence: string,
  more: Partial<Pick<InjectionFinding, "count" | "places" | "report" | "leak">> = {},
): InjectionFinding => ({
  kind,
  sentence,
  count: 1,
  places: [],
  report: null,
  leak: null,
  ...more,
});
const known = (place: string): readonly string[] => (place === "" ? [] : [place]);

function misuse(report: MisuseReport): InjectionFinding {
  const { id, called, called_at, sentence, handle, history } = report;
  const kinds: Partial<Record<string, FindingKind>> = {
    "hung-task": "hung",
    "double-release": "double release",
  };
  const kind = kinds[id] ?? "misuse";
  const places = [...known(called_at)];
  for (const { what, at } of history) if (at !== "") places.push(`${what} ${at}`);
  return finding(kind, `[${id}] ${called}: ${sentence}: ${handle}`, { places, report });
}
function thrown(error: unknown): InjectionFinding {
  const reason = first_thrown(error);
  if (reason instanceof MisuseError) return misuse(reason.report);
  if (!(reason instanceof Error)) return finding("threw", String(reason));
  const place = place_of(reason.stack === undefined ? {} : { stack: reason.stack });
  const kind = reason instanceof WouldSpin ? "hung" : "threw";
  return finding(kind, `${reason.name}: ${reason.message}`, { places: known(place) });
}
/** References that were not released, by where they come from. */
function leaked(leaks: readonly HeldReference[]): InjectionFinding[] {
  return group_leaks(leaks).groups.map((leak) => {
    const { kind, acquired_by, acquired_at, count } = leak;
    const what = `${count} ${kind} of ${acquired_by} ${count === 1 ? "was" : "were"} not released`;
    return finding("leak", what, { count, places: known(acquired_at), leak });
  });
}
const is_result = (result: object): result is { isErr(): unknown } =>
  "isErr" in result && typeof result.isErr === "function";
/** Whether the result of a driver says that it did what it was for; C's results too. */
function claims_success(result: unknown): boolean {
  if (result === false || (typeof result === "number" && result < 0)) return false;
  if (typeof result !== "object" || result === null) return true;
  // A Result, also one of another copy of neverthrow.
  if (is_result(result)) return result.isErr() !== true;
  return !(IS_ERR(result) || IS_SHORT(result) || result instanceof Error);
}
/** The errno of a result that is an error, or of the error in it. */
function errno_in(result: unknown): ErrnoName | null {
  if (typeof result === "number")
    return ERRNO_NAMES.find((name) => ERRNO[name] === -result) ?? null;
  if (typeof result !== "object" || result === null) return null;
  const error: unknown = is_result(result) && "error" in result ? result.error : result;
  const errno: unknown = typeof error === "object" && error !== null && Reflect.get(error, "errno");
  return ERRNO_NAMES.find((name) => name === errno) ?? null;
}
/** It would run behind what is asked of it. */
function refuse_promise(result: unknown): void {
  if (typeof result !== "object" || result === null || !("then" in result)) return;
  // What it throws when its machine is gone is nobody's failure.
  Promise.resolve(result).catch(() => undefined);
  throw new RangeError(
    "inject_each(): the driver returned a promise; a driver runs to its end before it returns, and this one goes on " +
      "without a machine: what it throws from here on is not told",
  );
}

interface Outcome {
  readonly outcome: InjectionRun["outcome"];
  readonly findings: InjectionFinding[];
  readonly result: unknown;
  /** an exception ended the driver or what it left under way: what it held then is not released */
  stopped: boolean;
}
function call<W extends DriverWorld>({ driver }: Subject<W>, world: W): Outcome {
  try {
    const result = driver(world);
    const outcome = claims_success(result) ? "success" : "error";
    return { outcome, findings: [], result, stopped: false };
  } catch (reason) {
    return { outcome: "exception", findings: [thrown(reason)], result: undefined, stopped: true };
  }
}
/** Adds what `step` throws to the findings. */
function attempt(findings: InjectionFinding[], step: () => unknown): void {
  try {
    step();
  } catch (reason) {
    findings.push(thrown(reason));
  }
}
/** What is said of one run, each report once. */
class Judgement {
  readonly findings: InjectionFinding[];
  readonly #state: MachineState;
  /** also those of which another finding speaks */
  readonly #told = new Set<MisuseReport>();
  #ended = false;
  constructor(state: MachineState, findings: InjectionFinding[]) {
    this.#state = state;
    this.findings = findings;
    this.#ends("the driver");
    for (const { report } of findings) if (report) this.#told.add(report);
  }
  /** Runs `step` while there is a machine; `what` is added to what it throws, or answers. */
  attempt(who: string, step: () => InjectionFinding[], add = thrown): void {
    if (!this.#state.alive) return;
    try {
      this.findings.push(...step());
    } catch (reason) {
      const said = add(reason);
      this.findings.push(said);
      for (const one of all_thrown(reason))
        if (one instanceof MisuseError && (said.report === one.report || add !== thrown))
          this.#told.add(one.report);
    }
    this.#ends(who);
  }
  /** Whoever shuts the machine down takes with it what would be asked. */
  #ends(who: string): void {
    if (this.#state.alive || this.#ended) return;
    this.#ended = true;
    const what = `${who} shut the machine down, which is inject_each()'s: what was held then is not known`;
    this.findings.push(finding("misuse", what));
  }
  /** Those that were recorded, and those that were thrown and caught by somebody: first, as they ended nothing. */
  add_reports(reports: readonly MisuseReport[]): void {
    this.findings.unshift(...reports.filter((report) => !this.#told.has(report)).map(misuse));
  }
}
/** What is under way ends.  Is it so?  Then what may be held goes, and the machine says what is left. */
function judge<W extends DriverWorld>(
  { verify, cleanup }: Subject<W>,
  world: W,
  did: Outcome,
  state: MachineState,
): void {
  const { outcome, findings, result } = did;
  const machine = to_machine(state);
  const judgement = new Judgement(state, findings);
  const flush = (): InjectionFinding[] => {
    try {
      flush_work(machine);
    } catch (error) {
      did.stopped = true;
      throw error;
    }
    return [];
  };
  judgement.attempt("what was under way", flush);
  if (outcome === "success" && verify) {
    const claims = "the driver claims success, and verify()";
    judgement.attempt(
      "verify()",
      () => (verify(world, result) === false ? [finding("data lost", `${claims} says no`)] : []),
      (reason) => {
        const { sentence, places } = thrown(reason);
        return finding("data lost", `${claims} threw ${sentence}`, { places });
      },
    );
  }
  judgement.attempt("cleanup()", () => (cleanup?.(world), []));
  judgement.attempt("what was under way", flush);
  judgement.add_reports(state.reports);
  if (!state.alive) return;
  attempt(findings, () => {
    const { leaks, lost_pages } = shutdown(machine);
    findings.push(...leaked(leaks));
    if (lost_pages === 0 || leaks.length > 0) return;
    const what = `${lost_pages} page(s) never came back, and no handle of them is held`;
    findings.push(finding("lost pages", what, { count: lost_pages }));
  });
}
/** Runs the driver once. */
export function run_once<W extends DriverWorld>(
  subject: Subject<W>,
  spec: string,
  level: DebugLevel | true,
): Ran {
  const base = driver_world({
    ...subject.world,
    machine: {
      ...subject.world.machine,
      inject: spec,
      CONFIG_DEBUG_USER_PAGE_REFERENCES: level,
    },
  });
  const state: MachineState = machine_state(base.machine);
  const plan = plan_of(state)!;
  // What can be tried is learnt where nothing fails.
  if (plan.spec.points.length === 0 && plan.spec.seed === null) plan.ranges = new Map();
  try {
    const world = without_faults(base.machine, () => subject.prepare(base));
    if (!state.alive) throw new RangeError("inject_each(): prepare() shut the machine down");
    const did = call(subject, world);
    refuse_promise(did.result);
    const { injected, line } = plan;
    // From here on nothing fails, on a machine that the driver may have shut down.
    plan.paused++;
    judge(subject, world, did, state);
    const { outcome, findings, stopped } = did;
    const { seed } = plan.spec;
    const errno = outcome === "error" ? errno_in(did.result) : null;
    const again = seed === null ? spec : line;
    const reproduce = subject.again(again);
    const said = { outcome, stopped, errno, findings };
    return { run: { spec: again, reproduce, seed, injected: [...injected], ...said }, plan };
  } finally {
    // What could not be shut down properly is taken away all the same.
    if (state.alive) attempt([], () => state[Symbol.dispose]());
  }
}
