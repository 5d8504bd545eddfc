// What a comparison says, as text and as JSON.
import type { Numbers, Verdict } from "./compare.js";

interface Share {
  matched: number;
  mismatched: number;
  not_in_scope: number;
}
export interface Summary extends Share {
  readonly rows: number;
  readonly rules: Record<string, Share & { reasons: Record<string, number> }>;
}
const rule_number = (rule: string): number => Number(/\d+/.exec(rule)?.[0] ?? Infinity);

export function summarize(verdicts: readonly Verdict[]): Summary {
  const total: Share = { matched: 0, mismatched: 0, not_in_scope: 0 };
  const rules: Summary["rules"] = {};
  const names = [...new Set(verdicts.map(({ row }) => row.rule))];
  names.sort((a, b) => rule_number(a) - rule_number(b) || (a < b ? -1 : 1));
  for (const name of names) {
    rules[name] = { matched: 0, mismatched: 0, not_in_scope: 0, reasons: {} };
  }
  for (const one of verdicts) {
    const rule = rules[one.row.rule]!;
    const key = one.verdict === "not in scope" ? "not_in_scope" : one.verdict;
    rule[key]++;
    total[key]++;
    if (one.verdict === "not in scope") {
      rule.reasons[one.reason] = (rule.reasons[one.reason] ?? 0) + 1;
    }
  }
  return { rows: verdicts.length, ...total, rules };
}
const numbers = ({ acquired, released, result }: Numbers): string =>
  `${acquired}/${released}, ${result}`;
const percent = (part: number, of: number): string =>
  of === 0 ? "0 %" : `${((100 * part) / of).toFixed(1)} %`;

export function to_text(verdicts: readonly Verdict[]): string {
  const summary = summarize(verdicts);
  const lines = ["rule      rows   matched  mismatched  not in scope"];
  const line = (name: string, share: Share): string => {
    const { matched, mismatched, not_in_scope } = share;
    const rows = matched + mismatched + not_in_scope;
    return [
      name.padEnd(8),
      String(rows).padStart(6),
      String(matched).padStart(10),
      String(mismatched).padStart(12),
      String(not_in_scope).padStart(14),
    ].join("");
  };
  for (const [name, share] of Object.entries(summary.rules)) {
    lines.push(line(name, share));
    const reasons = Object.entries(share.reasons).sort(([, a], [, b]) => b - a);
    for (const [reason, count] of reasons) {
      lines.push(`            ${String(count).padStart(4)} not in scope: ${reason}`);
    }
  }
  lines.push(line("all", summary));
  const in_scope = summary.matched + summary.mismatched;
  lines.push(
    "",
    `${in_scope} of ${summary.rows} rows are in scope (${percent(in_scope, summary.rows)}); the model does the same in ${summary.matched} of them (${percent(summary.matched, in_scope)}).`,
  );
  for (const { row, ...rest } of verdicts) {
    if (rest.verdict !== "mismatched") continue;
    const model = typeof rest.model === "string" ? rest.model : numbers(rest.model);
    lines.push(
      `mismatch: ${row.rule}, ${row.op}, ${row.params}, ${row.phase}`,
      `  kernel ${numbers(row)}`,
      `  model  ${model}`,
    );
  }
  return lines.join("\n");
}
export function to_json(verdicts: readonly Verdict[]): string {
  return JSON.stringify({ summary: summarize(verdicts), rows: verdicts }, null, 1);
}
