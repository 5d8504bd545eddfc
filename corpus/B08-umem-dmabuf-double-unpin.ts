/**
 * drivers/infiniband/core/umem_dmabuf.c unpinned in its error path and then released the umem, whose destructor unpins as
 * well: "RDMA/umem: Fix double dma_buf_unpin in failure path".  A dma_buf pin is modelled by a pinned range in a field.
 * The destructor looks at a flag that the error path did not clear; the field is looked at through another name, which
 * the compiler cannot follow, so debug mode reports it.
 */
import {
  ERR_PTR,
  FOLL_LONGTERM,
  get_user_bvec,
  IS_ERR,
  ITER_SOURCE,
  put_user_bvec,
  type LongtermBvecList,
} from "user-page";
import { dma_bvec_to_device, type Bench } from "./bench.js";

interface Umem {
  attach: LongtermBvecList | null;
  pinned: boolean;
}
function umem_pin({ current, buf }: Bench, umem: Umem) {
  const bvecs = get_user_bvec(current, buf, 8192, ITER_SOURCE, FOLL_LONGTERM);
  if (IS_ERR(bvecs)) return bvecs;
  umem.attach = bvecs;
  umem.pinned = true;
}
function umem_release(umem: Umem) {
  if (umem.pinned && umem.attach) put_user_bvec(umem.attach);
}
export function wrong(bench: Bench) {
  const umem: Umem = { attach: null, pinned: false };
  const error = umem_pin(bench, umem);
  if (error) return error;
  if (bench.fails && umem.attach) put_user_bvec(umem.attach); // err_unpin
  umem_release(umem);
}

/** The only one that releases empties the field. */
function umem_release_once(umem: Umem) {
  const { attach } = umem;
  umem.attach = null;
  if (attach) put_user_bvec(attach);
}
export function right(bench: Bench) {
  const umem: Umem = { attach: null, pinned: false };
  const error = umem_pin(bench, umem);
  if (error) return error;
  if (bench.fails) {
    umem_release_once(umem);
    return ERR_PTR("EIO", "the pages cannot be mapped");
  }
  for (const bvec of umem.attach ?? []) dma_bvec_to_device(bench.device, bvec);
  umem_release_once(umem);
}
