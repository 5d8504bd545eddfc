/// <reference lib="esnext.disposable" preserve="true" />
/** A bio at run time: what it carries, in which phase it is, and how it lets go of it.  Models struct bio. */

import type { EndIo, Holds, Op } from "../handle/bio.js";
import type { BlkError } from "../handle/errno.js";
import { ENDS, type EndedBy } from "../handle/kinds.js";
import type { Dir } from "../handle/page.js";
import { PAGE_HANDLE_SHIFT } from "../handle/tags.js";
import { page_flags, PG_dirty } from "../machine/arena.js";
import { MAX_BIO_BYTES } from "../machine/limits.js";
import { throw_misuse, type MachineState } from "../machine/machine.js";
import { type Evidence } from "../machine/misuse.js";
import { set_folio_dirty } from "../mm/page-writeback.js";
import { head_of, is_zero_pfn, pin_sub } from "../mm/page_ref.js";
import type { BlockDeviceState } from "./bdev.js";
import { can_merge, for_each_folio, pages_touched, type BioVec, type SegmentKind } from "./bvec.js";

/** fresh: being filled; submitted: the device has it; ended: it came back; gone: it was put. */
export type Phase = "fresh" | "submitted" | "ended" | "gone";
export const pfn_of = (handle: number): number => handle >>> PAGE_HANDLE_SHIFT;

export class BioState {
  readonly machine: MachineState;
  readonly bdev: BlockDeviceState;
  /** null: the first page decides */
  holds: Holds | null;
  readonly op: Op;
  readonly max_vecs: number;
  /** what the submitter added; a clone's are those of its origin.  bi_io_vec */
  readonly vecs: BioVec[];
  /** Every reference it holds, or for plain pages is told of, as it was moved in: with its identity. */
  readonly refs: number[] = [];
  /** What is left to transfer: first sector, bytes, and bytes of the segments that lie before.  bi_iter */
  sector: number;
  size = 0;
  skip = 0;
  phase: Phase = "fresh";
  /** the pages of a pinned bio were released */
  emptied = false;
  error: BlkError | null = null;
  end_io: EndIo<never> | null = null;
  /** somebody waits for it: end_io does not run */
  waited_for = false;
  /** submit_bio() gave it away: it is its end_io's from then on */
  given_away = false;
  /** Itself, and the bios that were chained to it and have not ended. */
  remaining = 1;
  /** whom it is chained to */
  parent: BioState | null = null;
  /** the bio whose pages a clone uses; itself if it is none */
  readonly origin: BioState;
  /** its clones that a device has */
  clones_in_flight = 0;
  #ended_by: EndedBy | null = null;

  constructor(
    bdev: BlockDeviceState,
    holds: Holds | null,
    op: Op,
    max_vecs: number,
    sector: number,
    origin?: BioState,
  ) {
    this.machine = bdev.machine;
    this.bdev = bdev;
    this.holds = holds;
    this.op = op;
    this.max_vecs = max_vecs;
    this.sector = sector;
    this.origin = origin ?? this;
    this.vecs = origin?.vecs ?? [];
  }
  /** What the device does with the pages. */
  get dir(): Dir {
    return this.op === "REQ_OP_READ" ? "dest" : "source";
  }
  get is_clone(): boolean {
    return this.origin !== this;
  }
  describe(): string {
    const holds = this.holds ?? "no pages yet";
    return `${this.op} bio of ${holds}, ${this.vecs.length} segments, ${this.size} bytes, ${this.phase}`;
  }
  /** What is known of its pages and of its end. */
  evidence(): Evidence {
    const first = this.refs[0];
    const known = first === undefined ? undefined : this.machine.probe?.evidence(first);
    const facts = first === undefined ? [] : [{ what: "1st page", text: `pfn ${pfn_of(first)}` }];
    if (this.#ended_by) facts.push({ what: "ended", text: ENDS[this.#ended_by] });
    return { history: known?.history ?? [], counts: known?.counts ?? null, facts };
  }
  /** The call may go on only in these phases. */
  assert_phase(called: string, ...phases: Phase[]): void {
    // Emptied, it can be looked at and put; there is nothing to submit or add to.
    if (phases.includes(this.phase) && (!this.emptied || phases.includes("ended"))) return;
    throw_misuse("bio-reused", called, this.describe(), this.evidence(), this.machine);
  }
  /** What is added, or waits, is of the bio's own machine. */
  assert_machine(machine: MachineState, called: string): void {
    if (machine !== this.machine) {
      throw_misuse("not-a-handle", called, `${this.describe()}, of another machine`);
    }
  }
  assert_holds(holds: Holds, called: string): void {
    if (this.holds !== holds)
      throw_misuse("mixed-bio", called, this.describe(), this.evidence(), this.machine);
  }

  // --- filling ------------------------------------------------------------------------------------------
  #merges(pfn: number, offset: number, kind: SegmentKind): BioVec | null {
    const last = this.vecs.at(-1);
    return last && can_merge(last, pfn, offset, kind) ? last : null;
  }
  /** Whether this may still be added.  Models bio_full() and bio_try_merge_page(). */
  has_room(handle: number, kind: SegmentKind, offset: number, len: number): boolean {
    if (this.size + len > MAX_BIO_BYTES) return false;
    return this.vecs.length < this.max_vecs || this.#merges(pfn_of(handle), offset, kind) !== null;
  }
  /**
   * Adds what has room.  What follows the last segment in memory extends it.  A page that the segment ends in already is
   * held by one reference there: true when the caller's is one too many.
   */
  add(handle: number, kind: SegmentKind, offset: number, len: number, merge = true): boolean {
    const pfn = pfn_of(handle);
    const last = merge ? this.#merges(pfn, offset, kind) : null;
    this.size += len;
    if (!last) {
      this.vecs.push({ pfn, offset, len, kind, first: this.refs.length, nr_refs: 1 });
      this.refs.push(handle);
      return false;
    }
    // What follows the last byte, but not at the beginning of a page, lies in the page of that byte.
    const same_page = kind !== "bvec" && offset > 0;
    last.len += len;
    if (same_page) return true;
    last.nr_refs++;
    this.refs.push(handle);
    return false;
  }
  /** Adds pins of pages that lie one after another, `len` bytes of them; as add() of the first. */
  add_pins(pages: readonly number[], offset: number, len: number): boolean {
    const dropped = this.add(pages[0]!, "user_page", offset, len);
    for (let i = 1; i < pages.length; i++) this.refs.push(pages[i]!);
    this.vecs.at(-1)!.nr_refs += pages.length - 1;
    return dropped;
  }

  /** Takes bytes off the end again, and drops the pins of pages that hold none of the others. */
  trim_end(bytes: number, called: string): void {
    const { probe } = this.machine;
    for (let left = bytes; left > 0;) {
      const last = this.vecs.at(-1)!;
      const cut = Math.min(left, last.len);
      last.len -= cut;
      left -= cut;
      const keep = last.len === 0 ? 0 : pages_touched(last.offset, last.len);
      for (; last.nr_refs > keep; last.nr_refs--) {
        const ref = this.refs.pop()!;
        if (last.kind === "page") continue;
        probe?.released(last.kind, ref, called, this);
        pin_sub(pfn_of(ref), 1);
      }
      if (last.len === 0) this.vecs.pop();
    }
    this.size -= bytes;
  }

  // --- ending -------------------------------------------------------------------------------------------
  hand_over(by: EndedBy, phase: Phase): void {
    this.phase = phase;
    this.#ended_by = by;
  }
  set_dirty(): void {
    for (const vec of this.vecs) for_each_folio(vec, set_folio_dirty);
  }
  /** Whether every folio is dirty still; the zero page never is, nor need be. */
  all_dirty(): boolean {
    let clean = 0;
    const look = (pfn: number): void => {
      if (!is_zero_pfn(pfn) && (page_flags[head_of(pfn)]! & PG_dirty) === 0) clean++;
    };
    for (const vec of this.vecs) for_each_folio(vec, look);
    return clean === 0;
  }
  /** What the clones use stays until they ended: its pages, and the table that says where they are. */
  assert_no_clone_in_flight(called: string): void {
    if (this.clones_in_flight === 0) return;
    throw_misuse("clone-in-flight", called, this.describe(), this.evidence(), this.machine);
  }
  /** A chained bio that is put before it was submitted never ends, and so its parent does not either. */
  assert_not_chained(called: string): void {
    if (this.parent && this.phase === "fresh") {
      throw_misuse("bio-reused", called, `${this.describe()}, chained: submit_bio() ends it`);
    }
  }
  /** Drops every reference, as many as were moved in. */
  release(by: EndedBy): void {
    const { machine, refs } = this;
    const { probe } = machine;
    const site = probe?.site();
    for (const vec of this.vecs) {
      const end = vec.first + vec.nr_refs;
      for (let i = vec.first; probe && i < end; i++) {
        probe.released(vec.kind, refs[i]!, `${by}()`, this, site);
      }
      if (vec.kind === "bvec") {
        for (let i = vec.first; i < end; i++) pin_sub(pfn_of(refs[i]!), 1);
        machine.nr_user_bvec_released += vec.nr_refs;
      } else for_each_folio(vec, pin_sub);
    }
    this.emptied = true;
  }
  /** End of a `using` block: the pages go back, unless the bio was given away. */
  [Symbol.dispose](): void {
    const { phase } = this;
    if (this.given_away || phase === "submitted" || phase === "gone" || !this.machine.alive) return;
    this.assert_not_chained("end of the block");
    this.assert_no_clone_in_flight("end of the block");
    if (this.holds === "pinned user pages" && !this.emptied) this.release("bio_release_pages");
    this.hand_over("bio_put", "gone");
  }
}
/** A bio as the library sees it. */
export function bio_state(bio: object, called: string): BioState {
  if (bio instanceof BioState && bio.machine.alive) return bio;
  throw_misuse("not-a-handle", called, "no bio of a running machine");
}
