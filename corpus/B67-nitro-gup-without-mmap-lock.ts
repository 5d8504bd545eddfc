/**
 * drivers/virt/nitro_enclaves/ne_misc_dev.c called get_user_pages() in an ioctl that holds no lock (5.11; asks the variant
 * that takes it itself by 5.17).  In C the lock is a comment above the function.  Here it is its first argument.
 */
import { FOLL_GET, get_user_pages, get_user_pages_unlocked, put_page, type Page } from "user-page";
import { dma_to_device, type Bench } from "./bench.js";

export function wrong({ current, buf }: Bench) {
  const pages: Page[] = [];
  // @ts-expect-error no lock
  const got = get_user_pages(current.mm, buf, 1, FOLL_GET, pages);
  for (const page of pages) put_page(page);
  return got;
}

export function right({ current, buf, device }: Bench) {
  const pages: Page[] = [];
  const got = get_user_pages_unlocked(current, buf, 1, pages, FOLL_GET);
  for (const page of pages) dma_to_device(device, page);
  for (const page of pages) put_page(page);
  return got;
}
