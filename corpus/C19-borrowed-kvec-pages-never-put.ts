/**
 * p9_get_mapped_pages() of net/9p/trans_virtio.c gives pages that have to be put and pages of kernel memory that must not, in
 * one array with a flag.  Here they are a union: what is pinned is released, what is lent is used.
 */
import {
  iov_iter_extract_pages,
  iov_iter_kvec,
  iov_iter_ubuf,
  IS_ERR,
  is_pinned,
  ITER_SOURCE,
  PAGE_SIZE,
  put_user_pages,
  vfree,
  vmalloc,
  type IovIter,
} from "user-page";
import { Device, dma_to_device, type Bench } from "./bench.js";

function zc_request({ current }: Bench, device: Device, iter: IovIter<"source">) {
  const got = iov_iter_extract_pages(iter, iter.count, 16, current);
  if (IS_ERR(got)) return got;
  for (const page of is_pinned(got) ? got : got.kernel) dma_to_device(device, page);
  if (is_pinned(got)) put_user_pages(got);
}
export function right(bench: Bench) {
  const area = vmalloc(bench.current, 2 * PAGE_SIZE);
  if (IS_ERR(area)) return area;
  const kvec = { iov_base: area, iov_offset: 0, iov_len: 2 * PAGE_SIZE };
  const elsewhere = new Device();
  const error = zc_request(bench, elsewhere, iov_iter_kvec(ITER_SOURCE, [kvec]));
  vfree(area);
  if (error) return error;
  return zc_request(bench, bench.device, iov_iter_ubuf(ITER_SOURCE, bench.buf, 4 * PAGE_SIZE));
}
