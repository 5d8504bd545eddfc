// The two counters of the running kernel, and whether anybody else moves them.
import { closeSync, openSync, readSync, writeSync } from "node:fs";
import { setTimeout as sleep } from "node:timers/promises";

export interface Pins {
  readonly acquired: number;
  readonly released: number;
}
export const minus = (a: Pins, b: Pins): Pins => ({
  acquired: a.acquired - b.acquired,
  released: a.released - b.released,
});
export const same = (a: Pins, b: Pins): boolean =>
  a.acquired === b.acquired && a.released === b.released;

/** Without root a CPU adds its part when it likes, once in this time unless vm.stat_interval was changed. */
const STAT_INTERVAL = 1000;
const LONGEST_WAIT = 15_000;

/** What a comparison needs of the counters. */
export type Looks = Pick<Counters, "exact" | "now" | "settled" | "quiet">;

export class Counters {
  readonly #vmstat: number = openSync("/proc/vmstat", "r");
  readonly #refresh: number | null;
  readonly #text: Buffer = Buffer.alloc(1 << 16);
  constructor(may_refresh = true) {
    let refresh: number | null = null;
    try {
      if (may_refresh) refresh = openSync("/proc/sys/vm/stat_refresh", "w");
    } catch {
      // not root
    }
    this.#refresh = refresh;
  }
  /** Each reading is exact at once. */
  get exact(): boolean {
    return this.#refresh !== null;
  }
  /** null: this kernel does not count pins. */
  read(): Pins | null {
    if (this.#refresh !== null) writeSync(this.#refresh, "1\n");
    const bytes = readSync(this.#vmstat, this.#text, 0, this.#text.length, 0);
    const text = this.#text.toString("latin1", 0, bytes);
    const acquired = /^nr_foll_pin_acquired (\d+)$/m.exec(text)?.[1];
    const released = /^nr_foll_pin_released (\d+)$/m.exec(text)?.[1];
    if (acquired === undefined || released === undefined) return null;
    return { acquired: Number(acquired), released: Number(released) };
  }
  now(): Pins {
    return this.read() ?? { acquired: NaN, released: NaN };
  }
  /** The counters when they have stopped moving; null if they do not. */
  async settled(): Promise<Pins | null> {
    if (this.exact) return this.now();
    let last = this.now();
    let since = performance.now();
    for (const begun = since; performance.now() - begun < LONGEST_WAIT;) {
      await sleep(20);
      const next = this.now();
      if (!same(last, next)) since = performance.now();
      last = next;
      if (performance.now() - since > 1.1 * STAT_INTERVAL) return last;
    }
    return null;
  }
  /** Whether nobody else pins, as far as a look of `ms` milliseconds can tell. */
  async quiet(ms: number): Promise<boolean> {
    const before = await this.settled();
    if (before === null) return false;
    if (this.exact) await sleep(ms);
    const after = await this.settled();
    return after !== null && same(before, after);
  }
  close(): void {
    closeSync(this.#vmstat);
    if (this.#refresh !== null) closeSync(this.#refresh);
  }
}
