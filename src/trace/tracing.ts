/// <reference lib="esnext.disposable" preserve="true" />
/** Recording what a machine does, and what a viewer is given of it (ours). */

import type { Machine } from "../handle/context.js";
import { machine_state, type MachineState } from "../machine/machine.js";
import type { MisuseReport } from "../machine/misuse.js";
import type { TraceEvent } from "../machine/tracepoint.js";
import { chrome_trace, type AddedMisuse, type ChromeTrace } from "./chrome.js";
import { listen, NO_REFERENCES, traces_references } from "./trace_machine.js";

/** Events that are kept, unless asked for otherwise. */
const DEFAULT_LIMIT = 1_000_000;
/** Misuses that are remembered, to know them when they are added. */
const MAX_TOLD = 1000;

export interface TraceOptions {
  /** events that are kept, 1 and more; with more the oldest are dropped.  1,000,000 by default */
  readonly limit?: number;
}
/** What is being recorded.  The end of a `using` block ends that; what was recorded stays. */
export interface Tracing extends Disposable {
  /** what is kept, oldest first */
  readonly events: readonly TraceEvent[];
  /** events that were dropped because there were more than `limit` */
  readonly dropped: number;
  /** Adds a misuse that was thrown and caught, unless it is there already: told by the machine, or added before. */
  misuse(report: MisuseReport): void;
  /** The trace as an object: what to_json() writes. */
  to_chrome(): ChromeTrace;
  /** The trace in the JSON object format of Chrome, which ui.perfetto.dev and chrome://tracing open. */
  to_json(): string;
}

/** What the event and the report of one misuse have in common. */
function key_of({ id, called, handle }: { id: string; called: string; handle: string }): string {
  return JSON.stringify([id, called, handle]);
}
class Recording implements Tracing {
  /** a ring, once it is full */
  readonly #events: TraceEvent[] = [];
  readonly #limit: number;
  readonly #references: string;
  readonly #listening: Disposable;
  readonly #misuses: AddedMisuse[] = [];
  readonly #added = new WeakSet<MisuseReport>();
  /** of each misuse that the machine told lately, which event that was */
  readonly #told = new Map<string, number>();
  #heard = 0;
  constructor(machine: MachineState, limit: number) {
    this.#limit = limit;
    this.#references = traces_references(machine) ? "traced" : NO_REFERENCES;
    this.#listening = listen(machine, (event) => {
      this.#events[this.#heard++ % limit] = event;
      if (event.name === "misuse") this.#remember(key_of(event.fields));
    });
  }
  get events(): readonly TraceEvent[] {
    const first = this.#heard % this.#limit;
    if (this.dropped === 0) return [...this.#events];
    return [...this.#events.slice(first), ...this.#events.slice(0, first)];
  }
  get dropped(): number {
    return Math.max(0, this.#heard - this.#limit);
  }
  misuse(report: MisuseReport): void {
    if (typeof report !== "object" || report === null || typeof report.id !== "string") {
      throw new RangeError("misuse(): no report of a misuse");
    }
    const told = this.#told.get(key_of(report));
    // One that was dropped since is not in the trace any more.
    if (told !== undefined && told >= this.dropped) return;
    if (this.#added.has(report)) return;
    this.#added.add(report);
    this.#misuses.push({ after: this.events.at(-1)?.ts ?? 0, report });
  }
  #remember(key: string): void {
    // To the end of the map, where the latest are.
    this.#told.delete(key);
    this.#told.set(key, this.#heard - 1);
    if (this.#told.size > MAX_TOLD) this.#told.delete(this.#told.keys().next().value!);
  }
  to_chrome(): ChromeTrace {
    const { events, dropped } = this;
    return chrome_trace(events, this.#misuses, { dropped, references: this.#references });
  }
  to_json(): string {
    const { traceEvents, ...rest } = this.to_chrome();
    // An event a line: what a person looks at, and what two runs differ in.
    const lines = traceEvents.map((event) => JSON.stringify(event));
    return `{"traceEvents":[\n${lines.join(",\n")}\n],${JSON.stringify(rest).slice(1)}\n`;
  }
  [Symbol.dispose](): void {
    this.#listening[Symbol.dispose]();
  }
}
/**
 * Records the trace events of the machine from now on (ours).  The caller owns the recording: the end of a `using` block ends it,
 * and what was recorded can be read after that, and after the machine is shut down.  Events of single references, pins among
 * them, take CONFIG_DEBUG_USER_PAGE_REFERENCES at "owners" or true.
 *
 * @param options - how many events are kept; a RangeError for a limit that is no number of them
 * @example
 * using tracing = start_trace(machine);
 * const written = direct_io(current, disk, "REQ_OP_WRITE", buf, 8192, 0);
 * console.log(tracing.events.filter(({ name }) => name === "block_bio_queue").length); // -> 1
 */
export function start_trace(machine: Machine, options: TraceOptions = {}): Tracing {
  const state = machine_state(machine);
  if (typeof options !== "object" || options === null) {
    throw new RangeError("start_trace(): no options");
  }
  const { limit = DEFAULT_LIMIT } = options;
  if (!Number.isSafeInteger(limit) || limit < 1) {
    throw new RangeError(`start_trace(): ${String(limit)} events`);
  }
  return new Recording(state, limit);
}
