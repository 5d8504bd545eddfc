/** What the four ways of counting pins have in common: what is done to them, and what they are asked. */
import type { Dir, Page } from "user-page";
import type { Folio, Range, World } from "./world.js";

/** What the counting cost so far.  An atomic is one read-modify-write of a shared word, as Linux 6.12 would make it. */
export interface Cost {
  /** entries the caller keeps for what it holds */
  handles: number;
  atomics: number;
  /** words that were read to answer questions */
  loads: number;
}
export const no_cost = (): Cost => ({ handles: 0, atomics: 0, loads: 0 });
/** What another CPU does to the entries after the walk has passed `at` address spaces; a scheme that does not walk runs it first. */
export interface Race {
  readonly at: number;
  run(): void;
}
/** How much is pinned; null where the counter cannot tell. */
export interface Counted {
  readonly pages: number | null;
  readonly holders: number | null;
}
/** The four ways to end a reference by the wrong function. */
export const MISPAIRINGS = {
  "pin ended by put_page": "pin",
  "get ended by unpin": "get",
  "pin of the zero page ended by put_page": "zero pin",
  "get of the zero page ended by unpin": "zero get",
} as const;
export type Mispairing = keyof typeof MISPAIRINGS;

export interface Scheme {
  readonly cost: Cost;
  /** false if it was refused: nothing is held then */
  pin(id: number, range: Range, dir: Dir, longterm: boolean): boolean;
  unpin(id: number): void;
  /** Ends the pin of the first `nr` pages and keeps the rest. */
  unpin_front(id: number, nr: number): void;
  /** get_user_pages() of somebody who looks at struct page and does no I/O. */
  look(id: number, range: Range): void;
  end_look(id: number): void;

  is_pinned(folio: Folio, race?: Race): boolean;
  /** One page of the folio, counted from 0. */
  is_page_pinned(folio: Folio, page: number): boolean;
  counted(folio: Folio): Counted;
  /** Entries that map pages of the folio, as the scheme's mapcount says. */
  mapcount(folio: Folio): number;

  /** As if the one page were pinned `n` times more, or less. */
  pin_many(folio: Folio, n: number): void;
  /** Ends a pin of one page as if it were a plain reference. */
  end_as_page(id: number): void;
  /** Ends a plain reference as if it were a pin. */
  end_as_pin(page: Page): void;
  /** Takes the zero page one way and ends that the other way. */
  mispair_zero(held: "zero pin" | "zero get"): void;
  /** What a counter of the scheme's own says of a page that nobody holds; anything but 0 is wrong. */
  left_over(pfn: number): number;
}
export interface SchemeOf {
  readonly name: string;
  /** bytes for each page of memory, beside what struct page has already */
  readonly bytes_per_page: number;
  /** bytes of one handle in the caller's hands, with pointers of 64 bits */
  readonly bytes_per_handle: number;
  /** who proposed it or has it */
  readonly source: string;
  /** it counts through the public API of this library, which has a debug mode */
  readonly on_the_machine: boolean;
  over(world: World): Scheme;
}

/** Calls past the compiler, as a driver with a bug does in C. */
export function past_the_compiler(call: (handle: never) => void): (handle: unknown) => void {
  return call as unknown as (handle: unknown) => void;
}
/** Takes what is held under this name. */
export function take<H>(held: Map<number, H>, id: number): H {
  const found = held.get(id);
  if (found === undefined) throw new RangeError(`nothing is held under ${id}`);
  held.delete(id);
  return found;
}
/** Signed 32-bit counters, one for each page of a machine; they wrap as atomic_t does. */
export class Counters {
  readonly #counts: Int32Array;
  readonly #base: number;
  readonly #cost: Cost;
  constructor(base: number, nr_pages: number, cost: Cost) {
    this.#counts = new Int32Array(nr_pages);
    this.#base = base;
    this.#cost = cost;
  }
  /** One atomic; the count before. */
  fetch_add(pfn: number, n: number): number {
    this.#cost.atomics++;
    const before = this.at(pfn);
    this.#counts[pfn - this.#base] = before + n;
    return before;
  }
  at(pfn: number): number {
    const count = this.#counts[pfn - this.#base];
    if (count === undefined) throw new RangeError(`no page ${pfn}`);
    return count;
  }
}
