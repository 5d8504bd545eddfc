// RDMA of the RDS protocol as Linux has it: pins ride in scatter lists, and the last put may come in a softirq.
import {
  copy_to_user,
  ERRNO,
  FOLL_LONGTERM,
  IS_ERR,
  IS_SHORT,
  ITER_DEST,
  page_to_pfn,
  PAGE_SIZE,
  pin_user_pages_fast,
  put_page,
  schedule_work,
  unpin_user_pages,
  unpin_user_pages_dirty_lock,
  type Page,
  type Pfn,
  type ProcessContext,
  type SoftirqContext,
  type Task,
  type UserAddr,
  type UserPage,
} from "user-page";

/** What C has in both cases: nothing in a `struct page *` says how it was acquired. */
type StructPage = UserPage<"dest"> | Page;
interface SgEntry {
  readonly page: StructPage;
  readonly pfn: Pfn;
  readonly offset: number;
  readonly len: number;
}
/** What the device is given. */
export interface DmaSegment {
  readonly pfn: Pfn;
  readonly offset: number;
  readonly len: number;
}

/** Pins a range, all or nothing: the scatter list, or -errno. */
function rds_pin_pages(current: Task, addr: UserAddr, len: number): SgEntry[] | number {
  const nr = Math.ceil(((addr % PAGE_SIZE) + len) / PAGE_SIZE);
  const pinned = pin_user_pages_fast(current, addr, nr, ITER_DEST, FOLL_LONGTERM);
  if (IS_ERR(pinned)) return -ERRNO[pinned.errno];
  if (IS_SHORT(pinned)) {
    unpin_user_pages(pinned.partial);
    return -ERRNO.EFAULT;
  }
  let left = len;
  return pinned.map((page, i) => {
    const offset = i === 0 ? addr % PAGE_SIZE : 0;
    const part = Math.min(PAGE_SIZE - offset, left);
    left -= part;
    return { page, pfn: page_to_pfn(page), offset, len: part };
  });
}
/** The pages of a list that was filled by rds_pin_pages(): whoever calls this has to know. */
const pins_of = (sg: readonly SgEntry[]) => sg.map(({ page }) => page as UserPage<"dest">);

/** A registered region: the remote side reads and writes it until it is torn down. */
export class RdsMr {
  sg: SgEntry[];
  constructor(sg: SgEntry[]) {
    this.sg = sg;
  }
}
/** Registers a region and tells the program its cookie; -errno. */
export function rds_rdma_map(
  current: Task,
  addr: UserAddr,
  len: number,
  cookie: UserAddr,
): RdsMr | number {
  const sg = rds_pin_pages(current, addr, len);
  if (typeof sg === "number") return sg;
  const mr = new RdsMr(sg);
  if (copy_to_user(current, cookie, new Uint8Array([1, 0, 0, 0])).isErr()) {
    // The list is the region's now: only the region releases.
    rds_ib_teardown_mr(mr, current);
    return -ERRNO.EFAULT;
  }
  return mr;
}
/** In another file than the pins. */
export function rds_ib_teardown_mr(mr: RdsMr, current: ProcessContext): void {
  unpin_user_pages_dirty_lock(pins_of(mr.sg.splice(0)), true, current);
}
/** The hazard of Linux 5.7 to 6.12: the acquirer was converted, the release in the other file was not. */
export function rds_ib_teardown_mr_puts(mr: RdsMr): void {
  for (const { page } of mr.sg.splice(0)) put_page(page as Page);
}
/** The hazard of the error path: the caller releases what it gave away, and the region releases it again. */
export function rds_rdma_map_releases_twice(
  current: Task,
  addr: UserAddr,
  len: number,
  cookie: UserAddr,
): RdsMr | number {
  const sg = rds_pin_pages(current, addr, len);
  if (typeof sg === "number") return sg;
  const mr = new RdsMr(sg);
  if (copy_to_user(current, cookie, new Uint8Array([1, 0, 0, 0])).isErr()) {
    unpin_user_pages(pins_of(sg));
    rds_ib_teardown_mr(mr, current);
    return -ERRNO.EFAULT;
  }
  return mr;
}

/** One transfer: the remote side writes into these pages, then the operation ends wherever it ends. */
export class RdsRdmaOp {
  sg: SgEntry[];
  /** As C has it, ambient: whoever runs last is taken for somebody who may sleep. */
  readonly current: ProcessContext;
  unpin_deferred = false;
  constructor(sg: SgEntry[], current: ProcessContext) {
    this.sg = sg;
    this.current = current;
  }
}
export function rds_rdma_op(current: Task, addr: UserAddr, len: number): RdsRdmaOp | number {
  const sg = rds_pin_pages(current, addr, len);
  return typeof sg === "number" ? sg : new RdsRdmaOp(sg, current);
}
/** Where it may sleep: dirties and releases. */
export function rds_rdma_free_op(op: RdsRdmaOp, current: ProcessContext): void {
  unpin_user_pages_dirty_lock(pins_of(op.sg.splice(0)), true, current);
}
/** Where it may not: somebody else does it, and until then the operation keeps its pins. */
export function rds_message_put(op: RdsRdmaOp, softirq: SoftirqContext): void {
  op.unpin_deferred = true;
  schedule_work(softirq, (kworker) => {
    if (op.unpin_deferred) rds_rdma_free_op(op, kworker);
  });
}
/** The hazard that was there first: the last put frees the operation wherever it is. */
export function rds_message_put_at_once(op: RdsRdmaOp): void {
  rds_rdma_free_op(op, op.current);
}
/** The list for the device. */
export const rds_sg = ({ sg }: RdsMr | RdsRdmaOp): DmaSegment[] =>
  sg.map(({ pfn, offset, len }) => ({ pfn, offset, len }));
