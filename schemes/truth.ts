/** Who really holds what, exactly: kept beside every scheme, and never read by one. */
import type { Dir } from "user-page";
import type { Folio, Range } from "./world.js";

export interface Held extends Range {
  readonly what: "pin" | "look" | "plain";
  readonly dir: Dir;
}
export class Truth {
  readonly #held = new Map<number, Held>();
  add(id: number, held: Held): void {
    this.#held.set(id, held);
  }
  get(id: number): Held | undefined {
    return this.#held.get(id);
  }
  remove(id: number): void {
    this.#held.delete(id);
  }
  /** The first `nr` pages are held no more. */
  trim(id: number, nr: number): void {
    const held = this.#held.get(id);
    if (held) this.#held.set(id, { ...held, first: held.first + nr, nr: held.nr - nr });
  }
  *#on({ area, first }: Folio): Generator<Held> {
    for (const held of this.#held.values()) {
      if (held.area === area && held.first < first + area.folio && first < held.first + held.nr) {
        yield held;
      }
    }
  }
  #pins(folio: Folio): Held[] {
    return [...this.#on(folio)].filter(({ what }) => what === "pin");
  }
  /** Somebody does I/O on the folio by physical address. */
  is_pinned(folio: Folio): boolean {
    return this.#pins(folio).length > 0;
  }
  is_page_pinned(folio: Folio, page: number): boolean {
    const index = folio.first + page;
    return this.#pins(folio).some(({ first, nr }) => first <= index && index < first + nr);
  }
  /** Somebody writes into it: its bytes may change under whoever writes it back. */
  is_written(folio: Folio): boolean {
    return this.#pins(folio).some(({ dir }) => dir === "dest");
  }
  /** Nobody holds it in any way that the memory manager does not know of. */
  is_free_to_move(folio: Folio): boolean {
    return [...this.#on(folio)].length === 0;
  }
  pinned_pages(folio: Folio): number {
    const end = folio.first + folio.area.folio;
    return this.#pins(folio).reduce(
      (sum, { first, nr }) => sum + Math.min(first + nr, end) - Math.max(first, folio.first),
      0,
    );
  }
  holders(folio: Folio): number {
    return this.#pins(folio).length;
  }
}
