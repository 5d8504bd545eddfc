/**
 * The columns of the model's memory map (ours; it stands for `vmemmap`).  One fixed maximal arena for all
 * machines: typed arrays of the host cost nothing until touched, and free functions over module
 * constants are the fastest shape there is.
 *
 * `page_ref[pfn]`  > 0  the reference count of a page of order 0
 *                  = 0  free, frozen or absent
 *                  < 0  ~id of the entry in `folio_table` that counts for it: every page of a large
 *                       folio, and a page of order 0 whose count left the range above (order is 0 then)
 */

import { MAX_FOLIOS, MAX_PAGES, MAX_PAGE_TABLES, SECTION_SHIFT } from "./limits.js";

export const page_ref: Int32Array = new Int32Array(MAX_PAGES);
export const page_flags: Int32Array = new Int32Array(MAX_PAGES);
/** Page-table entries that map the page. */
export const page_mapcount: Int32Array = new Int32Array(MAX_PAGES);

/** Four words an entry. */
export const folio_table: Int32Array = new Int32Array(MAX_FOLIOS * 4);
export const FOLIO_REF = 0;
export const FOLIO_PIN = 1;
export const FOLIO_HEAD = 2;
export const FOLIO_ORDER = 3;
/** PMD entries that map the folio; indexed by folio id. */
export const entire_mapcount: Int32Array = new Int32Array(MAX_FOLIOS);

/** Page tables: 512 entries each; table 0 is never used, so that 0 means none. */
export const page_tables: Int32Array = new Int32Array(MAX_PAGE_TABLES * 512);

/** nr_foll_pin_acquired and nr_foll_pin_released, by section: a hot path needs no machine to count. */
export const foll_pin_acquired: Float64Array = new Float64Array(MAX_PAGES >> SECTION_SHIFT);
export const foll_pin_released: Float64Array = new Float64Array(MAX_PAGES >> SECTION_SHIFT);

/** Bits of `page_flags`. */
export const PG_dirty: number = 1 << 0;
export const PG_anon: number = 1 << 1;
export const PG_anon_exclusive: number = 1 << 2;
/** the shared 4 KiB zero page */
export const PG_zero: number = 1 << 3;
/** the huge zero folio */
export const PG_huge_zero: number = 1 << 4;
/** handed out by the allocator and not come back */
export const PG_allocated: number = 1 << 5;
/** its bytes may differ from zero */
export const PG_touched: number = 1 << 6;
/** belongs to a shared-memory file */
export const PG_swapbacked: number = 1 << 7;
/** in the page cache of a file that wants to know what becomes dirty */
export const PG_file: number = 1 << 8;
/** on its way to the disk */
export const PG_writeback: number = 1 << 9;
/** its file system holds a block for what is stored */
export const PG_private: number = 1 << 10;
/** pinned to be written since it was last free of pins; kept for pages of files */
export const PG_dest: number = 1 << 12;
/** merged with others like it: never exclusive again */
export const PG_ksm: number = 1 << 13;
/** on s390: may be secure, so that no device can access it */
export const PG_arch_1: number = 1 << 11;

/** A stack of free indexes over a table that grows only when it must. */
class FreeIndexes {
  readonly #free: number[] = [];
  #next = 1;
  readonly #limit: number;
  readonly #what: string;
  constructor(limit: number, what: string) {
    this.#limit = limit;
    this.#what = what;
  }
  take(): number {
    const index = this.#free.pop();
    if (index !== undefined) return index;
    if (this.#next >= this.#limit) {
      throw new RangeError(`more than ${this.#limit} ${this.#what} in all machines together`);
    }
    return this.#next++;
  }
  give(index: number): void {
    this.#free.push(index);
  }
}
const folio_ids = new FreeIndexes(MAX_FOLIOS, "folios");
const table_ids = new FreeIndexes(MAX_PAGE_TABLES, "page tables");

/** Makes a folio table entry; the caller stores ~id in the page column. */
export function new_folio_id(ref: number, pincount: number, head: number, order: number): number {
  const id = folio_ids.take();
  const f = id << 2;
  folio_table[f + FOLIO_REF] = ref;
  folio_table[f + FOLIO_PIN] = pincount;
  folio_table[f + FOLIO_HEAD] = head;
  folio_table[f + FOLIO_ORDER] = order;
  entire_mapcount[id] = 0;
  return id;
}
export function free_folio_id(id: number): void {
  folio_table.fill(0, id << 2, (id << 2) + 4);
  folio_ids.give(id);
}
/** An empty page table. */
export function new_page_table(): number {
  return table_ids.take();
}
export function free_page_table(table: number): void {
  page_tables.fill(0, table << 9, (table << 9) + 512);
  table_ids.give(table);
}
