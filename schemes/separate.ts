/**
 * Scheme 2, proposed by Boaz Harrosh in 2019: user references have a counter of their own on every folio; the first of them takes one
 * plain reference, the last one drops it.  Every caller of get_user_pages() counts there, whatever it is going to do.
 */
import {
  folio_page,
  get_page,
  get_user_pages_fast,
  page_folio,
  page_to_pfn,
  put_page,
  ZERO_PAGE,
  type BorrowedPage,
  type Dir,
  type Page,
} from "user-page";
import {
  Counters,
  no_cost,
  past_the_compiler,
  take,
  type Counted,
  type Race,
  type Scheme,
  type SchemeOf,
} from "./scheme.js";
import { address_of, head_of, pfn_of, type Folio, type Range, type World } from "./world.js";

const INT_MAX = 0x7fffffff;
/** Consecutive pages of one folio, counted together. */
interface Run {
  readonly page: Page;
  nr: number;
}
class Separate implements Scheme {
  readonly cost = no_cost();
  readonly #world: World;
  readonly #users: Counters;
  readonly #held = new Map<number, Run[]>();
  constructor(world: World) {
    this.#world = world;
    this.#users = new Counters(world.base, world.nr_pages, this.cost);
  }
  pin(id: number, range: Range, _dir: Dir, _longterm: boolean): boolean {
    const { current, addr } = address_of(range);
    const pages: Page[] = [];
    get_user_pages_fast(current, addr, range.nr, 0, pages);
    const runs: Run[] = [];
    for (const page of pages) {
      const last = runs.at(-1);
      // The walk's reference is one for the run: the surplus of the model's call goes first.
      if (last && page_folio(last.page) === page_folio(page)) {
        last.nr++;
        put_page(page);
      } else runs.push({ page, nr: 1 });
    }
    const taken: Run[] = [];
    for (const run of runs) {
      this.cost.atomics++;
      if (this.#add(run)) taken.push(run);
      else put_page(run.page);
    }
    this.#held.set(id, taken);
    if (taken.length < runs.length || pages.length < range.nr) {
      this.unpin(id);
      return false;
    }
    this.cost.handles += pages.length;
    return true;
  }
  /** The reference of the walk stays if it is the first of a user; without it the counter could be that of a freed page. */
  #add({ page, nr }: Run): boolean {
    const pfn = this.#pfn(page);
    // Checked by hand: the reference count, which is 1 for all users, cannot overflow first.
    if (this.#users.at(pfn) > INT_MAX - nr) return false;
    if (this.#users.fetch_add(pfn, nr) !== 0) {
      this.cost.atomics++;
      put_page(page);
    }
    return true;
  }
  #sub(page: BorrowedPage, nr: number): void {
    if (this.#users.fetch_add(this.#pfn(page), -nr) !== nr) return;
    this.cost.atomics++;
    past_the_compiler(put_page)(page);
  }
  /** One counter for a folio: that of its first page. */
  #pfn(page: BorrowedPage): number {
    return page_to_pfn(folio_page(page_folio(page), 0));
  }
  unpin(id: number): void {
    for (const { page, nr } of take(this.#held, id)) this.#sub(page, nr);
  }
  unpin_front(id: number, nr: number): void {
    let left = nr;
    const runs = take(this.#held, id);
    for (const run of runs) {
      const here = Math.min(left, run.nr);
      if (here > 0) this.#sub(run.page, here);
      run.nr -= here;
      left -= here;
    }
    this.#held.set(
      id,
      runs.filter((run) => run.nr > 0),
    );
  }
  look(id: number, range: Range): void {
    this.pin(id, range, "source", false);
  }
  end_look(id: number): void {
    this.unpin(id);
  }

  is_pinned(folio: Folio, race?: Race): boolean {
    race?.run();
    this.cost.loads++;
    return this.#users.at(pfn_of(folio)) > 0;
  }
  is_page_pinned(folio: Folio): boolean {
    return this.is_pinned(folio);
  }
  counted(folio: Folio): Counted {
    this.cost.loads++;
    const pages = this.#users.at(pfn_of(folio));
    return { pages, holders: folio.area.folio > 1 ? null : pages };
  }
  mapcount(folio: Folio): number {
    return this.#world.mapcount(folio);
  }

  pin_many(folio: Folio, n: number): void {
    if (n > 0 && this.#users.fetch_add(pfn_of(folio), n) === 0) get_page(head_of(folio));
    if (n < 0) this.#sub(head_of(folio), -n);
  }
  end_as_page(id: number): void {
    for (const { page } of take(this.#held, id)) put_page(page);
  }
  end_as_pin(page: Page): void {
    this.#sub(page, 1);
  }
  /** The zero page counts as any other. */
  mispair_zero(held: "zero pin" | "zero get"): void {
    const zero = get_page(ZERO_PAGE(this.#world.bystander));
    if (held === "zero pin") {
      this.#add({ page: zero, nr: 1 });
      past_the_compiler(put_page)(zero);
    } else this.#sub(zero, 1);
  }
  /** As Linux looks at the pincount of a large folio. */
  left_over(pfn: number): number {
    return this.#users.at(pfn);
  }
}
export const SEPARATE: SchemeOf = {
  name: "separate counter",
  source: "Boaz Harrosh, 2019",
  bytes_per_page: 4,
  bytes_per_handle: 8,
  on_the_machine: false,
  over: (world) => new Separate(world),
};
