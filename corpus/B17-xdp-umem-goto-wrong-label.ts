/**
 * xdp_umem_reg() of net/xdp/xdp_umem.c of 4.19 went to the label below the unpinning one when a later allocation failed:
 * "xdp: unpin xdp umem pages in error path".  The labels of C have to be kept in the order of the acquisitions by hand.
 * Debug mode lists the pins at shutdown; `using` releases on every way out and needs no labels.
 */
import {
  all_or_none,
  ERR_PTR,
  FOLL_LONGTERM,
  IS_ERR,
  ITER_DEST,
  pin_user_pages_fast,
  type LongtermUserPage,
} from "user-page";
import { dma_from_device, type Bench } from "./bench.js";

interface XdpUmem {
  pgs: ReadonlyArray<LongtermUserPage<"dest">> | null;
}
/** Fills and uses what the umem needs beside its pages. */
const kcalloc = (fails: boolean): object | null => (fails ? null : {});

export function wrong({ current, buf, fails }: Bench) {
  const umem: XdpUmem = { pgs: null };
  const pgs = all_or_none(pin_user_pages_fast(current, buf, 4, ITER_DEST, FOLL_LONGTERM));
  if (IS_ERR(pgs)) return pgs;
  umem.pgs = pgs;
  if (!kcalloc(fails)) {
    umem.pgs = null; // out_account
    return ERR_PTR("ENOMEM", "no array of addresses");
  }
}

export function right({ current, buf, device, fails }: Bench) {
  using pgs = all_or_none(pin_user_pages_fast(current, buf, 4, ITER_DEST, FOLL_LONGTERM));
  if (IS_ERR(pgs)) return pgs;
  if (!kcalloc(fails)) return ERR_PTR("ENOMEM", "no array of addresses");
  const umem: XdpUmem = { pgs };
  for (const page of umem.pgs ?? []) dma_from_device(device, page);
}
