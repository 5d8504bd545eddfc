/** What is printed: one row for each ratio, with its goal. */
import type { Ratio } from "./driver.js";

export interface Goal {
  readonly bound: "at most" | "at least";
  readonly value: number;
}
export interface Row {
  readonly section: string;
  readonly what: string;
  readonly ratio: Ratio;
  /** null: for information */
  readonly goal: Goal | null;
  /** printed behind the others */
  readonly note?: string;
}
export const at_most = (value: number): Goal => ({ bound: "at most", value });
export const at_least = (value: number): Goal => ({ bound: "at least", value });

export function is_met({ ratio, goal }: Row): boolean | null {
  if (goal === null) return null;
  return goal.bound === "at most" ? ratio.median <= goal.value : ratio.median >= goal.value;
}
function digits(x: number): string {
  return x >= 100 ? x.toFixed(0) : x >= 10 ? x.toFixed(1) : x.toFixed(2);
}
function cells(row: Row): [what: string, ratio: string, goal: string, met: string, note: string] {
  const { median, q1, q3 } = row.ratio;
  const met = is_met(row);
  return [
    row.what,
    `${digits(median)} (${digits(q1)} to ${digits(q3)})`,
    row.goal === null ? "" : `${row.goal.bound} ${row.goal.value}`,
    met === null ? "" : met ? "met" : "missed",
    row.note ?? "",
  ];
}
export function print_table(rows: readonly Row[]): string {
  const header = ["what", "ratio (quartiles)", "goal", "", ""];
  const table = rows.map(cells);
  const width = header.map((name, i) =>
    Math.max(name.length, ...table.map((row) => row[i]!.length)),
  );
  const line = (row: readonly string[]): string =>
    row
      .map((cell, i) => cell.padEnd(width[i]!))
      .join("  ")
      .trimEnd();
  const lines: string[] = [line(header), line(width.map((n) => "-".repeat(n)))];
  rows.forEach((row, i) => {
    if (i > 0 && rows[i - 1]!.section !== row.section) lines.push("");
    lines.push(line(table[i]!));
  });
  const goals = rows.map(is_met).filter((met) => met !== null);
  lines.push("", `${goals.filter((met) => met).length} of ${goals.length} goals met`);
  return lines.join("\n");
}
