/**
 * __bio_release_pages() of block/bio.c counted the pages of a folio by its bytes alone and missed the last one when they did
 * not begin at a page: "block: Fix page refcounts for unaligned buffers in __bio_release_pages()".  One reference per page
 * has to be counted again from offset and length at the release.  unpin_user_folio() takes a number here too, which nobody
 * can check but debug mode afterwards; an extent has one reference and no number.
 */
import {
  all_or_none,
  get_user_bvec,
  IS_ERR,
  ITER_SOURCE,
  page_folio,
  PAGE_SIZE,
  pin_user_pages_fast,
  put_user_bvec,
  unpin_user_folio,
  user_ptr_add,
} from "user-page";
import { Device, dma_bvec_to_device, type Bench } from "./bench.js";

const OFFSET = 2048;
const LEN = 4 * PAGE_SIZE; // in five pages
export function wrong({ current, huge }: Bench) {
  const addr = user_ptr_add(huge, OFFSET);
  const nr = Math.ceil((OFFSET + LEN) / PAGE_SIZE);
  const pages = all_or_none(pin_user_pages_fast(current, addr, nr, ITER_SOURCE));
  if (IS_ERR(pages)) return pages;
  const folio = page_folio(pages[0]!);
  let released = 0;
  for (let done = 0; done < LEN; done += PAGE_SIZE) released++;
  unpin_user_folio(folio, released);
}

export function right({ current, huge }: Bench) {
  const addr = user_ptr_add(huge, OFFSET);
  const device = new Device(); // the memory is not the bench's
  const bvecs = get_user_bvec(current, addr, LEN, ITER_SOURCE);
  if (IS_ERR(bvecs)) return bvecs;
  for (const bvec of bvecs) dma_bvec_to_device(device, bvec);
  const nr_references = bvecs.nr_segs;
  put_user_bvec(bvecs);
  return nr_references === 1 && device.log[0]?.length === LEN ? 0 : -5;
}
