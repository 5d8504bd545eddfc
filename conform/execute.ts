// Runs a scenario on a machine of its own.
import { boot, PAGE_SIZE, shutdown, type ShutdownReport } from "user-page";
import { bytes_of, thp_anon_of } from "./memory.js";
import { Run, type Observations } from "./run.js";
import type { Call, Iov, Scenario } from "./scenario.js";

export type { Observations } from "./run.js";

/** What the machine itself needs, page tables not counted. */
const SPARE = 4 << 20;

const CACHED: ReadonlyArray<Call["call"]> = ["buffered io", "copy file", "splice", "mmap populate"];

/** The smallest limit on locked memory, in pages, with which the buffer can be registered; each trial on a machine of its own. */
function smallest_limit({ buffers, disk }: Scenario, iov: Iov): number {
  const suffices = (pages: number): boolean => {
    const calls: Call[] = [
      { call: "limit locked memory", pages },
      { call: "register", ring: "A", iovs: [iov] },
    ];
    const steps = [{ name: "register", calls, answer: "last" }] as const;
    return execute({ buffers, disk, steps }).get("register")!.answer === 0;
  };
  let enough = 1;
  while (!suffices(enough)) enough *= 2;
  for (let too_few = Math.floor(enough / 2); enough - too_few > 1;) {
    const middle = Math.floor((too_few + enough) / 2);
    if (suffices(middle)) enough = middle;
    else too_few = middle;
  }
  return enough;
}
const page_align = (bytes: number): number => Math.ceil(bytes / PAGE_SIZE) * PAGE_SIZE;
/** Whether a page cache may hold all of the file, and of a copy of it. */
function is_cached({ file_system, steps }: Scenario): boolean {
  const calls = steps.flatMap((step) => step.calls);
  return file_system === "btrfs" || calls.some(({ call }) => CACHED.includes(call));
}
/** What each step did to the counters, and what it answered. */
export function execute(scenario: Scenario, debug = false): Observations {
  const kernel = SPARE + (is_cached(scenario) ? 2 * page_align(scenario.disk) : 0);
  const needed = scenario.buffers.reduce((sum, buffer) => sum + bytes_of(buffer), kernel);
  // Where each of thousands of pins was made takes longer to note than all the rest.
  const level = needed > SPARE + (1 << 20) ? "owners" : true;
  const machine = boot({
    mem: needed,
    thp_anon: thp_anon_of(scenario.buffers),
    CONFIG_DEBUG_USER_PAGE_REFERENCES: debug && level,
  });
  let observed: Observations;
  let left: ShutdownReport;
  try {
    observed = new Run(machine, scenario, (iov) => smallest_limit(scenario, iov)).run();
  } finally {
    left = shutdown(machine);
  }
  // Whatever was counted, a row that keeps something is not run as the kernel ran it.
  if (left.leaks.length + left.lost_pages > 0) throw new Error("references were left");
  return observed;
}
