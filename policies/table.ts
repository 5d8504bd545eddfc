/** The table of docs/pins-and-writeback.md: every scenario under every policy, and what each policy cost. */
import { WRITEBACK_POLICIES, type PolicyName } from "user-page";
import { run_scenario, verdict, type Outcome } from "./run.js";
import type { Scenario } from "./scenario.js";
import { SCENARIOS } from "./scenarios.js";

export const POLICIES = Object.keys(WRITEBACK_POLICIES) as PolicyName[];
/** What came of each scenario under each policy. */
export type Results = ReadonlyMap<Scenario, ReadonlyMap<PolicyName, Outcome>>;

export function run_all(debug: boolean): Results {
  const under_each = (scenario: Scenario) =>
    new Map(POLICIES.map((policy) => [policy, run_scenario(scenario, policy, debug)] as const));
  return new Map(SCENARIOS.map((scenario) => [scenario, under_each(scenario)]));
}
const COSTS: ReadonlyArray<readonly [name: string, cost: keyof Outcome]> = [
  ["_pages copied_", "copied"],
  ["_pages passed over_", "skipped"],
  ["_written in place, pinned_", "written_pinned"],
  ["_pins refused_", "refused"],
];
function total(results: Results, policy: PolicyName, cost: keyof Outcome): string {
  let sum = 0;
  for (const outcomes of results.values()) sum += Number(outcomes.get(policy)![cost]);
  return String(sum);
}
/** In Markdown, with the meaning of each scenario's name below. */
export function policy_table(results: Results): string {
  const cell = (outcome: Outcome): string => verdict(outcome).join(" ") || "kept";
  const rows = [
    ["scenario", ...POLICIES.map((policy) => (policy === "hold" ? `**${policy}**` : policy))],
    ...Array.from(results, ([{ name, unconverted }, outcomes]) => [
      unconverted ? `${name} *` : name,
      ...POLICIES.map((policy) => cell(outcomes.get(policy)!)),
    ]),
    ...COSTS.map(([name, cost]) => [name, ...POLICIES.map((p) => total(results, p, cost))]),
  ];
  const widths = rows[0]!.map((_, i) => Math.max(...rows.map((row) => row[i]!.length)));
  const lines = rows.map((row) => `| ${row.map((c, i) => c.padEnd(widths[i]!)).join(" | ")} |`);
  lines.splice(1, 0, `| ${widths.map((width) => "-".repeat(width)).join(" | ")} |`);
  const meanings = Array.from(results.keys(), ({ name, about }) => `- **${name}**: ${about}.`);
  return [lines.join("\n"), meanings.join("\n")].join("\n\n");
}
const BEGIN =
  "<!-- the table, made by `node scripts/policy-docs.mjs`; a test fails when it is stale -->";
const END = "<!-- end of the table -->";
/** The page with its table made anew. */
export function with_table(page: string, table: string): string {
  const begin = page.indexOf(BEGIN);
  const end = page.indexOf(END);
  if (begin < 0 || end < begin) throw new Error("the page has no place for the table");
  return `${page.slice(0, begin + BEGIN.length)}\n\n${table}\n\n${page.slice(end)}`;
}
