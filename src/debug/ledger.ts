/**
 * Every acquisition has an identity: the serial number in the upper half of its handle, and a record of how it lives.
 */

import { KINDS, type Kind, type MisuseId } from "../handle/kinds.js";
import {
  PAGE_HANDLE_SHIFT,
  SERIAL_UNIT,
  TAG_PLAIN,
  TAG_RECORDED,
  TAG_USER,
} from "../handle/tags.js";
import { MAX_DEBUG_OWNERS } from "../machine/limits.js";
import { record_misuse, warn_misuse, type MachineState } from "../machine/machine.js";
import type { Evidence, OtherReference, PageCounts, Step } from "../machine/misuse.js";
import type { Facts, HeldReference, Probe } from "../machine/probe.js";
import { capture_site, NOWHERE, place_of, type Site } from "../machine/site.js";
import { held_references, others_of, steps_of, what_is, WITHOUT_HANDLE } from "./history.js";
import { Objects } from "./objects.js";
import { DEST, ENDED, HELD, MOVED, Records } from "./records.js";
import { counts_after, is_pin, wrong_tag } from "./tags.js";

const PAGE_TAGS: number = TAG_PLAIN | TAG_RECORDED;
const USER_TAGS: number = TAG_USER | TAG_RECORDED;

/** Formatted only for a report. */
interface OwnerStep {
  readonly what: "submitted" | "completed";
  readonly by: string;
  readonly context: string;
  readonly site: Site | undefined;
}

export class Ledger implements Probe {
  readonly records = true;
  readonly #machine: MachineState;
  readonly #with_sites: boolean;
  readonly #counts: (pfn: number) => PageCounts;
  readonly #records = new Records();
  readonly #objects: Objects;
  /** of bios, by their number; those of the oldest are forgotten */
  readonly #owner_steps = new Map<number, readonly OwnerStep[]>();
  /** what the objects are that alone know their references */
  readonly #holders = new Map<number, Kind>();
  /** objects that were collected while they had references */
  readonly #dropped = new Set<number>();
  /** one for each context, where no stack is kept */
  readonly #sites = new Map<string, Site>();
  #last_site: Site = NOWHERE;

  constructor(machine: MachineState, with_sites: boolean, counts: (pfn: number) => PageCounts) {
    this.#machine = machine;
    this.#with_sites = with_sites;
    this.#counts = counts;
    // The machine may be gone by then; nothing of it is to be kept alive for this.
    const self = new WeakRef(this);
    this.#objects = new Objects((object) => {
      const ledger = self.deref();
      if (ledger) ledger.#collected(object);
    });
  }

  // --- recording ----------------------------------------------------------------------------------------
  reserve(nr: number): void {
    this.#records.reserve(nr);
  }
  site(who: string = this.#machine.context_name): Site {
    if (this.#with_sites) {
      const site: { stack?: string; who?: string } = capture_site();
      site.who = who;
      return site;
    }
    if (this.#last_site.who === who) return this.#last_site;
    let site = this.#sites.get(who);
    if (!site) this.#sites.set(who, (site = { who }));
    return (this.#last_site = site);
  }
  #context(site: Site | undefined): number {
    return this.#records.contexts.id(site?.who ?? this.#machine.context_name);
  }
  /** In a few bits: that of a task is not told by what ends a reference. */
  #ending_context(): number {
    return this.#records.contexts.id(this.#machine.context_name);
  }
  acquired(kind: Kind, addr: number, by: string, site: Site, facts?: Facts): number {
    const records = this.#records;
    const serial = records.add(kind, addr, by, facts?.dest === true, this.#context(site));
    if (this.#with_sites) records.set_site(serial, site);
    if (facts !== undefined) {
      if (facts.owner) records.set_owner(serial, this.#objects.id(facts.owner));
      if (facts.nr_pages !== undefined) records.set_pages(serial, facts.nr_pages);
    }
    return this.#handle(serial, kind);
  }
  #handle(serial: number, kind: Kind): number {
    const tags = is_pin(kind) ? USER_TAGS : PAGE_TAGS;
    return serial * SERIAL_UNIT + (this.#records.addr[serial]! | tags);
  }
  #end(serial: number, by: string, site?: Site): void {
    this.#records.end(serial, by, this.#ending_context());
    if (this.#with_sites) this.#records.set_ended_site(serial, site ?? capture_site());
  }
  /** The record of a handle; 0 if it has none any more. */
  #serial(handle: number): number {
    const serial = Math.floor(handle / SERIAL_UNIT);
    return this.#records.is_of(serial, handle) ? serial : 0;
  }
  resized(handle: number, nr_pages: number): void {
    const serial = this.#serial(handle);
    if (serial !== 0) this.#records.set_pages(serial, nr_pages);
  }
  held_by(handle: number, holder: object | null, kind?: Kind): void {
    const serial = this.#serial(handle);
    if (serial === 0) return;
    const id = this.#objects.id(holder);
    this.#records.set_holder(serial, id);
    if (kind) this.#holders.set(id, kind);
  }
  readonly #of_object = (object: number): Kind | undefined => this.#holders.get(object);
  owner_is(owner: object, what: "submitted" | "completed", by: string): void {
    const id = this.#objects.id(owner);
    const steps = this.#owner_steps;
    const before = steps.get(id) ?? [];
    steps.delete(id); // the youngest stands last
    const site = this.#with_sites && what === "submitted" ? capture_site() : undefined;
    steps.set(id, [...before, { what, by, context: this.#machine.context_name, site }]);
    if (steps.size > MAX_DEBUG_OWNERS) steps.delete(steps.keys().next().value!);
  }
  readonly #of_owner = (owner: number): readonly Step[] =>
    (this.#owner_steps.get(owner) ?? []).map(({ what, by, context, site }) => {
      return { what, how: `by ${by}`, context, at: site ? place_of(site) : "" };
    });

  // --- checking -----------------------------------------------------------------------------------------
  released(kind: Kind, handle: number, by: string, owner?: object, site?: Site): void {
    const serial = Math.floor(handle / SERIAL_UNIT);
    const id = this.#refusal(kind, handle, serial, owner);
    if (id !== null) this.#report(id, kind, handle, serial, by, true);
    const records = this.#records;
    // The first end counts: a report of the second one tells it.
    if (records.is_of(serial, handle) && records.state(serial) !== ENDED)
      this.#end(serial, by, site);
  }
  #refusal(kind: Kind, handle: number, serial: number, owner: object | undefined): MisuseId | null {
    const tag = wrong_tag(kind, handle);
    if (tag !== null) return tag;
    if (serial === 0) return "release-lent";
    const records = this.#records;
    if (!records.is_of(serial, handle)) return "double-release";
    const state = records.state(serial);
    if (state === ENDED) return "double-release";
    const is_owner = records.owner(serial) === this.#objects.id(owner);
    if (state === MOVED) return is_owner ? null : "double-release";
    if ((records.kind(serial) === "bvec") !== (kind === "bvec")) return "release-lent";
    return is_owner ? null : "wrong-owner";
  }
  moved(kind: Kind, handle: number, by: string, owner: object): void {
    const serial = Math.floor(handle / SERIAL_UNIT);
    const records = this.#records;
    const current = records.is_of(serial, handle) && records.state(serial) === HELD;
    // Of what has ended used() has told.
    if (!current && wrong_tag(kind, handle) === null) return;
    const id = this.#refusal(kind, handle, serial, undefined);
    if (id !== null) this.#report(id, kind, handle, serial, by, false);
    if (!current) return;
    const site = this.#with_sites ? capture_site() : undefined;
    records.move(serial, by, this.#ending_context(), this.#objects.id(owner), site);
  }
  used(kind: Kind, handle: number, by: string, write = false): void {
    const serial = Math.floor(handle / SERIAL_UNIT);
    if (serial === 0) return; // lent: its owner's reference holds
    const records = this.#records;
    if (!records.is_of(serial, handle) || records.state(serial) !== HELD) {
      this.#report("use-after-release", kind, handle, serial, by, false);
    }
    if (write && is_pin(kind) && (records.meta[serial]! & DEST) === 0) {
      this.#report("wrong-direction", kind, handle, serial, by, false);
    }
  }
  released_among(
    kind: Kind,
    addr: number,
    nr_pages: number,
    by: string,
    nr: number,
    likely = 0,
  ): readonly number[] {
    const serials = this.#find_among(kind, addr, nr_pages, nr, likely);
    // All or none, so that a report leaves what is held as it is.
    if (serials.length < nr) {
      const pfn = addr >>> PAGE_HANDLE_SHIFT;
      const before = this.#counts(pfn);
      const counts = { before, after: counts_after(kind, before, nr) };
      const handle = `${nr_pages} page(s) from pfn ${pfn}: ${nr} pin(s) released, ${serials.length} held`;
      const others = this.#others(0, pfn);
      warn_misuse(this.#machine, "double-release", by, handle, { counts, others });
    }
    for (const serial of serials) this.#end(serial, by);
    return serials;
  }
  /** The likely one; else those that have no handle at all; else the oldest, as loops release in order. */
  #find_among(kind: Kind, addr: number, nr_pages: number, nr: number, likely: number): number[] {
    const records = this.#records;
    const { size, last } = records;
    const end = addr + (nr_pages << PAGE_HANDLE_SHIFT);
    const fits = (serial: number): boolean => {
      const at = records.addr[serial]!;
      return (
        at >= addr && at < end && records.state(serial) === HELD && records.kind(serial) === kind
      );
    };
    if (nr === 1 && likely > 0 && likely < size && fits(likely)) return [likely];
    const found: number[] = [];
    const without_handle: number[] = [];
    // Numbers above the last one are older, from before they began again.
    for (let i = 1; i <= size && without_handle.length < nr; i++) {
      const serial = (last + i) % size;
      if (!fits(serial)) continue;
      if (records.acquired_by(serial) === WITHOUT_HANDLE) without_handle.push(serial);
      else if (found.length < nr) found.push(serial);
    }
    return [...without_handle, ...found].slice(0, nr);
  }

  // --- reporting ----------------------------------------------------------------------------------------
  #report(
    id: MisuseId,
    kind: Kind,
    handle: number,
    serial: number,
    by: string,
    release: boolean,
  ): void {
    const pfn = handle >>> PAGE_HANDLE_SHIFT;
    const name = this.#name(kind, handle, serial);
    const before = this.#counts(pfn);
    const counts = { before, after: release ? counts_after(kind, before) : null };
    warn_misuse(this.#machine, id, by, name, { ...this.evidence(handle), counts });
  }
  #name(kind: Kind, handle: number, serial: number): string {
    const known = this.#serial(handle) !== 0;
    const is = known ? what_is(this.#records, serial, this.#of_object) : KINDS[kind].is;
    return `pfn ${handle >>> PAGE_HANDLE_SHIFT}, acquisition ${serial}: ${is}`;
  }
  /** Other references to the same page; if there are none, to its folio, whose counts are those of all its pages. */
  #others(serial: number, pfn: number): OtherReference[] {
    const others = (first: number, pages: number): OtherReference[] =>
      others_of(this.#records, serial, first, pages, this.#of_owner, this.#of_object);
    const same_page = others(pfn, serial === 0 ? 1 : this.#records.nr_pages(serial));
    if (same_page.length > 0) return same_page;
    const { pages } = this.#counts(pfn);
    return others(pfn - (pfn % pages), pages);
  }
  evidence(handle: number): Evidence {
    const serial = this.#serial(handle);
    const counts = { before: this.#counts(handle >>> PAGE_HANDLE_SHIFT), after: null };
    if (serial !== 0) {
      const history = steps_of(this.#records, serial, this.#of_owner);
      const others = this.#others(serial, handle >>> PAGE_HANDLE_SHIFT);
      return { history, others, counts };
    }
    const how =
      handle < SERIAL_UNIT ? "by nobody: the handle is lent by its owner" : "too long ago to tell";
    return { history: [{ what: "acquired", how, context: "", at: "" }], counts };
  }
  leaks(who?: string): readonly HeldReference[] {
    const records = this.#records;
    if (who !== undefined && !records.is_live(who)) return [];
    return held_references(
      records,
      this.#of_owner,
      this.#of_object,
      (pfn) => this.#counts(pfn).pages,
      (serial) => this.#handle(serial, records.kind(serial)),
      (serial) =>
        who === undefined ||
        (records.acquired_in(serial) === who && records.state(serial) === HELD),
      (object) => this.#dropped.has(object),
    );
  }
  /** The garbage collector took an object; what it had left cannot be released any more. */
  #collected(object: number): void {
    this.#owner_steps.delete(object);
    const lost = this.#records.unchain(object);
    if (lost.length > 0 && this.#machine.alive) {
      this.#dropped.add(object);
      for (const serial of lost.reverse()) this.#report_lost(serial);
    }
    this.#holders.delete(object);
  }
  #report_lost(serial: number): void {
    const kind = this.#records.kind(serial);
    const handle = this.#handle(serial, kind);
    const evidence = { ...this.evidence(handle), called_at: "", context: "" };
    const name = this.#name(kind, handle, serial);
    record_misuse(this.#machine, "leak", "the garbage collector", name, evidence);
  }
}
