/// <reference lib="esnext.disposable" preserve="true" />
/** Kernel memory of single pages that need not be contiguous: what KVEC iterators go over.  Models mm/vmalloc.c. */

import type { Narrows } from "../handle/affine.js";
import { to_vm_area } from "../handle/cast.js";
import type { ProcessContext } from "../handle/context.js";
import { ERR_PTR, type Errno } from "../handle/errno.js";
import type { BorrowedVmArea, HeldVmArea, OwnedVmArea, SpentVmArea } from "../handle/iov_iter.js";
import { ENDS, type By } from "../handle/kinds.js";
import type { BorrowedPage } from "../handle/page.js";
import { PAGE_HANDLE_SHIFT } from "../handle/tags.js";
import { might_sleep, name_of } from "../machine/context.js";
import { should_fail } from "../machine/fault-inject.js";
import { PAGE_SIZE } from "../machine/limits.js";
import { throw_misuse, type MachineState } from "../machine/machine.js";
import { ended_with } from "../machine/misuse.js";
import { clear_pages } from "../mm/page_alloc.js";
import { ref_sub } from "../mm/page_ref.js";
import { lent, page_index } from "./iter_state.js";

export class VmAreaState {
  readonly machine: MachineState;
  readonly size: number;
  /** handles */
  readonly pages: readonly number[];
  #freed = false;
  constructor(machine: MachineState, size: number, pages: readonly number[]) {
    this.machine = machine;
    this.size = size;
    this.pages = pages;
    const { probe } = machine;
    if (probe) for (const page of pages) probe.held_by(page, this, "vm_area");
  }
  describe(): string {
    return `${this.size} bytes of kernel memory`;
  }
  assert_held(called: string): void {
    if (!this.#freed && this.machine.alive) return;
    const how = this.#freed ? ENDS.vfree : "its machine was shut down";
    throw_misuse(
      "use-after-release",
      called,
      this.describe(),
      ended_with(this.machine, this.pages[0], how),
    );
  }
  free(): void {
    if (this.#freed) {
      throw_misuse(
        "double-release",
        "vfree()",
        this.describe(),
        ended_with(this.machine, this.pages[0], ENDS.vfree),
      );
    }
    this.assert_held("vfree()");
    this.#freed = true;
    const { probe } = this.machine;
    const site = probe?.site();
    for (const page of this.pages) {
      probe?.released("page", page, "vfree()", undefined, site);
      ref_sub(page >>> PAGE_HANDLE_SHIFT, 1);
    }
  }
  [Symbol.dispose](): void {
    if (!this.#freed && this.machine.alive) this.free();
  }
}
export function vm_area_state(area: object, called: string): VmAreaState {
  if (!(area instanceof VmAreaState)) throw_misuse("not-a-handle", called, "no vmalloc() memory");
  area.assert_held(called);
  return area;
}

/**
 * Allocates kernel memory of single pages, zeroed.  Models vzalloc().
 * The caller owns it: vfree(), or the end of a `using` block.
 *
 * @param current - may sleep
 * @param size - bytes, 1 and more
 * @returns ENOMEM when there are not as many free pages, EINVAL for another size
 * @example
 * using area = vmalloc(current, 10000);
 * if (IS_ERR(area)) return area;
 * const iter = iov_iter_kvec(ITER_DEST, [{ iov_base: area, iov_offset: 0, iov_len: 10000 }]);
 * copy_to_iter(new Uint8Array(10000), iter, current);
 */
export function vmalloc(
  current: ProcessContext,
  size: number,
): OwnedVmArea | Errno<"ENOMEM" | "EINVAL"> {
  const by = "vmalloc()";
  const machine = might_sleep(current, by);
  if (!Number.isSafeInteger(size) || size < 1) return ERR_PTR("EINVAL", `${size} bytes`);
  const nr = Math.ceil(size / PAGE_SIZE);
  if (machine.faults !== null && should_fail(machine, "fail_page_alloc", by)) {
    return ERR_PTR("ENOMEM", `no free page for ${size} bytes`);
  }
  if (nr > machine.allocator.free_kernel_pages) {
    return ERR_PTR("ENOMEM", `${machine.allocator.free_kernel_pages} pages are free, not ${nr}`);
  }
  const { probe } = machine;
  probe?.reserve(nr);
  const site = probe?.site(name_of(current));
  const pages: number[] = [];
  for (let i = 0; i < nr; i++) {
    const pfn = machine.allocator.alloc(0);
    clear_pages(machine, pfn, 1);
    const addr = pfn << PAGE_HANDLE_SHIFT;
    pages.push(probe ? probe.acquired("page", addr, by, site!) : addr);
  }
  return to_vm_area(new VmAreaState(machine, size, pages));
}
/** Frees what vmalloc() gave.  Models vfree().  The handle is spent. */
export const vfree: Narrows<HeldVmArea, { is: SpentVmArea<By<"vfree">> }> = (area) => {
  if (!(area instanceof VmAreaState)) {
    throw_misuse("not-a-handle", "vfree()", "no vmalloc() memory");
  }
  area.free();
};
/**
 * The page at a byte of kernel memory, which vfree() frees.  Models vmalloc_to_page().
 *
 * @param offset - bytes, 0 to size - 1
 */
export function vmalloc_to_page(area: BorrowedVmArea, offset: number): BorrowedPage {
  const called = "vmalloc_to_page()";
  const { machine, size, pages } = vm_area_state(area, called);
  if (!Number.isSafeInteger(offset) || offset < 0 || offset >= size) {
    throw new RangeError(`${called}: byte ${offset} of ${size}`);
  }
  return lent(machine, pages[page_index(offset)]! >>> PAGE_HANDLE_SHIFT);
}
