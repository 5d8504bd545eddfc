// What a run found, as text and as JSON.
import { describe, type ClassName } from "./case.js";
import { MODELLED, type Host } from "./host.js";
import type { Verdict } from "./judge.js";
import type { ClassSummary, Mismatch, Summary } from "./run.js";

export const host_line = ({ release, fs, device, limits }: Host): string =>
  `Linux ${release}, ${fs} on ${device ?? "an unknown disk"} (memory aligned to ${limits.dma_alignment})`;
export const remark_of = (host: Host): string | null =>
  host.is_modelled
    ? null
    : `This is not Linux ${MODELLED}, which the model models: what differs may differ between the kernels.`;

const row = (name: string, cells: ReadonlyArray<number | string>): string =>
  name.padEnd(14) + cells.map((cell) => String(cell).padStart(12)).join("");
const cells_of = (one: ClassSummary): number[] => [
  one.cases,
  one.transferred,
  one.refused,
  one.mismatched,
  one.repeats,
  one.loud,
];
const differences_of = ({ differences }: Verdict): string[] =>
  differences.flatMap(({ aspect, kernel, model }) => [
    `  ${aspect.padEnd(8)} kernel ${kernel}`,
    `           model  ${model}`,
  ]);
const command_of = ({ one }: Verdict): string =>
  `npm run conform:live -- --seed ${one.seed} --case ${one.number}`;
function lines_of({ verdict, smallest }: Mismatch): string[] {
  const lines = ["", `mismatch: ${command_of(verdict)}`];
  for (const line of describe(verdict.one)) lines.push(`  ${line}`);
  lines.push(...differences_of(verdict));
  if (smallest === verdict) return lines;
  lines.push("  the smallest like it:");
  for (const line of [...describe(smallest.one), ...differences_of(smallest)]) {
    lines.push(`    ${line.trimStart()}`);
  }
  return lines;
}
export function to_text(summary: Summary): string {
  const head = ["cases", "transferred", "refused", "mismatched", "repeats", "uncounted"];
  const lines = [row("", head)];
  for (const [name, one] of Object.entries(summary.classes)) {
    const why = summary.left_out[name as ClassName];
    if (why !== undefined) lines.push(`${name.padEnd(14)}  left out: ${why}`);
    else if (one.cases > 0) lines.push(row(name, cells_of(one)));
  }
  lines.push(row("all", cells_of(summary)));
  const { cases, seconds, mismatched, loud, unseen } = summary;
  const rate = seconds > 0 ? Math.round((cases / seconds) * 60) : 0;
  const found = mismatched === 0 ? "no mismatch" : `${mismatched} mismatch(es)`;
  lines.push("", `${cases} cases in ${seconds.toFixed(1)} s (${rate} a minute): ${found}.`);
  if (!summary.exact) lines.push("Without root the counters were compared for many cases at once.");
  if (unseen > 0) {
    lines.push(
      `${unseen} writes to new blocks pinned as if these had been allocated in a few pieces more than can be seen.`,
    );
  }
  if (loud > 0) {
    lines.push(
      `Others pinned pages all the time: in ${loud} cases results and bytes were compared, the counters were not.`,
    );
  }
  for (const mismatch of summary.mismatches) lines.push(...lines_of(mismatch));
  const remark = remark_of(summary.host);
  if (mismatched > 0 && remark !== null) lines.push("", remark);
  return lines.join("\n");
}
export function to_json(summary: Summary): string {
  const mismatches = summary.mismatches.map(({ verdict, smallest }) => ({
    command: command_of(verdict),
    case: verdict.one,
    differences: verdict.differences,
    smallest: { case: smallest.one, differences: smallest.differences },
  }));
  return JSON.stringify({ ...summary, mismatches }, null, 1);
}
