/**
 * alloc_user_pages() of drivers/staging/media/atomisp put as many pages as the buffer object has, not as many as had come
 * (5.9, repaired in 6.0).  The object's count is the requested one, and in C it is the only one there is.  Here the pages
 * are an array of their own length; what is not in it is undefined and no pin.
 */
import {
  FOLL_LONGTERM,
  IS_ERR,
  IS_SHORT,
  ITER_DEST,
  pin_user_pages_fast,
  put_user_pages,
  unpin_user_page,
  unpin_user_pages,
  type LongtermUserPage,
} from "user-page";
import { dma_from_device, type Bench } from "./bench.js";

interface BufferObject {
  readonly pgnr: number;
  pages: Array<LongtermUserPage<"dest">>;
}
function free_user_pages(bo: BufferObject) {
  for (let i = 0; i < bo.pgnr; i++) {
    // @ts-expect-error the object says so, not the array
    unpin_user_page(bo.pages[i]);
  }
}
export function wrong({ current, buf, fails }: Bench) {
  const bo: BufferObject = { pgnr: fails ? 20 : 16, pages: [] };
  const got = pin_user_pages_fast(current, buf, bo.pgnr, ITER_DEST, FOLL_LONGTERM);
  if (IS_ERR(got)) return got;
  bo.pages = IS_SHORT(got) ? got.partial : got;
  free_user_pages(bo);
}

export function right({ current, buf, device, fails }: Bench) {
  const bo: BufferObject = { pgnr: fails ? 20 : 16, pages: [] };
  const got = pin_user_pages_fast(current, buf, bo.pgnr, ITER_DEST, FOLL_LONGTERM);
  if (IS_ERR(got)) return got;
  if (IS_SHORT(got)) {
    put_user_pages(got.partial);
    return -12;
  }
  bo.pages = got;
  for (const page of bo.pages) dma_from_device(device, page);
  unpin_user_pages(bo.pages);
}
