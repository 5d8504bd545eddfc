/** One record for each acquisition, found by its serial number: two words in columns, places beside them. */

import type { Kind } from "../handle/kinds.js";
import { KINDS } from "../handle/kinds.js";
import { MAX_ENDED_SITES, MAX_RECORDS } from "../machine/limits.js";
import type { Site } from "../machine/probe.js";

export const HELD = 1;
export const MOVED = 2;
export const ENDED = 4;
/** Acquisitions that have not ended: their numbers are not used again. */
const HELD_OR_MOVED: number = HELD | MOVED;
const STATE: number = HELD | MOVED | ENDED;
/** Pinned to be written. */
export const DEST = 8;
/** Somebody's token is needed to release it. */
const OWNED = 16;
// then: kind, the call that acquired it, the call that ended it
const KIND_SHIFT = 5;
const BY_SHIFT = 9;
const ENDED_SHIFT = 17;
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
  readonly #names: string[] = [""];
  readonly #name_ids = new Map<string, number>();
  readonly #sites: Array<Site | undefined> = [];
  readonly #ended_sites: Array<Site | undefined> = [];
  readonly #owners = new Map<number, object>();
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
  #last_ended = "";
  #last_ended_id = 0;

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
    return this.#names[(this.meta[serial]! >>> BY_SHIFT) & 255]!;
  }
  ended_by(serial: number): string {
    return this.#names[this.meta[serial]! >>> ENDED_SHIFT]!;
  }
  site(serial: number): Site | undefined {
    return this.#sites[serial];
  }
  ended_site(serial: number): Site | undefined {
    return this.#ended_sites[serial];
  }
  owner(serial: number): object | undefined {
    return this.meta[serial]! & OWNED ? this.#owners.get(serial) : undefined;
  }
  /** Whether the record is of the acquisition that this handle came from. */
  is_of(serial: number, handle: number): boolean {
    return serial > 0 && serial < this.addr.length && this.addr[serial] === (handle & ~63);
  }

  add(kind: Kind, addr: number, by: string, dest: boolean): number {
    const serial = this.#next_serial();
    if (kind !== this.#last_kind || by !== this.#last_by) {
      this.#last_kind = kind;
      this.#last_by = by;
      const kind_id = KIND_NAMES.indexOf(kind);
      this.#last_meta = HELD | (kind_id << KIND_SHIFT) | (this.#name_id(by) << BY_SHIFT);
    }
    this.addr[serial] = addr;
    this.meta[serial] = dest ? this.#last_meta | DEST : this.#last_meta;
    return serial;
  }
  set_site(serial: number, site: Site): void {
    this.#sites[serial] = site;
  }
  set_owner(serial: number, owner: object): void {
    this.#owners.set(serial, owner);
    this.meta[serial] = this.meta[serial]! | OWNED;
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
    if (serial >= this.addr.length) {
      this.addr = grown(this.addr);
      this.meta = grown(this.meta);
    } else if (this.meta[serial] !== 0) this.#forget(serial);
    return (this.#last = serial);
  }
  #forget(serial: number): void {
    if (serial < this.#sites.length) this.#sites[serial] = undefined;
    if (serial < this.#ended_sites.length) this.#ended_sites[serial] = undefined;
    if (this.meta[serial]! & OWNED) this.#owners.delete(serial);
  }
  #name_id(name: string): number {
    let id = this.#name_ids.get(name);
    if (id === undefined) {
      id = this.#names.push(name) - 1;
      this.#name_ids.set(name, id);
    }
    return id;
  }
  end(serial: number, state: number, by: string): void {
    if (by !== this.#last_ended) {
      this.#last_ended = by;
      this.#last_ended_id = this.#name_id(by);
    }
    if (state === ENDED && this.state(serial) !== ENDED) this.#live--;
    const kept = this.meta[serial]! & ((1 << ENDED_SHIFT) - 1) & ~STATE;
    this.meta[serial] = kept | state | (this.#last_ended_id << ENDED_SHIFT);
  }
  /** Remembers where it ended, and forgets the places of the one that ended longest ago. */
  set_ended_site(serial: number, site: Site): void {
    this.#ended_sites[serial] = site;
    const oldest = this.#ended_order[this.#ended_next]!;
    this.#ended_order[this.#ended_next] = serial;
    this.#ended_next = (this.#ended_next + 1) % MAX_ENDED_SITES;
    if (oldest === 0 || oldest === serial) return;
    this.#ended_sites[oldest] = undefined;
    if (this.state(oldest) === ENDED) this.#sites[oldest] = undefined;
  }
}
