/**
 * vhost_vdpa_process_iotlb_update() of drivers/vhost/vdpa.c, repaired in 5.11, releases the middle of an array: the front
 * went into the iotlb and is undone by the unmap, the tail is what is left.  splice() takes the handles out, so that each
 * is in one array.
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

type Chunk = Array<LongtermUserPage<"dest">>;
export function right({ current, buf, device, fails }: Bench) {
  const iotlb: Chunk[] = [];
  const vhost_vdpa_unmap = (): void => {
    for (let chunk = iotlb.pop(); chunk; chunk = iotlb.pop()) unpin_user_pages(chunk);
  };
  const list = all_or_none(pin_user_pages_fast(current, buf, 8, ITER_DEST, FOLL_LONGTERM));
  if (IS_ERR(list)) return list;
  while (list.length > 0) {
    if (fails && list.length === 5) {
      unpin_user_pages(list.splice(0)); // [i, pinned)
      vhost_vdpa_unmap(); // [0, i)
      return ERR_PTR("ENOMEM", "the iotlb is full");
    }
    const chunk = list.splice(0, 3);
    for (const page of chunk) dma_from_device(device, page);
    iotlb.push(chunk);
  }
  vhost_vdpa_unmap();
}
