// Numbers by lot, the same for the same seed on every machine.

/** sfc32 with its state from the seed and what is drawn. */
export class Random {
  readonly #state: Uint32Array;
  constructor(seed: number, ...of: number[]) {
    let hash = 0x811c9dc5;
    for (const n of [seed, ...of]) {
      for (const half of [n >>> 0, Math.floor(n / 2 ** 32) >>> 0]) {
        hash = Math.imul(hash ^ half, 0x9e3779b1);
        hash ^= hash >>> 15;
      }
    }
    this.#state = new Uint32Array([hash, seed, of.length, 1]);
    for (let i = 0; i < 16; i++) this.#next();
  }
  #next(): number {
    const s = this.#state;
    const sum = s[0]! + s[1]! + s[3]!++;
    s[0] = s[1]! ^ (s[1]! >>> 9);
    s[1] = s[2]! + (s[2]! << 3);
    s[2] = ((s[2]! << 21) | (s[2]! >>> 11)) + sum;
    return sum >>> 0;
  }
  /** A whole number from 0 to n - 1. */
  below(n: number): number {
    return Math.floor((this.#next() / 2 ** 32) * n);
  }
  /** A whole number from `from` to `to`, both included. */
  between(from: number, to: number): number {
    return from + this.below(to - from + 1);
  }
  chance(probability: number): boolean {
    return this.#next() / 2 ** 32 < probability;
  }
  pick<T>(from: readonly T[]): T {
    return from[this.below(from.length)]!;
  }
}
/** Bytes without a pattern. */
export function noise(seed: number, bytes: number): Uint8Array {
  const random = new Random(seed, bytes);
  const words = new Uint32Array(bytes / 4);
  for (let i = 0; i < words.length; i++) words[i] = random.below(2 ** 32);
  return new Uint8Array(words.buffer);
}
