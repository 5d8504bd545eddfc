/**
 * videobuf_dma_init_user_locked() of drivers/media/v4l2-core/videobuf-dma-sg.c returns an error and leaves what was pinned
 * in the structure: its contract is that the caller frees the structure on error too.
 */
import {
  ERR_PTR,
  IS_ERR,
  IS_SHORT,
  ITER_DEST,
  mmap_read_lock,
  pin_user_pages,
  unpin_user_pages_dirty_lock,
  type UserPage,
} from "user-page";
import { dma_from_device, type Bench } from "./bench.js";

interface VideobufDma {
  pages: ReadonlyArray<UserPage<"dest">>;
}
function videobuf_dma_init_user({ current, buf, fails }: Bench, dma: VideobufDma) {
  using lock = mmap_read_lock(current, current.mm);
  const pinned = pin_user_pages(lock, buf, fails ? 20 : 16, ITER_DEST);
  if (IS_ERR(pinned)) return pinned;
  dma.pages = IS_SHORT(pinned) ? pinned.partial : pinned; // the truth
  return IS_SHORT(pinned) ? ERR_PTR("EINVAL", "fewer pages than the buffer has") : null;
}
function videobuf_dma_free({ current }: Bench, dma: VideobufDma) {
  unpin_user_pages_dirty_lock(dma.pages, true, current);
}
export function right(bench: Bench) {
  const dma: VideobufDma = { pages: [] };
  const error = videobuf_dma_init_user(bench, dma);
  if (!error) for (const page of dma.pages) dma_from_device(bench.device, page);
  videobuf_dma_free(bench, dma);
  return error ?? undefined;
}
