/**
 * rds_rdma_free_op() of net/rds/rdma.c returns with pages pinned when it runs in atomic context, since dirtying sleeps; they
 * stay the operation's until process context finishes it.  What may sleep asks for a context here, and the completion
 * handler can only schedule it.
 */
import {
  all_or_none,
  bio_alloc,
  bio_put,
  bio_set_end_io,
  flush_work,
  IS_ERR,
  ITER_DEST,
  pin_user_pages_fast,
  schedule_work,
  submit_bio,
  unpin_user_pages,
  unpin_user_pages_dirty_lock,
  type AnyContext,
  type UserPage,
} from "user-page";
import { dma_from_device, type Bench } from "./bench.js";

interface RdmaOp {
  pages: ReadonlyArray<UserPage<"dest">>;
  readonly write: boolean;
}
function rds_rdma_free_op(op: RdmaOp, context: AnyContext) {
  const { pages } = op;
  op.pages = [];
  if (op.write) unpin_user_pages(pages);
  else schedule_work(context, (kworker) => unpin_user_pages_dirty_lock(pages, true, kworker));
}
export function right({ machine, current, buf, device, disk, fails }: Bench) {
  const pages = all_or_none(pin_user_pages_fast(current, buf, 4, ITER_DEST));
  if (IS_ERR(pages)) return pages;
  const op: RdmaOp = { pages, write: fails };
  if (!op.write) for (const page of op.pages) dma_from_device(device, page);
  const completion = bio_alloc(disk, 1, "REQ_OP_WRITE");
  bio_set_end_io(completion, (bio, softirq) => {
    rds_rdma_free_op(op, softirq);
    bio_put(bio);
  });
  submit_bio(completion);
  flush_work(machine);
}
