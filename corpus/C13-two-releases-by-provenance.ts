/**
 * release_registered_pages() of drivers/tee/tee_shm.c has two releases for one array, chosen by a flag that was set when the
 * pages were acquired.  Here the flag and the pages are one union.
 */
import {
  all_or_none,
  alloc_page,
  IS_ERR,
  ITER_SOURCE,
  pin_user_pages_fast,
  put_page,
  unpin_user_pages,
  type Page,
  type UserPage,
} from "user-page";
import { dma_to_device, type Bench } from "./bench.js";

type TeeShm =
  | { readonly user_mapped: true; readonly pages: UserPage[] }
  | { readonly user_mapped: false; readonly pages: Page[] };
function release_registered_pages(shm: TeeShm) {
  if (shm.user_mapped) unpin_user_pages(shm.pages);
  else for (const page of shm.pages) put_page(page);
}
export function right({ current, buf, device }: Bench) {
  const user = all_or_none(pin_user_pages_fast(current, buf, 4, ITER_SOURCE));
  if (IS_ERR(user)) return user;
  const kernel = alloc_page(current);
  for (const page of user) dma_to_device(device, page);
  release_registered_pages({ user_mapped: true, pages: user });
  if (IS_ERR(kernel)) return kernel;
  release_registered_pages({ user_mapped: false, pages: [kernel] });
}
