/**
 * fuse_release_user_pages() of fs/fuse/file.c dirtied and put the pages of every read; when iterators over kernel memory
 * came to the same function, it dirtied pages of the page cache that its caller may have locked (3.12; asks for user
 * memory by 4.19).  What an iterator gives has one type in C.  Here it is a union of pins and of pages that are only lent,
 * and the release takes the first of them.
 */
import {
  __free,
  alloc_page,
  iov_iter_bvec,
  iov_iter_extract_pages,
  iov_iter_ubuf,
  IS_ERR,
  is_pinned,
  ITER_DEST,
  memcpy_to_page,
  PAGE_SIZE,
  put_page,
  put_user_pages_dirty_lock,
  type IovIter,
} from "user-page";
import { dma_from_device, type Bench } from "./bench.js";

function fuse_direct_read({ current }: Bench, iter: IovIter<"dest">) {
  const got = iov_iter_extract_pages(iter, PAGE_SIZE, 1, current);
  if (IS_ERR(got)) return got;
  // @ts-expect-error perhaps memory of the kernel
  put_user_pages_dirty_lock(got, current);
}
export function wrong(bench: Bench) {
  using cached = __free(put_page, alloc_page(bench.current));
  if (IS_ERR(cached)) return cached;
  const bvec = { page: cached.page, offset: 0, len: PAGE_SIZE };
  return fuse_direct_read(bench, iov_iter_bvec(ITER_DEST, [bvec]));
}

function fuse_read({ current, device }: Bench, iter: IovIter<"dest">) {
  const got = iov_iter_extract_pages(iter, PAGE_SIZE, 1, current);
  if (IS_ERR(got)) return got;
  if (is_pinned(got)) {
    for (const page of got) dma_from_device(device, page);
    put_user_pages_dirty_lock(got, current);
  } else for (const page of got.kernel) memcpy_to_page(page, 0, new Uint8Array(PAGE_SIZE));
}
export function right(bench: Bench) {
  using cached = __free(put_page, alloc_page(bench.current));
  if (IS_ERR(cached)) return cached;
  const bvec = { page: cached.page, offset: 0, len: PAGE_SIZE };
  const error = fuse_read(bench, iov_iter_bvec(ITER_DEST, [bvec]));
  return error ?? fuse_read(bench, iov_iter_ubuf(ITER_DEST, bench.buf, PAGE_SIZE));
}
