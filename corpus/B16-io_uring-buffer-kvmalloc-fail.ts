/**
 * io_sqe_buffer_register() of io_uring/rsrc.c left by a label that does not unpin when kvmalloc() failed: "io_uring: fix
 * potential page leak in io_sqe_buffer_register()".  A forgotten release is no statement that a compiler could refuse:
 * debug mode lists the pins at shutdown.  In the right version everything that may fail comes first, and the pins go into
 * the registration in the same step that takes them.
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

interface MappedUbuf {
  pages: Array<LongtermUserPage<"dest">>;
}
const kvmalloc = (fails: boolean): MappedUbuf | null => (fails ? null : { pages: [] });

export function wrong({ current, buf, fails }: Bench) {
  const pages = all_or_none(pin_user_pages_fast(current, buf, 4, ITER_DEST, FOLL_LONGTERM));
  if (IS_ERR(pages)) return pages;
  const imu = kvmalloc(fails);
  if (!imu) return ERR_PTR("ENOMEM", "no imu");
  imu.pages = pages;
  unpin_user_pages(imu.pages);
}

export function right({ current, buf, device, fails }: Bench) {
  const imu = kvmalloc(fails);
  if (!imu) return ERR_PTR("ENOMEM", "no imu");
  const pages = all_or_none(pin_user_pages_fast(current, buf, 4, ITER_DEST, FOLL_LONGTERM));
  if (IS_ERR(pages)) return pages;
  imu.pages = pages;
  for (const page of imu.pages) dma_from_device(device, page);
  unpin_user_pages(imu.pages);
}
