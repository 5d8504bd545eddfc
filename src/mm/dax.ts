/// <reference lib="esnext.disposable" preserve="true" />
/**
 * A file whose pages are the device's own memory: no page cache, and nothing to write back (ours; it stands for a file on
 * fsdax, fs/dax.c).  A device's blocks cannot be given to another file while somebody transfers to them, so that a pin of them
 * may not last: FOLL_LONGTERM is refused.
 */

import { to_dax_file } from "../handle/cast.js";
import type { DaxFile, ProcessContext } from "../handle/context.js";
import { ERR_PTR, type Errno } from "../handle/errno.js";
import { might_sleep } from "../machine/context.js";
import { should_fail } from "../machine/fault-inject.js";
import { PAGE_SIZE } from "../machine/limits.js";
import type { MachineState } from "../machine/machine.js";
import { OpenFile, type MappedFile } from "./mm_types.js";
import { clear_pages } from "./page_alloc.js";
import { ref_count, ref_sub } from "./page_ref.js";

class DaxFileState extends OpenFile implements MappedFile {
  readonly machine: MachineState;
  readonly tracks_dirty = true;
  readonly is_dax = true;
  /** the blocks of the device, each a page */
  readonly #blocks: readonly number[];
  /** mappings, and the descriptor while it is open */
  #users = 1;
  #open = true;
  readonly #at_exit = (): void => {
    this.#remove_device();
  };
  constructor(machine: MachineState, blocks: readonly number[]) {
    super();
    this.machine = machine;
    this.#blocks = blocks;
    machine.at_exit.add(this.#at_exit);
  }
  get nr_pages(): number {
    return this.#blocks.length;
  }
  get open(): boolean {
    return this.#open;
  }
  get mapping(): MappedFile {
    return this;
  }
  page(index: number): number {
    return this.#blocks[index]!;
  }
  /** A store reaches the device at once: its block is there already. */
  page_mkwrite(): number {
    return 0;
  }
  open_vma(): void {
    this.#users++;
  }
  close_vma(): void {
    this.#put();
  }
  #put(): void {
    if (--this.#users === 0) this.#remove_device();
  }
  [Symbol.dispose](): void {
    if (!this.#open) return;
    this.#open = false;
    this.#put();
  }
  #remove_device(): void {
    if (!this.machine.at_exit.delete(this.#at_exit)) return;
    // A page that somebody put once too often is gone already.
    for (const pfn of this.#blocks) if (ref_count(pfn) !== 0) ref_sub(pfn, 1);
  }
}

/**
 * Opens a file on a device that is memory, zeroed (ours).  The caller owns the descriptor: `using`, or the machine's end;
 * mappings of it stay.
 *
 * @param current - may sleep
 * @param bytes - its size, 1 and more; rounded up to pages
 * @returns ENOMEM when the machine has no memory for a device of that size, EINVAL for another number
 * @example
 * using file = dax_file(current, 8192);
 * if (IS_ERR(file)) return file;
 * const at = mmap(current, null, 8192, PROT_READ | PROT_WRITE, MAP_SHARED, file);
 * if (at.isErr()) return;
 * const page = get_user_page(current, at.value, ITER_DEST, FOLL_LONGTERM);
 * console.log(IS_ERR(page) && page.errno); // -> EOPNOTSUPP
 */
export function dax_file(
  current: ProcessContext,
  bytes: number,
): DaxFile | Errno<"ENOMEM" | "EINVAL"> {
  const machine = might_sleep(current, "dax_file()");
  if (!Number.isSafeInteger(bytes) || bytes < 1) return ERR_PTR("EINVAL", `${bytes} bytes`);
  const nr = Math.ceil(bytes / PAGE_SIZE);
  const { free_kernel_pages } = machine.allocator;
  if (machine.faults !== null && should_fail(machine, "fail_page_alloc", "dax_file()")) {
    return ERR_PTR("ENOMEM", `no free page for ${bytes} bytes`);
  }
  if (nr > free_kernel_pages) {
    return ERR_PTR("ENOMEM", `${free_kernel_pages} pages are free, not ${nr}`);
  }
  const blocks: number[] = [];
  for (let i = 0; i < nr; i++) {
    const pfn = machine.allocator.alloc(0);
    clear_pages(machine, pfn, 1);
    blocks.push(pfn);
  }
  return to_dax_file(new DaxFileState(machine, blocks));
}
