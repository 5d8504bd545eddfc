/**
 * rio_dma_transfer() of drivers/rapidio/devices/rio_mport_cdev.c put as many pages as it had asked for when fewer had come
 * (4.19, repaired in 5.7).  The array of C has the requested length whatever was stored in it.  In the legacy family here
 * the array holds what was acquired, and an index beyond that is undefined, which put_page() does not take.
 */
import {
  FOLL_WRITE,
  get_user_pages_fast,
  put_page,
  set_page_dirty_lock,
  type Page,
} from "user-page";
import { dma_from_device, type Bench } from "./bench.js";

export function wrong({ current, buf, fails }: Bench) {
  const nr_pages = fails ? 20 : 16;
  const list: Page[] = [];
  const pinned = get_user_pages_fast(current, buf, nr_pages, FOLL_WRITE, list);
  // Short or not, err_pg puts them all.
  for (let i = 0; i < nr_pages; i++) {
    // @ts-expect-error nobody says that there are so many
    put_page(list[i]);
  }
  return pinned === nr_pages ? 0 : -14;
}

export function right({ current, buf, device, fails }: Bench) {
  const nr_pages = fails ? 20 : 16;
  const list: Page[] = [];
  const got = get_user_pages_fast(current, buf, nr_pages, FOLL_WRITE, list);
  const complete = got === nr_pages;
  for (const page of list) {
    if (complete) {
      dma_from_device(device, page);
      set_page_dirty_lock(page, current);
    }
    put_page(page);
  }
  return complete ? 0 : -14;
}
