/** What files and memory hold, byte by byte, for random programs: pages know who else shows them, and the disk what it promised. */
import { PAGE_SIZE } from "user-page";

/** A page of memory, of a file or of nobody any more; pins and transfers under way keep the object. */
export interface ModelPage {
  readonly bytes: Uint8Array;
  /** what it held while fsync() ran: any of these may be what was written */
  versions: Uint8Array[];
  /** Bytes from here on are anybody's guess: they lay behind the end of the file.  Null: where the file ends now. */
  end: number | null;
  /** A device and a call that zeroes stored to it in an order nobody promised. */
  unknown: boolean;
  readonly index: number;
}
const new_page = (index: number): ModelPage => ({
  bytes: new Uint8Array(PAGE_SIZE),
  versions: [],
  end: null,
  unknown: false,
  index,
});
/** What a power cut must leave: the size, and for each page what may stand there; nothing if that is unknown. */
export interface Durable {
  readonly size: number;
  readonly pages: ReadonlyMap<number, readonly Uint8Array[]>;
}
export class ModelFile {
  size = 0;
  readonly pages = new Map<number, ModelPage>();
  #syncing = false;
  #synced_size = 0;
  /** null: an error makes it unknown */
  durable: Durable | null = { size: 0, pages: new Map() };

  page(index: number): ModelPage {
    let page = this.pages.get(index);
    if (!page) this.pages.set(index, (page = new_page(index)));
    return page;
  }
  get nr_pages(): number {
    return Math.ceil(this.size / PAGE_SIZE);
  }
  store(page: ModelPage, offset: number, bytes: Uint8Array): void {
    if (this.#syncing) page.versions.push(page.bytes.slice());
    page.bytes.set(bytes, offset);
    if (bytes.length === PAGE_SIZE && !this.#syncing) page.unknown = false;
  }
  /** Bytes of a page that are known. */
  known({ end, index, unknown }: ModelPage): number {
    if (unknown) return 0;
    return end ?? Math.max(0, Math.min(PAGE_SIZE, this.size - index * PAGE_SIZE));
  }
  /** A private copy. */
  copy(index: number): ModelPage {
    const from = this.page(index);
    const page = new_page(index);
    page.bytes.set(from.bytes);
    page.end = this.known(from);
    page.unknown = from.unknown;
    return page;
  }
  // --- files ---------------------------------------------------------------------------------------------
  #zero(from: number, to: number): void {
    const page = this.page(Math.floor(from / PAGE_SIZE));
    const end = Math.min(to, (page.index + 1) * PAGE_SIZE);
    this.store(page, from % PAGE_SIZE, new Uint8Array(Math.max(0, end - from)));
  }
  /** Pages [first, end) are nobody's from now on. */
  #drop(first: number, end: number): void {
    for (const [index, page] of [...this.pages]) {
      if (index < first || index >= end) continue;
      page.end = this.known(page);
      this.pages.delete(index);
    }
  }
  /** What lies behind the end, old or new, is zero when the file grows. */
  grow(size: number): void {
    if (size <= this.size) return;
    this.#zero(this.size, Infinity);
    this.size = size;
  }
  shrink(size: number): void {
    this.#drop(Math.ceil(size / PAGE_SIZE), Infinity);
    this.size = size;
  }
  punch(from: number, to: number): void {
    const stop = to >= this.size ? this.nr_pages * PAGE_SIZE : to;
    const [first, last] = [Math.ceil(from / PAGE_SIZE), Math.floor(stop / PAGE_SIZE)];
    if (last < first) this.#zero(from, stop);
    else {
      if (from < first * PAGE_SIZE) this.#zero(from, first * PAGE_SIZE);
      if (last * PAGE_SIZE < stop) this.#zero(last * PAGE_SIZE, stop);
      this.#drop(first, last);
    }
  }
  // --- the disk ------------------------------------------------------------------------------------------
  begin_sync(): void {
    this.#synced_size = this.size; // what is appended meanwhile belongs to the next one
    this.#syncing = true;
    for (const page of this.pages.values()) page.versions = [];
  }
  end_sync(outcome: "done" | "failed" | "unknown"): void {
    this.#syncing = false;
    if (outcome === "unknown") this.durable = null;
    if (outcome !== "done") return;
    const pages = Array.from(this.pages, ([index, { bytes, versions, unknown }]) => {
      return [index, unknown ? [] : [bytes.slice(), ...versions]] as const;
    });
    this.durable = { size: this.#synced_size, pages: new Map(pages) };
  }
}
/** Numbers that a seed gives. */
export class Random {
  #x: number;
  constructor(seed: number) {
    this.#x = (seed * 2654435761) | 0;
  }
  /** 0 to n - 1 */
  below(n: number): number {
    this.#x = (Math.imul(this.#x, 1664525) + 1013904223) | 0;
    const mixed = Math.imul(this.#x ^ (this.#x >>> 15), 0x2c1b3c6d);
    return Math.floor((((mixed ^ (mixed >>> 13)) >>> 0) / 2 ** 32) * n);
  }
  one<T>(of: readonly T[]): T | undefined {
    return of[this.below(of.length)];
  }
  bytes(len: number): Uint8Array {
    return new Uint8Array(len).fill(1 + this.below(255));
  }
}
