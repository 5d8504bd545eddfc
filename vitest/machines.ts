/** The machines of running tests, and the reports on them that a test expected. */
import {
  all_thrown,
  misuse_reports,
  MisuseError,
  vmstat,
  type Machine,
  type MisuseReport,
} from "user-page";

interface Watched {
  /** the test, as vitest knows it */
  readonly test: object;
  /** still to be read when the test has shut the machine down */
  readonly reports: readonly MisuseReport[];
}
const machines = new Map<Machine, Watched>();
/** Each report is an object of its own, on whichever machine it is. */
const expected = new WeakSet<MisuseReport>();

export const watch = (machine: Machine, test: object): void =>
  void machines.set(machine, { test, reports: misuse_reports(machine) });
export const forget = (machine: Machine): void => void machines.delete(machine);
/** The machines that run; of one test, if it is given. */
export const watched = (test?: object): Machine[] =>
  [...machines]
    .filter(([machine, of]) => is_running(machine) && (test === undefined || of.test === test))
    .map(([machine]) => machine);

/** Whether nobody has shut it down. */
export function is_running(machine: Machine): boolean {
  try {
    vmstat(machine);
    return true;
  } catch (error) {
    if (error instanceof MisuseError && error.id === "not-a-handle") return false;
    throw error;
  }
}
/** Reports that no test has expected, oldest first: thrown or recorded. */
export function unexpected(machine: Machine): MisuseReport[] {
  const reports = is_running(machine) ? misuse_reports(machine) : machines.get(machine)?.reports;
  return (reports ?? []).filter((report) => !expected.has(report));
}
/** The test meant this one. */
export const take = (report: MisuseReport): void => void expected.add(report);
/** The misuses among what was thrown: exceptions hide others, as what disposing threw hides what the block threw. */
export const misuses_in = (error: unknown): MisuseReport[] =>
  all_thrown(error).flatMap((one) => (one instanceof MisuseError ? [one.report] : []));

export function is_machine(value: unknown): value is Machine {
  if (typeof value !== "object" || value === null) return false;
  if (machines.has(value as Machine)) return true;
  try {
    vmstat(value as Machine);
    return true;
  } catch {
    return false;
  }
}
/** Places below the current folder as people write them. */
export const from_here = (text: string): string => text.replaceAll(`${process.cwd()}/`, "");
