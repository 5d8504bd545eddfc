/**
 * Tracks and spans of the trace event format (ours).  A span that began before the trace, or did not end in it, is given the
 * end that is missing and says so, so that every viewer can nest what it is given.
 */

import type { ChromeEvent } from "./chrome.js";

type Args = Record<string, unknown>;
/** Something with a beginning and an end; `close` is what it is called if it has none. */
interface Open {
  readonly event: ChromeEvent;
  readonly args: Args;
  readonly close: "leaked" | "open";
}
/** A track of a viewer: a thread of a process. */
export interface Track {
  readonly pid: number;
  readonly tid: number;
}
const key_of = ({ pid, tid }: Track): string => `${pid}/${tid}`;
const BEFORE = "before the trace";

export class Tracks {
  readonly #events: ChromeEvent[] = [];
  /** what began before the trace: the outermost first */
  readonly #before: ChromeEvent[] = [];
  readonly #names = new Map<string, ChromeEvent>();
  readonly #spans = new Map<string, Open>();
  /** what ended, to tell what ends again from what began before the trace */
  readonly #ended = new Set<string>();
  readonly #stacks = new Map<string, Open[]>();
  readonly #first_ts: number;
  /** of what is added next */
  ts: number;
  constructor(first_ts: number) {
    this.#first_ts = first_ts;
    this.ts = first_ts;
  }
  /** Names a track, and the process that it is of. */
  name(track: Track, process: string, thread: string): Track {
    const { pid, tid } = track;
    const meta = (name: string, text: string): ChromeEvent => ({
      ...{ ph: "M", name, pid, tid, args: { name: text } },
    });
    if (!this.#names.has(`${pid}`)) {
      this.#names.set(`${pid}`, meta("process_name", process));
    }
    const key = key_of(track);
    if (!this.#names.has(key)) this.#names.set(key, meta("thread_name", thread));
    return track;
  }
  instant(track: Track, name: string, cat: string, args: Args): void {
    this.#events.push({ ph: "i", name, cat, ...track, ts: this.ts, s: "t", args });
  }
  /** Seen on all tracks, in red. */
  alarm(track: Track, name: string, args: Args): void {
    const event: ChromeEvent = {
      ph: "i",
      name,
      cat: "misuse",
      ...track,
      ts: this.ts,
      s: "g",
      args,
    };
    this.#events.push({ ...event, cname: "terrible" });
  }
  counter(track: Track, name: string, args: Readonly<Record<string, number>>): void {
    this.#events.push({ ph: "C", name, ...track, ts: this.ts, args: { ...args } });
  }

  // --- spans that nest: what a context runs, and how long a page is allocated ------------------------------
  begin(track: Track, name: string, cat: string, args: Args): void {
    const event: ChromeEvent = { ph: "B", name, cat, ...track, ts: this.ts, args };
    this.#events.push(event);
    this.#stack(track).push({ event, args, close: "open" });
  }
  /** Whether one is open on the track. */
  is_open(track: Track): boolean {
    return this.#stack(track).length > 0;
  }
  end(track: Track, name: string, cat: string): void {
    const open = this.#stack(track).pop();
    if (!open) {
      const ts = this.#first_ts;
      const args = { began: BEFORE };
      this.#before.unshift({ ph: "B", name, cat, ...track, ts, args });
    }
    this.#events.push({ ph: "E", name: open?.event.name ?? name, cat, ...track, ts: this.ts });
  }
  #stack(track: Track): Open[] {
    const key = key_of(track);
    let stack = this.#stacks.get(key);
    if (!stack) this.#stacks.set(key, (stack = []));
    return stack;
  }

  // --- spans with an identity: they overlap as they like ---------------------------------------------------
  /** Begins one, unless it began already; whether it did. */
  open(
    track: Track,
    name: string,
    cat: string,
    id: number,
    args: Args,
    close: "leaked" | "open",
  ): boolean {
    const key = `${cat} ${id}`;
    if (this.#spans.has(key)) return false;
    this.#ended.delete(key);
    const event: ChromeEvent = {
      ...{ ph: "b", name, cat, ...track, ts: this.ts, id: `0x${id.toString(16)}`, args },
    };
    this.#events.push(event);
    this.#spans.set(key, { event, args, close });
    return true;
  }
  /** Something happened to it. */
  step(cat: string, id: number, step: string, args: Args): void {
    const open = this.#spans.get(`${cat} ${id}`);
    if (!open) return;
    const { pid, tid } = open.event;
    const span = { name: open.event.name, cat, pid, tid, id: open.event.id! };
    this.#events.push({ ph: "n", ...span, ts: this.ts, args: { step, ...args } });
  }
  /** Ends one; what began before the trace is given a beginning, what ended already is an instant.  `args` stand at both ends. */
  close(track: Track, name: string, cat: string, id: number, args: Args): void {
    const key = `${cat} ${id}`;
    if (this.#ended.has(key)) {
      this.instant(track, `${name}: ended again`, cat, args);
      return;
    }
    this.#ended.add(key);
    if (!this.#spans.has(key)) {
      const now = this.ts;
      this.ts = this.#first_ts;
      this.open(track, name, cat, id, { began: BEFORE }, "open");
      this.#before.push(this.#events.pop()!);
      this.ts = now;
    }
    const open = this.#spans.get(key)!;
    this.#spans.delete(key);
    Object.assign(open.args, args);
    this.#events.push({ ...open.event, ph: "e", ts: this.ts, args });
  }
  /** What the open span of this identity said of itself. */
  args_of(cat: string, id: number): Readonly<Args> | undefined {
    return this.#spans.get(`${cat} ${id}`)?.args;
  }

  /** All of it, at the end of the trace. */
  finish(): ChromeEvent[] {
    this.ts++; // so that what began last has a length
    for (const { event, args, close } of this.#spans.values()) {
      args["end"] = close;
      this.#events.push({ ...event, ph: "e", ts: this.ts, args: { end: close } });
    }
    for (const stack of this.#stacks.values()) {
      for (const { event, args, close } of stack.reverse()) {
        args["end"] = close;
        const { name, cat, pid, tid } = event;
        this.#events.push({ ph: "E", name, cat: cat!, pid, tid, ts: this.ts });
      }
    }
    return [...this.#names.values(), ...this.#before, ...this.#events];
  }
}
