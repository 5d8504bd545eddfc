/**
 * An iterator at run time (ours): segments, a position among their bytes, and the bytes left.  All types of iterators but
 * the pipe differ in their segments only.
 */

import { lend_page } from "../handle/cast.js";
import type { IterType } from "../handle/iov_iter.js";
import type { BorrowedPage, Dir } from "../handle/page.js";
import { PAGE_HANDLE_SHIFT } from "../handle/tags.js";
import { PAGE_SIZE } from "../machine/limits.js";
import { throw_foreign, throw_misuse, type MachineState } from "../machine/machine.js";
import type { PipeState } from "./pipe.js";

/** Where user memory begins, or in which page of which kernel memory, and at which byte of it. */
export interface Segment {
  readonly len: number;
  /** a user address; of kernel memory the bytes before the segment, from the start of page 0 */
  readonly start: number;
  /** the page frame of page `n` of kernel memory, 0 if there is none; null for memory without pages */
  readonly page: ((n: number, called: string) => number) | null;
}
/** Bytes that lie in one segment. */
export interface Piece {
  readonly segment: Segment;
  /** as Segment.start */
  readonly at: number;
  readonly len: number;
}

export class IterState {
  readonly iter_type: IterType;
  readonly dir: Dir;
  readonly segments: readonly Segment[];
  /** whose pages they are; null for user memory, and where there are none */
  readonly machine: MachineState | null;
  readonly pipe: PipeState | null;
  count: number;
  nofault = false;
  /** before which it cannot be reverted */
  readonly #first: number;
  /** bytes of the segments before the current one */
  #before = 0;
  #index = 0;
  #position: number;

  constructor(
    iter_type: IterType,
    dir: Dir,
    segments: readonly Segment[],
    count: number,
    machine: MachineState | null = null,
    position = 0,
    pipe: PipeState | null = null,
  ) {
    this.iter_type = iter_type;
    this.dir = dir;
    this.segments = segments;
    this.count = count;
    this.machine = machine;
    this.pipe = pipe;
    this.#first = position;
    this.#position = position;
  }
  dup(): IterState {
    const { iter_type, dir, segments, count, machine } = this;
    const copy = new IterState(iter_type, dir, segments, count, machine, this.#first);
    copy.#position = this.#position;
    copy.nofault = this.nofault;
    return copy;
  }
  get is_user(): boolean {
    return this.iter_type === "ITER_UBUF" || this.iter_type === "ITER_IOVEC";
  }
  /** Bytes from the position to the end of the segments, which truncating does not change. */
  get capacity(): number {
    if (this.pipe) return this.count + this.pipe.room;
    return this.segments.reduce((sum, { len }) => sum + len, 0 - this.#position);
  }
  /** Bytes that reverting can give back. */
  get consumed(): number {
    return this.pipe ? this.pipe.appended : this.#position - this.#first;
  }
  move(bytes: number): void {
    this.#position += bytes;
    this.count -= bytes;
  }
  /** The memory at the position: as much as the segment has, `max` bytes at most; null if none is left. */
  piece(max: number): Piece | null {
    const most = Math.min(max, this.count);
    if (most <= 0) return null;
    if (this.#position < this.#before) this.#index = this.#before = 0;
    for (; this.#index < this.segments.length; this.#index++) {
      const segment = this.segments[this.#index]!;
      const skip = this.#position - this.#before;
      if (skip < segment.len) {
        return { segment, at: segment.start + skip, len: Math.min(segment.len - skip, most) };
      }
      this.#before += segment.len;
    }
    return null;
  }
  /** The pieces from the position on; the iterator stays where it is. */
  pieces(max: number = this.count): Piece[] {
    const found: Piece[] = [];
    const walk = this.dup();
    for (let piece = walk.piece(max); piece; piece = walk.piece(max)) {
      found.push(piece);
      walk.move(piece.len);
      max -= piece.len;
    }
    return found;
  }
  /** What is called on behalf of a task concerns pages of its machine. */
  assert_of(machine: MachineState, called: string): void {
    if (this.machine && this.machine !== machine) throw_foreign(called);
  }
}

export const page_index = (at: number): number => Math.floor(at / PAGE_SIZE);
/** A page of somebody else's, without the serial number of an acquisition: it can be used, not released. */
export function lent(machine: MachineState, pfn: number): BorrowedPage {
  return lend_page((pfn << PAGE_HANDLE_SHIFT) | machine.page_tags);
}
/** An iterator as the library sees it. */
export function iter_state(iter: object, called: string): IterState {
  if (!(iter instanceof IterState)) throw_misuse("not-a-handle", called, "no iterator");
  return iter;
}
