/**
 * What a ring pays for its registered buffers.  Models io_uring/rsrc.c: any part of a large folio is charged as the whole, and
 * once for all buffers of a ring.
 */

import { raw } from "../handle/cast.js";
import type { LockedCharge } from "../handle/cma.js";
import type { Task } from "../handle/context.js";
import { IS_ERR } from "../handle/errno.js";
import type { HeldUserPage } from "../handle/page.js";
import { PAGE_HANDLE_SHIFT } from "../handle/tags.js";
import { task_state } from "../machine/context.js";
import { machine_of_handle, throw_foreign, throw_misuse } from "../machine/machine.js";
import { charge, io_account_mem, type LockLimit } from "./mlock.js";
import { head_of, order_of } from "./page_ref.js";

/** How many buffers of a ring have each of its large folios. */
const buffers_with = new WeakMap<Set<number>, Map<number, number>>();
/** A buffer was registered.  The answer: it is gone, as in io_buffer_unmap(), and the last one takes a folio with it. */
function add_to_ring(hpages: Set<number>, heads: ReadonlySet<number>): () => void {
  const buffers = buffers_with.get(hpages) ?? new Map<number, number>();
  buffers_with.set(hpages, buffers);
  for (const head of heads) {
    buffers.set(head, (buffers.get(head) ?? 0) + 1);
    hpages.add(head);
  }
  return () => {
    for (const head of heads) {
      const left = buffers.get(head)! - 1;
      buffers.set(head, left);
      if (left === 0) hpages.delete(head);
    }
  };
}
/**
 * Charges the pages of a buffer that was just pinned: a page of order 0 as one, any part of a large folio as the whole folio,
 * once.  Models io_buffer_account_pin().  The caller owns the charge: `using`, or unaccount_mem().
 *
 * @param pages - pinned
 * @param hpages - large folios of the buffers that the ring has.  Those of this one are added, and stay until it is taken back
 *   with each other buffer that has them.  The one that was charged for a folio takes its charge along, as in Linux
 * @returns ENOMEM above the limit, with nothing charged or added: unpin the pages
 * @example
 * using pages = all_or_none(pin_user_pages_fast(current, buf, 16, ITER_DEST, FOLL_LONGTERM));
 * if (IS_ERR(pages)) return pages;
 * using charge = io_buffer_account_pin(current, pages, new Set());
 * console.log(IS_ERR(charge) || charge.nr_pages); // -> 16
 */
export function io_buffer_account_pin(
  current: Task,
  pages: readonly HeldUserPage[],
  hpages: Set<number>,
): LockedCharge | LockLimit {
  const called = "io_buffer_account_pin()";
  if (!(hpages instanceof Set)) throw new RangeError(`${called}: hpages is no set`);
  if (!Array.isArray(pages)) throw_misuse("not-a-handle", called, "no array of pins");
  const { machine } = task_state(current, called);
  const heads = new Set<number>();
  let nr = 0;
  for (const page of pages as readonly HeldUserPage[]) {
    const handle = raw(page);
    const owner = machine_of_handle(handle, called);
    if (owner !== machine) throw_foreign(called);
    owner.probe?.used("user_page", handle, called);
    const pfn = handle >>> PAGE_HANDLE_SHIFT;
    const head = head_of(pfn);
    const order = order_of(pfn);
    if (order === 0) nr++;
    else if (!heads.has(head)) {
      heads.add(head);
      if (!hpages.has(head)) nr += 2 ** order;
    }
  }
  const charged = io_account_mem(current, nr);
  if (IS_ERR(charged)) return charged;
  const unmap = add_to_ring(hpages, heads);
  return charge(charged.nr_pages, () => {
    unmap();
    charged[Symbol.dispose]();
  });
}
