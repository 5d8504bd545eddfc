/** What each of the four wrong releases does to a scheme, and whether anybody notices. */
import {
  dmesg,
  get_page,
  MisuseError,
  page_ref_count,
  page_to_pfn,
  put_page,
  shutdown,
  ZERO_PAGE,
  type MisuseId,
  type Pfn,
} from "user-page";
import { page_flags, PG_allocated } from "../src/machine/arena.js";
import type { Mispairing, Scheme, SchemeOf } from "./scheme.js";
import { head_of, pfn_of, World, type Folio } from "./world.js";

/** What was seen after it, alone on the folio and beside somebody else's pin. */
export interface Damage {
  /** nobody does I/O, and the scheme says somebody does */
  looks_pinned: boolean;
  /** somebody does I/O, and the scheme says nobody does */
  hides_a_pin: boolean;
  /** the page was free while somebody did I/O */
  freed_under_a_pin: boolean;
  /** everybody is gone, and nobody gets the page any more */
  lost: boolean;
  later_pins_refused: boolean;
  /** by how much the zero page's count is off */
  zero_drift: number;
  noticed: "at the call" | "at the next pin" | "when it is freed" | "never";
}
const no_damage = (): Damage => ({
  looks_pinned: false,
  hides_a_pin: false,
  freed_under_a_pin: false,
  lost: false,
  later_pins_refused: false,
  zero_drift: 0,
  noticed: "never",
});
const is_free = (pfn: Pfn): boolean => (page_flags[pfn]! & PG_allocated) === 0;

function go_wrong(scheme: Scheme, folio: Folio, what: Mispairing): void {
  const range = { area: folio.area, first: folio.first, nr: 1 };
  if (what === "pin ended by put_page") {
    scheme.pin(1, range, "dest", false);
    scheme.end_as_page(1);
  } else scheme.end_as_pin(get_page(head_of(folio)));
}
/** Somebody releases what a wrong release took from him: the page may be gone. */
function release_if_possible(release: () => void): void {
  try {
    release();
  } catch (error) {
    if (!(error instanceof MisuseError) || error.id !== "page-is-free") throw error;
  }
}
function run(of: SchemeOf, size: 1 | 512, what: Mispairing, beside: boolean, into: Damage): void {
  const world = new World(32 << 20);
  const scheme = of.over(world);
  const folio = { area: world.open(size, size), first: 0 };
  const pfn = pfn_of(folio);
  const range = { area: folio.area, first: 0, nr: 1 };
  if (beside) scheme.pin(2, range, "dest", false);
  go_wrong(scheme, folio, what);
  if (!beside) {
    into.looks_pinned ||= scheme.is_pinned(folio);
    const accepted = scheme.pin(2, range, "dest", false);
    into.later_pins_refused ||= !accepted;
    if (!accepted) into.noticed = "at the next pin";
    else {
      into.hides_a_pin ||= !scheme.is_pinned(folio);
      release_if_possible(() => scheme.unpin(2));
    }
  } else into.hides_a_pin ||= !scheme.is_pinned(folio);
  close(world, folio);
  if (beside) {
    into.freed_under_a_pin ||= is_free(pfn);
    release_if_possible(() => scheme.unpin(2));
  }
  const free = is_free(pfn);
  const said = dmesg(world.machine).some((line) => line.startsWith("BUG: bad page"));
  into.lost ||= !free || said;
  if (said || (free && scheme.left_over(pfn) !== 0)) into.noticed = "when it is freed";
  shutdown(world.machine);
}
/** Mappings, file and asker go; the page may go before the last of them. */
function close(world: World, { area }: Folio): void {
  world.truncate(area);
  for (let page = area.pages.pop(); page; page = area.pages.pop()) {
    const last = page;
    release_if_possible(() => put_page(last));
  }
}
function run_zero(of: SchemeOf, held: "zero pin" | "zero get"): Damage {
  const world = new World(32 << 20);
  const zero = ZERO_PAGE(world.bystander);
  const before = page_ref_count(zero);
  const scheme = of.over(world);
  scheme.mispair_zero(held);
  const damage = no_damage();
  damage.zero_drift = page_ref_count(zero) - before;
  const left = scheme.left_over(page_to_pfn(zero));
  damage.looks_pinned = left > 0;
  damage.hides_a_pin = left < 0;
  shutdown(world.machine);
  return damage;
}
/** With debug mode off, as Linux runs. */
export function damage_of(of: SchemeOf, what: Mispairing, size: 1 | 512): Damage {
  if (what === "pin of the zero page ended by put_page") return run_zero(of, "zero pin");
  if (what === "get of the zero page ended by unpin") return run_zero(of, "zero get");
  const damage = no_damage();
  run(of, size, what, false, damage);
  run(of, size, what, true, damage);
  return damage;
}
/** What the library's debug mode calls it, at the call; null for a scheme that is not the library's, or when it is silent. */
export function debug_report(of: SchemeOf, what: Mispairing): MisuseId | null {
  if (!of.on_the_machine) return null;
  const world = new World(32 << 20, true);
  const scheme = of.over(world);
  try {
    if (what === "pin of the zero page ended by put_page") scheme.mispair_zero("zero pin");
    else if (what === "get of the zero page ended by unpin") scheme.mispair_zero("zero get");
    else go_wrong(scheme, { area: world.open(1, 1), first: 0 }, what);
    return null;
  } catch (error) {
    if (!(error instanceof MisuseError)) throw error;
    return error.id;
  } finally {
    shutdown(world.machine);
  }
}
