/** Every failure on the way of a driver that is right. */
import { FAULT_CAPABILITIES, format_injection, type InjectionReport } from "user-page";
import { expect } from "vitest";
import { debug_mode } from "../fixtures.js";

/** A driver with its world; with seeds instead of each failure for itself. */
export interface Subject {
  readonly name: string;
  readonly run: (how: { readonly seeds?: number }) => InjectionReport;
}
const ALL_FINE = /^\d+ failures? injected, one in each run: all fine$/;
/** inject_each() has its own level of debug mode: the two runs of a test are one of each failure, and one of several at once. */
export function expect_all_fine({ run }: Subject): void {
  if (debug_mode) expect(format_injection(run({ seeds: 25 }))).toBe("25 seeds tried: all fine");
  else expect_each_fine(run({}));
}
/** One failure in each run, nothing left out, nothing wrong, and the driver is told what the table of capabilities says. */
function expect_each_fine(report: InjectionReport): void {
  expect(format_injection(report)).toMatch(ALL_FINE);
  expect(report.skipped).toEqual([]);
  for (const { spec, injected, outcome, errno } of report.runs) {
    expect(injected, spec).toHaveLength(1);
    expect(outcome, spec).not.toBe("exception");
    const told: readonly string[] = FAULT_CAPABILITIES[injected[0]!.name].errno;
    if (errno !== null) expect(told, spec).toContain(errno);
  }
}
