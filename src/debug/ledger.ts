/**
 * Every acquisition has an identity: the serial number in the upper half of its handle, and a record of how it lives.
 */

import { ENDS, KINDS, type EndedBy, type Kind, type MisuseId } from "../handle/kinds.js";
import {
  PAGE_HANDLE_SHIFT,
  SERIAL_UNIT,
  TAG_PLAIN,
  TAG_RECORDED,
  TAG_USER,
} from "../handle/tags.js";
import { warn_misuse, type MachineState } from "../machine/machine.js";
import { make_report } from "../machine/misuse.js";
import type { Facts, HeldReference, Probe, Site } from "../machine/probe.js";
import { DEST, ENDED, HELD, MOVED, Records } from "./records.js";
import { capture_site, format_site } from "./site.js";
import { is_pin, wrong_tag } from "./tags.js";

const NOWHERE: Site = {};
/** The call that pins and gives out no handle. */
const WITHOUT_HANDLE = "folio_add_pin()";
const PAGE_TAGS: number = TAG_PLAIN | TAG_RECORDED;
const USER_TAGS: number = TAG_USER | TAG_RECORDED;

export class Ledger implements Probe {
  readonly records = true;
  readonly #machine: MachineState;
  readonly #with_sites: boolean;
  readonly #counts: (pfn: number) => string;
  readonly #records = new Records();

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
  reserve(nr: number): void {
    this.#records.reserve(nr);
  }
  site(): Site {
    return this.#with_sites ? capture_site() : NOWHERE;
  }
  acquired(kind: Kind, addr: number, by: string, site: Site, facts?: Facts): number {
    const records = this.#records;
    const serial = records.add(kind, addr, by, facts?.dest === true);
    if (site !== NOWHERE) records.set_site(serial, site);
    if (facts?.owner) records.set_owner(serial, facts.owner);
    return this.#handle(serial, kind);
  }
  #handle(serial: number, kind: Kind): number {
    const tags = is_pin(kind) ? USER_TAGS : PAGE_TAGS;
    return serial * SERIAL_UNIT + (this.#records.addr[serial]! | tags);
  }
  #end(serial: number, state: number, by: string, site?: Site): void {
    this.#records.end(serial, state, by);
    if (this.#with_sites) this.#records.set_ended_site(serial, site ?? capture_site());
  }

  // --- checking -----------------------------------------------------------------------------------------
  released(kind: Kind, handle: number, by: string, owner?: object, site?: Site): void {
    const serial = Math.floor(handle / SERIAL_UNIT);
    const id = this.#refusal(kind, handle, serial, owner);
    if (id !== null) this.#report(id, kind, handle, serial, by);
    if (this.#records.is_of(serial, handle)) this.#end(serial, ENDED, by, site);
  }
  #refusal(kind: Kind, handle: number, serial: number, owner: object | undefined): MisuseId | null {
    const tag = wrong_tag(kind, handle);
    if (tag !== null) return tag;
    if (serial === 0) return "release-lent";
    const records = this.#records;
    if (!records.is_of(serial, handle)) return "double-release";
    const state = records.state(serial);
    if (state === ENDED) return "double-release";
    if (state === MOVED) return records.owner(serial) === owner ? null : "double-release";
    if ((records.kind(serial) === "bvec") !== (kind === "bvec")) return "release-lent";
    return records.owner(serial) === owner ? null : "wrong-owner";
  }
  moved(kind: Kind, handle: number, by: string, owner: object): void {
    const serial = Math.floor(handle / SERIAL_UNIT);
    const records = this.#records;
    const current = records.is_of(serial, handle);
    const id = this.#refusal(kind, handle, serial, undefined);
    if (id !== null) this.#report(id, kind, handle, serial, by);
    if (!current) return;
    this.#end(serial, MOVED, by);
    records.set_owner(serial, owner);
  }
  used(kind: Kind, handle: number, by: string, write = false): void {
    const serial = Math.floor(handle / SERIAL_UNIT);
    if (serial === 0) return; // lent: its owner's reference holds
    const records = this.#records;
    if (!records.is_of(serial, handle) || records.state(serial) !== HELD) {
      this.#report("use-after-release", kind, handle, serial, by);
    }
    if (write && is_pin(kind) && (records.meta[serial]! & DEST) === 0) {
      this.#report("wrong-direction", kind, handle, serial, by);
    }
  }
  released_among(kind: Kind, addr: number, nr_pages: number, by: string, likely = 0): boolean {
    const serial = this.#find_among(kind, addr, nr_pages, likely);
    if (serial !== 0) {
      this.#end(serial, ENDED, by);
      return true;
    }
    const pfn = addr >>> PAGE_HANDLE_SHIFT;
    const facts = [this.#counts(pfn)];
    const handle = `${nr_pages} page(s) from pfn ${pfn}`;
    warn_misuse(this.#machine, make_report("double-release", by, handle, facts));
    return false;
  }
  /** The likely one; else one that has no handle at all; else the oldest, as loops release in order.  0 if none is held. */
  #find_among(kind: Kind, addr: number, nr_pages: number, likely: number): number {
    const records = this.#records;
    const { size, last } = records;
    const end = addr + (nr_pages << PAGE_HANDLE_SHIFT);
    const fits = (serial: number): boolean => {
      const at = records.addr[serial]!;
      return (
        at >= addr && at < end && records.state(serial) === HELD && records.kind(serial) === kind
      );
    };
    if (likely > 0 && likely < size && fits(likely)) return likely;
    let oldest = 0;
    // Numbers above the last one are older, from before they began again.
    for (let i = 1; i <= size; i++) {
      const serial = (last + i) % size;
      if (!fits(serial)) continue;
      if (records.acquired_by(serial) === WITHOUT_HANDLE) return serial;
      oldest ||= serial;
    }
    return oldest;
  }

  // --- reporting ----------------------------------------------------------------------------------------
  #report(id: MisuseId, kind: Kind, handle: number, serial: number, by: string): void {
    const pfn = handle >>> PAGE_HANDLE_SHIFT;
    const recorded = this.#records.is_of(serial, handle) ? this.#records.kind(serial) : kind;
    const name = `pfn ${pfn}, acquisition ${serial}: ${KINDS[recorded].is}`;
    const facts = [...this.history(handle), this.#counts(pfn)];
    warn_misuse(this.#machine, make_report(id, by, name, facts));
  }
  history(handle: number): readonly string[] {
    const records = this.#records;
    const serial = Math.floor(handle / SERIAL_UNIT);
    const lines: string[] = [];
    if (serial === 0) lines.push("acquired  by nobody: the handle is lent by its owner");
    else if (!records.is_of(serial, handle)) lines.push("acquired  too long ago to tell");
    else {
      lines.push(`acquired  by ${records.acquired_by(serial)}${this.#at(records.site(serial))}`);
      if (records.state(serial) !== HELD) {
        const how = how_ended(records.ended_by(serial));
        lines.push(`ended     ${how}${this.#at(records.ended_site(serial))}`);
      }
    }
    if (this.#with_sites) lines.push(`called    at ${format_site(capture_site())}`);
    return lines;
  }
  #at(site: Site | undefined): string {
    return this.#with_sites ? ` at ${format_site(site)}` : "";
  }
  leaks(): readonly HeldReference[] {
    const records = this.#records;
    const held: HeldReference[] = [];
    for (let serial = 1; serial < records.size; serial++) {
      const state = records.state(serial);
      if (state !== HELD && state !== MOVED) continue;
      const kind = records.kind(serial);
      held.push({
        kind,
        handle: this.#handle(serial, kind),
        acquired_by: records.acquired_by(serial),
        acquired_at: this.#with_sites ? format_site(records.site(serial)) : "",
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
