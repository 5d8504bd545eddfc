/** What misuse of the API throws (ours): the sentence of the table, the handle and what to call instead. */

import { MISUSE, type MisuseId } from "../handle/kinds.js";

export interface MisuseReport {
  readonly id: MisuseId;
  /** one sentence, from the table */
  readonly sentence: string;
  /** the call that was made */
  readonly called: string;
  readonly handle: string;
  /** what to do instead, from the table */
  readonly instead: string;
  /** facts, a line each: who acquired it where, who released it where, the counts */
  readonly facts: readonly string[];
}

/** A misuse of the API (ours): never an error of the modelled world. */
export class MisuseError extends Error {
  override readonly name = "MisuseError";
  readonly report: MisuseReport;
  constructor(report: MisuseReport) {
    super(format_report(report));
    this.report = report;
  }
  get id(): MisuseId {
    return this.report.id;
  }
}

export function make_report(
  id: MisuseId,
  called: string,
  handle: string,
  facts: readonly string[],
): MisuseReport {
  const { sentence, instead } = MISUSE[id];
  return { id, sentence, called, handle, instead, facts };
}

/** The report as people read it (ours). */
export function format_report(report: MisuseReport): string {
  const { id, sentence, called, handle, instead, facts } = report;
  const lines = [
    `[${id}] ${called}: ${sentence}`,
    `  handle    ${handle}`,
    ...facts.map((fact) => `  ${fact}`),
    `  instead   ${instead}`,
  ];
  return lines.join("\n");
}
