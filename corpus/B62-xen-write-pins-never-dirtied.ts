/**
 * drivers/xen/privcmd.c and gntdev.c took plain references on pages that the hypervisor writes, and put them clean (5.7;
 * pinned, and dirtied where they are writable, by 5.9 and 5.11).  A plain reference has no direction and no end that dirties,
 * and writeback does not see it either: the page is cleaned before the store, and its bytes are lost.  A pin is seen.
 */
import {
  all_or_none,
  FOLL_WRITE,
  get_user_pages_fast,
  IS_ERR,
  ITER_DEST,
  PAGE_SIZE,
  pin_user_pages_fast,
  put_page,
  unpin_user_pages_dirty_lock,
  type BorrowedDestPage,
  type Page,
} from "user-page";
import {
  Device,
  device_byte,
  dma_from_device,
  mapped_file,
  wrong_pages,
  type Bench,
} from "./bench.js";

const WRITTEN = Uint8Array.from({ length: PAGE_SIZE }, (_, i) => device_byte(i));

export function wrong(bench: Bench) {
  const { current } = bench;
  using mapped = mapped_file(bench, "hold");
  const pages: Page[] = [];
  const got = get_user_pages_fast(current, mapped.addr, 1, FOLL_WRITE, pages);
  if (got < 0) return got;
  mapped.sync();
  const hypervisor = new Device();
  for (const page of pages) dma_from_device(hypervisor, page);
  for (const page of pages) put_page(page);
  return wrong_pages(mapped.read_back(), WRITTEN);
}

/** A hypervisor that takes pins only. */
function hypercall(hypervisor: Device, page: BorrowedDestPage) {
  dma_from_device(hypervisor, page);
}
/** The same bug, with such a hypervisor. */
export function stricter(bench: Bench) {
  using mapped = mapped_file(bench, "hold");
  const pages: Page[] = [];
  const got = get_user_pages_fast(bench.current, mapped.addr, 1, FOLL_WRITE, pages);
  if (got < 0) return got;
  mapped.sync();
  const hypervisor = new Device();
  // @ts-expect-error a plain reference
  for (const page of pages) hypercall(hypervisor, page);
  for (const page of pages) put_page(page);
  return wrong_pages(mapped.read_back(), WRITTEN);
}
export function right(bench: Bench) {
  const { current } = bench;
  using mapped = mapped_file(bench, "hold");
  const pages = all_or_none(pin_user_pages_fast(current, mapped.addr, 1, ITER_DEST));
  if (IS_ERR(pages)) return pages;
  mapped.sync();
  const hypervisor = new Device();
  for (const page of pages) dma_from_device(hypervisor, page);
  unpin_user_pages_dirty_lock(pages, true, current);
  return wrong_pages(mapped.read_back(), WRITTEN);
}
