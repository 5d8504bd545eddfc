/**
 * Failures on purpose: each point that can fail asks here, and is counted.  Models what lib/fault-inject.c is used for.
 * While nobody injects, a point costs one comparison with null.
 */

import type { Machine } from "../handle/context.js";
import { add_holder } from "./context.js";
import {
  FAULT_NAMES,
  format_fault,
  parse_fault_spec,
  type FaultName,
  type FaultPoint,
  type FaultSpec,
} from "./fault_spec.js";
import { machine_state, MachineState, throw_misuse } from "./machine.js";
import { place_of } from "./site.js";

/** Of all requests a seed fails one in so many. */
const SEED_RATE = 24;
/** A seed draws numbers up to this many above the least. */
const MAX_DRAWN = 4096;
/** The tasks that a seed kills are fewer: one that is dead tries nothing more. */
const SEED_KILL_RATE = 96;

/** Ranges that are kept of each capability; a request behind them fails with its usual number. */
const MAX_RANGES = 65536;

/** A failure that was forced. */
export interface InjectedFault {
  readonly name: FaultName;
  /** from 1 */
  readonly nth: number;
  /** as the table of capabilities says; null where there is none */
  readonly value: number | null;
  /** the function that failed */
  readonly called: string;
  /** where it was called: file:line:column of the first line outside this library */
  readonly at: string;
}
/** What was asked of a machine, and what failed. */
export interface Injection {
  /** as it was given to boot(); null without */
  readonly spec: string | null;
  /** how often each capability was asked */
  readonly asked: Readonly<Record<FaultName, number>>;
  readonly injected: readonly InjectedFault[];
  /** the specification that fails the same again, without a seed; "" if nothing failed */
  readonly line: string;
}
/** A request that its disk holds back. */
interface Held {
  readonly start: () => void;
  /** requests that end before; Infinity: until somebody waits */
  others: number;
}
/** What fails on one machine.  Counts also what does not. */
export class FaultPlan {
  readonly spec: FaultSpec;
  readonly asked: Record<FaultName, number>;
  readonly injected: InjectedFault[] = [];
  /** above 0 while nothing fails and nothing is counted */
  paused = 0;
  /**
   * For each request of a capability that takes a number, the first so many: the least and the greatest it could have taken
   * there.  null while nobody wants to know.
   */
  ranges: Map<FaultName, Array<readonly [least: number, most: number]>> | null = null;
  readonly #points: ReadonlyMap<string, FaultPoint>;
  readonly #held: Held[] = [];
  constructor(spec: FaultSpec) {
    this.spec = spec;
    this.#points = new Map(spec.points.map((point) => [`${point.name}@${point.nth}`, point]));
    this.asked = Object.fromEntries(FAULT_NAMES.map((name) => [name, 0])) as typeof this.asked;
  }
  /** The specification of what failed until now. */
  get line(): string {
    return this.injected.map(format_fault).join(",");
  }
  /** What makes the same fail again, and which seed drew it. */
  get again(): { readonly inject: string; readonly drawn: string } {
    const { seed } = this.spec;
    return { inject: this.line, drawn: seed === null ? "" : `, drawn by seed ${seed}` };
  }
  /** Counts one request; its number if it fails, else 0. */
  #ask(name: FaultName): number {
    const nth = ++this.asked[name];
    const { seed } = this.spec;
    if (seed === null) return this.#points.has(`${name}@${nth}`) ? nth : 0;
    const rate = name === "kill_wait" ? SEED_KILL_RATE : SEED_RATE;
    return draw(seed, name, nth, 0) * rate < 1 ? nth : 0;
  }
  /** Whether this request fails. */
  ask(machine: MachineState, name: FaultName, called: string): boolean {
    if (this.paused > 0) return false;
    const nth = this.#ask(name);
    if (nth === 0) return false;
    this.#force(machine, { name, nth, value: null, called });
    return true;
  }
  /** The number with which this request fails, `least` to `most`; -1 if it does not. */
  ask_value(
    machine: MachineState,
    name: FaultName,
    called: string,
    [least, most, usual]: readonly [least: number, most: number, usual: number],
  ): number {
    if (this.paused > 0) return -1;
    const nth = this.#ask(name);
    if (this.ranges !== null) keep_range(this.ranges, name, [least, most]);
    if (nth === 0) return -1;
    const { seed } = this.spec;
    const given =
      seed === null
        ? (this.#points.get(`${name}@${nth}`)!.value ?? usual)
        : least + Math.floor(draw(seed, name, nth, 1) * Math.min(most - least + 1, MAX_DRAWN));
    const value = Math.min(Math.max(given, least), most);
    this.#force(machine, { name, nth, value: Number.isFinite(value) ? value : null, called });
    return value;
  }
  #force(machine: MachineState, fault: Omit<InjectedFault, "at">): void {
    this.injected.push({ ...fault, at: place_of() });
    const at = format_fault(fault);
    machine.printk(`FAULT_INJECTION: forcing a failure: ${at} in ${fault.called}`);
  }

  // --- requests that are held back -----------------------------------------------------------------------
  /** Keeps a request from its driver until `others` have ended. */
  hold(start: () => void, others: number): void {
    this.#held.push({ start, others });
  }
  /** A request ended. */
  other_ended(): void {
    for (const held of this.#held) held.others--;
    for (let i = this.#held.findIndex(({ others }) => others <= 0); i >= 0;) {
      this.#held.splice(i, 1)[0]!.start();
      i = this.#held.findIndex(({ others }) => others <= 0);
    }
  }
  /** Somebody waits, or lets the devices complete: the oldest goes.  Whether there was one. */
  let_one_go(): boolean {
    const held = this.#held.shift();
    held?.start();
    return held !== undefined;
  }
}
type Ranges = NonNullable<FaultPlan["ranges"]>;
function keep_range(all: Ranges, name: FaultName, range: readonly [number, number]): void {
  const ranges = all.get(name) ?? [];
  if (ranges.length === 0) all.set(name, ranges);
  if (ranges.length < MAX_RANGES) ranges.push(range);
}
/** A number from 0 to 1 that depends on nothing else, so that a point fails alike whatever others do. */
function draw(seed: number, name: string, nth: number, which: number): number {
  let x = (seed ^ Math.imul(nth * 2 + which + 1, 0x9e3779b1)) | 0;
  for (let i = 0; i < name.length; i++) x = Math.imul(x ^ name.charCodeAt(i), 0x01000193);
  // the end of mulberry32
  x = Math.imul(x ^ (x >>> 15), 1 | x);
  x ^= x + Math.imul(x ^ (x >>> 7), 61 | x);
  return ((x ^ (x >>> 14)) >>> 0) / 2 ** 32;
}

/** Call as `if (machine.faults !== null && should_fail(machine, …))`.  Models should_fail(). */
export function should_fail(machine: MachineState, name: FaultName, called: string): boolean {
  return machine.faults?.ask(machine, name, called) ?? false;
}
/** The same where a number says how far the call gets: that number, or -1. */
export function fail_after(
  machine: MachineState,
  name: FaultName,
  called: string,
  range: readonly [least: number, most: number, usual: number],
): number {
  return machine.faults?.ask_value(machine, name, called, range) ?? -1;
}
/**
 * How many of `nr` pages a call gets that takes them one by one; `nr` if nothing fails.  What it stops at cannot be
 * accessed.
 */
export function pages_before_fault(machine: MachineState, nr: number, called: string): number {
  if (nr === 0) return 0;
  const fault = fail_after(machine, "fault_in_pin", called, [0, nr - 1, 0]);
  if (fault >= 0) return fault;
  if (nr === 1) return nr;
  const short = fail_after(machine, "short_pin", called, [1, nr - 1, nr >> 1]);
  return short >= 0 ? short : nr;
}

// --- a machine's plan -------------------------------------------------------------------------------------
const plans = new WeakMap<MachineState, FaultPlan>();
/** Gives a machine its plan; from here on its points are counted, and fail. */
export function inject_faults(machine: MachineState, spec: FaultSpec): void {
  const plan = new FaultPlan(spec);
  plans.set(machine, plan);
  machine.faults = plan;
  add_holder(machine, () => plan.let_one_go());
}
export function plan_of(machine: MachineState): FaultPlan | undefined {
  return plans.get(machine);
}
/**
 * Runs `body`, in which nothing is made to fail and nothing is counted (ours).  What is held back still goes when somebody waits.
 *
 * @example
 * using failing = boot({ inject: "fail_page_alloc@1" });
 * const task = without_faults(failing, () => create_task(failing));
 * console.log(IS_ERR(alloc_page(task))); // -> true
 */
export function without_faults<T>(machine: Machine, body: () => T): T {
  const { faults } = machine_state(machine);
  if (typeof body !== "function") throw new RangeError("without_faults(): body is no function");
  if (faults) faults.paused++;
  try {
    return body();
  } finally {
    if (faults) faults.paused--;
  }
}
/**
 * What was asked of a machine that `boot({ inject })` made, and what failed (ours); also after its end.  Plain data.
 *
 * @example
 * using failing = boot({ inject: "fail_page_alloc@2" });
 * const task = create_task(failing);
 * const first = alloc_page(task);
 * const second = alloc_page(task);
 * console.log(IS_ERR(second) && second.errno, injection(failing).line); // -> ENOMEM fail_page_alloc@2
 * if (!IS_ERR(second)) put_page(second);
 * if (!IS_ERR(first)) put_page(first);
 */
export function injection(machine: Machine): Injection {
  if (!(machine instanceof MachineState)) {
    throw_misuse("not-a-handle", "injection()", "no machine");
  }
  const plan = plans.get(machine);
  const none = new FaultPlan(parse_fault_spec(""));
  const { asked, injected, line } = plan ?? none;
  return { spec: plan?.spec.spec ?? null, asked: { ...asked }, injected: [...injected], line };
}
