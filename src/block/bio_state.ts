/// <reference lib="esnext.disposable" preserve="true" />
/** A bio at run time: what it carries, in which phase it is, and how it lets go of it.  Models struct bio. */

import type { EndIo, Holds, Op } from "../handle/bio.js";
import type { BlkError } from "../handle/errno.js";
import { ENDS, type EndedBy, type Kind } from "../handle/kinds.js";
import type { Dir } from "../handle/page.js";
import { PAGE_HANDLE_SHIFT } from "../handle/tags.js";
import { page_flags, PG_dirty } from "../machine/arena.js";
import { throw_misuse, type MachineState } from "../machine/machine.js";
import { set_folio_dirty } from "../mm/gup.js";
import { head_of, is_zero_pfn, pin_sub } from "../mm/page_ref.js";
import type { BlockDeviceState } from "./bdev.js";

/** fresh: being filled; submitted: the device has it; ended: it came back; gone: it was put. */
export type Phase = "fresh" | "submitted" | "ended" | "gone";
/** What one segment holds. */
type SegmentKind = Extract<Kind, "page" | "user_page" | "bvec">;

export interface BioVec {
  /** with its identity, as it was moved in */
  readonly handle: number;
  readonly kind: SegmentKind;
  readonly offset: number;
  readonly len: number;
}
export const pfn_of = (handle: number): number => handle >>> PAGE_HANDLE_SHIFT;

export class BioState {
  readonly machine: MachineState;
  readonly bdev: BlockDeviceState;
  readonly holds: Holds;
  readonly op: Op;
  readonly max_vecs: number;
  /** first sector on the disk */
  readonly sector: number;
  readonly vecs: BioVec[] = [];
  /** bytes */
  size = 0;
  phase: Phase = "fresh";
  /** the pages of a pinned bio were released */
  emptied = false;
  error: BlkError | null = null;
  end_io: EndIo<never> | null = null;
  #ended_by: EndedBy | null = null;

  constructor(bdev: BlockDeviceState, holds: Holds, op: Op, max_vecs: number, sector: number) {
    this.machine = bdev.machine;
    this.bdev = bdev;
    this.holds = holds;
    this.op = op;
    this.max_vecs = max_vecs;
    this.sector = sector;
  }
  /** What the device does with the pages. */
  get dir(): Dir {
    return this.op === "REQ_OP_READ" ? "dest" : "source";
  }
  get full(): boolean {
    return this.vecs.length >= this.max_vecs;
  }
  describe(): string {
    return `${this.op} bio of ${this.holds}, ${this.vecs.length} segments, ${this.size} bytes, ${this.phase}`;
  }
  /** What is known of its pages and of its end. */
  facts(): string[] {
    const first = this.vecs[0];
    const history = first && this.machine.probe?.history(first.handle);
    const facts = history ? history.map((line) => `1st page: ${line}`) : [];
    if (this.#ended_by) facts.push(`ended     ${ENDS[this.#ended_by]}`);
    return facts;
  }
  /** The call may go on only in these phases. */
  assert_phase(called: string, ...phases: Phase[]): void {
    // Emptied, it can be looked at and put; there is nothing to submit or add to.
    if (phases.includes(this.phase) && (!this.emptied || phases.includes("ended"))) return;
    throw_misuse("bio-reused", called, this.describe(), this.facts());
  }
  /** What is added, or waits, is of the bio's own machine. */
  assert_machine(machine: MachineState, called: string): void {
    if (machine !== this.machine) {
      throw_misuse("not-a-handle", called, `${this.describe()}, of another machine`);
    }
  }
  assert_holds(holds: Holds, called: string): void {
    if (this.holds !== holds) throw_misuse("mixed-bio", called, this.describe(), this.facts());
  }
  add(handle: number, kind: SegmentKind, offset: number, len: number): void {
    this.vecs.push({ handle, kind, offset, len });
    this.size += len;
  }
  hand_over(by: EndedBy, phase: Phase): void {
    this.phase = phase;
    this.#ended_by = by;
  }
  set_dirty(): void {
    for (const { handle } of this.vecs) set_folio_dirty(pfn_of(handle));
  }
  /** Whether every folio is dirty still; the zero page never is, nor need be. */
  all_dirty(): boolean {
    return this.vecs.every(({ handle }) => {
      const pfn = pfn_of(handle);
      return is_zero_pfn(pfn) || (page_flags[head_of(pfn)]! & PG_dirty) !== 0;
    });
  }
  /** Drops the reference of each segment, by the kind this bio holds. */
  release(by: EndedBy): void {
    const { machine } = this;
    for (const { handle, kind } of this.vecs) {
      machine.probe?.released(kind, handle, `${by}()`, this);
      if (kind === "bvec") machine.nr_user_bvec_released++;
      pin_sub(pfn_of(handle), 1);
    }
    this.emptied = true;
  }
  /** submit_bio() gave it away: it is its end_io's from then on */
  given_away = false;
  /** End of a `using` block: the pages go back, unless the bio was given away. */
  [Symbol.dispose](): void {
    if (
      this.given_away ||
      this.phase === "submitted" ||
      this.phase === "gone" ||
      !this.machine.alive
    )
      return;
    if (this.holds === "pinned user pages" && !this.emptied) this.release("bio_release_pages");
    this.hand_over("bio_put", "gone");
  }
}
/** A bio as the library sees it. */
export function bio_state(bio: object, called: string): BioState {
  if (bio instanceof BioState && bio.machine.alive) return bio;
  throw_misuse("not-a-handle", called, "no bio of a running machine");
}
