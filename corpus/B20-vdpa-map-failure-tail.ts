/**
 * vhost_vdpa_process_iotlb_update() of drivers/vhost/vdpa.c pins a batch and maps it by contiguous chunks; when one chunk
 * could not be mapped, the pages behind it were pinned by nobody's account (5.7, reworked in 5.9 and 5.11).  The array of
 * C does not know which of its slots were handed on.  With pages in an array debug mode lists the tail; a list of extents
 * is that chunking, moves each extent out as it is mapped, and keeps the rest to release.
 */
import {
  all_or_none,
  ERR_PTR,
  FOLL_LONGTERM,
  get_user_bvec,
  IS_ERR,
  ITER_DEST,
  pin_user_pages_fast,
  pop_user_bvec,
  put_user_bvec,
  unpin_user_page,
  type LongtermBvec,
  type LongtermUserPage,
} from "user-page";
import { dma_bvec_from_device, type Bench } from "./bench.js";

export function wrong({ current, buf, fails }: Bench) {
  const iotlb: LongtermUserPage[] = [];
  const list = all_or_none(pin_user_pages_fast(current, buf, 8, ITER_DEST, FOLL_LONGTERM));
  if (IS_ERR(list)) return list;
  for (const [i, page] of list.entries()) {
    if (fails && i === 5) break; // vhost_vdpa_map() failed
    iotlb.push(page);
  }
  for (const page of iotlb) unpin_user_page(page); // vhost_vdpa_unmap() undoes what was mapped
}

export function right({ current, buf, device, fails }: Bench) {
  const iotlb: Array<LongtermBvec<"dest">> = [];
  const vhost_vdpa_unmap = (): void => {
    for (let bvec = iotlb.pop(); bvec; bvec = iotlb.pop()) put_user_bvec(bvec);
  };
  using list = get_user_bvec(current, buf, 8 * 4096, ITER_DEST, FOLL_LONGTERM);
  if (IS_ERR(list)) return list;
  while (list.count > 0) {
    if (fails && list.count <= 3 * 4096) {
      vhost_vdpa_unmap();
      return ERR_PTR("ENOMEM", "the iotlb is full");
    }
    const bvec = pop_user_bvec(list);
    if (!bvec) break;
    dma_bvec_from_device(device, bvec);
    iotlb.push(bvec);
  }
  vhost_vdpa_unmap();
}
