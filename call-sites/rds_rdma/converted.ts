// RDMA of the RDS protocol, converted: the scatter list is a handle with its kind, and a softirq can only defer.
import {
  copy_to_user,
  FOLL_LONGTERM,
  get_user_bvec,
  IS_ERR,
  ITER_DEST,
  page_to_pfn,
  put_user_bvec_dirty_lock,
  schedule_work,
  type GupError,
  type LongtermBvecList,
  type Narrows,
  type Pfn,
  type ProcessContext,
  type SoftirqContext,
  type SpentBvec,
  type Task,
  type UserAddr,
} from "user-page";

/** What the device is given. */
export interface DmaSegment {
  readonly pfn: Pfn;
  readonly offset: number;
  readonly len: number;
}

/** A registered region: the remote side reads and writes it until it is torn down. */
export class RdsMr {
  sg: LongtermBvecList<"dest"> | null = null;
}
/** Gives the pins to the region.  The caller's handle is spent. */
export const rds_get_mr: Narrows<
  LongtermBvecList<"dest">,
  { is: SpentBvec<"moved into the region by rds_get_mr()"> },
  [mr: RdsMr]
> = (sg, mr) => {
  mr.sg = sg;
};
/** Registers a region and tells the program its cookie. */
export function rds_rdma_map(
  current: Task,
  addr: UserAddr,
  len: number,
  cookie: UserAddr,
): RdsMr | GupError {
  const sg = get_user_bvec(current, addr, len, ITER_DEST, FOLL_LONGTERM);
  if (IS_ERR(sg)) return sg;
  const mr = new RdsMr();
  rds_get_mr(sg, mr);
  const told = copy_to_user(current, cookie, new Uint8Array([1, 0, 0, 0]));
  if (told.isErr()) {
    rds_ib_teardown_mr(mr, current);
    return told.error;
  }
  return mr;
}
/** In another file than the pins. */
export function rds_ib_teardown_mr(mr: RdsMr, current: ProcessContext): void {
  const { sg } = mr;
  if (!sg) return;
  mr.sg = null;
  put_user_bvec_dirty_lock(sg, current);
}

/** One transfer: the remote side writes into these pages, then the operation ends wherever it ends. */
export class RdsRdmaOp {
  sg: LongtermBvecList<"dest"> | null;
  constructor(sg: LongtermBvecList<"dest">) {
    this.sg = sg;
  }
}
export function rds_rdma_op(current: Task, addr: UserAddr, len: number): RdsRdmaOp | GupError {
  const sg = get_user_bvec(current, addr, len, ITER_DEST, FOLL_LONGTERM);
  return IS_ERR(sg) ? sg : new RdsRdmaOp(sg);
}
/** Where it may sleep: dirties and releases. */
export function rds_rdma_free_op(op: RdsRdmaOp, current: ProcessContext): void {
  const { sg } = op;
  if (!sg) return;
  op.sg = null;
  put_user_bvec_dirty_lock(sg, current);
}
/** Where it may not: somebody else does it, and until then the operation keeps its pins. */
export function rds_message_put(op: RdsRdmaOp, softirq: SoftirqContext): void {
  schedule_work(softirq, (kworker) => {
    rds_rdma_free_op(op, kworker);
  });
}
/** The list for the device. */
export function rds_sg({ sg }: RdsMr | RdsRdmaOp): DmaSegment[] {
  const segments: DmaSegment[] = [];
  for (const { page, offset, len } of sg ?? []) {
    segments.push({ pfn: page_to_pfn(page), offset, len });
  }
  return segments;
}
