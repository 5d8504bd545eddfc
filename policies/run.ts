/** Runs scenarios on policies, each on a machine of its own, and says what came of it. */
import { shutdown, writeback_stats, type Objective, type PolicyName } from "user-page";
import type { Scenario } from "./scenario.js";
import { World } from "./world.js";

/** What came of one scenario under one policy. */
export interface Outcome {
  /** objectives that were violated */
  readonly violated: readonly Objective[];
  /** pages that were on the disk with a wrong checksum at some time */
  readonly torn: number;
  /** pages whose last bytes were not on the disk after the last fsync() and a power cut */
  readonly lost: number;
  /** whether fsync() got its bytes to the disk while the page was pinned; null where nobody looked */
  readonly reached: boolean | null;
  /** pins that were refused */
  readonly refused: number;
  /** calls that failed, and how */
  readonly errors: readonly string[];
  /** pages written from a copy, passed over while they were pinned, and written in place though pinned */
  readonly copied: number;
  readonly skipped: number;
  readonly written_pinned: number;
  /** a report of each objective that was violated: the page's history, a line each */
  readonly histories: ReadonlyArray<readonly string[]>;
}
/** One run. */
export function run_scenario(scenario: Scenario, policy: PolicyName, debug = false): Outcome {
  const world = new World(policy, debug);
  scenario.run(world);
  world.fsync();
  world.look();
  const { copied, skipped, written_pinned } = writeback_stats(world.fs);
  const { violations } = world.objectives;
  const outcome: Outcome = {
    violated: (["O1", "O2"] as const).filter((o) => violations.some((v) => v.objective === o)),
    torn: world.torn.size,
    lost: world.lost(),
    reached: world.reached,
    refused: world.refused,
    errors: world.errors,
    copied,
    skipped,
    written_pinned,
    histories: violations.map(({ history }) => history),
  };
  world[Symbol.dispose]();
  const { leaks, lost_pages } = shutdown(world.machine);
  if (leaks.length > 0) throw new Error(`${scenario.name}: ${leaks.length} references leaked`);
  if (lost_pages > 0) throw new Error(`${scenario.name}: ${lost_pages} pages lost`);
  return outcome;
}
/** What went wrong, in words; empty if nothing did. */
export function verdict(outcome: Outcome): string[] {
  const { violated, torn, lost, reached, refused, errors } = outcome;
  return [
    ...(refused > 0 ? ["refused"] : []),
    ...violated,
    ...(torn > 0 ? ["torn"] : []),
    ...(lost > 0 ? ["lost"] : []),
    ...(reached === false ? ["not synced"] : []),
    ...new Set(errors.map((error) => error.split(": ")[1]!)),
  ];
}
