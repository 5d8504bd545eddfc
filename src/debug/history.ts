/** What the records say of a reference and of its page, for reports and lists of leaks.  Costs nothing before. */

import { ENDS, KINDS, type EndedBy, type Kind } from "../handle/kinds.js";
import { PAGE_HANDLE_SHIFT } from "../handle/tags.js";
import { PAGE_SIZE } from "../machine/limits.js";
import type { OtherReference, Step } from "../machine/misuse.js";
import type { HeldReference } from "../machine/probe.js";
import { place_of, type Site } from "../machine/site.js";
import { ENDED, HELD, MOVED, type Records } from "./records.js";

/** Other references to the page that a report lists. */
const MAX_OTHERS = 4;

/** What happened to all that was moved into an object. */
export type OwnerSteps = (owner: number) => readonly Step[];

/** The table's sentence for an ending, where it has one. */
function sentence_of(call: string): string {
  const name = call.replace("()", "");
  return name in ENDS ? ENDS[name as EndedBy] : `by ${call}`;
}
/** The call that pins and gives out no handle. */
export const WITHOUT_HANDLE = "folio_add_pin()";
/** What one acquisition is, and how it ends: not always as the kind of its handle says. */
export function what_is(records: Records, serial: number, of_object: OfObject): string {
  const kind = records.kind(serial);
  const state = records.state(serial);
  if (records.acquired_by(serial) === WITHOUT_HANDLE) return KINDS.folio_pin.is;
  if (kind === "user_page" && state === HELD && records.owner(serial) !== 0) {
    return KINDS.vaddr_page.is;
  }
  const part_of = state === HELD ? of_object(records.object_of(serial)) : undefined;
  return KINDS[part_of ?? kind].is;
}
/** What an object is that has references. */
export type OfObject = (object: number) => Kind | undefined;
const at = (site: Site | undefined): string => (site ? place_of(site) : "");

function ending_of(records: Records, serial: number): string {
  const by = records.ended_by(serial);
  const moved_by = records.moved_by(serial);
  return moved_by !== "" && by === moved_by
    ? `dropped by ${by}: the page is pinned there already, or not needed`
    : sentence_of(by);
}
export function steps_of(records: Records, serial: number, of_owner: OwnerSteps): Step[] {
  const steps: Step[] = [
    {
      what: "acquired",
      how: `by ${records.acquired_by(serial)}`,
      context: records.acquired_in(serial),
      at: at(records.site(serial)),
    },
  ];
  const moved_by = records.moved_by(serial);
  if (moved_by !== "") {
    steps.push({
      what: "moved",
      how: sentence_of(moved_by),
      context: records.moved_in(serial),
      at: at(records.moved_site(serial)),
    });
    // One that was dropped again by the call that moved it was pinned there already: the bio is not its own.
    const dropped = records.state(serial) === ENDED && records.ended_by(serial) === moved_by;
    if (!dropped) steps.push(...of_owner(records.owner(serial)));
  }
  if (records.state(serial) === ENDED) {
    steps.push({
      what: "ended",
      how: ending_of(records, serial),
      context: records.ended_in(serial),
      at: at(records.ended_site(serial)),
    });
  }
  return steps;
}
/** The last other references to these pages, held ones and ended ones, oldest first. */
export function others_of(
  records: Records,
  serial: number,
  first: number,
  nr_pages: number,
  of_owner: OwnerSteps,
  of_object: OfObject,
): OtherReference[] {
  const found: OtherReference[] = [];
  const { size, last } = records;
  for (let i = 0; i < size && found.length < MAX_OTHERS; i++) {
    const other = (last - i + size) % size;
    if (other === 0 || other === serial || records.state(other) === 0) continue;
    const pfn = records.addr[other]! >>> PAGE_HANDLE_SHIFT;
    if (pfn >= first + nr_pages || pfn + records.nr_pages(other) <= first) continue;
    const is = what_is(records, other, of_object);
    found.push({ acquisition: other, is, history: steps_of(records, other, of_owner) });
  }
  return found.reverse();
}
/** What is held, oldest first; `handle_of` puts the tags back. */
export function held_references(
  records: Records,
  of_owner: OwnerSteps,
  of_object: OfObject,
  pages_of_folio: (pfn: number) => number,
  handle_of: (serial: number) => number,
  wanted: (serial: number) => boolean,
  dropped: (object: number) => boolean,
): HeldReference[] {
  const held: HeldReference[] = [];
  const { size, last } = records;
  // Numbers above the last one are older, from before they began again.
  for (let i = 1; i <= size; i++) {
    const serial = (last + i) % size;
    const state = serial === 0 ? 0 : records.state(serial);
    if ((state !== HELD && state !== MOVED) || !wanted(serial)) continue;
    const kind = records.kind(serial);
    const pfn = records.addr[serial]! >>> PAGE_HANDLE_SHIFT;
    const nr_pages = kind === "folio" ? pages_of_folio(pfn) : records.nr_pages(serial);
    held.push({
      kind,
      is: what_is(records, serial, of_object),
      handle: handle_of(serial),
      pfn,
      acquisition: serial,
      acquired_by: records.acquired_by(serial),
      acquired_at: at(records.site(serial)),
      acquired_in: records.acquired_in(serial),
      bytes: nr_pages * PAGE_SIZE,
      age: records.age(serial),
      history: steps_of(records, serial, of_owner),
      dropped: dropped(records.object_of(serial)),
    });
  }
  return held;
}
