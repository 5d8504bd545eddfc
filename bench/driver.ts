/**
 * Side by side: one process for each variant, all alive at once, asked one after another in a rotated order.  What
 * disturbs the host for a while disturbs all of them, so the ratios of one round are worth more than the times.
 */
import { spawn, type ChildProcessWithoutNullStreams } from "node:child_process";
import { createInterface } from "node:readline";

/** A command that speaks the line protocol. */
export interface Variant {
  readonly command: string;
  readonly args: readonly string[];
}
/** ns per operation, one number for each round. */
export type Samples = readonly number[];
/** Of the ratios of all rounds. */
export interface Ratio {
  readonly median: number;
  readonly q1: number;
  readonly q3: number;
}

export function quantile(values: readonly number[], p: number): number {
  const sorted = [...values].sort((a, b) => a - b);
  const at = p * (sorted.length - 1);
  const low = sorted[Math.floor(at)]!;
  return low + (sorted[Math.ceil(at)]! - low) * (at - Math.floor(at));
}
export const median = (values: readonly number[]): number => quantile(values, 0.5);
export function ratio(above: Samples, below: Samples): Ratio {
  const ratios = above.map((a, round) => a / below[round]!);
  return { median: median(ratios), q1: quantile(ratios, 0.25), q3: quantile(ratios, 0.75) };
}

class Child {
  readonly #name: string;
  readonly #process: ChildProcessWithoutNullStreams;
  readonly #lines: AsyncIterator<string>;
  readonly #exit: Promise<number | null>;
  #errors = "";
  constructor({ command, args }: Variant) {
    this.#name = [command, ...args].join(" ");
    this.#process = spawn(command, args);
    this.#process.stderr.on("data", (text: Buffer) => (this.#errors += text.toString()));
    // A child that died cannot be written to; its exit code says more than the failed write.
    this.#process.stdin.on("error", () => undefined);
    this.#lines = createInterface({ input: this.#process.stdout })[Symbol.asyncIterator]();
    this.#exit = new Promise((resolve, reject) => {
      this.#process.on("error", reject);
      this.#process.on("close", resolve);
    });
  }
  async #line(): Promise<string> {
    const next = await this.#lines.next();
    if (next.done) throw await this.#failure();
    return next.value;
  }
  async #failure(): Promise<Error> {
    return new Error(`${this.#name}: exit code ${await this.#exit}\n${this.#errors}`);
  }
  async ready(): Promise<void> {
    const line = await this.#line();
    if (line !== "ready") throw new Error(`${this.#name}: ${line}`);
  }
  async round(): Promise<number> {
    this.#process.stdin.write("go\n");
    const ns = Number(await this.#line());
    if (!(ns > 0)) throw new Error(`${this.#name}: no time`);
    return ns;
  }
  /** Lets it check its counts. */
  async end(): Promise<void> {
    this.#process.stdin.end();
    if ((await this.#exit) !== 0) throw await this.#failure();
  }
  kill(): void {
    this.#process.kill();
  }
}

export interface Effort {
  /** times that all processes are started anew: the optimizer does not decide the same way each time */
  readonly sittings: number;
  /** rounds in each */
  readonly rounds: number;
}
/** Runs the variants against each other; the samples have their names. */
export async function compare<K extends string>(
  variants: Readonly<Record<K, Variant>>,
  { sittings, rounds }: Effort,
): Promise<Record<K, Samples>> {
  const names = Object.keys(variants) as K[];
  const samples = Object.fromEntries(names.map((name) => [name, []])) as unknown as Record<
    K,
    number[]
  >;
  for (let sitting = 0; sitting < sittings; sitting++) {
    const children: Child[] = [];
    try {
      // One after another: two that start at the same time would warm up on a busy host.
      for (const name of names) {
        const child = new Child(variants[name]);
        children.push(child);
        await child.ready();
      }
      for (const child of children) await child.round();
      for (let round = 0; round < rounds; round++) {
        for (let i = 0; i < names.length; i++) {
          const at = (i + round) % names.length;
          samples[names[at]!].push(await children[at]!.round());
        }
      }
      for (const child of children) await child.end();
    } finally {
      for (const child of children) child.kill();
    }
  }
  return samples;
}
