// One run of a driver on a machine of its own: what was reported, what is left, what it counted.
import { readFileSync } from "node:fs";
import {
  all_thrown,
  driver_world,
  first_thrown,
  flush_work,
  format_leaks,
  format_report,
  group_leaks,
  injection,
  misuse_reports,
  MisuseError,
  shutdown,
  vmstat,
  without_faults,
  type DriverWorld,
  type InjectedFault,
  type MachineOptions,
  type MisuseReport,
} from "user-page";
import { failure_of, type DriverModule } from "./driver_module.js";
import { place_in, thrown_text } from "./load.js";
import type { Ran, ReportGroup, RunRequest, Thrown } from "./outcome.js";
import type { Watch } from "./watch.js";

/** Bytes of the disk where no file is given: enough for extents, bios and huge pages to matter. */
const DEFAULT_BYTES = 384 * 1024;

/** The machine of a run; what the driver's module asks for counts, but for what the command line says. */
export function machine_options(
  request: RunRequest,
  { options }: DriverModule,
  inject: string | null,
): MachineOptions {
  const debug = request.debug ?? options.CONFIG_DEBUG_USER_PAGE_REFERENCES ?? false;
  return {
    panic_on_warn: false,
    ...options,
    CONFIG_DEBUG_USER_PAGE_REFERENCES: debug,
    reproduce: reproduce_line(request, inject),
    ...(inject === null ? {} : { inject }),
  };
}
export function reproduce_line({ command, debug }: RunRequest, inject: string | null): string {
  const level =
    debug === null || debug === false ? "" : debug === true ? " --debug" : ` --debug=${debug}`;
  return `${command}${level}${inject === null ? "" : ` --inject ${inject}`}`;
}
let bytes: Uint8Array | null = null;
/** The file of every run of this process. */
export const file_of = ({ data }: RunRequest): Uint8Array | number =>
  data === null ? DEFAULT_BYTES : (bytes ??= readFileSync(data));

/** What was made to fail, and the driver's line that called it. */
export function fault_text({ name, nth, value, called, at }: InjectedFault): string {
  return `${name}@${nth}${value === null ? "" : `:${value}`} in ${called}${at && ` at ${at}`}`;
}
function grouped(reports: readonly MisuseReport[]): ReportGroup[] {
  const groups = new Map<string, MisuseReport[]>();
  for (const report of reports) {
    const places = report.history.map(({ what, at }) => `${what} ${at}`);
    const key = [report.id, report.called, report.called_at, ...places].join("\n");
    const group = groups.get(key);
    if (group) group.push(report);
    else groups.set(key, [report]);
  }
  return [...groups.values()].map((group) => {
    const report = group[0]!;
    return { count: group.length, report, text: format_report(report) };
  });
}
function describe(value: unknown): string {
  const failure = failure_of(value);
  if (failure !== null) return `failed: ${failure}`;
  if (value === undefined) return "returned nothing";
  const is_plain =
    typeof value === "number" || typeof value === "boolean" || typeof value === "string";
  return is_plain ? `returned ${String(value)}` : "returned without an error";
}

class Run {
  readonly reports: MisuseReport[] = [];
  threw: Thrown | null = null;
  /** the last step did not come to its end */
  stopped = false;

  /** What a step throws is a finding. */
  caught(error: unknown): void {
    this.stopped = true;
    for (const one of all_thrown(error))
      if (one instanceof MisuseError && !this.reports.includes(one.report))
        this.reports.push(one.report);
    const first = first_thrown(error);
    if (first instanceof MisuseError || this.threw !== null) return;
    const stack = first instanceof Error ? first.stack : undefined;
    this.threw = { text: thrown_text(first), at: place_in(stack) };
  }
  attempt<T>(step: () => T): T | undefined {
    try {
      return step();
    } catch (error) {
      this.caught(error);
      return undefined;
    }
  }
}
/** Whether what the driver claims is so; null if that cannot be said. */
function judge({ verify }: DriverModule, world: DriverWorld, result: unknown): Ran["data"] {
  try {
    const text = verify(world, result);
    return text === null ? null : { right: true, text };
  } catch (error) {
    return { right: false, text: error instanceof Error ? error.message : String(error) };
  }
}
export async function drive(
  request: RunRequest,
  module: DriverModule,
  inject: string | null,
  watch?: Watch,
): Promise<Ran> {
  const options = machine_options(request, module, inject);
  const base = driver_world({ file: file_of(request), pages: "mixed", machine: options });
  const { machine } = base;
  const run = new Run();
  // Only the driver is made to fail, not what prepares and judges it.
  const world = without_faults(machine, () => {
    const made = module.prepare(base);
    watch?.start(made);
    return made;
  });
  const before = vmstat(machine);
  let result: unknown;
  let asynchronous = false;
  try {
    const answer = module.driver(world);
    asynchronous = answer instanceof Promise;
    result = await answer;
  } catch (error) {
    run.caught(error);
  }
  const returned = !run.stopped;
  const failed = returned && failure_of(result) !== null;
  return without_faults(machine, () => {
    const flush = (): number => flush_work(machine);
    run.attempt(flush);
    const data = returned && !failed ? judge(module, world, result) : null;
    run.attempt(() => module.cleanup?.(world));
    run.attempt(flush);
    const after = vmstat(machine);
    const views = watch?.end(world) ?? {};
    const { injected, line } = injection(machine);
    const recorded = misuse_reports(machine);
    const all = [...recorded, ...run.reports.filter((report) => !recorded.includes(report))];
    const left = run.attempt(() => shutdown(machine));
    const leaks = left && left.leaks.length > 0 ? group_leaks(left.leaks) : null;
    const seeded = inject !== null && /^\d+$/.test(inject);
    return {
      debug: options.CONFIG_DEBUG_USER_PAGE_REFERENCES ?? false,
      inject,
      injected: injected.map(fault_text),
      answered: returned ? describe(result) : "did not come to its end",
      asynchronous,
      failed,
      reports: grouped(all),
      threw: run.threw,
      stopped: run.stopped,
      leaks,
      leaks_text: leaks ? format_leaks(leaks) : "",
      lost_pages: left?.lost_pages ?? 0,
      pins: {
        taken: after.nr_foll_pin_acquired - before.nr_foll_pin_acquired,
        released: after.nr_foll_pin_released - before.nr_foll_pin_released,
      },
      data,
      proc: views,
      trace: request.trace,
      reproduce: reproduce_line(request, seeded && line !== "" ? line : inject),
    };
  });
}
