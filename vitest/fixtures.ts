/** A world for each test, and what is asked of it when the test ended. */
import {
  driver_world,
  flush_work,
  format_leaks,
  format_report,
  group_leaks,
  misuse_reports,
  shutdown,
  type DriverWorld,
  type DriverWorldOptions,
  type Machine,
  type MachineOptions,
  type MisuseReport,
  type Task,
} from "user-page";
import { test as base, type TestAPI } from "vitest";
import { forget, from_here, is_running, misuses_in, unexpected, watch } from "./machines.js";
import { command_of } from "./reproduce.js";

export interface UserPageFixtures {
  /** of the machine; debug mode is on and records places, unless CONFIG_DEBUG_USER_PAGE_REFERENCES says otherwise */
  machine_options: MachineOptions;
  /** the file on the disk, and the pages that the buffer may have */
  world_options: Omit<DriverWorldOptions, "machine">;
  /** a machine, a task, a disk with a file's bytes, and as much user memory */
  world: DriverWorld;
  /** the machine of `world` */
  machine: Machine;
  /** the task of `world` */
  current: Task;
}
/** What was wrong on a machine when its test had ended. */
class UserPageError extends Error {
  override readonly name = "UserPageError";
}

/** One thing that was wrong, and where. */
interface Finding {
  readonly text: string;
  readonly at: string;
}
const of_report = (report: MisuseReport): Finding => ({
  text: format_report(report),
  at: report.called_at,
});
/** Ends what is under way and shuts the machine down; what is to be said of it. */
function settle(machine: Machine, goes_on: boolean): Finding[] {
  const reports = new Set<MisuseReport>();
  try {
    flush_work(machine);
  } catch (error) {
    const thrown = misuses_in(error);
    if (thrown.length === 0) throw error;
    for (const report of thrown) reports.add(report);
  }
  // A misuse that was thrown has changed nothing; one that was only recorded may have.
  const counts_went_wrong = goes_on && misuse_reports(machine).length > 0;
  // In the order in which they were made.
  const said = [...new Set([...unexpected(machine), ...reports])].map(of_report);
  const { leaks, lost_pages } = shutdown(machine);
  if (leaks.length > 0) {
    const held = group_leaks(leaks);
    const at = held.groups[0]?.acquired_at ?? "";
    said.push({ text: `[leak] at the end of the test ${format_leaks(held)}`, at });
  } else if (lost_pages > 0 && !counts_went_wrong) {
    const pages = `${lost_pages} page${lost_pages === 1 ? "" : "s"}`;
    said.push({ text: `${pages} never came back, and no handle of them is held`, at: "" });
  }
  return said;
}
/** An error that points to the first place of a finding, as if it had been thrown there. */
function failure(said: readonly Finding[]): UserPageError {
  const error = new UserPageError(from_here(said.map(({ text }) => text).join("\n\n")));
  const place = said.find(({ at }) => at !== "")?.at;
  if (place !== undefined) error.stack = `${error.name}: ${error.message}\n    at ${place}`;
  return error;
}

/** Whether a failure says this already: a report that was thrown out of the test is its failure. */
function is_told(text: string, failures: unknown): boolean {
  const seen = new Set<unknown>();
  const tells = (value: unknown): boolean => {
    if (typeof value === "string") return from_here(value).includes(from_here(text));
    if (typeof value !== "object" || value === null || seen.has(value)) return false;
    seen.add(value);
    // vitest keeps copies of errors, with their causes and what they suppressed.
    return Object.getOwnPropertyNames(value).some((name) => tells(Reflect.get(value, name)));
  };
  return tells(failures);
}
/** The test ended: throws what is to be said of its machine.  `failures`: why the test failed, if it did. */
function end(machine: Machine, goes_on: boolean, failures: readonly unknown[] | null): void {
  const before = unexpected(machine).map(of_report);
  // A test may shut its machine down itself, and look at the answer.
  const said = is_running(machine) ? settle(machine, goes_on) : before;
  if (failures === null && said.length > 0) throw failure(said);
  if (failures === null) return;
  // A test that failed left things as they were, and its failure says why.  What was reported came before.
  const untold = before.filter(({ text }) => !is_told(text, failures));
  if (untold.length > 0) throw failure(untold);
}
/** vitest's test() with a machine; shut down after each test, which fails on a misuse, a leak or a lost page. */
export const test: TestAPI<UserPageFixtures> = base.extend<UserPageFixtures>({
  machine_options: {},
  world_options: {},
  world: async ({ machine_options, world_options, task, onTestFinished }, use) => {
    const machine: MachineOptions = {
      CONFIG_DEBUG_USER_PAGE_REFERENCES: true,
      reproduce: command_of(task.file.name, task),
      ...machine_options,
    };
    const world = driver_world({ ...world_options, machine });
    watch(world.machine, task);
    // Not behind use(): vitest reports what is thrown there twice.
    onTestFinished(() => {
      try {
        const failures = task.result?.state === "fail" ? (task.result.errors ?? []) : null;
        end(world.machine, machine.panic_on_warn === false, failures);
      } finally {
        forget(world.machine);
      }
    });
    await use(world);
  },
  machine: async ({ world }, use) => {
    await use(world.machine);
  },
  current: async ({ world }, use) => {
    await use(world.current);
  },
});
