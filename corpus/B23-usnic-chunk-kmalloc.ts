/**
 * usnic_uiom_get_pages() of drivers/infiniband/hw/usnic/usnic_uiom.c pins a batch and moves it, chunk by chunk, into a list;
 * when a chunk cannot be allocated, what is left of the batch is in no chunk and stays pinned (read in 6.12 and 6.19, no
 * fix known).  The clean-up walks the chunks only.  Debug mode lists the rest; the array of this library releases at the
 * end of its block what was not taken out of it.
 */
import {
  all_or_none,
  ERR_PTR,
  FOLL_LONGTERM,
  IS_ERR,
  ITER_DEST,
  pin_user_pages_fast,
  unpin_user_pages,
  type LongtermUserPage,
} from "user-page";
import { dma_from_device, type Bench } from "./bench.js";

const BATCH = 8;
const PER_CHUNK = 3;
type Chunk = Array<LongtermUserPage<"dest">>;
function put_pages(chunks: Chunk[]) {
  for (let chunk = chunks.pop(); chunk; chunk = chunks.pop()) unpin_user_pages(chunk);
}
const kmalloc_fails = (fails: boolean, chunks: readonly Chunk[]) => fails && chunks.length === 1;

export function wrong({ current, buf, fails }: Bench) {
  const chunks: Chunk[] = [];
  const page_list = all_or_none(pin_user_pages_fast(current, buf, BATCH, ITER_DEST, FOLL_LONGTERM));
  if (IS_ERR(page_list)) return page_list;
  for (let moved = 0; moved < BATCH; moved += PER_CHUNK) {
    if (kmalloc_fails(fails, chunks)) break;
    chunks.push(page_list.slice(moved, moved + PER_CHUNK));
  }
  put_pages(chunks);
}

export function right({ current, buf, device, fails }: Bench) {
  const chunks: Chunk[] = [];
  using page_list = all_or_none(pin_user_pages_fast(current, buf, BATCH, ITER_DEST, FOLL_LONGTERM));
  if (IS_ERR(page_list)) return page_list;
  while (page_list.length > 0) {
    if (kmalloc_fails(fails, chunks)) {
      put_pages(chunks);
      return ERR_PTR("ENOMEM", "no chunk");
    }
    const chunk = page_list.splice(0, PER_CHUNK);
    for (const page of chunk) dma_from_device(device, page);
    chunks.push(chunk);
  }
  put_pages(chunks);
}
