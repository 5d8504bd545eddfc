/**
 * gup_fast() of mm/gup.c read an entry, fork() on another CPU saw no pin and shared the page, and the pin came too late: "mm/gup:
 * prevent gup_fast from racing with COW during fork" (5.9; write_protect_seq in 5.11).  The walk of this library looks at that
 * counter.  A driver that looks pages up by itself and does not look again has the bug once more, with plain pages, which are
 * all that a frame number gives.
 */
import {
  all_or_none,
  copy_from_user,
  copy_to_user,
  fork,
  get_page_unless_zero,
  IS_ERR,
  ITER_DEST,
  madvise,
  MADV_POPULATE_WRITE,
  munmap,
  on_preemption,
  PAGE_SIZE,
  pfn_to_page,
  pin_user_pages_fast,
  put_page,
  unpin_user_pages_dirty_lock,
  type ForkedTask,
  type Task,
  type UserAddr,
} from "user-page";
import {
  Device,
  device_byte,
  dma_from_device,
  frame_at,
  map_pages,
  wrong_pages,
  type Bench,
} from "./bench.js";

const WRITTEN = Uint8Array.from({ length: PAGE_SIZE }, (_, i) => device_byte(i));
function mapped({ current }: Bench) {
  const addr = map_pages(current, 1);
  madvise(current, addr, PAGE_SIZE, MADV_POPULATE_WRITE)._unsafeUnwrap();
  return addr;
}
/** The task stores, with a child there; pages that have not what the device writes then. */
function lost(current: Task, addr: UserAddr, child: ForkedTask, dma: (device: Device) => void) {
  copy_to_user(current, addr, new Uint8Array(1))._unsafeUnwrap();
  dma(new Device());
  const seen = new Uint8Array(PAGE_SIZE);
  copy_from_user(current, seen, addr)._unsafeUnwrap();
  munmap(current, addr, PAGE_SIZE)._unsafeUnwrap();
  child[Symbol.dispose]();
  return wrong_pages(seen, WRITTEN);
}
export function wrong(bench: Bench) {
  const { machine, current } = bench;
  const addr = mapped(bench);
  const pfn = frame_at(current, addr); // the entry is read
  const child = fork(current); // another CPU
  if (IS_ERR(child) || pfn === null) return "no child";
  const found = pfn_to_page(machine, pfn);
  const page = IS_ERR(found) ? null : get_page_unless_zero(found);
  if (!page) return "the frame is free";
  const pages = lost(current, addr, child, (device) => dma_from_device(device, page));
  put_page(page);
  return pages;
}

export function right(bench: Bench) {
  const { machine, current } = bench;
  const addr = mapped(bench);
  let child: ReturnType<typeof fork> | undefined;
  using _ = on_preemption(machine, (point) => {
    if (point === "gup_fast: entry read") child ??= fork(current);
  });
  const pages = all_or_none(pin_user_pages_fast(current, addr, 1, ITER_DEST));
  if (IS_ERR(pages)) return pages;
  if (!child || IS_ERR(child)) return "no child";
  const nr = lost(current, addr, child, (device) => {
    for (const page of pages) dma_from_device(device, page);
  });
  unpin_user_pages_dirty_lock(pages, true, current);
  return nr;
}
