/**
 * i915_gem_userptr_put_pages() dirtied user pages without their lock, which races with truncation; with the lock (cb6d7c7dc7)
 * it waited for itself when it was called from an MMU notifier, whose caller holds it (reverted by 505a8ec7e1); it tries the
 * lock now and may miss a page (0d4bbe3d40).  set_page_dirty() of this API takes only pins to write: their file was asked
 * when they were taken, so that no lock is needed.  The page lock and notifiers are not modelled.
 */
import {
  get_user_pages_fast,
  FOLL_WRITE,
  IS_ERR,
  IS_SHORT,
  ITER_DEST,
  pin_user_pages_fast,
  put_page,
  set_page_dirty,
  unpin_user_page,
  type Page,
  type UserPage,
} from "user-page";
import { dma_from_device, type Bench } from "./bench.js";

/** Called from a notifier too. */
function put_pages(pages: Page[]) {
  for (let page = pages.pop(); page; page = pages.pop()) {
    // @ts-expect-error a plain reference
    set_page_dirty(page);
    put_page(page);
  }
}
export function wrong({ current, buf, device }: Bench) {
  const pages: Page[] = [];
  const got = get_user_pages_fast(current, buf, 4, FOLL_WRITE, pages);
  if (got < 0) return got;
  for (const page of pages) dma_from_device(device, page);
  put_pages(pages);
}

function unpin_pages(pages: Array<UserPage<"dest">>) {
  for (let page = pages.pop(); page; page = pages.pop()) {
    set_page_dirty(page);
    unpin_user_page(page);
  }
}
export function right({ current, buf, device }: Bench) {
  const pinned = pin_user_pages_fast(current, buf, 4, ITER_DEST);
  if (IS_ERR(pinned)) return pinned;
  const pages = IS_SHORT(pinned) ? pinned.partial : pinned;
  for (const page of pages) dma_from_device(device, page);
  unpin_pages(pages);
}
