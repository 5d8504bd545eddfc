/**
 * qp_release_pages() of drivers/misc/vmw_vmci/vmci_queue_pair.c dirtied user pages without their lock: "VMCI: Use
 * set_page_dirty_lock() when unregistering guest memory" (5.11, repaired by 5.14).  Two functions of one signature differ in
 * what the caller must hold.  Here the one that asks for no lock takes only pins to write, and the release that dirties is
 * one call.
 */
import {
  all_or_none,
  FOLL_LONGTERM,
  FOLL_WRITE,
  get_user_pages_fast,
  IS_ERR,
  ITER_DEST,
  pin_user_pages_fast,
  put_page,
  set_page_dirty,
  unpin_user_pages_dirty_lock,
  type Page,
} from "user-page";
import { dma_from_device, type Bench } from "./bench.js";

function qp_release_pages(pages: readonly Page[], dirty: boolean) {
  for (const page of pages) {
    // @ts-expect-error a plain reference
    if (dirty) set_page_dirty(page);
    put_page(page);
  }
}
export function wrong({ current, buf, device }: Bench) {
  const pages: Page[] = [];
  const got = get_user_pages_fast(current, buf, 4, FOLL_WRITE, pages);
  if (got < 0) return got;
  for (const page of pages) dma_from_device(device, page);
  qp_release_pages(pages, true);
}

export function right({ current, buf, device }: Bench) {
  const pages = all_or_none(pin_user_pages_fast(current, buf, 4, ITER_DEST, FOLL_LONGTERM));
  if (IS_ERR(pages)) return pages;
  for (const page of pages) dma_from_device(device, page);
  unpin_user_pages_dirty_lock(pages, true, current);
}
