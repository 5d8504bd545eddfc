/** The child's half of the line protocol in driver.ts: "ready", then for each line read one number, ns per operation. */
import { readSync, writeSync } from "node:fs";

/** What one process measures, and nothing else: the optimizer sees one use of each function. */
export interface Workload {
  /** does `n` windows */
  readonly chunk: (n: number) => void;
  /** done before each chunk, not timed */
  readonly before?: () => void;
  /** operations in a window */
  readonly per_window: number;
  /** throws unless every count is as it must be after all that */
  readonly check: () => void;
}

const CHUNK_NS = 4e6;
const WARM_UP_NS = 150e6;
const now_ns = (): number => Number(process.hrtime.bigint());

function time(workload: Workload, windows: number): number {
  workload.before?.();
  const start = now_ns();
  workload.chunk(windows);
  return now_ns() - start;
}
/** The smallest of five: what was interrupted does not count. */
function round(workload: Workload, windows: number): number {
  let best = Infinity;
  for (let i = 0; i < 5; i++) best = Math.min(best, time(workload, windows));
  return best / (windows * workload.per_window);
}
function read_line(): boolean {
  const buffer = Buffer.alloc(64);
  for (;;) {
    try {
      return readSync(0, buffer) > 0;
    } catch (error) {
      const { code } = error as NodeJS.ErrnoException;
      if (code === "EOF") return false;
      if (code !== "EAGAIN") throw error;
      Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, 1);
    }
  }
}
export function serve(workload: Workload): void {
  const start = now_ns();
  let windows = 1;
  while (time(workload, windows) < CHUNK_NS) windows *= 2;
  while (now_ns() - start < WARM_UP_NS) time(workload, windows);
  // Optimized by now: what filled a chunk at first may be too little.
  while (time(workload, windows) < CHUNK_NS) windows *= 2;
  writeSync(1, "ready\n");
  while (read_line()) writeSync(1, `${round(workload, windows).toFixed(6)}\n`);
  workload.check();
}
