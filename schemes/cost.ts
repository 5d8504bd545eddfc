/** What a scheme costs: counter operations, handles and loads for ranges of two sizes, and where its counters end. */
import { page_ref_count, PAGE_SIZE, shutdown } from "user-page";
import type { SchemeOf } from "./scheme.js";
import { folios_of, head_of, World, type Folio } from "./world.js";

export interface RangeCost {
  readonly handles: number;
  readonly acquire: number;
  readonly release: number;
  /** loads that answer once for every folio of the range whether it is pinned */
  readonly loads: number;
  /** what the pin added to the reference count of the first folio */
  readonly added: number;
}
/** Pins and releases `bytes` at once, in an area that `mappings` address spaces map. */
export function cost_of(of: SchemeOf, bytes: number, size: 1 | 512, mappings = 1): RangeCost {
  const world = new World(bytes + (32 << 20));
  const area = world.open(bytes / PAGE_SIZE, size);
  while (area.mappings.length < mappings) world.map(area);
  const scheme = of.over(world);
  const { cost } = scheme;
  const head = head_of({ area, first: 0 });
  const before = page_ref_count(head);
  if (!scheme.pin(1, { area, first: 0, nr: area.nr_pages }, "dest", false)) {
    throw new Error(`${of.name} refuses ${bytes} bytes`);
  }
  const acquire = cost.atomics;
  const added = page_ref_count(head) - before;
  for (const folio of folios_of(area)) scheme.is_pinned(folio);
  const { loads } = cost;
  scheme.unpin(1);
  const release = cost.atomics - acquire;
  world.close(area);
  shutdown(world.machine);
  return { handles: cost.handles, acquire, release, loads, added };
}
/** The same for 2 MiB of a huge page that somebody has pinned already. */
export function cost_of_another(of: SchemeOf): { acquire: number; release: number } {
  const world = new World(64 << 20);
  const area = world.open(512, 512);
  const range = { area, first: 0, nr: 512 };
  const scheme = of.over(world);
  scheme.pin(1, range, "dest", false);
  const before = scheme.cost.atomics;
  scheme.pin(2, range, "dest", false);
  const acquire = scheme.cost.atomics - before;
  scheme.unpin(2);
  const release = scheme.cost.atomics - before - acquire;
  scheme.unpin(1);
  world.close(area);
  shutdown(world.machine);
  return { acquire, release };
}
/** Atomics that release 2 MiB of a huge page one page after the other. */
export function release_by_page(of: SchemeOf): number {
  const world = new World(64 << 20);
  const area = world.open(512, 512);
  const scheme = of.over(world);
  scheme.pin(1, { area, first: 0, nr: 512 }, "dest", false);
  const before = scheme.cost.atomics;
  for (let i = 0; i < 511; i++) scheme.unpin_front(1, 1);
  scheme.unpin(1);
  const atomics = scheme.cost.atomics - before;
  world.close(area);
  shutdown(world.machine);
  return atomics;
}

export interface Overflow {
  /** pins of one small page that were accepted before one was refused */
  readonly accepted: number;
  readonly refused: boolean;
  /** whether the page looked pinned then */
  readonly still_pinned: boolean;
  /** all pins ended: the counts are what they were, and nothing looks pinned */
  readonly recovers: boolean;
}
const TRIES = 16;
/** Pins one small page until that is refused. */
export function overflow_of(of: SchemeOf): Overflow {
  const world = new World(32 << 20);
  const area = world.open(1, 1);
  const folio: Folio = { area, first: 0 };
  const range = { area, first: 0, nr: 1 };
  const scheme = of.over(world);
  const before = page_ref_count(head_of(folio));
  scheme.pin(0, range, "dest", false);
  // A second one says what every further one adds.
  const once = page_ref_count(head_of(folio));
  scheme.pin(1, range, "dest", false);
  const unit = Math.max(1, page_ref_count(head_of(folio)) - once);
  const many = Math.floor(2 ** 31 / unit) - TRIES / 2;
  scheme.pin_many(folio, many);
  let id = 2;
  while (id < TRIES && scheme.pin(id, range, "dest", false)) id++;
  const refused = id < TRIES;
  const still_pinned = scheme.is_pinned(folio);
  scheme.pin_many(folio, -many);
  for (let i = 0; i < id; i++) scheme.unpin(i);
  const recovers = page_ref_count(head_of(folio)) === before && !scheme.is_pinned(folio);
  world.close(area);
  shutdown(world.machine);
  return { accepted: id + many, refused, still_pinned, recovers };
}
