/// <reference lib="esnext.disposable" preserve="true" />
/** Pages of kernel memory under an iterator, and the queue of references that iov_iter_get_pages2() gives (ours). */

import { lend_page } from "../handle/cast.js";
import { ENDS, type EndedBy } from "../handle/kinds.js";
import type { BorrowedPage } from "../handle/page.js";
import { PAGE_HANDLE_SHIFT } from "../handle/tags.js";
import { PAGE_SIZE } from "../machine/limits.js";
import { throw_misuse, type MachineState } from "../machine/machine.js";
import { ended_with } from "../machine/misuse.js";
import { ref_sub } from "../mm/page_ref.js";
import { page_index, type IterState } from "./iter_state.js";

/** Page frames in the order of their bytes, and where those begin and how many there are. */
export interface FoundPages {
  readonly pfns: readonly number[];
  readonly offset: number;
  readonly bytes: number;
}
/**
 * The pages of what comes next in kernel memory, up to one that is missing: of one segment, as the kernel does it; of a queue
 * of folios, which are whole pages, as many segments as fit.
 */
export function kernel_pages(
  iter: IterState,
  size: number,
  maxpages: number,
  by: string,
): FoundPages {
  const pfns: number[] = [];
  const first = iter.piece(size);
  const pieces = iter.iter_type === "ITER_FOLIOQ" ? iter.pieces(size) : first ? [first] : [];
  let bytes = 0;
  for (const { segment, at, len } of pieces) {
    let done = 0;
    while (done < len && pfns.length < maxpages) {
      const pfn = segment.page?.(page_index(at + done), by) ?? 0;
      if (pfn === 0) break;
      pfns.push(pfn);
      done += Math.min(len - done, PAGE_SIZE - ((at + done) % PAGE_SIZE));
    }
    bytes += done;
    if (done < len) break;
  }
  return { pfns, offset: (first?.at ?? 0) % PAGE_SIZE, bytes };
}

/** Pages, offset and bytes of an iterator, each page with a reference of its own. */
export class IterPagesState {
  readonly machine: MachineState;
  readonly offset: number;
  readonly bytes: number;
  /** handles with their identity */
  readonly #pages: readonly number[];
  #first = 0;
  #ended: EndedBy | null = null;
  constructor(machine: MachineState, pages: readonly number[], offset: number, bytes: number) {
    this.machine = machine;
    this.#pages = pages;
    this.offset = offset;
    this.bytes = bytes;
    const { probe } = machine;
    if (probe) for (const page of pages) probe.held_by(page, this, "iter_pages");
  }
  get nr_pages(): number {
    return this.#pages.length - this.#first;
  }
  describe(): string {
    return `${this.nr_pages} references on pages of an iterator`;
  }
  assert_held(called: string): void {
    if (this.#ended === null && this.machine.alive) return;
    const how = this.#ended === null ? "its machine was shut down" : ENDS[this.#ended];
    throw_misuse(
      "use-after-release",
      called,
      this.describe(),
      ended_with(this.machine, this.#pages[0], how),
    );
  }
  /** Moves the first page out: the caller owns its reference now.  0 if none is left. */
  shift(): number {
    if (this.nr_pages === 0) return 0;
    const page = this.#pages[this.#first++]!;
    this.machine.probe?.held_by(page, null);
    return page;
  }
  release(by: EndedBy): void {
    if (this.#ended !== null) {
      throw_misuse(
        "double-release",
        `${by}()`,
        this.describe(),
        ended_with(this.machine, this.#pages[0], ENDS[this.#ended]),
      );
    }
    this.assert_held(`${by}()`);
    this.#ended = by;
    const { probe } = this.machine;
    const site = probe?.site();
    while (this.nr_pages > 0) {
      const page = this.shift();
      probe?.released("page", page, `${by}()`, undefined, site);
      ref_sub(page >>> PAGE_HANDLE_SHIFT, 1);
    }
  }
  [Symbol.dispose](): void {
    if (this.#ended === null && this.machine.alive) this.release("iov_iter_put_pages");
  }
  *[Symbol.iterator](): Iterator<BorrowedPage> {
    for (let i = this.#first; i < this.#pages.length; i = Math.max(i + 1, this.#first)) {
      this.assert_held("iteration");
      // Without its serial number the page can be used, not released.
      yield lend_page(this.#pages[i]! | 0);
    }
  }
}
