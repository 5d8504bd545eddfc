// Compares what the model did with what the kernel did, row by row.
import { execute, type Observations } from "./execute.js";
import { parse } from "./parse.js";
import type { Row } from "./rows.js";
import type { Answer, Reading } from "./scenario.js";

export interface Numbers {
  readonly acquired: number;
  readonly released: number;
  readonly result: string;
}
export type Verdict =
  | { readonly row: Row; readonly verdict: "matched"; readonly model: Numbers }
  | { readonly row: Row; readonly verdict: "mismatched"; readonly model: Numbers | string }
  | { readonly row: Row; readonly verdict: "not in scope"; readonly reason: string };

function spell(answer: Answer, spelling: Reading["spelling"]): string {
  const failed = typeof answer === "string";
  switch (spelling) {
    case "system call":
      return failed ? `-1 ${answer}` : String(answer);
    case "node":
      return String(answer);
    case "node promise":
      return failed ? answer : "[object Object]"; // { bytesRead, buffer }, spelled as the recorder did
    case "nothing":
      return failed ? answer : "ok";
    case "exit status":
      return failed ? "1" : "0";
    case "pending":
      return failed ? answer : "pending";
  }
}
/**
 * Runs what the rows ask for, each scenario once however many of its steps have a row.
 *
 * @param debug - on machines in debug mode
 * @param on_progress - is told after each row how many of how many are done
 */
export function compare(
  rows: readonly Row[],
  debug = false,
  on_progress?: (done: number, of: number) => void,
): Verdict[] {
  const runs = new Map<string, Observations | string>();
  const run = ({ scenario }: Reading): Observations | string => {
    const key = JSON.stringify(scenario);
    let seen = runs.get(key);
    if (seen === undefined) {
      try {
        seen = execute(scenario, debug);
      } catch (error) {
        seen = error instanceof Error ? `${error.name}: ${error.message}` : "an unknown error";
      }
      runs.set(key, seen);
    }
    return seen;
  };
  const judge = (row: Row): Verdict => {
    const reading = parse(row);
    if ("reason" in reading) return { row, verdict: "not in scope", reason: reading.reason };
    const seen = run(reading);
    if (typeof seen === "string") return { row, verdict: "mismatched", model: seen };
    const step = seen.get(reading.step);
    if (!step) return { row, verdict: "mismatched", model: `no step "${reading.step}" was run` };
    const { acquired, released, answer } = step;
    const model: Numbers = { acquired, released, result: spell(answer, reading.spelling) };
    const same =
      acquired === row.acquired && released === row.released && model.result === row.result;
    return { row, verdict: same ? "matched" : "mismatched", model };
  };
  return rows.map((row, i) => {
    const verdict = judge(row);
    on_progress?.(i + 1, rows.length);
    return verdict;
  });
}
