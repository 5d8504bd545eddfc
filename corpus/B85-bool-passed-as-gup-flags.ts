/**
 * drivers/misc/bcm-vk/bcm_vk_sg.c and atomisp's hmm_bo.c give a truth value where get_user_pages_fast() wants flags: the
 * parameter was `int write` once, and FOLL_WRITE happens to be 1 (read in 5.9 to 6.19; works by luck).  Flags are opaque here,
 * and what a pin is for is a word.  A number would have to go through gup_flags_from().
 */
import {
  FOLL_WRITE,
  get_user_pages_fast,
  IS_ERR,
  IS_SHORT,
  ITER_DEST,
  pin_user_pages_fast,
  put_page,
  unpin_user_pages_dirty_lock,
  type Page,
} from "user-page";
import { dma_from_device, type Bench } from "./bench.js";

type Direction = "DMA_TO_DEVICE" | "DMA_FROM_DEVICE";
function bcm_vk_dma_alloc({ current, buf }: Bench, direction: Direction, pages: Page[]) {
  // @ts-expect-error a truth value
  return get_user_pages_fast(current, buf, 4, direction === "DMA_FROM_DEVICE", pages);
}
export function wrong(bench: Bench) {
  const pages: Page[] = [];
  const got = bcm_vk_dma_alloc(bench, "DMA_FROM_DEVICE", pages);
  for (const page of pages) dma_from_device(bench.device, page);
  for (const page of pages) put_page(page);
  return got;
}

function with_flags({ current, buf, device }: Bench, direction: Direction) {
  const pages: Page[] = [];
  const flags = direction === "DMA_FROM_DEVICE" ? FOLL_WRITE : 0;
  const got = get_user_pages_fast(current, buf, 4, flags, pages);
  for (const page of pages) dma_from_device(device, page);
  for (const page of pages) put_page(page);
  return got;
}
export function right(bench: Bench) {
  if (bench.fails) return with_flags(bench, "DMA_FROM_DEVICE");
  const pinned = pin_user_pages_fast(bench.current, bench.buf, 4, ITER_DEST);
  if (IS_ERR(pinned)) return pinned;
  const pages = IS_SHORT(pinned) ? pinned.partial : pinned;
  for (const page of pages) dma_from_device(bench.device, page);
  unpin_user_pages_dirty_lock(pages, true, bench.current);
}
