/**
 * How references are traced (ours): a probe around that of debug mode, while somebody traces the machine.  Loops over pages
 * of machines without debug mode have no probe to ask, and stay as they are.
 */

import type { Kind } from "../handle/kinds.js";
import { PAGE_HANDLE_SHIFT, SERIAL_UNIT } from "../handle/tags.js";
import { GUP_PIN_COUNTING_BIAS } from "../machine/limits.js";
import type { MachineState } from "../machine/machine.js";
import type { Evidence } from "../machine/misuse.js";
import type { Facts, HeldReference, Probe } from "../machine/probe.js";
import type { Site } from "../machine/site.js";
import { trace, trace_id } from "../machine/tracepoint.js";
import { is_zero_pfn, order_of, ref_count } from "../mm/page_ref.js";

type TracedKind = "page" | "folio" | "user_page" | "bvec";
/** The kinds that count on a page. */
const is_traced = (kind: Kind): kind is TracedKind =>
  kind === "page" || kind === "folio" || kind === "user_page" || kind === "bvec";
const is_pin = (kind: TracedKind): boolean => kind === "user_page" || kind === "bvec";
/** How much one reference adds to the count of the page. */
function value_of(kind: TracedKind, pfn: number): number {
  if (!is_pin(kind)) return 1;
  if (is_zero_pfn(pfn)) return 0;
  return order_of(pfn) > 0 ? 1 : GUP_PIN_COUNTING_BIAS;
}
const ENDED = {
  page: "put_page",
  folio: "put_page",
  user_page: "unpin_user_page",
  bvec: "put_user_bvec",
} as const satisfies Record<TracedKind, string>;
function acquired_name(
  kind: TracedKind,
  by: string,
): "get_page" | "pin_user_page" | "get_user_bvec" | "split_user_bvec" {
  if (kind === "bvec") return by === "split_user_bvec()" ? "split_user_bvec" : "get_user_bvec";
  return kind === "user_page" ? "pin_user_page" : "get_page";
}
const serial_of = (handle: number): number => Math.floor(handle / SERIAL_UNIT);

export class TracingProbe implements Probe {
  readonly inner: Probe;
  /** Bound, so that no frame of this class stands in the stack that it captures: stacks are cut off. */
  readonly site: (who?: string) => Site;
  readonly #machine: MachineState;
  /** the pages of what is held, by serial number */
  readonly #open = new Map<number, number>();
  constructor(machine: MachineState, inner: Probe) {
    this.#machine = machine;
    this.inner = inner;
    this.site = inner.site.bind(inner);
    for (const { acquisition, pfn } of inner.leaks()) this.#open.set(acquisition, pfn);
  }
  get records(): boolean {
    return this.inner.records;
  }
  acquired(kind: Kind, addr: number, by: string, site: Site, facts?: Facts): number {
    const handle = this.inner.acquired(kind, addr, by, site, facts);
    if (!is_traced(kind)) return handle;
    const pfn = handle >>> PAGE_HANDLE_SHIFT;
    const val = value_of(kind, pfn);
    // What was just allocated came with its reference: page_ref_set told.
    if (val !== 0 && !by.startsWith("alloc_page") && !by.startsWith("folio_alloc")) {
      trace(this.#machine, "page_ref_mod", { pfn, count: ref_count(pfn), val });
    }
    const serial = serial_of(handle);
    this.#open.set(serial, pfn);
    const fields = { pfn, kind, serial, by };
    trace(this.#machine, acquired_name(kind, by), fields, site);
    return handle;
  }
  released(kind: Kind, handle: number, by: string, owner?: object, site?: Site): void {
    const at = site ?? this.inner.site();
    this.inner.released(kind, handle, by, owner, at);
    if (is_traced(kind)) this.#ended(kind, handle >>> PAGE_HANDLE_SHIFT, serial_of(handle), by, at);
  }
  /** The count changes next. */
  #ended(kind: TracedKind, pfn: number, serial: number, by: string, at: Site): void {
    this.#open.delete(serial);
    trace(this.#machine, ENDED[kind], { pfn, kind, serial, by }, at);
    const val = -value_of(kind, pfn);
    const count = ref_count(pfn) + val;
    if (val === 0) return;
    trace(this.#machine, "page_ref_mod_and_test", { pfn, count, val, ret: count === 0 });
  }
  released_among(
    kind: Kind,
    addr: number,
    nr_pages: number,
    by: string,
    nr: number,
    likely?: number,
  ): readonly number[] {
    const at = this.inner.site();
    const serials = this.inner.released_among(kind, addr, nr_pages, by, nr, likely);
    if (!is_traced(kind)) return serials;
    for (const serial of serials) {
      const pfn = this.#open.get(serial) ?? addr >>> PAGE_HANDLE_SHIFT;
      this.#ended(kind, pfn, serial, by, at);
    }
    return serials;
  }
  moved(kind: Kind, handle: number, by: string, owner: object): void {
    const at = this.inner.site();
    this.inner.moved(kind, handle, by, owner);
    if (!is_traced(kind)) return;
    const name = kind === "bvec" ? "bio_add_user_bvec" : "bio_add_user_page";
    const reference = { pfn: handle >>> PAGE_HANDLE_SHIFT, kind, serial: serial_of(handle), by };
    const bio = trace_id(this.#machine, "bio", owner);
    trace(this.#machine, name, { ...reference, bio }, at);
  }

  // --- what is passed on as it is -------------------------------------------------------------------------
  reserve(nr: number): void {
    this.inner.reserve(nr);
  }
  owner_is(owner: object, what: "submitted" | "completed", by: string): void {
    this.inner.owner_is(owner, what, by);
  }
  held_by(handle: number, holder: object | null, kind?: Kind): void {
    this.inner.held_by(handle, holder, kind);
  }
  resized(handle: number, nr_pages: number): void {
    this.inner.resized(handle, nr_pages);
  }
  used(kind: Kind, handle: number, by: string, write?: boolean): void {
    this.inner.used(kind, handle, by, write);
  }
  evidence(handle: number): Evidence {
    return this.inner.evidence(handle);
  }
  leaks(who?: string): readonly HeldReference[] {
    return this.inner.leaks(who);
  }
}
