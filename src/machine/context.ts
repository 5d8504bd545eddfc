/// <reference lib="esnext.disposable" preserve="true" />
/** Where code runs: tasks, kworkers and softirqs, and the two queues that lead from one to the other. */

import { to_kworker, to_softirq } from "../handle/cast.js";
import type {
  AnyContext,
  Machine,
  Mm,
  ProcessContext,
  SoftirqContext,
  Task,
} from "../handle/context.js";
import { Fifo } from "./fifo.js";
import { MAX_SOFTIRQ_RUN } from "./limits.js";
import { machine_state, throw_misuse, type MachineState } from "./machine.js";
import { type Evidence } from "./misuse.js";
import { trace_softirq, trace_task, trace_work } from "./tracepoint.js";

/** What every context is at run time. */
export abstract class Context {
  readonly machine: MachineState;
  abstract readonly name: string;
  abstract readonly may_sleep: boolean;
  constructor(machine: MachineState) {
    this.machine = machine;
  }
}
export class TaskContext extends Context {
  readonly may_sleep = true;
  readonly mm: Mm;
  readonly pid: number;
  /** a SIGKILL is pending */
  killed = false;
  /** bytes of RLIMIT_MEMLOCK; mlock.ts counts */
  rlimit_memlock: number = 8 << 20;
  /** has CAP_IPC_LOCK: that limit does not hold */
  cap_ipc_lock = false;
  get name(): string {
    return `task ${this.pid}`;
  }
  constructor(machine: MachineState, mm: Mm) {
    super(machine);
    this.mm = mm;
    this.pid = machine.next_pid++;
  }
}
class KworkerContext extends Context {
  readonly may_sleep = true;
  readonly name = "kworker";
  readonly mm = null;
}
class SoftirqRun extends Context {
  readonly may_sleep = false;
  readonly name = "softirq";
  readonly mm = null;
}

/** A context as the library sees it. */
export function context_state(context: AnyContext, called: string): Context {
  if (!(context instanceof Context) || !context.machine.alive) {
    throw_misuse("not-a-handle", called, "no context of a running machine");
  }
  const { machine } = context;
  if (machine.tracers !== null && context instanceof TaskContext) trace_task(machine, context.pid);
  return context;
}
/** "task 1", "kworker" or "softirq", of a context that was looked at before. */
export function name_of(context: AnyContext): string {
  return context instanceof Context ? context.name : "";
}
/** The machine of a context that need not be able to sleep. */
export function machine_of(context: AnyContext, called: string): MachineState {
  return context_state(context, called).machine;
}
/** The machine of the context, which must be one that may sleep now.  Models might_sleep(). */
export function might_sleep(context: ProcessContext, called: string): MachineState {
  const state = context_state(context, called);
  assert_may_sleep(state, called);
  return state.machine;
}
export function assert_may_sleep({ machine, may_sleep, name }: Context, called: string): void {
  if (!may_sleep || machine.in_softirq > 0) {
    const who = may_sleep ? `${name}, while a softirq runs` : name;
    throw_misuse("sleep-in-atomic", called, who, undefined, machine);
  }
}

// --- deferred work --------------------------------------------------------------------------------------
interface Queues {
  readonly kworker: ProcessContext;
  readonly softirq: SoftirqContext;
  readonly irqs: Fifo<(softirq: SoftirqContext) => void>;
  readonly works: Fifo<(kworker: ProcessContext) => void>;
  /** Devices that hold completions back: each lets one go and says so, or has none. */
  readonly holders: Set<() => boolean>;
}
const queues = new WeakMap<MachineState, Queues>();
function queues_of(machine: MachineState): Queues {
  let found = queues.get(machine);
  if (!found) {
    found = {
      kworker: to_kworker(new KworkerContext(machine)),
      softirq: to_softirq(new SoftirqRun(machine)),
      irqs: new Fifo(),
      works: new Fifo(),
      holders: new Set(),
    };
    queues.set(machine, found);
  }
  return found;
}
/** Something completed: `handler` runs in softirq context, at the next run_softirqs(). */
export function raise_softirq(
  machine: MachineState,
  handler: (softirq: SoftirqContext) => void,
): void {
  queues_of(machine).irqs.push(handler);
}
/** Runs a handler in softirq context now; after the others if one is running. */
export function run_softirq(
  machine: MachineState,
  handler: (softirq: SoftirqContext) => void,
): void {
  const { irqs, softirq } = queues_of(machine);
  if (machine.in_softirq > 0) {
    irqs.push(handler);
    return;
  }
  machine.in_softirq++;
  try {
    trace_softirq(machine, "softirq_entry");
    handler(softirq);
  } finally {
    trace_softirq(machine, "softirq_exit");
    machine.in_softirq--;
  }
}
/** A device that may hold completions back until somebody waits. */
export function add_holder(machine: MachineState, let_one_go: () => boolean): void {
  queues_of(machine).holders.add(let_one_go);
}
/**
 * Sleeps until `done`: completions run, devices that hold some back let them go, one by one, and kworkers run when nothing
 * else is left to happen.  What handlers and works throw, perhaps somebody else's, is thrown when the wait is over: the
 * first of them.  Models wait_for_completion_io().
 *
 * @param waited_for - what a report says of it
 */
export function wait_for_completion(
  machine: MachineState,
  done: () => boolean,
  called: string,
  waited_for?: { describe(): string; evidence(): Evidence },
): void {
  const { holders, irqs } = queues_of(machine);
  const thrown: unknown[] = [];
  const complete = (): void => {
    thrown.push(...run_all_softirqs(machine).errors);
  };
  complete();
  for (let n = 0; !done(); n++) {
    if (n === MAX_SOFTIRQ_RUN) throw new RangeError(`more than ${MAX_SOFTIRQ_RUN} steps`);
    let went = false;
    for (const let_one_go of holders) if ((went = let_one_go())) break;
    if (irqs.length > 0 && !went) break; // they feed themselves, and the error says so
    if (!went && !run_one_work(machine, thrown)) {
      if (thrown.length > 0) break; // which is why it does not end
      const what = waited_for?.describe() ?? "nothing is in flight";
      throw_misuse("hung-task", called, what, waited_for?.evidence());
    }
    complete();
  }
  if (thrown.length > 0) throw thrown[0];
}
/**
 * Lets the devices complete what was submitted (ours): handlers run in softirq context, in the order of completion,
 * until none is left.  Returns how many ran; 0 inside a handler, since what it submits completes after it.  If handlers
 * throw, the others run all the same, and the first error is thrown then.
 */
export function run_softirqs(machine: Machine): number {
  return run_softirqs_of(machine_state(machine));
}
function run_softirqs_of(state: MachineState): number {
  const { n, errors } = run_all_softirqs(state);
  const more = state.faults === null ? 0 : run_held_back(state, errors);
  if (errors.length > 0) throw errors[0];
  return n + more;
}
/** Requests that are held back on purpose end when the others did; how many. */
function run_held_back(state: MachineState, thrown: unknown[]): number {
  let ran = 0;
  while (state.in_softirq === 0 && state.faults?.let_one_go() === true) {
    const { n, errors } = run_all_softirqs(state);
    ran += n;
    thrown.push(...errors);
  }
  return ran;
}
/** How many ran, and the first thing that one threw. */
function run_all_softirqs(state: MachineState): { n: number; errors: unknown[] } {
  const errors: unknown[] = [];
  let n = 0;
  if (state.in_softirq > 0) return { n, errors };
  const { irqs, softirq } = queues_of(state);
  state.in_softirq++;
  while (irqs.length > 0) {
    if (n === MAX_SOFTIRQ_RUN) {
      errors[0] ??= new RangeError(`more than ${MAX_SOFTIRQ_RUN} completions`);
      break;
    }
    n++;
    trace_softirq(state, "softirq_entry");
    try {
      irqs.shift()!(softirq);
    } catch (error) {
      if (errors.length === 0) errors.push(error);
    }
    trace_softirq(state, "softirq_exit");
  }
  state.in_softirq--;
  return { n, errors };
}
/** Whether there was a work to run; what it threw goes to `thrown`. */
function run_one_work(machine: MachineState, thrown: unknown[]): boolean {
  const { works, kworker } = queues_of(machine);
  const work = works.shift();
  if (!work) return false;
  machine.in_kworker++;
  if (machine.tracers !== null) trace_work(machine, "workqueue_execute_start", work);
  try {
    work(kworker);
  } catch (error) {
    thrown.push(error);
  } finally {
    if (machine.tracers !== null) trace_work(machine, "workqueue_execute_end", work);
    machine.in_kworker--;
  }
  return true;
}
/**
 * Runs `work` later, where it may sleep.  A kworker has no mm, so nothing of `current` can be pinned there.
 * Models schedule_work().
 *
 * @param context - any; it names the machine
 */
export function schedule_work(context: AnyContext, work: (kworker: ProcessContext) => void): void {
  const machine = machine_of(context, "schedule_work()");
  if (typeof work !== "function") throw new RangeError("schedule_work(): work is no function");
  schedule_work_on(machine, work);
}
export function schedule_work_on(
  machine: MachineState,
  work: (kworker: ProcessContext) => void,
): void {
  if (machine.tracers !== null) trace_work(machine, "workqueue_queue_work", work);
  queues_of(machine).works.push(work);
}
/**
 * Runs what was scheduled, until nothing is left, and the completions that it causes.  Models flush_workqueue().  If works or
 * handlers throw, the others run all the same, and the first error is thrown then.
 */
export function flush_work(machine: Machine): number {
  const state = machine_state(machine);
  if (state.in_softirq > 0) throw_misuse("sleep-in-atomic", "flush_work()", "softirq");
  const { works } = queues_of(state);
  const thrown = [...run_all_softirqs(state).errors];
  if (state.faults !== null) run_held_back(state, thrown);
  let n = 0;
  for (; works.length > 0; n++) {
    if (n === MAX_SOFTIRQ_RUN) {
      thrown.push(new RangeError(`more than ${MAX_SOFTIRQ_RUN} work items`));
      break;
    }
    run_one_work(state, thrown);
    thrown.push(...run_all_softirqs(state).errors);
    if (state.faults !== null) run_held_back(state, thrown);
  }
  if (thrown.length > 0) throw thrown[0];
  return n;
}
/** A SIGKILL: calls that wait or fault give up with EINTR or EAGAIN.  Models send_sig(SIGKILL, task, 1). */
export function kill_task(task: Task): void {
  task_state(task, "kill_task()").killed = true;
}
/** A task as the library sees it. */
export function task_state(task: Task, called: string): TaskContext {
  const context = context_state(task, called);
  if (!(context instanceof TaskContext)) {
    throw_misuse("not-a-handle", called, `${context.name} is no task: it has no address space`);
  }
  return context;
}
