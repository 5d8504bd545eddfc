/**
 * Every acquisition has an identity: the serial number in the upper half of its handle, and a record of how it lives.
 * Typed columns; stacks are kept for what is held and for the last ones that ended.
 */

import { ENDS, KINDS, type EndedBy, type Kind, type MisuseId } from "../handle/kinds.js";
import { PAGE_HANDLE_SHIFT, SERIAL_UNIT, TAG_CHECKED, TAG_USER } from "../handle/tags.js";
import { MAX_ENDED_SITES, MAX_RECORDS } from "../machine/limits.js";
import { warn_misuse, type MachineState } from "../machine/machine.js";
import { make_report } from "../machine/misuse.js";
import type { Facts, HeldReference, Probe, Site } from "../machine/probe.js";
import { capture_site, format_site } from "./site.js";
import { is_pin, wrong_tag } from "./tags.js";

const HELD = 1;
const MOVED = 2;
const ENDED = 4;
/** Acquisitions that have not ended: their numbers are not used again. */
const HELD_OR_MOVED: number = HELD | MOVED;
const NOWHERE: Site = {};
const KIND_NAMES = Object.keys(KINDS) as Kind[];

/** A column that grows by doubling. */
function grown<A extends Int32Array | Uint8Array>(column: A, size: number): A {
  const larger = new (column.constructor as new (size: number) => A)(size);
  larger.set(column);
  return larger;
}

export class Ledger implements Probe {
  readonly #machine: MachineState;
  readonly #with_sites: boolean;
  readonly #counts: (pfn: number) => string;
  #size = 1024;
  #addr = new Int32Array(this.#size);
  #state = new Uint8Array(this.#size);
  #kind = new Uint8Array(this.#size);
  #dest = new Uint8Array(this.#size);
  #by = new Uint8Array(this.#size); // index into #names
  #ended_by = new Uint8Array(this.#size);
  readonly #names: string[] = [""];
  readonly #name_ids = new Map<string, number>();
  readonly #sites = new Map<number, Site>();
  readonly #ended_sites = new Map<number, Site>();
  /** Serials in the order they ended, as a ring: the first key of a Map is slow to find once many were deleted. */
  readonly #ended_order = new Int32Array(MAX_ENDED_SITES);
  #ended_next = 0;
  readonly #owners = new Map<number, object>();
  #last = 0;

  constructor(
    machine: MachineState,
    with_sites: boolean,
    describe_counts: (pfn: number) => string,
  ) {
    this.#machine = machine;
    this.#with_sites = with_sites;
    this.#counts = describe_counts;
  }

  // --- recording ----------------------------------------------------------------------------------------
  site(): Site {
    return this.#with_sites ? capture_site() : NOWHERE;
  }
  acquired(kind: Kind, addr: number, by: string, site: Site, facts?: Facts): number {
    const serial = this.#next_serial();
    this.#addr[serial] = addr;
    this.#state[serial] = HELD;
    this.#kind[serial] = KIND_NAMES.indexOf(kind);
    this.#dest[serial] = facts?.dest ? 1 : 0;
    this.#by[serial] = this.#name_id(by);
    if (site !== NOWHERE) this.#sites.set(serial, site);
    if (facts?.owner) this.#owners.set(serial, facts.owner);
    return serial * SERIAL_UNIT + (addr | (is_pin(kind) ? TAG_CHECKED | TAG_USER : TAG_CHECKED));
  }
  #next_serial(): number {
    let serial = this.#last;
    let tries = 0;
    do {
      if (++tries > MAX_RECORDS) {
        throw new RangeError(`more than ${MAX_RECORDS - 1} references held with debug mode on`);
      }
      serial = serial + 1 < MAX_RECORDS ? serial + 1 : 1;
    } while (serial < this.#size && (this.#state[serial]! & HELD_OR_MOVED) !== 0);
    if (serial >= this.#size) this.#grow();
    if (this.#state[serial] !== 0) this.#forget(serial);
    return (this.#last = serial);
  }
  #grow(): void {
    this.#size *= 2;
    this.#addr = grown(this.#addr, this.#size);
    this.#state = grown(this.#state, this.#size);
    this.#kind = grown(this.#kind, this.#size);
    this.#dest = grown(this.#dest, this.#size);
    this.#by = grown(this.#by, this.#size);
    this.#ended_by = grown(this.#ended_by, this.#size);
  }
  #forget(serial: number): void {
    this.#sites.delete(serial);
    this.#ended_sites.delete(serial);
    this.#owners.delete(serial);
  }
  #name_id(name: string): number {
    let id = this.#name_ids.get(name);
    if (id === undefined) {
      id = this.#names.push(name) - 1;
      this.#name_ids.set(name, id);
    }
    return id;
  }
  #end(serial: number, state: number, by: string, site?: Site): void {
    this.#state[serial] = state;
    this.#ended_by[serial] = this.#name_id(by);
    if (!this.#with_sites) return;
    this.#ended_sites.set(serial, site ?? capture_site());
    const oldest = this.#ended_order[this.#ended_next]!;
    this.#ended_order[this.#ended_next] = serial;
    this.#ended_next = (this.#ended_next + 1) % MAX_ENDED_SITES;
    if (oldest === 0) return;
    if (this.#state[oldest] === ENDED) this.#forget(oldest);
    else this.#ended_sites.delete(oldest);
  }

  // --- checking -----------------------------------------------------------------------------------------
  released(kind: Kind, handle: number, by: string, owner?: object, site?: Site): void {
    const serial = Math.floor(handle / SERIAL_UNIT);
    const id = this.#refusal(kind, handle, serial, owner);
    if (id !== null) this.#report(id, kind, handle, serial, by);
    if (serial !== 0 && this.#is_current(serial, handle)) this.#end(serial, ENDED, by, site);
  }
  #is_current(serial: number, handle: number): boolean {
    return serial < this.#size && this.#addr[serial] === (handle & ~63);
  }
  #refusal(kind: Kind, handle: number, serial: number, owner: object | undefined): MisuseId | null {
    const tag = wrong_tag(kind, handle);
    if (tag !== null) return tag;
    if (serial === 0) return "release-lent";
    if (!this.#is_current(serial, handle)) return "double-release";
    const recorded = KIND_NAMES[this.#kind[serial]!];
    if (this.#state[serial] === ENDED) return "double-release";
    if (this.#state[serial] === MOVED) {
      return this.#owners.get(serial) === owner ? null : "double-release";
    }
    if ((recorded === "bvec") !== (kind === "bvec")) return "release-lent";
    return this.#owners.get(serial) === owner ? null : "wrong-owner";
  }
  moved(kind: Kind, handle: number, by: string, owner: object): void {
    const serial = Math.floor(handle / SERIAL_UNIT);
    const id = this.#refusal(kind, handle, serial, this.#owners.get(serial));
    if (id !== null || this.#state[serial] === MOVED) {
      this.#report(id ?? "double-release", kind, handle, serial, by);
    }
    if (serial === 0) return;
    this.#end(serial, MOVED, by);
    this.#owners.set(serial, owner);
  }
  used(kind: Kind, handle: number, by: string, write = false): void {
    const serial = Math.floor(handle / SERIAL_UNIT);
    if (serial === 0) return; // lent: its owner's reference holds
    if (!this.#is_current(serial, handle) || this.#state[serial] !== HELD) {
      this.#report("use-after-release", kind, handle, serial, by);
    }
    if (write && is_pin(kind) && this.#dest[serial] === 0) {
      this.#report("wrong-direction", kind, handle, serial, by);
    }
  }
  released_among(kind: Kind, addr: number, nr_pages: number, by: string): boolean {
    const end = addr + (nr_pages << PAGE_HANDLE_SHIFT);
    // The youngest first; numbers above the last one are older, from before they began again.
    for (let back = 0; back < this.#size; back++) {
      const serial = (this.#last - back + this.#size) % this.#size;
      const at = this.#addr[serial]!;
      if (at < addr || at >= end || this.#state[serial] !== HELD) continue;
      if (KIND_NAMES[this.#kind[serial]!] !== kind) continue;
      this.#end(serial, ENDED, by);
      return true;
    }
    const pfn = addr >>> PAGE_HANDLE_SHIFT;
    const facts = [this.#counts(pfn)];
    const handle = `${nr_pages} page(s) from pfn ${pfn}`;
    warn_misuse(this.#machine, make_report("double-release", by, handle, facts));
    return false;
  }

  // --- reporting ----------------------------------------------------------------------------------------
  #report(id: MisuseId, kind: Kind, handle: number, serial: number, by: string): void {
    const pfn = handle >>> PAGE_HANDLE_SHIFT;
    const current = serial !== 0 && this.#is_current(serial, handle);
    const what = KINDS[current ? KIND_NAMES[this.#kind[serial]!]! : kind].is;
    const name = `pfn ${pfn}, acquisition ${serial}: ${what}`;
    const facts = [...this.history(handle), this.#counts(pfn)];
    warn_misuse(this.#machine, make_report(id, by, name, facts));
  }
  history(handle: number): readonly string[] {
    const serial = Math.floor(handle / SERIAL_UNIT);
    const lines: string[] = [];
    if (serial === 0) lines.push("acquired  by nobody: the handle is lent by its owner");
    else if (!this.#is_current(serial, handle)) lines.push("acquired  too long ago to tell");
    else {
      lines.push(`acquired  by ${this.#names[this.#by[serial]!]}${this.#at(this.#sites, serial)}`);
      if (this.#state[serial] !== HELD) {
        const how = how_ended(this.#names[this.#ended_by[serial]!]!);
        lines.push(`ended     ${how}${this.#at(this.#ended_sites, serial)}`);
      }
    }
    if (this.#with_sites) lines.push(`called    at ${format_site(capture_site())}`);
    return lines;
  }
  #at(sites: ReadonlyMap<number, Site>, serial: number): string {
    return this.#with_sites ? ` at ${format_site(sites.get(serial))}` : "";
  }
  leaks(): readonly HeldReference[] {
    const held: HeldReference[] = [];
    for (let serial = 1; serial < this.#size; serial++) {
      if (this.#state[serial] !== HELD && this.#state[serial] !== MOVED) continue;
      const kind = KIND_NAMES[this.#kind[serial]!]!;
      const tags = is_pin(kind) ? TAG_CHECKED | TAG_USER : TAG_CHECKED;
      held.push({
        kind,
        handle: serial * SERIAL_UNIT + (this.#addr[serial]! | tags),
        acquired_by: this.#names[this.#by[serial]!]!,
        acquired_at: this.#with_sites ? format_site(this.#sites.get(serial)) : "",
      });
    }
    return held;
  }
}
/** The table's sentence for an ending, where it has one. */
function how_ended(call: string): string {
  const name = call.replace("()", "");
  return name in ENDS ? ENDS[name as EndedBy] : `by ${call}`;
}
