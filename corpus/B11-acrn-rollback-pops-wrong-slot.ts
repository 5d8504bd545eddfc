/**
 * acrn_vm_ram_map() of drivers/virt/acrn/mm.c publishes its pages in a table, and when the hypercall fails removes the last
 * slot, which may be another thread's by then (read in the sources, no fix known).  The pages it unpins are still in the
 * table, and the teardown of the machine unpins them again.  A table of handles is an alias of each, which no type
 * follows; debug mode knows each acquisition and reports the second release.
 */
import {
  all_or_none,
  FOLL_LONGTERM,
  IS_ERR,
  ITER_DEST,
  PAGE_SIZE,
  pin_user_pages_fast,
  unpin_user_pages,
  user_ptr_add,
  type LongtermUserPage,
} from "user-page";
import { dma_from_device, type Bench } from "./bench.js";

type Pages = Array<LongtermUserPage<"dest">>;
function pin_region({ current, buf }: Bench, nth: number) {
  const addr = user_ptr_add(buf, nth * 2 * PAGE_SIZE);
  return all_or_none(pin_user_pages_fast(current, addr, 2, ITER_DEST, FOLL_LONGTERM));
}
export function wrong(bench: Bench) {
  const table: Pages[] = [];
  const mine = pin_region(bench, 0);
  const others = pin_region(bench, 1);
  if (IS_ERR(mine)) return mine;
  if (IS_ERR(others)) return others;
  table.push(mine);
  table.push(others); // another thread, before the hypercall of the first returns
  if (bench.fails) {
    table.pop(); // the others' slot
    unpin_user_pages(mine);
  }
  for (const pages of table) unpin_user_pages(pages); // the machine is torn down
}

export function right(bench: Bench) {
  const table = new Map<number, Pages>();
  for (let id = 0; id < 2; id++) {
    const pages = pin_region(bench, id);
    if (IS_ERR(pages)) return pages;
    table.set(id, pages);
    for (const page of pages) dma_from_device(bench.device, page);
  }
  if (bench.fails) {
    const mine = table.get(0)!;
    table.delete(0); // by its name
    unpin_user_pages(mine);
  }
  for (const pages of table.values()) unpin_user_pages(pages);
}
