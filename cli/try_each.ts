// run --inject all: every failure a driver can meet, one in each run, and what is wrong in how many of them.
import {
  FAULT_CAPABILITIES,
  format_leak,
  format_report,
  inject_each,
  MISUSE,
  type FindingKind,
  type InjectedFault,
  type InjectionFinding,
  type InjectionRun,
  type LeakGroup,
  type MisuseReport,
} from "user-page";
import { drive, fault_text, file_of, machine_options, reproduce_line } from "./drive.js";
import type { DriverModule } from "./driver_module.js";
import type { RunRequest, Tried } from "./outcome.js";
import { shown } from "./root.js";

/** One thing that is wrong, in one run or in several. */
export interface Cause {
  readonly kind: FindingKind;
  readonly sentence: string;
  readonly places: readonly string[];
  readonly report: MisuseReport | null;
  readonly leak: LeakGroup | null;
  /** the failures with which it happens, "" for none: as `--inject` takes them */
  readonly specs: string[];
  /** what failed in the first of them; null where nothing did */
  readonly failed: InjectedFault | null;
  readonly instead: string;
  readonly reproduce: string;
}
const INSTEAD: Partial<Record<FindingKind, string>> = {
  leak: MISUSE.leak.instead,
  "lost pages": "look for a count that went wrong: each release belongs to one acquisition",
  "data lost": "look at what each call answers before success is claimed",
  hung: "end or submit everything that is waited for, on this way too",
  failed: "let it work once without a failure: only calls that it came to were made to fail",
  "not reached": "do the same in every run: no clock, no random numbers",
};
/** The same place and the same thing, however many references it concerns. */
function key_of({ kind, sentence, places, report }: InjectionFinding): string {
  const what = report ? report.id : kind === "leak" ? "" : sentence.replace(/\d+/g, "N");
  return [kind, what, ...places].join("\n");
}
/** As they happened, and without what follows from another finding of the same run. */
function own_findings({ stopped, findings }: InjectionRun): readonly InjectionFinding[] {
  // What a driver held when it was stopped is no leak of its own.
  // Where a report says that a count went wrong, it is the cause.
  const counted = stopped || findings.some(({ report }) => report !== null);
  return findings.filter(
    ({ kind }) => !(kind === "leak" && stopped) && !(kind === "lost pages" && counted),
  );
}
function causes_of(runs: readonly InjectionRun[], request: RunRequest): Cause[] {
  const found = new Map<string, Cause>();
  for (const run of runs) {
    const { spec, injected } = run;
    for (const finding of own_findings(run)) {
      const key = key_of(finding);
      const known = found.get(key);
      if (known) {
        // What is wrong anyway says nothing of a failure.
        if (known.specs[0] !== "" && !known.specs.includes(spec)) known.specs.push(spec);
        continue;
      }
      const { kind, places, report, leak } = finding;
      found.set(key, {
        kind,
        sentence: finding.sentence.replace(/^.* threw WrongData: /, ""),
        places,
        report,
        leak,
        specs: [spec],
        failed: injected[0] ?? null,
        instead: report?.instead ?? INSTEAD[kind] ?? "",
        reproduce: reproduce_line(request, spec === "" ? null : spec),
      });
    }
  }
  return [...found.values()];
}
const entry = (name: string, text: string): string => `  ${name.padEnd(10)}${text}`;
/** Of each capability the first failure, and how many more there are. */
function summary(specs: readonly string[]): string {
  const names = new Map<string, string[]>();
  for (const spec of specs) {
    const name = spec.replace(/@.*/, "");
    names.set(name, [...(names.get(name) ?? []), spec]);
  }
  const of_name = ([first, ...rest]: string[]): string =>
    rest.length === 0 ? first! : `${first} and ${rest.length} more like it`;
  return [...names.values()].map(of_name).join(", ");
}
function when({ kind, specs, failed }: Cause): string {
  const [first, ...others] = specs;
  if (kind === "failed") return "in the run without any failure";
  if (first === "") return "in every run, without any failure";
  if (failed === null) return `with ${summary(specs)}`;
  const what = FAULT_CAPABILITIES[failed.name].sentence.replace(/\.$/, "");
  const more = others.length === 0 ? "" : `\n${entry("or with", summary(others))}`;
  return `${fault_text(failed)}: ${what}${more}`;
}
function cause_text(cause: Cause): string {
  const { kind, sentence, places, report, leak, instead, reproduce } = cause;
  const with_when = ([first, ...more]: string[]): string[] => [
    first!,
    entry("when", when(cause)),
    ...more,
  ];
  if (report) return with_when(format_report({ ...report, reproduce }).split("\n")).join("\n");
  const lines =
    leak === null
      ? [`${kind}: ${sentence}`, ...places.map((place) => entry("at", place))]
      : `[leak] ${MISUSE.leak.sentence}: ${leak_text(leak)}`.split("\n");
  const ends = lines.at(-1)!.startsWith("  instead") || instead === "";
  if (!ends) lines.push(entry("instead", instead));
  return [...with_when(lines), entry("reproduce", reproduce)].join("\n");
}
function conclusion(found: readonly Cause[]): string {
  if (found.length === 0) return "nothing was found";
  const always = found.filter(({ specs }) => specs[0] === "").length;
  const causes = `${found.length} cause${found.length === 1 ? "" : "s"} found`;
  return always === 0 ? causes : `${causes}, ${always} of them without any failure`;
}
/** What is told of a leak, with the advice of the table of misuses. */
const leak_text = (leak: LeakGroup): string =>
  format_leak(leak).replace(/ releases it.*/, "$&; on every way out: `using` does");

export async function try_each(
  given: RunRequest,
  module: DriverModule,
  say: (what: string) => void,
): Promise<Tried> {
  // Every run looks at every call: what one failure does is seen nowhere else.
  const request = { ...given, debug: true };
  const clean = await drive(request, module, null);
  if (clean.asynchronous)
    throw new RangeError(
      `${shown(request.file)}: the driver returned a promise, and --inject all takes one that has ended when it returns; ` +
        "let one call fail at a time: --inject fail_page_alloc@1",
    );
  const machine = machine_options(request, module, null);
  const report = inject_each(module.driver, {
    world: { file: file_of(request), pages: "mixed", machine },
    prepare: module.prepare,
    verify: (world, result) => void module.verify(world, result),
    ...(module.cleanup ? { cleanup: module.cleanup } : {}),
    anyway: true,
    progress: (done, of) => say(`failure ${done} of ${of}`),
  });
  const { runs, asked } = report;
  const found = causes_of([report.clean, ...runs], request);
  const skipped = report.skipped.map(({ name, runs: nr }) => `${nr} of ${name}`).join(", ");
  const lines = found.map((cause) => `${cause_text(cause)}\n`);
  lines.push(
    entry("driver", `${clean.answered}, where nothing was made to fail`),
    entry("data", clean.data?.text ?? "not compared: the driver exports no verify()"),
  );
  if (skipped) lines.push(entry("not tried", skipped));
  lines.push("", `${runs.length} failures tried, one in each run: ${conclusion(found)}.`);
  return {
    findings: found.length,
    threw: found.some(({ kind }) => kind === "threw"),
    text: lines.join("\n"),
    report: { causes: found, tried: runs.length, clean, asked, skipped: report.skipped },
  };
}
