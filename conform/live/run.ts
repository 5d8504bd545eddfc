// A run: case after case until the time or the number is reached.
import type { ClassName, LiveCase } from "./case.js";
import { Counters, minus } from "./counters.js";
import { ALL_CLASSES, generate, type Limits } from "./generate.js";
import { look_at_host, Skip, type Host } from "./host.js";
import { Judge, type Verdict } from "./judge.js";
import { Contents, Kernel } from "./kernel.js";
import { Model } from "./model.js";
import { shrink } from "./shrink.js";
import { Throttle } from "./throttle.js";

export interface RunOptions {
  /** a folder on ext4 or xfs */
  readonly dir: string;
  readonly seed: number;
  /** number of cases, or Infinity */
  readonly cases: number;
  /** of time, or Infinity */
  readonly seconds: number;
  /** this one only */
  readonly only?: number;
  /** the model's machine in debug mode */
  readonly debug?: boolean;
  /** false: no control group is made, and no request looked at in flight */
  readonly in_flight?: boolean;
  /** false: as without root */
  readonly refresh?: boolean;
  readonly on_progress?: (so_far: Summary) => void;
  /** ends the run after the case it is at */
  readonly signal?: AbortSignal;
}
export interface ClassSummary {
  cases: number;
  /** the kernel transferred all or a part of what was asked */
  transferred: number;
  refused: number;
  mismatched: number;
  repeats: number;
  /** only results and bytes were compared */
  loud: number;
  /** equal if new blocks were allocated in more pieces than can be seen */
  unseen: number;
}
export interface Mismatch {
  readonly verdict: Verdict;
  /** the smallest case found that differs too */
  readonly smallest: Verdict;
}
export interface Summary extends ClassSummary {
  readonly host: Host;
  readonly seed: number;
  seconds: number;
  /** counters were exact for each case; else for many together */
  readonly exact: boolean;
  readonly classes: Record<ClassName, ClassSummary>;
  /** classes that were left out, and why */
  readonly left_out: Partial<Record<ClassName, string>>;
  readonly mismatches: Mismatch[];
}
/** Mismatches a run collects before it stops. */
const MOST_MISMATCHES = 10;
/** Cases counted together without root: each window takes more than two seconds. */
const TOGETHER = 64;

const empty = (): ClassSummary => ({
  cases: 0,
  transferred: 0,
  refused: 0,
  mismatched: 0,
  repeats: 0,
  loud: 0,
  unseen: 0,
});
function account(summary: Summary, verdict: Verdict): void {
  const { one, differences, loud, unseen, repeats, result } = verdict;
  for (const into of [summary, summary.classes[one.name]]) {
    into.cases++;
    if (/^\d+$/.test(result)) into.transferred++;
    else into.refused++;
    into.mismatched += Number(differences.length > 0);
    into.repeats += repeats;
    into.loud += Number(loud);
    into.unseen += Number(unseen > 0);
  }
}
/**
 * Whether untouched memory is pinned without being counted, page by page, as the cases assume.  The model has no say: of four
 * pages one was written.
 */
async function has_small_zero_pages(kernel: Kernel, counters: Counters): Promise<boolean> {
  const probe: LiveCase = {
    seed: 0,
    number: 0,
    name: "zero page",
    op: "write",
    vector: false,
    way: "sync",
    layout: { pieces: [{ state: "data", blocks: 4 }], size: 16384, scattered: false },
    position: 0,
    pages: "uwru",
    iovs: [[0, 16384]],
  };
  const seen = new Set<number>();
  for (let i = 0; i < (counters.exact ? 5 : 2); i++) {
    const { call, after } = await kernel.prepare(probe);
    const before = await counters.settled();
    await call(null);
    const then = await counters.settled();
    await after();
    const acquired = before && then ? minus(then, before).acquired : NaN;
    if (acquired === 1) return true;
    seen.add(acquired);
  }
  return seen.size > 1; // others pin, and it is not known
}
/** @throws Skip when nothing can be compared */
export async function run(options: RunOptions): Promise<Summary> {
  const host = look_at_host(options.dir);
  const counters = new Counters(options.refresh ?? true);
  const contents = new Contents(options.seed);
  const throttle =
    options.in_flight === false
      ? "it was not asked for"
      : !counters.exact
        ? "the counters are not exact at once"
        : host.device === null
          ? "the disk is not known"
          : Throttle.make(host.device);
  const is_slow = typeof throttle !== "string";
  const summary: Summary = {
    ...empty(),
    host,
    seed: options.seed,
    seconds: 0,
    exact: counters.exact,
    classes: Object.fromEntries(ALL_CLASSES.map((name) => [name, empty()])) as Summary["classes"],
    left_out: is_slow ? {} : { "in flight": throttle },
    mismatches: [],
  };
  let kernel: Kernel | null = null;
  const model = new Model(host.limits, contents, options.debug);
  try {
    kernel = new Kernel(options.dir, contents, is_slow ? throttle : null);
    const judge = new Judge(kernel, model, counters);
    const { dma_alignment } = host.limits;
    const limits = (): Limits => ({
      classes: ALL_CLASSES.filter((name) => summary.left_out[name] === undefined),
      dma_alignment,
    });
    if (!(await has_small_zero_pages(kernel, counters))) {
      throw new Skip("untouched memory is not made of small zero pages here (huge pages?)");
    }
    await cases_of(options, summary, judge, limits());
  } catch (error) {
    throw refused_direct_io(error) ?? error;
  } finally {
    await kernel?.close();
    model.close();
    if (is_slow) throttle.close();
    counters.close();
  }
  // Mismatched cases may well lose pages; others may not.
  if (summary.mismatched === 0 && model.lost_pages > 0) {
    throw new Error(`the model lost ${model.lost_pages} pages, seed ${options.seed}`);
  }
  return summary;
}
function refused_direct_io(error: unknown): Skip | null {
  const is_open = error instanceof Error && "syscall" in error && error.syscall === "open";
  const refused = is_open && "code" in error && error.code === "EINVAL";
  return refused ? new Skip("the file system refuses O_DIRECT") : null;
}
async function cases_of(
  { seed, cases, seconds, only, on_progress, signal }: RunOptions,
  summary: Summary,
  judge: Judge,
  limits: Limits,
): Promise<void> {
  const begun = performance.now();
  const first = only ?? 0;
  const end = only === undefined ? cases : only + 1;
  const step = summary.exact ? 1 : TOGETHER;
  for (let number = first; number < end; number += step) {
    const count = Math.min(step, end - number);
    const some = Array.from({ length: count }, (_, i) => generate(seed, number + i, limits));
    for (const verdict of await judge.judge_together(some)) {
      account(summary, verdict);
      if (verdict.differences.length === 0) continue;
      const smallest = await shrink(verdict, (one) => judge.judge(one));
      summary.mismatches.push({ verdict, smallest });
    }
    summary.seconds = (performance.now() - begun) / 1000;
    on_progress?.(summary);
    const enough = summary.mismatches.length >= MOST_MISMATCHES;
    if (enough || summary.seconds >= seconds || signal?.aborted === true) return;
  }
}
