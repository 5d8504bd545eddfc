/**
 * drivers/platform/goldfish/goldfish_pipe.c of 4.19 kept the pages of a transfer in a static array, filled before the
 * pipe's lock was taken: another pipe's transfer overwrote it, and both released the second one's pages.  Repaired in 5.7
 * by an array in each pipe.  get_user_pages() fills an array of the caller's, so C invites to share one; the legacy
 * family here does too, and only debug mode sees it.  What pin_user_pages_fast() returns is a fresh array each time.
 */
import {
  get_user_pages_fast,
  IS_ERR,
  IS_SHORT,
  ITER_SOURCE,
  pin_user_pages_fast,
  put_page,
  unpin_user_pages,
  user_ptr_add,
  type Page,
  type Task,
  type UserAddr,
} from "user-page";
import { dma_to_device, type Bench, type Device } from "./bench.js";

const NR = 2;
/** Of all pipes. */
const shared_pages: Page[] = [];

function prepare(current: Task, addr: UserAddr): number {
  return get_user_pages_fast(current, addr, NR, 0, shared_pages);
}
function transfer_under_lock(device: Device, nr: number) {
  for (const page of shared_pages.slice(0, nr)) dma_to_device(device, page);
  for (const page of shared_pages.slice(0, nr)) put_page(page);
}
export function wrong({ current, buf, device }: Bench) {
  const first = prepare(current, buf);
  const second = prepare(current, user_ptr_add(buf, 8192)); // another pipe, before the first has its lock
  transfer_under_lock(device, first);
  transfer_under_lock(device, second);
}

function transfer(device: Device, current: Task, addr: UserAddr) {
  const pinned = pin_user_pages_fast(current, addr, NR, ITER_SOURCE);
  if (IS_ERR(pinned)) return pinned;
  const pages = IS_SHORT(pinned) ? pinned.partial : pinned;
  for (const page of pages) dma_to_device(device, page);
  unpin_user_pages(pages);
}
export function right({ current, buf, device }: Bench) {
  return transfer(device, current, buf) ?? transfer(device, current, user_ptr_add(buf, 8192));
}
