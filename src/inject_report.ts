/** What inject_each() found: as data, and as text for people (ours). */

import type { DriverWorldOptions } from "./driver.js";
import type { ErrnoName } from "./handle/errno.js";
import type { InjectedFault } from "./machine/fault-inject.js";
import type { FaultName } from "./machine/fault_spec.js";
import type { LeakGroup } from "./machine/leaks.js";
import type { MisuseReport } from "./machine/misuse.js";

/** What was wrong in one run. */
export type FindingKind =
  /** references that were not released */
  | "leak"
  | "double release"
  /** another misuse of the API */
  | "misuse"
  /** pages that never came back, though nobody is known to hold them */
  | "lost pages"
  /** the driver claims success, and the bytes are wrong */
  | "data lost"
  /** an exception that is no report of misuse */
  | "threw"
  /** it would wait for ever */
  | "hung"
  /** the driver fails though nothing was made to fail */
  | "failed"
  /** the driver does something else when it runs again, so that the point was not reached */
  | "not reached";
/** One finding in one run. */
export interface InjectionFinding {
  readonly kind: FindingKind;
  readonly sentence: string;
  /** references, pages or reports alike */
  readonly count: number;
  /** where: of a leak where it was acquired, of an exception where it was thrown; a line each */
  readonly places: readonly string[];
  /** of a misuse */
  readonly report: MisuseReport | null;
  /** of a leak */
  readonly leak: LeakGroup | null;
}
/** One run of the driver. */
export interface InjectionRun {
  /** what boot({ inject }) takes to do the same again */
  readonly spec: string;
  /** the call that makes the world in which it does */
  readonly reproduce: string;
  /** the seed that drew it; null for one that was chosen */
  readonly seed: number | null;
  readonly injected: readonly InjectedFault[];
  /** what the driver claimed */
  readonly outcome: "success" | "error" | "exception";
  /** an exception ended the driver, or what it left under way: a leak may be what it held then */
  readonly stopped: boolean;
  /** the errno of an error that has one */
  readonly errno: ErrnoName | null;
  /** none: fine */
  readonly findings: readonly InjectionFinding[];
}
/** Points that were left out. */
export interface SkippedPoints {
  readonly name: FaultName;
  /** first and last of the requests */
  readonly from: number;
  readonly to: number;
  readonly runs: number;
}
/** All runs of one driver. */
export interface InjectionReport {
  /** without a failure; if this is not fine, nothing else was tried, unless `anyway` was asked for */
  readonly clean: InjectionRun;
  /** how often each capability was asked in it */
  readonly asked: Readonly<Record<FaultName, number>>;
  /** one for each point, or seed, in that order */
  readonly runs: readonly InjectionRun[];
  /** runs that were repeated to name places */
  readonly repeated: number;
  readonly skipped: readonly SkippedPoints[];
}

// --- how to see it again ------------------------------------------------------------------------------------
/** As it is written in a program; bytes by a name, which stands for what was given. */
function option_text(name: string, value: unknown): string {
  return value instanceof Uint8Array ? name : `${name}: ${JSON.stringify(value)}`;
}
const given = (options: object, but: readonly string[]): string[] =>
  Object.entries(options)
    .filter(([name, value]) => value !== undefined && !but.includes(name))
    .map(([name, value]) => option_text(name, value));
/** Of a specification the call that makes a world like that of the runs: with the options that were given, and no others. */
export function world_text(options: {
  readonly world?: DriverWorldOptions;
  readonly prepare?: unknown;
}): (spec: string) => string {
  const world = given(options.world ?? {}, ["machine"]);
  const machine = given(options.world?.machine ?? {}, [
    ...["inject", "CONFIG_DEBUG_USER_PAGE_REFERENCES", "reproduce"],
  ]);
  const prepared = options.prepare ? ", and prepare() of it in without_faults()" : "";
  return (spec) => {
    const of_machine = [...machine, option_text("inject", spec)].join(", ");
    return `driver_world({ ${[...world, `machine: { ${of_machine} }`].join(", ")} })${prepared}`;
  };
}

// --- for people ---------------------------------------------------------------------------------------------
function format_finding({ kind, sentence, places }: InjectionFinding): string {
  return `${kind}: ${sentence}${places.length > 0 ? `, at ${places.join(", ")}` : ""}`;
}
function format_run(run: InjectionRun): string {
  const { spec, seed, injected, findings, reproduce } = run;
  const where = [...new Set(injected.map(({ called }) => called))].join(", ");
  const what = findings.map(format_finding).join("; ");
  const drawn = seed === null ? "" : ` (seed ${seed})`;
  const at = spec === "" ? "nothing failed" : `${spec}${drawn} in ${where}`;
  const again = spec === "" ? "" : `; reproduce: ${reproduce}`;
  return `${at}: ${what}${again}`;
}
const plural = (n: number, what: string): string => `${n} ${what}${n === 1 ? "" : "s"}`;
/** Whether this is what inject_each() makes, also when it was JSON meanwhile. */
function is_report(value: unknown): value is InjectionReport {
  if (typeof value !== "object" || value === null) return false;
  const { clean, runs, skipped } = value as Partial<InjectionReport>;
  const is_run = (run: unknown): boolean =>
    typeof run === "object" &&
    run !== null &&
    (["findings", "injected"] as const).every((name) => Array.isArray(Reflect.get(run, name)));
  return is_run(clean) && Array.isArray(runs) && runs.every(is_run) && Array.isArray(skipped);
}
/**
 * The report as people read it (ours): a line for each run in which something was wrong, what was left out, and a summary.
 *
 * @param report - of inject_each(); a RangeError for what is none
 * @example
 * const report = inject_each(({ current }) => {
 *   const page = alloc_page(current);
 *   if (IS_ERR(page)) return page;
 *   put_page(page);
 * });
 * console.log(format_injection(report)); // -> 1 failure injected, one in each run: all fine
 */
export function format_injection(report: InjectionReport): string {
  if (!is_report(report)) throw new RangeError("format_injection(): no report of inject_each()");
  const { clean, runs, skipped } = report;
  const faulty = [clean, ...runs].filter(({ findings }) => findings.length > 0);
  const lines = faulty.map(format_run);
  for (const { name, from, to, runs: nr } of skipped) {
    lines.push(`not tried: ${name}@${from} to @${to}, ${plural(nr, "run")}: more than max_runs`);
  }
  lines.push(summary(report));
  return lines.join("\n");
}
function summary({ clean, runs }: InjectionReport): string {
  const at_once = clean.findings.length > 0 ? "wrong without a failure" : "";
  if (at_once && runs.length === 0) return `${at_once}: nothing else was tried`;
  const seeded = runs.some(({ seed }) => seed !== null);
  const tried = seeded
    ? `${plural(runs.length, "seed")} tried`
    : `${plural(runs.length, "failure")} injected, one in each run`;
  const wrong = runs.filter(({ findings }) => findings.length > 0);
  const said = at_once ? `${at_once}; ${tried}` : tried;
  if (wrong.length === 0) return `${said}: all fine`;
  const kinds = new Map<string, number>();
  for (const { findings } of wrong) {
    for (const kind of new Set(findings.map((f) => f.kind))) {
      kinds.set(kind, (kinds.get(kind) ?? 0) + 1);
    }
  }
  const found = [...kinds].map(([kind, n]) => `${kind} in ${plural(n, "run")}`).join(", ");
  return `${said}: ${runs.length - wrong.length} fine; ${found}`;
}
