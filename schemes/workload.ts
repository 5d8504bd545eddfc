/** What happens to the memory: a list of events that a seed decides, the same for every scheme. */
import type { Dir } from "user-page";

export type Event =
  | {
      readonly op: "pin";
      readonly id: number;
      readonly area: number;
      readonly first: number;
      readonly nr: number;
      readonly dir: Dir;
      readonly longterm: boolean;
    }
  | { readonly op: "unpin" | "end look" | "end burst"; readonly id: number }
  | { readonly op: "unpin front"; readonly id: number; readonly nr: number }
  | {
      readonly op: "look";
      readonly id: number;
      readonly area: number;
      readonly first: number;
      readonly nr: number;
    }
  /** plain references of pipes and packets on one page */
  | {
      readonly op: "burst";
      readonly id: number;
      readonly area: number;
      readonly first: number;
      readonly nr: number;
    }
  | { readonly op: "map" | "truncate"; readonly area: number }
  | { readonly op: "unmap"; readonly area: number; readonly which: number }
  | { readonly op: "ask"; readonly area: number; readonly page: number }
  /** somebody asks about the folio of a page that is in use, while another CPU maps or unmaps */
  | {
      readonly op: "ask in a race";
      readonly area: number;
      readonly page: number;
      /** address spaces that a walk has passed by then */
      readonly at: number;
      /** the mapping that goes, or null for one that comes */
      readonly unmap: number | null;
    };

/** Pages and folio size of an area, by its number; a truncated area is followed by one of the same shape. */
const SHAPES = [
  { nr_pages: 64, folio: 1 },
  { nr_pages: 1024, folio: 512 },
] as const;
export const shape_of = (area: number) => SHAPES[area % SHAPES.length]!;

export type Random = (below: number) => number;
function xorshift(seed: number): Random {
  let x = seed | 0 || 1;
  return (below) => {
    x ^= x << 13;
    x ^= x >>> 17;
    x ^= x << 5;
    return (x >>> 0) % below;
  };
}
interface Open {
  readonly id: number;
  readonly op: "unpin" | "end look" | "end burst";
  readonly area: number;
  readonly first: number;
  nr: number;
}
class Generator {
  readonly events: Event[] = [];
  readonly #random: Random;
  readonly #open: Open[] = [];
  /** the area of each shape that is in its file, and how often it is mapped */
  readonly #areas = SHAPES.map((_, i) => ({ area: i, mappings: 1 }));
  #next_area = SHAPES.length;
  #next_id = 1;
  constructor(seed: number) {
    this.#random = xorshift(seed);
  }
  /** A range as of direct I/O: within one area, seldom aligned to folios. */
  #range() {
    const { area } = this.#areas[this.#random(this.#areas.length)]!;
    const { nr_pages, folio } = shape_of(area);
    const nr = 1 + this.#random(folio === 1 ? 16 : this.#random(2) === 0 ? 32 : 700);
    const first = this.#random(nr_pages - nr + 1);
    return { area, first, nr };
  }
  #begin(open: Open): void {
    this.#open.push(open);
  }
  pin(longterm: boolean): void {
    const range = this.#range();
    const dir = this.#random(2) === 0 ? "source" : "dest";
    const id = this.#next_id++;
    this.#begin({ id, op: "unpin", ...range });
    this.events.push({ op: "pin", id, ...range, dir, longterm });
  }
  look(): void {
    const range = this.#range();
    const id = this.#next_id++;
    this.#begin({ id, op: "end look", ...range });
    this.events.push({ op: "look", id, ...range });
  }
  burst(): void {
    const { area, first } = this.#range();
    const id = this.#next_id++;
    this.#begin({ id, op: "end burst", area, first, nr: 1 });
    this.events.push({ op: "burst", id, area, first, nr: 900 + this.#random(400) });
  }
  end(): void {
    const open = this.#open[this.#random(this.#open.length)];
    if (!open) return;
    if (open.op === "unpin" && open.nr > 1 && this.#random(3) === 0) {
      const nr = 1 + this.#random(open.nr - 1);
      this.#open[this.#open.indexOf(open)] = { ...open, first: open.first + nr, nr: open.nr - nr };
      this.events.push({ op: "unpin front", id: open.id, nr });
      return;
    }
    this.#open.splice(this.#open.indexOf(open), 1);
    this.events.push({ op: open.op, id: open.id });
  }
  /** fork() asks which pages the child must copy, then both map them. */
  fork(): void {
    const found = this.#areas[this.#random(this.#areas.length)]!;
    this.ask(found.area);
    if (found.mappings >= 4) return;
    found.mappings++;
    this.events.push({ op: "map", area: found.area });
  }
  exit(): void {
    const found = this.#areas[this.#random(this.#areas.length)]!;
    if (found.mappings < 2) return;
    found.mappings--;
    this.events.push({ op: "unmap", area: found.area, which: 1 + this.#random(found.mappings) });
  }
  truncate(): void {
    const i = this.#random(this.#areas.length);
    const { area } = this.#areas[i]!;
    this.events.push({ op: "truncate", area });
    this.ask(area);
    // The next area of the same shape.
    while (this.#next_area % SHAPES.length !== area % SHAPES.length) this.#next_area++;
    this.#areas[i] = { area: this.#next_area++, mappings: 1 };
  }
  ask(area = this.#areas[this.#random(this.#areas.length)]!.area): void {
    this.events.push({ op: "ask", area, page: this.#random(512) });
  }
  race(): void {
    const found = this.#areas[this.#random(this.#areas.length)]!;
    const { area } = found;
    const used = this.#open.filter((open) => open.area === area);
    const open = used[this.#random(2 * used.length + 1)];
    const page = open ? open.first + this.#random(open.nr) : this.#random(shape_of(area).nr_pages);
    const at = this.#random(found.mappings + 1);
    const goes = found.mappings === 4 || (found.mappings > 1 && this.#random(2) === 0);
    const unmap = goes ? 1 + this.#random(found.mappings - 1) : null;
    found.mappings += goes ? -1 : 1;
    this.events.push({ op: "ask in a race", area, page, at, unmap });
  }
  step(): void {
    const dice = this.#random(100);
    if (dice < 18) this.pin(dice < 3);
    else if (dice < 23) this.look();
    else if (dice < 29) this.burst();
    else if (dice < 64) this.end();
    else if (dice < 69) this.fork();
    else if (dice < 74) this.exit();
    else if (dice < 75) this.truncate();
    else if (dice < 80) this.ask();
    else this.race();
  }
  finish(): readonly Event[] {
    while (this.#open.length > 0) this.end();
    for (const { area } of this.#areas) this.ask(area);
    return this.events;
  }
}
export function workload(seed: number, steps: number): readonly Event[] {
  const generator = new Generator(seed);
  for (let i = 0; i < steps; i++) generator.step();
  return generator.finish();
}
/** The same without callers of get_user_pages() that do no I/O. */
export const all_do_io = (events: readonly Event[]): readonly Event[] =>
  events.filter(({ op }) => op !== "look" && op !== "end look");
