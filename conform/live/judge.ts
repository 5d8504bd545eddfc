// Runs cases on both and decides whether they differ, though other processes may move the counters meanwhile.
import { setTimeout as sleep } from "node:timers/promises";
import { total_of, type LiveCase } from "./case.js";
import { minus, same, type Looks, type Pins } from "./counters.js";
import { allocated_in_more, type Extent } from "./extents.js";
import type { Prepared } from "./kernel.js";
import { differences, type Difference, type Seen } from "./seen.js";

/** Runs and looks, the same as Kernel. */
export interface LiveKernel {
  readonly prepare: (one: LiveCase) => Promise<Prepared>;
  /** pages pinned and released so far to make files, which is no part of any case */
  readonly pinned: number;
  /** Looks at the counters again before the next case. */
  readonly forget: () => void;
}
export interface LiveModel {
  readonly run: (one: LiveCase, extents: readonly Extent[]) => Seen;
}
export interface Verdict {
  readonly one: LiveCase;
  /** empty: equal */
  readonly differences: readonly Difference[];
  /** The counters moved in ways that may have been others': they were not compared. */
  readonly loud: boolean;
  /** Equal if new blocks were allocated in that many pieces more than can be seen afterwards. */
  readonly unseen: number;
  /** it was run that often in addition */
  readonly repeats: number;
  /** the kernel's results and the model's, of the first run */
  readonly result: string;
}
interface Attempt {
  readonly kernel: Seen;
  readonly model: Seen;
  readonly found: readonly Difference[];
  /** pieces that new blocks must have been allocated in beyond those that can be seen */
  readonly unseen: number;
  /** between the counters before and after */
  readonly ms: number;
}
/** A difference of counters is believed when it was the same that often, and nobody else pinned before, between and after. */
const ALIKE = 4;
const MOST_REPEATS = 12;
const MOST_UNSEEN = 3;
/** Whether others pin is looked at for that many times as long as the case took: who meets four cases meets one of these looks. */
const LOOKS = 8;
const LOOK_MS = 15;

const sum_of = (all: readonly Pins[]): Pins => ({
  acquired: all.reduce((sum, { acquired }) => sum + acquired, 0),
  released: all.reduce((sum, { released }) => sum + released, 0),
});
const of_counters = ({ aspect }: Difference): boolean => aspect === "pins";

export class Judge {
  readonly #kernel: LiveKernel;
  readonly #model: LiveModel;
  readonly #counters: Looks;
  /** Repeats a case is worth: few while it is never quiet. */
  #patience = MOST_REPEATS;
  constructor(kernel: LiveKernel, model: LiveModel, counters: Looks) {
    this.#kernel = kernel;
    this.#model = model;
    this.#counters = counters;
  }
  async #attempt(one: LiveCase, with_counters = true): Promise<Attempt> {
    const prepared = await this.#kernel.prepare(one);
    const { exact } = this.#counters;
    const before = with_counters && !exact ? await this.#counters.settled() : null;
    const begun = performance.now();
    const called = await prepared.call(with_counters && exact ? this.#counters : null);
    const ms = performance.now() - begun;
    const after = before && (await this.#counters.settled());
    const { memory, file, extents } = await prepared.after();
    const pins = before && after ? [minus(after, before)] : called.pins;
    const kernel: Seen = { pins, result: called.result, memory, file };
    const model = this.#modelled(one, extents, kernel);
    const found = differences(one, kernel, model);
    return this.#explained(one, extents, { kernel, model, found, unseen: 0, ms });
  }
  /** A model that throws answered that, and is compared in nothing else. */
  #modelled(one: LiveCase, extents: readonly Extent[], kernel: Seen): Seen {
    try {
      return this.#model.run(one, extents);
    } catch (error) {
      const message = error instanceof Error ? `${error.name}: ${error.message}` : "?";
      return { ...kernel, result: message.split("\n")[0]! };
    }
  }
  /** New blocks that were allocated in several pieces look like one when these follow each other: each costs a pin. */
  #explained(one: LiveCase, extents: readonly Extent[], as_seen: Attempt): Attempt {
    const { kernel, model, found } = as_seen;
    const unseen = sum_of(kernel.pins ?? []).acquired - sum_of(model.pins ?? []).acquired;
    const may_be = one.op === "write" && found.length === 1 && of_counters(found[0]!);
    if (!may_be || unseen < 1 || unseen > MOST_UNSEEN) return as_seen;
    const [from, end] = [one.position, one.position + total_of(one)];
    for (let lot = 0; lot < 8; lot++) {
      const runs = allocated_in_more(extents, from, end, unseen, lot);
      if (runs === null) break;
      const other = this.#model.run(one, runs);
      const left = differences(one, kernel, other);
      if (left.length === 0) return { ...as_seen, model: other, found: left, unseen };
    }
    return as_seen;
  }
  async judge(one: LiveCase): Promise<Verdict> {
    const first = await this.#attempt(one);
    const { result } = first.kernel;
    const { unseen } = first;
    const verdict = (
      differences: readonly Difference[],
      repeats: number,
      loud = false,
    ): Verdict => ({ one, differences, loud, repeats, result, unseen });
    if (first.found.length === 0) {
      this.#patience = Math.min(MOST_REPEATS, this.#patience + 1);
      return verdict([], 0);
    }
    // Nobody else can have changed the bytes or the result.
    if (!first.found.every(of_counters)) return verdict(first.found, 0);
    let look = Math.max(LOOK_MS, LOOKS * first.ms);
    let disturbed = false;
    const alike = new Map<string, number>();
    for (let repeats = 1; repeats <= this.#patience; repeats++) {
      await sleep(Math.random() * LOOK_MS);
      disturbed ||= !(await this.#counters.quiet(look));
      this.#kernel.forget();
      const again = await this.#attempt(one);
      if (again.found.length === 0) return verdict([], repeats);
      if (!again.found.every(of_counters)) return verdict(again.found, repeats);
      look = Math.max(look, LOOKS * again.ms);
      disturbed ||= !(await this.#counters.quiet(look));
      const key = JSON.stringify(again.kernel.pins);
      const times = (alike.get(key) ?? 0) + 1;
      alike.set(key, times);
      // It never was the model's answer, whether or not it was the same each time.
      const sure = times >= ALIKE || repeats === MOST_REPEATS;
      if (sure && !disturbed) return verdict(again.found, repeats);
    }
    const repeats = this.#patience;
    this.#patience = Math.max(1, Math.floor(repeats / 2));
    return verdict([], repeats, true);
  }
  /** Cases that are counted together, for want of root; those that differ are divided until each stands alone. */
  async judge_together(cases: readonly LiveCase[]): Promise<Verdict[]> {
    const [only] = cases;
    if (only === undefined) return [];
    if (this.#counters.exact || cases.length === 1) {
      const verdicts: Verdict[] = [];
      for (const one of cases) verdicts.push(await this.judge(one));
      return verdicts;
    }
    const before = await this.#counters.settled();
    const { pinned } = this.#kernel;
    const attempts: Attempt[] = [];
    for (const one of cases) attempts.push(await this.#attempt(one, false));
    const after = await this.#counters.settled();
    const for_files = this.#kernel.pinned - pinned;
    const model = sum_of([
      { acquired: for_files, released: for_files },
      ...attempts.flatMap(({ model: { pins } }) => pins ?? []),
    ]);
    const equal = before && after && same(minus(after, before), model);
    // While others pin, dividing would go on for ever.
    const loud = !before || !after || (!equal && !(await this.#counters.quiet(LOOK_MS)));
    if (!equal && !loud) {
      const half = Math.ceil(cases.length / 2);
      const front = await this.judge_together(cases.slice(0, half));
      return [...front, ...(await this.judge_together(cases.slice(half)))];
    }
    return attempts.map(({ found, kernel, unseen }, i) => ({
      one: cases[i]!,
      differences: found,
      loud,
      unseen,
      repeats: 0,
      result: kernel.result,
    }));
  }
}
