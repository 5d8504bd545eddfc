/**
 * Which sizes of folios anonymous memory gets, and those between one page and 2 MiB.  Models thp_vma_allowable_orders(),
 * alloc_anon_folio() and the boot parameter thp_anon= of mm/.
 */

import { page_tables } from "../machine/arena.js";
import { HPAGE_PMD_ORDER, PAGE_SIZE } from "../machine/limits.js";
import type { Vma } from "./mm_types.js";
import { VM_HUGEPAGE, VM_NOHUGEPAGE } from "./mm_types.js";
import { clear_pages } from "./page_alloc.js";
import { ref_add } from "./page_ref.js";

/** Bit n stands for folios of 2^n pages: those that every mapping gets, and those for MADV_HUGEPAGE. */
export interface AnonOrders {
  always: number;
  madvise: number;
}
const PMD_BIT = 1 << HPAGE_PMD_ORDER;
/** Two pages are no size of a folio that is mapped. */
const MIN_ORDER = 2;
const UNIT: Readonly<Record<string, number>> = { K: 1024, M: 1024 ** 2 };

function order_of_size(text: string): number {
  const found = /^(\d+)([KM])$/.exec(text);
  const order = found ? Math.log2((Number(found[1]) * UNIT[found[2]!]!) / PAGE_SIZE) : NaN;
  if (Number.isInteger(order) && order >= MIN_ORDER && order <= HPAGE_PMD_ORDER) return order;
  throw new RangeError(`thp_anon: ${text} is no power of two from 16K to 2M`);
}
/** "64K:madvise", "16K-64K,256K:always;2M:never". */
export function parse_thp_anon(text: string): AnonOrders {
  const orders: AnonOrders = { always: 0, madvise: PMD_BIT };
  if (typeof text !== "string") throw new RangeError("thp_anon: no string");
  for (const part of text === "" ? [] : text.split(";")) {
    const [sizes = "", state = "", ...more] = part.split(":");
    if (!["always", "inherit", "madvise", "never"].includes(state) || more.length > 0) {
      throw new RangeError(`thp_anon: "${part}" is no SIZE:always, inherit, madvise or never`);
    }
    for (const range of sizes.split(",")) {
      const [from = "", to = from, ...rest] = range.split("-");
      const [first, last] = [order_of_size(from), order_of_size(to)];
      if (first > last || rest.length > 0) throw new RangeError(`thp_anon: ${range} is no range`);
      for (let order = first; order <= last; order++) set_state(orders, 1 << order, state);
    }
  }
  return orders;
}
function set_state(orders: AnonOrders, bit: number, state: string): void {
  orders.always &= ~bit;
  orders.madvise &= ~bit;
  if (state === "always") orders.always |= bit;
  else if (state !== "never") orders.madvise |= bit; // what is inherited is "madvise"
}
/** The sizes that a mapping may have. */
export function thp_vma_allowable_orders({ mm, flags }: Vma): number {
  const { always, madvise } = mm.machine.huge_anon_orders;
  if (flags & VM_NOHUGEPAGE) return 0;
  return flags & VM_HUGEPAGE ? always | madvise : always;
}
/**
 * A zeroed folio of several pages for the entry `at` of a small page and its neighbours, of which none is there yet: its first
 * page, with a reference for each entry; 0 when no size fits or is free.
 */
export function alloc_anon_folio(vma: Vma, addr: number, at: number): number {
  const orders = thp_vma_allowable_orders(vma) & (PMD_BIT - 1);
  if (orders === 0) return 0;
  const { allocator } = vma.mm.machine;
  for (let order = HPAGE_PMD_ORDER - 1; order >= MIN_ORDER; order--) {
    const nr = 2 ** order;
    if ((orders & nr) === 0 || !fits(vma, addr, at, nr)) continue;
    const head = allocator.alloc(order, true, "alloc_anon_folio()");
    if (head === 0) continue;
    clear_pages(vma.mm.machine, head, nr);
    ref_add(head, nr - 1);
    return head;
  }
  return 0;
}
/** Whether `nr` pages, aligned to as many, lie in the mapping, and none of them is there. */
function fits(vma: Vma, addr: number, at: number, nr: number): boolean {
  const start = addr - (addr % (nr * PAGE_SIZE));
  if (start < vma.start || start + nr * PAGE_SIZE > vma.end) return false;
  const first = at - (at % nr);
  for (let i = first; i < first + nr; i++) if (page_tables[i] !== 0) return false;
  return true;
}
