/**
 * Scheme 1, as Linux counts since 5.7: a pin of a small page adds 1024 to its reference count, a pin of a page of a large folio
 * adds 1 to the reference count and 1 to a counter of its own.  The code is that of the library, through its public API.
 */
import {
  all_or_none,
  folio_add_pin,
  folio_maybe_dma_pinned,
  folio_order,
  folio_pincount,
  FOLL_LONGTERM,
  get_page,
  get_user_pages_fast,
  GUP_PIN_COUNTING_BIAS,
  IS_ERR,
  page_folio,
  page_ref_count,
  page_to_user_page,
  pin_user_pages_fast,
  put_page,
  unpin_user_folio,
  unpin_user_page,
  unpin_user_pages,
  ZERO_PAGE,
  type BorrowedFolio,
  type Dir,
  type Page,
  type UserPage,
} from "user-page";
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

/** Runs of pages of one folio, which Linux counts together: what it costs to take or to release them. */
function atomics_of(folios: readonly BorrowedFolio[], small: number, large: number): number {
  return folios.reduce(
    (sum, folio, i) =>
      folio === folios[i - 1] ? sum : sum + (folio_order(folio) > 0 ? large : small),
    0,
  );
}
class Bias implements Scheme {
  readonly cost = no_cost();
  readonly #world: World;
  readonly #pins = new Map<number, UserPage[]>();
  readonly #looks = new Map<number, Page[]>();
  constructor(world: World) {
    this.#world = world;
  }
  pin(id: number, range: Range, dir: Dir, longterm: boolean): boolean {
    const { current, addr } = address_of(range);
    const pages = longterm
      ? all_or_none(pin_user_pages_fast(current, addr, range.nr, dir, FOLL_LONGTERM))
      : all_or_none(pin_user_pages_fast(current, addr, range.nr, dir));
    if (IS_ERR(pages)) return false;
    this.cost.handles += pages.length;
    // A small page: + 1, then + 1023.  A large folio: its count, then its pincount.
    this.cost.atomics += atomics_of(pages.map(page_folio), 2, 2);
    this.#pins.set(id, pages.splice(0));
    return true;
  }
  unpin(id: number): void {
    this.#release(take(this.#pins, id));
  }
  unpin_front(id: number, nr: number): void {
    const pages = take(this.#pins, id);
    this.#release(pages.splice(0, nr));
    this.#pins.set(id, pages);
  }
  #release(pages: UserPage[]): void {
    this.cost.atomics += atomics_of(pages.map(page_folio), 1, 2);
    unpin_user_pages(pages);
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
  counted(folio: Folio): Counted {
    const head = head_of(folio);
    this.cost.loads++;
    if (folio.area.folio > 1) return { pages: folio_pincount(page_folio(head)), holders: null };
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
    for (const page of take(this.#pins, id)) past_the_compiler(put_page)(page);
  }
  end_as_pin(page: Page): void {
    past_the_compiler(unpin_user_page)(page);
  }
  mispair_zero(held: "zero pin" | "zero get"): void {
    const zero = ZERO_PAGE(this.#world.bystander);
    if (held === "zero pin") past_the_compiler(put_page)(page_to_user_page(zero));
    else past_the_compiler(unpin_user_page)(get_page(zero));
  }
  /** It has none beside the machine's, which the allocator looks at. */
  left_over(): number {
    return 0;
  }
}
/** Pins on a page that is pinned already, or has as many pins. */
export function count_pins(folio: Folio, n: number): void {
  const target = page_folio(head_of(folio));
  for (let i = 0; i < n; i++) folio_add_pin(target);
  if (n < 0) unpin_user_folio(target, -n);
}
export const BIAS: SchemeOf = {
  name: "bias",
  source: "Linux since 5.7",
  bytes_per_page: 0,
  bytes_per_handle: 8,
  on_the_machine: true,
  over: (world) => new Bias(world),
};
