/** Random programs: a list of steps, run on a machine whose every count is compared with the model after each. */
import fc from "fast-check";
import { flush_work, munmap, shutdown, vmstat, type MachineOptions } from "user-page";
import { acquire, type Step } from "./acquire.js";
import { change, map } from "./change.js";
import { PAGE, slot_addr, SLOT_PAGES, SLOTS, World } from "./world.js";

const STEPS: Readonly<Record<string, Step>> = { ...acquire, ...change };

export interface Op {
  readonly step: string;
  readonly a: number;
  readonly b: number;
  readonly c: number;
}
const arg = fc.nat(65535);
export const program: fc.Arbitrary<Op[]> = fc.array(
  fc.record({ step: fc.constantFrom(...Object.keys(STEPS)), a: arg, b: arg, c: arg }),
  { minLength: 1, maxLength: 60, size: "max" },
);

/** Told of the world at its beginning; what it returns is called after each step. */
export type Watch = (w: World) => () => void;
/** Runs a program to its end, where everything is given back; what each step answered, and the counters after it. */
export function run(options: MachineOptions, ops: readonly Op[], watch?: Watch): unknown[] {
  const w = new World(options);
  const look = watch?.(w);
  try {
    for (let task = 0; task < 2; task++) {
      for (let slot = 0; slot < SLOTS; slot++) {
        map(w, { task, slot, page: 0, nr: SLOT_PAGES, addr: slot_addr(slot) as never }, 3);
      }
    }
    w.check();
    const trace: unknown[] = [];
    for (const { step, a, b, c } of ops) {
      w.begin_step();
      const answer = STEPS[step]!(w, a, b, c);
      w.check();
      look?.();
      trace.push([step, answer, w.completed.splice(0), vmstat(w.machine)]);
    }
    trace.push(give_back(w));
    return trace;
  } finally {
    w.machine[Symbol.dispose]();
  }
}
function give_back(w: World): unknown {
  flush_work(w.machine);
  w.check();
  for (const holding of w.holdings.splice(0).reverse()) holding.release(holding.pins.length);
  w.check();
  w.fragments?.[Symbol.dispose]();
  w.fragments = null;
  w.withheld.clear();
  for (const task of w.tasks) munmap(task, slot_addr(0) as never, SLOTS * SLOT_PAGES * PAGE);
  w.check();
  for (const file of w.files) file[Symbol.dispose]();
  const huge_zero = w.state.huge_zero_pfn === 0 ? 0 : 512;
  const free = vmstat(w.machine).nr_free_pages;
  if (free + huge_zero !== w.free_at_start) {
    throw new Error(`${w.free_at_start - free - huge_zero} pages did not come back`);
  }
  const { leaks, lost_pages } = shutdown(w.machine);
  if (leaks.length > 0 || lost_pages > 0) throw new Error(`${lost_pages} pages lost, or leaks`);
  return [free, huge_zero];
}
