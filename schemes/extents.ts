/**
 * Scheme 4, that of get_user_bvec(): the counters of the bias, with one pin for each contiguous run of pages inside a folio.  The
 * code is that of the library, through its public API.
 */
import {
  folio_maybe_dma_pinned,
  folio_order,
  folio_pincount,
  FOLL_LONGTERM,
  get_page,
  get_user_bvec,
  get_user_pages_fast,
  GUP_PIN_COUNTING_BIAS,
  IS_ERR,
  page_folio,
  page_ref_count,
  PAGE_SIZE,
  pop_user_bvec,
  put_page,
  put_user_bvec,
  split_user_bvec,
  unpin_user_page,
  zero_user_bvec,
  ZERO_PAGE,
  type BorrowedBvec,
  type Dir,
  type Page,
  type PinnedBvec,
} from "user-page";
import { count_pins } from "./bias.js";
import {
  no_cost,
  past_the_compiler,
  take,
  type Counted,
  type Race,
  type Scheme,
  type SchemeOf,
} from "./scheme.js";
import { address_of, head_of, type Folio, type Range, type World } from "./world.js";

class Extents implements Scheme {
  readonly cost = no_cost();
  readonly #world: World;
  readonly #pins = new Map<number, PinnedBvec[]>();
  readonly #looks = new Map<number, Page[]>();
  constructor(world: World) {
    this.#world = world;
  }
  pin(id: number, range: Range, dir: Dir, longterm: boolean): boolean {
    const { current, addr } = address_of(range);
    const bytes = range.nr * PAGE_SIZE;
    const list = longterm
      ? get_user_bvec(current, addr, bytes, dir, FOLL_LONGTERM)
      : get_user_bvec(current, addr, bytes, dir);
    if (IS_ERR(list)) return false;
    const extents: PinnedBvec[] = [];
    for (let bvec = pop_user_bvec(list); bvec; bvec = pop_user_bvec(list)) extents.push(bvec);
    this.cost.handles += extents.length;
    // The walk is that of the bias, with 1 for n: + 1 and + 1023, or the count and the pincount.
    this.cost.atomics += 2 * extents.length;
    this.#pins.set(id, extents);
    return true;
  }
  unpin(id: number): void {
    this.#release(take(this.#pins, id));
  }
  /** An extent ends whole: one that is needed in part is cut first, which adds a reference. */
  unpin_front(id: number, nr: number): void {
    const extents = take(this.#pins, id);
    const front: PinnedBvec[] = [];
    let left = nr * PAGE_SIZE;
    while (left > 0) {
      const bvec = extents.shift();
      if (!bvec) throw new RangeError("fewer pages are pinned");
      if (bvec.len > left) {
        const rest = split_user_bvec(bvec, left);
        if (IS_ERR(rest)) throw new Error(rest.message);
        this.cost.handles++;
        this.cost.atomics += 2;
        extents.unshift(rest);
      }
      left -= bvec.len;
      front.push(bvec);
    }
    this.#release(front);
    this.#pins.set(id, extents);
  }
  #release(extents: readonly PinnedBvec[]): void {
    for (const bvec of extents) {
      this.cost.atomics += this.#is_large(bvec) ? 2 : 1;
      put_user_bvec(bvec);
    }
  }
  #is_large(bvec: BorrowedBvec): boolean {
    return folio_order(page_folio(bvec.page)) > 0;
  }
  look(id: number, range: Range): void {
    const { current, addr } = address_of(range);
    const pages: Page[] = [];
    get_user_pages_fast(current, addr, range.nr, 0, pages);
    this.#looks.set(id, pages);
  }
  end_look(id: number): void {
    for (const page of take(this.#looks, id)) put_page(page);
  }

  is_pinned(folio: Folio, race?: Race): boolean {
    race?.run();
    this.cost.loads++;
    return folio_maybe_dma_pinned(page_folio(head_of(folio)));
  }
  is_page_pinned(folio: Folio): boolean {
    return this.is_pinned(folio);
  }
  /** A large folio counts extents, and an extent does not say how long it is. */
  counted(folio: Folio): Counted {
    const head = head_of(folio);
    this.cost.loads++;
    if (folio.area.folio > 1) return { pages: null, holders: folio_pincount(page_folio(head)) };
    const pages = Math.floor(page_ref_count(head) / GUP_PIN_COUNTING_BIAS);
    return { pages, holders: pages };
  }
  mapcount(folio: Folio): number {
    return this.#world.mapcount(folio);
  }

  pin_many(folio: Folio, n: number): void {
    count_pins(folio, n);
  }
  end_as_page(id: number): void {
    for (const bvec of take(this.#pins, id)) past_the_compiler(put_page)(bvec.page);
  }
  /** A page is no extent: put_user_bvec() refuses it, so the release is that of a single pin. */
  end_as_pin(page: Page): void {
    past_the_compiler(unpin_user_page)(page);
  }
  mispair_zero(held: "zero pin" | "zero get"): void {
    const current = this.#world.bystander;
    if (held === "zero get") {
      past_the_compiler(unpin_user_page)(get_page(ZERO_PAGE(current)));
      return;
    }
    const zero = zero_user_bvec(current, PAGE_SIZE);
    if (!IS_ERR(zero)) past_the_compiler(put_page)(zero.page);
  }
  /** It has none beside the machine's, which the allocator looks at. */
  left_over(): number {
    return 0;
  }
}
export const EXTENTS: SchemeOf = {
  name: "extents",
  source: "get_user_bvec() here; asked for since 2019",
  bytes_per_page: 0,
  bytes_per_handle: 16,
  on_the_machine: true,
  over: (world) => new Extents(world),
};
