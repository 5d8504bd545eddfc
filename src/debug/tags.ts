/** Bit 0, checked at every call: which kind a handle is of.  No identity, so a second release is not seen here. */

import type { Kind, MisuseId } from "../handle/kinds.js";
import { PAGE_HANDLE_SHIFT, TAG_PLAIN, TAG_USER } from "../handle/tags.js";
import { warn_misuse, type MachineState } from "../machine/machine.js";
import { make_report } from "../machine/misuse.js";
import type { HeldReference, Probe, Site } from "../machine/probe.js";

/** Whether handles of this kind are pins. */
export function is_pin(kind: Kind): boolean {
  return kind === "user_page" || kind === "bvec";
}
/** The misuse that the tag of a handle shows, when it is released as `kind`. */
export function wrong_tag(kind: Kind, handle: number): MisuseId | null {
  if (is_pin(kind) === ((handle & TAG_USER) !== 0)) return null;
  return is_pin(kind) ? "page-to-put_user_page" : "pin-to-put_page";
}
const NOWHERE: Site = {};

export class TagProbe implements Probe {
  readonly records = false;
  readonly #machine: MachineState;
  readonly #counts: (pfn: number) => string;
  constructor(machine: MachineState, describe_counts: (pfn: number) => string) {
    this.#machine = machine;
    this.#counts = describe_counts;
  }
  acquired(kind: Kind, addr: number): number {
    return addr | (is_pin(kind) ? TAG_USER : TAG_PLAIN);
  }
  reserve(): void {
    // nothing is kept
  }
  site(): Site {
    return NOWHERE;
  }
  released(kind: Kind, handle: number, by: string): void {
    const id = wrong_tag(kind, handle);
    if (id === null) return;
    const pfn = handle >>> PAGE_HANDLE_SHIFT;
    const facts = [this.#counts(pfn)];
    warn_misuse(this.#machine, make_report(id, by, `page at pfn ${pfn}`, facts));
  }
  moved(kind: Kind, handle: number, by: string): void {
    this.released(kind, handle, by);
  }
  used(): void {
    // any kind may be used
  }
  released_among(): boolean {
    return true; // nothing is known of single acquisitions
  }
  history(): readonly string[] {
    return [];
  }
  leaks(): readonly HeldReference[] {
    return [];
  }
}
