/** Bit 0, checked at every call: which kind a handle is of.  No identity, so a second release is not seen here. */

import type { Kind, MisuseId } from "../handle/kinds.js";
import { PAGE_HANDLE_SHIFT, TAG_PLAIN, TAG_USER } from "../handle/tags.js";
import { GUP_PIN_COUNTING_BIAS } from "../machine/limits.js";
import { warn_misuse, type MachineState } from "../machine/machine.js";
import { NO_EVIDENCE, type Evidence, type PageCounts } from "../machine/misuse.js";
import type { HeldReference, Probe } from "../machine/probe.js";
import { NOWHERE, type Site } from "../machine/site.js";

/** Whether handles of this kind are pins. */
export function is_pin(kind: Kind): boolean {
  return kind === "user_page" || kind === "bvec";
}
/** The misuse that the tag of a handle shows, when it is released as `kind`. */
export function wrong_tag(kind: Kind, handle: number): MisuseId | null {
  if (is_pin(kind) === ((handle & TAG_USER) !== 0)) return null;
  return is_pin(kind) ? "page-to-put_user_page" : "pin-to-put_page";
}
/** What a release as `kind` leaves, with the arithmetic of Linux. */
export function counts_after(kind: Kind, before: PageCounts, nr = 1): PageCounts {
  if (before.is_zero && is_pin(kind)) return before;
  const single = before.pincount === null;
  const pins = is_pin(kind) ? nr : 0;
  const pincount = before.pincount === null ? null : before.pincount - pins;
  const refcount = before.refcount - (single && pins > 0 ? GUP_PIN_COUNTING_BIAS : 1) * nr;
  const maybe_pinned = pincount === null ? refcount >= GUP_PIN_COUNTING_BIAS : pincount > 0;
  return { ...before, refcount, pincount, maybe_pinned };
}

export class TagProbe implements Probe {
  readonly records = false;
  readonly #machine: MachineState;
  readonly #counts: (pfn: number) => PageCounts;
  constructor(machine: MachineState, counts: (pfn: number) => PageCounts) {
    this.#machine = machine;
    this.#counts = counts;
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
    const before = this.#counts(pfn);
    const counts = { before, after: counts_after(kind, before) };
    warn_misuse(this.#machine, id, by, `page at pfn ${pfn}`, { counts });
  }
  moved(kind: Kind, handle: number, by: string): void {
    this.released(kind, handle, by);
  }
  used(): void {
    // any kind may be used
  }
  released_among(): readonly number[] {
    return []; // nothing is known of single acquisitions
  }
  evidence(): Evidence {
    return NO_EVIDENCE;
  }
  owner_is(): void {
    // nothing is kept
  }
  held_by(): void {
    // nothing is kept
  }
  resized(): void {
    // nothing is kept
  }
  leaks(): readonly HeldReference[] {
    return [];
  }
}
