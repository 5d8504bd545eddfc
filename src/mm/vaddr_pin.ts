/** Pins that belong to an owner, who can be asked what is outstanding.  Models the vaddr_pin_pages() proposed in 2019. */

import type { UserAddr } from "../handle/addr.js";
import type { Narrows } from "../handle/affine.js";
import { raw } from "../handle/cast.js";
import type { ProcessContext, Task } from "../handle/context.js";
import { IS_ERR } from "../handle/errno.js";
import type { By } from "../handle/kinds.js";
import type {
  Dir,
  HeldDestPages,
  HeldUserPages,
  PinResult,
  SpentUserPages,
} from "../handle/page.js";
import { PAGE_HANDLE_SHIFT } from "../handle/tags.js";
import { might_sleep, task_state } from "../machine/context.js";
import { machine_of_handle, throw_foreign, throw_misuse } from "../machine/machine.js";
import { fact } from "../machine/misuse.js";
import { FOLL_LONGTERM } from "./gup_flags.js";
import { set_folio_dirty } from "./page-writeback.js";
import { current_caller, pin_pages } from "./pin_user_pages.js";
import { is_array, unpin_each } from "./unpin.js";
import { IS_SHORT, UserPages } from "./user_pages.js";

/** Who pins: an address space or an open file.  Models struct vaddr_pin. */
export class VaddrPin {
  readonly name: string;
  #outstanding = 0;
  /** Pages pinned and not yet unpinned with this token: may the file be closed, the region unlocked? */
  get outstanding(): number {
    return this.#outstanding;
  }
  /** @param name - who it is, for reports */
  constructor(name: string) {
    this.name = name;
  }
  /** @internal */
  acquired(nr_pages: number): void {
    this.#outstanding += nr_pages;
  }
  /** @internal */
  released(nr_pages: number): void {
    this.#outstanding -= nr_pages;
  }
}

/**
 * Pins user pages for as long as their owner wants.  Models vaddr_pin_pages(): FOLL_LONGTERM is implied, the lock is
 * taken for the call.  The caller owns what it gets: vaddr_unpin_pages() with the same token.
 *
 * @param nr_pages - pages, 0 and more
 * @param vaddr_pin - the owner's token
 * @returns as pin_user_pages()
 * @example
 * const file = new VaddrPin("file 3");
 * const pages = all_or_none(vaddr_pin_pages(current, buf, 4, ITER_DEST, file));
 * if (IS_ERR(pages)) return pages;
 * console.log(file.outstanding); // -> 4
 * vaddr_unpin_pages(pages, file);
 */
export function vaddr_pin_pages<D extends Dir>(
  current: Task,
  addr: UserAddr,
  nr_pages: number,
  dir: D,
  vaddr_pin: VaddrPin,
): PinResult<D, "longterm"> {
  const by = "vaddr_pin_pages()";
  check_token(vaddr_pin, by);
  task_state(current, by);
  const caller = current_caller(current, by, false);
  const pinned: PinResult<D, "longterm"> = pin_pages(
    caller,
    addr,
    nr_pages,
    dir,
    FOLL_LONGTERM,
    by,
    vaddr_pin,
  );
  if (IS_ERR(pinned)) return pinned;
  const pages: unknown = IS_SHORT(pinned) ? pinned.partial : pinned;
  if (pages instanceof UserPages) {
    pages.owner = vaddr_pin;
    vaddr_pin.acquired(pages.length);
  }
  return pinned;
}
function check_token(vaddr_pin: VaddrPin, by: string): void {
  if (!(vaddr_pin instanceof VaddrPin)) throw_misuse("not-a-handle", by, "no vaddr_pin");
}
function unpin(pages: HeldUserPages, vaddr_pin: VaddrPin, by: string): void {
  check_token(vaddr_pin, by);
  if (pages instanceof UserPages) {
    if (pages.owner !== vaddr_pin) {
      throw_misuse(
        "wrong-owner",
        by,
        `${pages.length} pages of ${pages.owner?.name ?? "no owner"}`,
        fact("given", `the token of ${vaddr_pin.name}`),
      );
    }
    pages.end("vaddr_unpin_pages");
  }
  unpin_each(pages, by, vaddr_pin);
  vaddr_pin.released(pages.length);
}
/**
 * Unpins pages of vaddr_pin_pages() with the token they were pinned with.  Models vaddr_unpin_pages().  The array is spent.  Any
 * context.
 */
export const vaddr_unpin_pages: Narrows<
  HeldUserPages,
  { is: SpentUserPages<By<"vaddr_unpin_pages">> },
  [vaddr_pin: VaddrPin]
> = (pages, vaddr_pin) => {
  unpin(pages, vaddr_pin, "vaddr_unpin_pages()");
};
/**
 * vaddr_unpin_pages() of pages that may have been written.  Models vaddr_unpin_pages_dirty_lock().  The array is spent.
 *
 * @param make_dirty - whether they were
 * @param current - may sleep
 */
export const vaddr_unpin_pages_dirty_lock: Narrows<
  HeldDestPages,
  { is: SpentUserPages<By<"vaddr_unpin_pages">> },
  [vaddr_pin: VaddrPin, make_dirty: boolean, current: ProcessContext]
> = (pages, vaddr_pin, make_dirty, current) => {
  const by = "vaddr_unpin_pages_dirty_lock()";
  check_token(vaddr_pin, by);
  if (make_dirty) {
    const machine = might_sleep(current, by);
    if (!is_array(pages)) throw_misuse("not-a-handle", by, "no array of pins");
    for (const page of pages) {
      if (machine_of_handle(raw(page), by) !== machine) throw_foreign(by);
    }
    for (const page of pages) set_folio_dirty(raw(page) >>> PAGE_HANDLE_SHIFT);
  }
  unpin(pages, vaddr_pin, by);
};
