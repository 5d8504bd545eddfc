/**
 * Scheme 3, proposed by Jérôme Glisse in 2018: get_user_pages() adds 1 to the reference count and 1 to the mapcount of each page.  A page
 * is pinned when its mapcount is above the number of entries that map it, and these are counted by a walk of the address spaces.
 */
import {
  get_page,
  get_user_pages_fast,
  is_zero_page,
  page_folio,
  page_mapcount,
  page_to_pfn,
  put_page,
  ZERO_PAGE,
  type BorrowedPage,
  type Dir,
  type Page,
} from "user-page";
import { ref_add, ref_sub } from "../src/mm/page_ref.js";
import {
  Counters,
  no_cost,
  take,
  type Counted,
  type Race,
  type Scheme,
  type SchemeOf,
} from "./scheme.js";
import {
  address_of,
  head_of,
  pages_of,
  pfn_of,
  type Folio,
  type Range,
  type World,
} from "./world.js";

class Mapcount implements Scheme {
  readonly cost = no_cost();
  readonly #world: World;
  /** what pins added; the machine's own mapcount is the number of entries */
  readonly #added: Counters;
  readonly #held = new Map<number, Page[]>();
  constructor(world: World) {
    this.#world = world;
    this.#added = new Counters(world.base, world.nr_pages, this.cost);
  }
  /** The column of struct page. */
  #mapcount_of(page: BorrowedPage): number {
    this.cost.loads++;
    return (page_mapcount(page) + this.#added.at(page_to_pfn(page))) | 0;
  }
  pin(id: number, range: Range, _dir: Dir, _longterm: boolean): boolean {
    const { current, addr } = address_of(range);
    const pages: Page[] = [];
    get_user_pages_fast(current, addr, range.nr, 0, pages);
    this.#held.set(id, pages);
    this.#add(pages);
    if (pages.length === range.nr) {
      this.cost.handles += pages.length;
      return true;
    }
    this.unpin(id);
    return false;
  }
  /** Counts references the walk took already.  Pages of files only, and the zero page is none. */
  #add(pages: readonly Page[]): void {
    this.#count_references(pages);
    for (const page of pages) {
      if (!is_zero_page(page)) this.#added.fetch_add(page_to_pfn(page), 1);
    }
  }
  /** One atomic for consecutive pages of a folio, as everywhere. */
  #count_references(pages: readonly Page[]): void {
    pages.forEach((page, i) => {
      const before = pages[i - 1];
      if (!before || page_folio(before) !== page_folio(page)) this.cost.atomics++;
    });
  }
  #release(pages: Page[]): void {
    this.#count_references(pages);
    for (const page of pages) {
      if (!is_zero_page(page)) this.#added.fetch_add(page_to_pfn(page), -1);
      put_page(page);
    }
  }
  unpin(id: number): void {
    this.#release(take(this.#held, id));
  }
  unpin_front(id: number, nr: number): void {
    const pages = take(this.#held, id);
    this.#release(pages.splice(0, nr));
    this.#held.set(id, pages);
  }
  look(id: number, range: Range): void {
    this.pin(id, range, "source", false);
  }
  end_look(id: number): void {
    this.unpin(id);
  }

  /**
   * How much the mapcounts are above the entries.  munmap() and fork() change entries under the lock of one page table, which does not
   * keep the walk off the others.  An address space that fork() adds stands next to its parent, where the walk was already.
   */
  #surplus(folio: Folio, pages: readonly Page[], race?: Race): number {
    const { mappings } = folio.area;
    let raced = false;
    const run = (): void => {
      if (!raced) race?.run();
      raced = true;
    };
    let entries = 0;
    [...mappings].forEach((mapping, visited) => {
      if (visited === race?.at) run();
      if (!mapping.present) return;
      pages.forEach((page) => {
        this.cost.loads++;
        const index = folio.first + page_to_pfn(page) - pfn_of(folio);
        entries += this.#world.entry_of(mapping, index, page_to_pfn(page));
      });
    });
    run();
    return pages.reduce((sum, page) => sum + this.#mapcount_of(page), -entries);
  }
  is_pinned(folio: Folio, race?: Race): boolean {
    return this.#surplus(folio, pages_of(folio), race) > 0;
  }
  is_page_pinned(folio: Folio, page: number): boolean {
    return this.#surplus(folio, pages_of(folio).slice(page, page + 1)) > 0;
  }
  counted(folio: Folio): Counted {
    const pages = this.#surplus(folio, pages_of(folio));
    return { pages, holders: folio.area.folio > 1 ? null : pages };
  }
  mapcount(folio: Folio): number {
    return pages_of(folio).reduce((sum, page) => sum + this.#mapcount_of(page), 0);
  }

  /** A pin is a reference too. */
  pin_many(folio: Folio, n: number): void {
    if (n > 0) ref_add(pfn_of(folio), n);
    else ref_sub(pfn_of(folio), -n);
    this.#added.fetch_add(page_to_pfn(head_of(folio)), n);
  }
  end_as_page(id: number): void {
    for (const page of take(this.#held, id)) put_page(page);
  }
  end_as_pin(page: Page): void {
    this.#release([page]);
  }
  mispair_zero(held: "zero pin" | "zero get"): void {
    const zero = get_page(ZERO_PAGE(this.#world.bystander));
    if (held === "zero pin") {
      this.#add([zero]);
      put_page(zero);
    } else this.#release([zero]);
  }
  /** As Linux looks at the mapcount of every page that is freed. */
  left_over(pfn: number): number {
    return this.#added.at(pfn);
  }
}
export const MAPCOUNT: SchemeOf = {
  name: "mapcount",
  source: "Jérôme Glisse, 2018",
  bytes_per_page: 0,
  bytes_per_handle: 8,
  on_the_machine: false,
  over: (world) => new Mapcount(world),
};
