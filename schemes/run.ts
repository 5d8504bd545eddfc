/** Replays a workload on one scheme, and compares every answer with the truth. */
import { get_page, put_page, shutdown, type Page } from "user-page";
import type { Scheme, SchemeOf } from "./scheme.js";
import { Truth } from "./truth.js";
import { shape_of, type Event } from "./workload.js";
import { folios_of, head_of, World, type Area, type Folio } from "./world.js";

/** Answers to one question.  `none`: the scheme has no answer. */
export interface Tally {
  asked: number;
  /** yes, where the truth is no; for a number: too high */
  false_yes: number;
  /** no, where the truth is yes; for a number: too low */
  false_no: number;
  none: number;
}
const QUESTIONS = ["pinned", "raced", "written", "page", "pages", "holders", "frozen"] as const;
export type Question = (typeof QUESTIONS)[number];
export type Score = Record<Question, Tally>;
export interface Replay {
  readonly score: Score;
  /** pins that were refused */
  readonly refused: number;
  /** pages that did not come back */
  readonly lost_pages: number;
}
const no_tally = (): Tally => ({ asked: 0, false_yes: 0, false_no: 0, none: 0 });
function compare<T extends boolean | number>(tally: Tally, answer: T | null, truth: T): void {
  tally.asked++;
  if (answer === null) tally.none++;
  else if (answer > truth) tally.false_yes++;
  else if (answer < truth) tally.false_no++;
}

class Replaying {
  readonly score = Object.fromEntries(QUESTIONS.map((name) => [name, no_tally()])) as Score;
  refused = 0;
  readonly #world: World;
  readonly #scheme: Scheme;
  readonly #truth = new Truth();
  readonly #areas = new Map<number, Area>();
  readonly #bursts = new Map<number, Page[]>();
  constructor(world: World, scheme: Scheme) {
    this.#world = world;
    this.#scheme = scheme;
  }
  #area(number: number): Area {
    const found = this.#areas.get(number);
    if (found) return found;
    const { nr_pages, folio } = shape_of(number);
    const area = this.#world.open(nr_pages, folio);
    this.#areas.set(number, area);
    return area;
  }
  #ask(folio: Folio, page: number): void {
    const truth = this.#truth;
    const scheme = this.#scheme;
    const { score } = this;
    const pinned = scheme.is_pinned(folio);
    compare(score.pinned, pinned, truth.is_pinned(folio));
    // Nobody counts writers apart: whoever must know takes every pin for one.
    compare(score.written, pinned, truth.is_written(folio));
    compare(score.page, scheme.is_page_pinned(folio, page), truth.is_page_pinned(folio, page));
    const counted = scheme.counted(folio);
    compare(score.pages, counted.pages, truth.pinned_pages(folio));
    compare(score.holders, counted.holders, truth.holders(folio));
    const frozen = this.#world.may_freeze(folio, scheme.mapcount(folio));
    compare(score.frozen, frozen, truth.is_free_to_move(folio));
  }
  play(event: Event): void {
    const scheme = this.#scheme;
    const truth = this.#truth;
    switch (event.op) {
      case "pin": {
        const { id, first, nr, dir, longterm } = event;
        const area = this.#area(event.area);
        if (scheme.pin(id, { area, first, nr }, dir, longterm)) {
          truth.add(id, { what: "pin", area, first, nr, dir });
        } else this.refused++;
        return;
      }
      case "look": {
        const { id, first, nr } = event;
        const area = this.#area(event.area);
        scheme.look(id, { area, first, nr });
        truth.add(id, { what: "look", area, first, nr, dir: "source" });
        return;
      }
      case "burst": {
        const { id, first, nr } = event;
        const area = this.#area(event.area);
        const page = head_of({ area, first });
        this.#bursts.set(
          id,
          Array.from({ length: nr }, () => get_page(page)),
        );
        truth.add(id, { what: "plain", area, first, nr: 1, dir: "source" });
        return;
      }
      case "unpin front":
        if (!truth.get(event.id)) return;
        scheme.unpin_front(event.id, event.nr);
        truth.trim(event.id, event.nr);
        return;
      case "unpin":
      case "end look":
      case "end burst":
        this.#end(event.op, event.id);
        return;
      case "map":
        this.#world.map(this.#area(event.area));
        return;
      case "unmap":
        this.#world.unmap(this.#area(event.area), event.which);
        return;
      case "truncate":
        this.#world.truncate(this.#area(event.area));
        return;
      case "ask": {
        const area = this.#area(event.area);
        for (const folio of folios_of(area)) this.#ask(folio, event.page % area.folio);
        return;
      }
      case "ask in a race": {
        const area = this.#area(event.area);
        const folio = { area, first: event.page - (event.page % area.folio) };
        const run = (): void => {
          if (event.unmap === null) this.#world.map(area);
          else this.#world.unmap(area, event.unmap);
        };
        const pinned = scheme.is_pinned(folio, { at: event.at, run });
        compare(this.score.raced, pinned, truth.is_pinned(folio));
      }
    }
  }
  #end(op: "unpin" | "end look" | "end burst", id: number): void {
    if (!this.#truth.get(id)) return;
    this.#truth.remove(id);
    if (op === "unpin") this.#scheme.unpin(id);
    else if (op === "end look") this.#scheme.end_look(id);
    else {
      for (const page of this.#bursts.get(id) ?? []) put_page(page);
      this.#bursts.delete(id);
    }
  }
}
/** Runs the events on a machine of its own.  Nothing is held at the end. */
export function replay(of: SchemeOf, events: readonly Event[]): Replay {
  const world = new World(128 << 20);
  const replaying = new Replaying(world, of.over(world));
  for (const event of events) replaying.play(event);
  for (const area of [...world.areas]) world.close(area);
  const { lost_pages } = shutdown(world.machine);
  return { score: replaying.score, refused: replaying.refused, lost_pages };
}
