/**
 * net/rds/rdma.c pins the pages of a memory region since Linux 5.7, net/rds/ib_rdma.c tears it down in another file with
 * put_page(): "net/rds: unpin MR pages with unpin_user_pages_dirty_lock()".  The pages cross in a scatterlist, whose
 * struct page * says nothing of how it was acquired.  Here the type of the list's element does.
 */
import {
  all_or_none,
  FOLL_LONGTERM,
  IS_ERR,
  ITER_DEST,
  pin_user_pages_fast,
  put_page,
  unpin_user_pages_dirty_lock,
  type LongtermUserPage,
  type ProcessContext,
} from "user-page";
import { dma_from_device, type Bench } from "./bench.js";

interface RdsMr {
  sg: Array<LongtermUserPage<"dest">>;
}
function rds_pin_pages({ current, buf }: Bench, mr: RdsMr) {
  const pages = all_or_none(pin_user_pages_fast(current, buf, 4, ITER_DEST, FOLL_LONGTERM));
  if (IS_ERR(pages)) return pages;
  mr.sg = pages;
}
function ib_teardown_mr(mr: RdsMr) {
  for (const page of mr.sg) {
    // @ts-expect-error the scatterlist holds pins
    put_page(page);
  }
}
export function wrong(bench: Bench) {
  const mr: RdsMr = { sg: [] };
  const error = rds_pin_pages(bench, mr);
  if (error) return error;
  ib_teardown_mr(mr);
}

function ib_unpin_mr(mr: RdsMr, current: ProcessContext) {
  const pages = mr.sg;
  mr.sg = [];
  unpin_user_pages_dirty_lock(pages, true, current);
}
export function right(bench: Bench) {
  const mr: RdsMr = { sg: [] };
  const error = rds_pin_pages(bench, mr);
  if (error) return error;
  for (const page of mr.sg) dma_from_device(bench.device, page);
  ib_unpin_mr(mr, bench.current);
}
