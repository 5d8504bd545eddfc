/** One record for each acquisition, found by its serial number: words in columns, places beside them. */

import type { Kind } from "../handle/kinds.js";
import { KINDS } from "../handle/kinds.js";
import { MAX_ENDED_SITES, MAX_RECORDS } from "../machine/limits.js";
import type { Site } from "../machine/site.js";
import { Names } from "./names.js";

export const HELD = 1;
export const MOVED = 2;
export const ENDED = 4;
/** Acquisitions that have not ended: their numbers are not used again. */
const HELD_OR_MOVED: number = HELD | MOVED;
const STATE: number = HELD | MOVED | ENDED;
/** Pinned to be written. */
export const DEST = 8;
// then: kind, the call that acquired it, the call that ended it
const KIND_SHIFT = 5;
const BY_SHIFT = 9;
const ENDED_SHIFT = 17;
// how it was moved: the call, and the contexts of the move and of the end
const MOVED_CONTEXT_SHIFT = 8;
const ENDED_CONTEXT_SHIFT = 20;
const CONTEXT_MASK = 4095;
const KIND_NAMES = Object.keys(KINDS) as Kind[];

function grown(column: Int32Array): Int32Array {
  const larger = new Int32Array(column.length * 2);
  larger.set(column);
  return larger;
}

export class Records {
  /** handle without tags */
  addr: Int32Array = new Int32Array(1024);
  meta: Int32Array = new Int32Array(1024);
  /** the context that acquired it */
  #context: Int32Array = new Int32Array(1024);
  #ending: Int32Array = new Int32Array(1024);
  /** the object that owns it: a bio, or the token without which it is not released */
  #owner: Int32Array = new Int32Array(1024);
  /** the only object that knows the handle */
  #holder: Int32Array = new Int32Array(1024);
  #pages: Int32Array = new Int32Array(1024);
  /** the serial that its owner or holder had before it */
  #next: Int32Array = new Int32Array(1024);
  /** by the number of an owner or holder, the serial that it had last */
  readonly #chains = new Map<number, number>();
  /** by context, acquisitions that have not ended */
  readonly #live_in: number[] = [];
  readonly names: Names = new Names();
  /** Those that end references come first: their numbers have a few bits. */
  readonly contexts: Names = new Names(["process", "softirq", "kworker"]);
  readonly #sites: Array<Site | undefined> = [];
  readonly #moved_sites = new Map<number, Site>();
  readonly #ended_sites: Array<Site | undefined> = [];
  /** Serials in the order they ended, as a ring: the places of the last ones are kept. */
  readonly #ended_order = new Int32Array(MAX_ENDED_SITES);
  #ended_next = 0;
  #last = 0;
  /** that have not ended */
  #live = 0;
  // what the last call asked for, since most calls ask for the same again
  #last_kind: Kind = "page";
  #last_by = "";
  #last_meta = 0;

  get size(): number {
    return this.addr.length;
  }
  get last(): number {
    return this.#last;
  }
  state(serial: number): number {
    return this.meta[serial]! & STATE;
  }
  kind(serial: number): Kind {
    return KIND_NAMES[(this.meta[serial]! >>> KIND_SHIFT) & 15]!;
  }
  acquired_by(serial: number): string {
    return this.names.of((this.meta[serial]! >>> BY_SHIFT) & 255);
  }
  acquired_in(serial: number): string {
    return this.contexts.of(this.#context[serial]!);
  }
  /** "" if it was not */
  moved_by(serial: number): string {
    return this.names.of(this.#ending[serial]! & 255);
  }
  moved_in(serial: number): string {
    return this.contexts.of((this.#ending[serial]! >>> MOVED_CONTEXT_SHIFT) & CONTEXT_MASK);
  }
  ended_by(serial: number): string {
    return this.names.of(this.meta[serial]! >>> ENDED_SHIFT);
  }
  ended_in(serial: number): string {
    return this.contexts.of(this.#ending[serial]! >>> ENDED_CONTEXT_SHIFT);
  }
  site(serial: number): Site | undefined {
    return this.#sites[serial];
  }
  moved_site(serial: number): Site | undefined {
    return this.#moved_sites.get(serial);
  }
  ended_site(serial: number): Site | undefined {
    return this.#ended_sites[serial];
  }
  owner(serial: number): number {
    return this.#owner[serial]!;
  }
  /** that the reference is for */
  nr_pages(serial: number): number {
    return this.#pages[serial]!;
  }
  /** acquisitions since, and numbers that were passed over; there is no number 0 */
  age(serial: number): number {
    return (this.#last - serial + MAX_RECORDS - 1) % (MAX_RECORDS - 1);
  }
  /** Whether the record is of the acquisition that this handle came from. */
  is_of(serial: number, handle: number): boolean {
    return serial > 0 && serial < this.addr.length && this.addr[serial] === (handle & ~63);
  }

  add(kind: Kind, addr: number, by: string, dest: boolean, context: number): number {
    const serial = this.#next_serial();
    if (kind !== this.#last_kind || by !== this.#last_by) {
      this.#last_kind = kind;
      this.#last_by = by;
      const kind_id = KIND_NAMES.indexOf(kind);
      this.#last_meta = HELD | (kind_id << KIND_SHIFT) | (this.names.id(by) << BY_SHIFT);
    }
    this.addr[serial] = addr;
    this.meta[serial] = dest ? this.#last_meta | DEST : this.#last_meta;
    this.#context[serial] = context;
    this.#live_in[context] = (this.#live_in[context] ?? 0) + 1;
    this.#pages[serial] = 1;
    return serial;
  }
  set_site(serial: number, site: Site): void {
    this.#sites[serial] = site;
  }
  set_owner(serial: number, owner: number): void {
    this.#owner[serial] = owner;
  }
  /** 0: anybody may have the handle. */
  set_holder(serial: number, holder: number): void {
    this.#holder[serial] = holder;
    if (holder !== 0) this.#chain(serial, holder);
  }
  #chain(serial: number, object: number): void {
    this.#next[serial] = this.#chains.get(object) ?? 0;
    this.#chains.set(object, serial);
  }
  /** What an object still has, which is gone now: the youngest first. */
  unchain(object: number): number[] {
    const had = new Set<number>();
    for (let at = this.#chains.get(object) ?? 0; at !== 0 && !had.has(at); at = this.#next[at]!) {
      had.add(at);
    }
    this.#chains.delete(object);
    return [...had].filter((serial) => this.object_of(serial) === object);
  }
  /** Who has it: the bio that it was moved into, or the only object that knows its handle; 0 if nobody is known. */
  object_of(serial: number): number {
    const state = this.state(serial);
    if (state === MOVED) return this.#owner[serial]!;
    return state === HELD ? this.#holder[serial]! : 0;
  }
  /** Whether anything that was acquired in this context has not ended. */
  is_live(context: string): boolean {
    return (this.#live_in[this.contexts.id(context)] ?? 0) > 0;
  }
  set_pages(serial: number, nr_pages: number): void {
    this.#pages[serial] = nr_pages;
  }
  reserve(nr: number): void {
    if (this.#live + nr >= MAX_RECORDS) {
      throw new RangeError(`more than ${MAX_RECORDS - 1} references held with debug mode on`);
    }
  }
  #next_serial(): number {
    this.reserve(1);
    this.#live++;
    let serial = this.#last;
    do {
      serial = serial + 1 < MAX_RECORDS ? serial + 1 : 1;
    } while (serial < this.addr.length && (this.meta[serial]! & HELD_OR_MOVED) !== 0);
    if (serial >= this.addr.length) this.#grow();
    else if (this.meta[serial] !== 0) this.#forget(serial);
    return (this.#last = serial);
  }
  #grow(): void {
    this.addr = grown(this.addr);
    this.meta = grown(this.meta);
    this.#context = grown(this.#context);
    this.#ending = grown(this.#ending);
    this.#owner = grown(this.#owner);
    this.#holder = grown(this.#holder);
    this.#pages = grown(this.#pages);
    this.#next = grown(this.#next);
  }
  #forget(serial: number): void {
    if (serial < this.#sites.length) this.#sites[serial] = undefined;
    if (serial < this.#ended_sites.length) this.#ended_sites[serial] = undefined;
    if (this.#moved_sites.size > 0) this.#moved_sites.delete(serial);
    this.#ending[serial] = 0;
    this.#owner[serial] = 0;
    this.#holder[serial] = 0;
  }
  /** It belongs to an object from now on. */
  move(serial: number, by: string, context: number, owner: number, site?: Site): void {
    this.meta[serial] = (this.meta[serial]! & ~STATE) | MOVED;
    this.#ending[serial] = this.names.id(by) | (context << MOVED_CONTEXT_SHIFT);
    this.#owner[serial] = owner;
    this.#chain(serial, owner);
    if (site) this.#moved_sites.set(serial, site);
  }
  end(serial: number, by: string, context: number): void {
    const meta = this.meta[serial]!;
    if ((meta & ENDED) === 0) {
      this.#live--;
      this.#live_in[this.#context[serial]!]!--;
    }
    const kept = meta & ((1 << ENDED_SHIFT) - 1) & ~STATE;
    this.meta[serial] = kept | ENDED | (this.names.id(by) << ENDED_SHIFT);
    const before = this.#ending[serial]! & ((1 << ENDED_CONTEXT_SHIFT) - 1);
    this.#ending[serial] = before | (context << ENDED_CONTEXT_SHIFT);
  }
  /** Remembers where it ended, and forgets the places of the one that ended longest ago. */
  set_ended_site(serial: number, site: Site): void {
    this.#ended_sites[serial] = site;
    const oldest = this.#ended_order[this.#ended_next]!;
    this.#ended_order[this.#ended_next] = serial;
    this.#ended_next = (this.#ended_next + 1) % MAX_ENDED_SITES;
    if (oldest === 0 || oldest === serial) return;
    this.#ended_sites[oldest] = undefined;
    if (this.state(oldest) !== ENDED) return;
    this.#sites[oldest] = undefined;
    this.#moved_sites.delete(oldest);
  }
}
