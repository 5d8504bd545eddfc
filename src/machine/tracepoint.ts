/// <reference lib="esnext.disposable" preserve="true" />
/**
 * How a trace event gets from where it happens to who listens (ours).  Costs one comparison with null while nobody does.
 * Models include/linux/tracepoint.h.
 */

import type { MachineState } from "./machine.js";
import { place_of, type Site } from "./site.js";
import { TRACE_EVENTS, type TraceEventName, type TraceFields } from "./trace_events.js";

/** One event of a machine. */
export interface TraceEventOf<N extends TraceEventName> {
  /** counts the events of the machine while somebody traces it, from 1: the machine has no clock */
  readonly ts: number;
  readonly name: N;
  /** as in Linux; "user_page" for what is ours */
  readonly system: (typeof TRACE_EVENTS)[N]["system"];
  /**
   * "softirq", "kworker", or "task 1": the task that was last named in a call, since a call such as put_page() names none;
   * "process" before the first
   */
  readonly context: string;
  readonly fields: TraceFields<N>;
  /** file:line:column of the call, for references on a machine that records places; "" otherwise */
  readonly at: string;
}
/** Its name tells which fields it has. */
export type TraceEvent = { [N in TraceEventName]: TraceEventOf<N> }[TraceEventName];
/** Hears the trace events of one machine, in order. */
export type Tracer = (event: TraceEvent) => void;

class Traced<N extends TraceEventName> implements TraceEventOf<N> {
  readonly ts: number;
  readonly name: N;
  readonly context: string;
  readonly fields: TraceFields<N>;
  readonly #site: Site | undefined;
  constructor(ts: number, name: N, context: string, fields: TraceFields<N>, site?: Site) {
    this.ts = ts;
    this.name = name;
    this.context = context;
    this.fields = fields;
    this.#site = site;
  }
  get system(): (typeof TRACE_EVENTS)[N]["system"] {
    return TRACE_EVENTS[this.name].system;
  }
  get at(): string {
    return this.#site?.stack === undefined ? "" : place_of(this.#site);
  }
}
/** Objects that fields of this name number. */
export type TracedObject = "bio" | "request" | "file" | "mm" | "iocb" | "work";
/** What tracing keeps of a machine. */
class TraceState {
  events = 0;
  /** a tracer is running: what it does is not traced */
  busy = false;
  /** of the task that was last named in a call */
  pid = 0;
  readonly #ids = new WeakMap<object, number>();
  /** the last number of each kind */
  readonly #last = new Map<TracedObject, number>();
  id_of(kind: TracedObject, object: object): number {
    const known = this.#ids.get(object);
    if (known !== undefined) return known;
    const id = (this.#last.get(kind) ?? 0) + 1;
    this.#last.set(kind, id);
    this.#ids.set(object, id);
    return id;
  }
  context_of(machine: MachineState): string {
    if (machine.in_softirq > 0) return "softirq";
    if (machine.in_kworker > 0) return "kworker";
    return this.pid === 0 ? "process" : `task ${this.pid}`;
  }
}
const trace_states = new WeakMap<MachineState, TraceState>();
function trace_state(machine: MachineState): TraceState {
  let state = trace_states.get(machine);
  if (!state) trace_states.set(machine, (state = new TraceState()));
  return state;
}
/** A number that tells objects of one kind and machine apart, in the order in which they were first traced. */
export function trace_id(machine: MachineState, kind: TracedObject, object: object): number {
  return trace_state(machine).id_of(kind, object);
}
/** A call names this task.  Call as `if (machine.tracers !== null) trace_task(…)`. */
export function trace_task(machine: MachineState, pid: number): void {
  trace_state(machine).pid = pid;
}
/** Tells who traces the machine.  Call as `if (machine.tracers !== null) trace(…)`. */
export function trace<N extends TraceEventName>(
  machine: MachineState,
  name: N,
  fields: TraceFields<N>,
  site?: Site,
): void {
  const state = trace_state(machine);
  if (machine.tracers === null || state.busy) return;
  const event = new Traced(++state.events, name, state.context_of(machine), fields, site);
  state.busy = true;
  machine.in_softirq++; // a tracer runs in the middle of something, and may not sleep
  try {
    for (const tracer of [...machine.tracers]) tracer(event as TraceEventOf<N> as TraceEvent);
  } finally {
    machine.in_softirq--;
    state.busy = false;
  }
}
/** Models BLOCK_SOFTIRQ: completions are all that runs there. */
const BLOCK_SOFTIRQ = 4;
export function trace_softirq(machine: MachineState, name: "softirq_entry" | "softirq_exit"): void {
  if (machine.tracers !== null) trace(machine, name, { vec: BLOCK_SOFTIRQ });
}
/** Call as `if (machine.tracers !== null) trace_work(…)`. */
export function trace_work(
  machine: MachineState,
  name: "workqueue_queue_work" | "workqueue_execute_start" | "workqueue_execute_end",
  work: object,
): void {
  trace(machine, name, { work: trace_id(machine, "work", work) });
}
/** Tells `tracer` each event from now on.  One that throws hears nothing more, and the end of this throws it. */
export function add_tracer(machine: MachineState, tracer: Tracer): Disposable {
  const thrown: unknown[] = [];
  const guarded: Tracer = (event) => {
    if (thrown.length > 0) return;
    try {
      tracer(event);
    } catch (reason) {
      thrown.push(reason);
    }
  };
  (machine.tracers ??= []).push(guarded);
  return {
    [Symbol.dispose]() {
      const tracers = machine.tracers ?? [];
      const at = tracers.indexOf(guarded);
      if (at >= 0) tracers.splice(at, 1);
      if (tracers.length === 0) machine.tracers = null;
      if (thrown.length > 0) throw thrown.pop();
    },
  };
}
