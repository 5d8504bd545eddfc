/// <reference lib="esnext.disposable" preserve="true" />
/** Listening to a machine (ours). */

import type { Machine } from "../handle/context.js";
import { machine_state, type MachineState } from "../machine/machine.js";
import { add_tracer, type Tracer } from "../machine/tracepoint.js";
import { TracingProbe } from "./tracing_probe.js";

/** Why a trace has no events of single references. */
export const NO_REFERENCES =
  'references are not traced: that takes CONFIG_DEBUG_USER_PAGE_REFERENCES at "owners" or true';

/** Listeners of each machine whose references are traced. */
const listening = new WeakMap<MachineState, number>();
/** Whether each acquisition of this machine has an identity that can be traced. */
export function traces_references(machine: MachineState): boolean {
  return machine.probe?.records === true;
}
/** Puts the probe around that of debug mode, once for all who listen; what it returns takes it away again. */
function trace_references(machine: MachineState): () => void {
  const { probe } = machine;
  if (probe === null || !traces_references(machine)) return () => undefined;
  const others = listening.get(machine) ?? 0;
  listening.set(machine, others + 1);
  if (others === 0) machine.probe = new TracingProbe(machine, probe);
  return () => {
    const left = listening.get(machine)! - 1;
    listening.set(machine, left);
    if (left === 0 && machine.probe instanceof TracingProbe) machine.probe = machine.probe.inner;
  };
}
/** The same of an opened machine. */
export function listen(machine: MachineState, tracer: Tracer): Disposable {
  const tracing = add_tracer(machine, tracer);
  let stop: (() => void) | null = trace_references(machine);
  return {
    [Symbol.dispose]() {
      stop?.();
      stop = null;
      tracing[Symbol.dispose]();
    },
  };
}
/**
 * Tells `tracer` each trace event of the machine from now on (ours); TRACE_EVENTS lists them.  The caller owns what is
 * returned: the end of a `using` block ends the trace.  Events of single references, pins among them, take
 * CONFIG_DEBUG_USER_PAGE_REFERENCES at "owners" or true; on other machines all others are told.
 *
 * @param tracer - runs in the middle of what happens: it may look, and must not change anything or sleep; what it does is not
 *   traced.  If it throws it hears nothing more, and the end of the `using` block throws the same; a RangeError for what is no
 *   function
 * @example
 * using tracing = trace_machine(machine, ({ name, fields }) => console.log(name, fields));
 */
export function trace_machine(machine: Machine, tracer: Tracer): Disposable {
  const state = machine_state(machine);
  if (typeof tracer !== "function") throw new RangeError("trace_machine(): tracer is no function");
  return listen(state, tracer);
}
