/// <reference lib="esnext.disposable" preserve="true" />
/**
 * Contiguous memory, which users may have until it is asked for.  Models mm/cma.c and alloc_contig_range(): what is in the way is
 * moved, and one pin is enough to be in the way.
 */

import type { Narrows } from "../handle/affine.js";
import { lend_page, to_cma_pages } from "../handle/cast.js";
import type {
  BorrowedCmaPages,
  HeldCmaPages,
  OwnedCmaPages,
  SpentCmaPages,
} from "../handle/cma.js";
import type { ProcessContext } from "../handle/context.js";
import { ERR_PTR, type Errno } from "../handle/errno.js";
import { ENDS, type By } from "../handle/kinds.js";
import type { BorrowedPage } from "../handle/page.js";
import { show } from "../handle/show.js";
import { PAGE_HANDLE_SHIFT } from "../handle/tags.js";
import { might_sleep, name_of } from "../machine/context.js";
import { throw_misuse, type MachineState } from "../machine/machine.js";
import { ended_with } from "../machine/misuse.js";
import { migrate_pages } from "./migrate.js";
import { head_of, order_of, ref_sub } from "./page_ref.js";

class CmaState {
  readonly machine: MachineState;
  /** handles */
  readonly pages: readonly number[];
  #released = false;
  constructor(machine: MachineState, pages: readonly number[]) {
    this.machine = machine;
    this.pages = pages;
    const { probe } = machine;
    if (probe) for (const page of pages) probe.held_by(page, this, "cma");
  }
  get nr_pages(): number {
    return this.pages.length;
  }
  get pfn(): number {
    return this.pages[0]! >>> PAGE_HANDLE_SHIFT;
  }
  assert_held(called: string): void {
    if (!this.#released && this.machine.alive) return;
    const how = this.#released ? ENDS.cma_release : "its machine was shut down";
    throw_misuse(
      "use-after-release",
      called,
      this.#describe(),
      ended_with(this.machine, this.pages[0], how),
    );
  }
  #describe(): string {
    return `${this.nr_pages} pages of the CMA area`;
  }
  release(): void {
    const by = "cma_release()";
    if (this.#released) {
      throw_misuse(
        "double-release",
        by,
        this.#describe(),
        ended_with(this.machine, this.pages[0], ENDS.cma_release),
      );
    }
    this.assert_held(by);
    this.#released = true;
    const { probe } = this.machine;
    const site = probe?.site();
    const thrown: unknown[] = [];
    for (const page of this.pages) {
      try {
        probe?.released("page", page, by, undefined, site);
        ref_sub(page >>> PAGE_HANDLE_SHIFT, 1);
      } catch (reason) {
        // Somebody put this one before; the others go all the same.
        thrown.push(reason);
      }
    }
    if (thrown.length > 0) throw thrown[0];
  }
  [Symbol.dispose](): void {
    if (!this.#released && this.machine.alive) this.release();
  }
}

/** How often what another CPU puts there meanwhile is moved away too. */
const MAX_TRIES = 5;
/** Takes the free pages of [first, end) for the caller, and notes the folios in the way. */
function isolate_range(
  machine: MachineState,
  first: number,
  end: number,
  taken: Set<number>,
): Set<number> {
  const in_the_way = new Set<number>();
  for (let pfn = first; pfn < end; pfn++) {
    if (taken.has(pfn)) continue;
    if (machine.allocator.take_cma_page(pfn)) taken.add(pfn);
    else in_the_way.add(head_of(pfn));
  }
  return in_the_way;
}
/** Makes [first, end) the caller's: 0.  Else nothing is taken, and the answer is where the next range may begin. */
function alloc_contig_range(machine: MachineState, first: number, end: number): number {
  const taken = new Set<number>();
  let stayed: number[] = [];
  try {
    for (let tries = 0; tries < MAX_TRIES && stayed.length === 0; tries++) {
      // What is free now is taken first, so that nothing moves there.
      const in_the_way = isolate_range(machine, first, end, taken);
      if (in_the_way.size === 0) return 0;
      stayed = migrate_pages(machine, in_the_way, true);
    }
  } finally {
    // Also when the wait for a page threw.
    if (taken.size < end - first) for (const pfn of taken) ref_sub(pfn, 1);
  }
  const ends = stayed.map((head) => head + 2 ** order_of(head));
  return Math.max(first + 1, ...ends);
}

/**
 * Allocates contiguous pages of the CMA area: what users have there is moved away.  Models cma_alloc().
 * The caller owns them: cma_release(), or the end of a `using` block.
 *
 * @param current - may sleep
 * @param count - pages, 1 and more
 * @returns EBUSY while in each range of that length a page is pinned, referenced otherwise, or has nowhere to go; ENOMEM when
 *   the area is shorter, EINVAL for a bad number
 * @example
 * using machine_with_cma = boot({ mem: 1 << 20, cma: 64 << 10 });
 * const task = create_task(machine_with_cma);
 * using pages = cma_alloc(task, 16);
 * if (IS_ERR(pages)) return pages;
 * console.log(pages.nr_pages); // -> 16
 */
export function cma_alloc(
  current: ProcessContext,
  count: number,
): OwnedCmaPages | Errno<"EBUSY" | "ENOMEM" | "EINVAL"> {
  const by = "cma_alloc()";
  const machine = might_sleep(current, by);
  if (!Number.isSafeInteger(count) || count < 1) return ERR_PTR("EINVAL", `${show(count)} pages`);
  const [area, end] = machine.allocator.cma;
  if (count > end - area) return ERR_PTR("ENOMEM", `the CMA area has ${end - area} pages`);
  const { probe } = machine;
  probe?.reserve(count);
  for (let first = area; first + count <= end;) {
    const next = alloc_contig_range(machine, first, first + count);
    if (next !== 0) {
      first = next;
      continue;
    }
    const site = probe?.site(name_of(current));
    const pages: number[] = [];
    for (let pfn = first; pfn < first + count; pfn++) {
      const addr = pfn << PAGE_HANDLE_SHIFT;
      pages.push(probe ? probe.acquired("page", addr, by, site!) : addr);
    }
    return to_cma_pages(new CmaState(machine, pages));
  }
  return ERR_PTR("EBUSY", `in each range of ${count} pages one is pinned or held`);
}
/** Gives back what cma_alloc() gave.  Models cma_release().  The handle is spent. */
export const cma_release: Narrows<HeldCmaPages, { is: SpentCmaPages<By<"cma_release">> }> = (
  pages,
) => {
  if (!(pages instanceof CmaState)) {
    throw_misuse("not-a-handle", "cma_release()", "no pages of cma_alloc()");
  }
  pages.release();
};
/**
 * One page of them (ours; C adds to the first one's struct page).  The caller owns nothing: it can be used, and cma_release()
 * gives it back.
 *
 * @param index - 0 to nr_pages - 1
 * @throws RangeError for another one
 */
export function cma_page(pages: BorrowedCmaPages, index: number): BorrowedPage {
  const called = "cma_page()";
  if (!(pages instanceof CmaState)) {
    throw_misuse("not-a-handle", called, "no pages of cma_alloc()");
  }
  pages.assert_held(called);
  if (!Number.isSafeInteger(index) || index < 0 || index >= pages.nr_pages) {
    throw new RangeError(`${called}: page ${show(index)} of ${pages.nr_pages}`);
  }
  // Without its serial number, which stands above bit 31, it can be used and not released.
  return lend_page(pages.pages[index]! | 0);
}
