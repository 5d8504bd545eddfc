/**
 * While a device writes into the pages of a task, it forks, and stores to one: it gets another page, and the device goes on
 * writing into the one that only the child sees (mm/memory.c of 5.7; since 5.9 fork() copies for the child what may be
 * pinned).  That sees pins, not plain references, and a plain page may be given to a device here as well.
 */
import {
  all_or_none,
  copy_from_user,
  copy_to_user,
  FOLL_WRITE,
  fork,
  get_user_pages_fast,
  IS_ERR,
  ITER_DEST,
  munmap,
  PAGE_SIZE,
  pin_user_pages_fast,
  put_page,
  unpin_user_pages_dirty_lock,
  type BorrowedDestPage,
  type Page,
  type Task,
  type UserAddr,
} from "user-page";
import {
  Device,
  device_byte,
  dma_from_device,
  map_pages,
  wrong_pages,
  type Bench,
} from "./bench.js";

/** The task forks, and stores where the device is going to write. */
function fork_and_store(current: Task, addr: UserAddr) {
  using child = fork(current);
  if (IS_ERR(child)) return child;
  copy_to_user(current, addr, new Uint8Array(1))._unsafeUnwrap();
}
/** Pages that have not what the device wrote. */
function lost(current: Task, addr: UserAddr) {
  const written = Uint8Array.from({ length: PAGE_SIZE }, (_, i) => device_byte(i));
  const seen = new Uint8Array(PAGE_SIZE);
  copy_from_user(current, seen, addr)._unsafeUnwrap();
  munmap(current, addr, PAGE_SIZE)._unsafeUnwrap();
  return wrong_pages(seen, written);
}
export function wrong({ current }: Bench) {
  const addr = map_pages(current, 1);
  const pages: Page[] = [];
  const got = get_user_pages_fast(current, addr, 1, FOLL_WRITE, pages);
  if (got < 0) return got;
  const error = fork_and_store(current, addr);
  const device = new Device();
  for (const page of pages) dma_from_device(device, page);
  for (const page of pages) put_page(page);
  return error ?? lost(current, addr);
}

/** A device that takes pins only. */
function dma(device: Device, page: BorrowedDestPage) {
  dma_from_device(device, page);
}
/** The same bug, with such a device. */
export function stricter({ current }: Bench) {
  const addr = map_pages(current, 1);
  const pages: Page[] = [];
  const got = get_user_pages_fast(current, addr, 1, FOLL_WRITE, pages);
  if (got < 0) return got;
  const error = fork_and_store(current, addr);
  const device = new Device();
  // @ts-expect-error a plain reference
  for (const page of pages) dma(device, page);
  for (const page of pages) put_page(page);
  return error ?? lost(current, addr);
}
export function right({ current }: Bench) {
  const addr = map_pages(current, 1);
  const pages = all_or_none(pin_user_pages_fast(current, addr, 1, ITER_DEST));
  if (IS_ERR(pages)) return pages;
  const error = fork_and_store(current, addr);
  const device = new Device();
  for (const page of pages) dma_from_device(device, page);
  unpin_user_pages_dirty_lock(pages, true, current);
  return error ?? lost(current, addr);
}
