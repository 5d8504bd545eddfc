// Direct I/O of fs/nfs with a block layout: the array's references, a request's own one, and bios that hold none.
import {
  bio_add_page,
  bio_alloc,
  bio_error,
  bio_for_each_segment_all,
  BIO_MAX_VECS,
  bio_put,
  bio_set_end_io,
  ERRNO,
  get_page,
  iov_iter_get_pages2,
  iov_iter_is_dest,
  iov_iter_put_pages,
  IS_ERR,
  PAGE_SIZE,
  put_page,
  schedule_work,
  SECTOR_SIZE,
  set_page_dirty_lock,
  submit_bio,
  type BlockDevice,
  type BorrowedPage,
  type IovIter,
  type Op,
  type Page,
  type ProcessContext,
  type SoftirqContext,
  type Task,
} from "user-page";

/** Where part of a file lies. */
export interface Extent {
  readonly bdev: BlockDevice;
  /** first byte in the file, and bytes */
  readonly offset: number;
  readonly length: number;
  /** first byte on the disk */
  readonly addr: number;
}
/** The mistakes. */
export type Hazard = "array kept" | "no reference of its own" | "end_io puts pages";

/** Models struct nfs_page. */
interface NfsPage {
  readonly wb_page: Page;
  readonly wb_pgbase: number;
  readonly wb_bytes: number;
  readonly position: number;
}
/** Everything one call started.  Models struct nfs_direct_req and struct parallel_io. */
interface Dreq {
  readonly op: Op;
  readonly requests: NfsPage[];
  readonly ki_complete: (result: number) => void;
  readonly hazard: Hazard | null;
  /** bios that are out, and the submitter */
  refcnt: number;
  error: number;
}
/** The request keeps the page: with a reference of its own. */
function nfs_page_create(dreq: Dreq, page: BorrowedPage): Page {
  return dreq.hazard === "no reference of its own" ? (page as Page) : get_page(page);
}
/** On completion, of whoever has it then. */
function nfs_clear_request(dreq: Dreq, { wb_page }: NfsPage, current: ProcessContext): void {
  if (dreq.op === "REQ_OP_READ") set_page_dirty_lock(wb_page, current);
  if (dreq.hazard !== "no reference of its own") put_page(wb_page);
}
/** Pages of the iterator become requests; 0 or -errno. */
function nfs_direct_schedule_iovec(dreq: Dreq, iter: IovIter, pos: number, current: Task): number {
  let position = pos;
  while (iter.count > 0) {
    const pagevec = iov_iter_get_pages2(iter, 256 * PAGE_SIZE, 256, current);
    if (IS_ERR(pagevec)) return -ERRNO[pagevec.errno];
    let wb_pgbase = pagevec.offset;
    let left = pagevec.bytes;
    for (const page of pagevec) {
      const wb_bytes = Math.min(PAGE_SIZE - wb_pgbase, left);
      const wb_page = nfs_page_create(dreq, page);
      dreq.requests.push({ wb_page, wb_pgbase, wb_bytes, position });
      position += wb_bytes;
      left -= wb_bytes;
      wb_pgbase = 0;
    }
    // The array's references end here, together.
    if (dreq.hazard !== "array kept") iov_iter_put_pages(pagevec);
  }
  return 0;
}

// --- the layout driver ------------------------------------------------------------------------------------
function put_parallel(dreq: Dreq, softirq: SoftirqContext): void {
  if (--dreq.refcnt > 0) return;
  schedule_work(softirq, (rpciod) => {
    nfs_direct_complete(dreq, rpciod);
  });
}
function nfs_direct_complete(dreq: Dreq, current: ProcessContext): void {
  const { requests } = dreq;
  const bytes = requests.reduce((sum, { wb_bytes }) => sum + wb_bytes, 0);
  for (const request of requests.splice(0)) nfs_clear_request(dreq, request, current);
  dreq.ki_complete(dreq.error || bytes);
}
/** Ends what it began: the bio.  The pages are not its own. */
function bl_submit_bio(dreq: Dreq, bio: ReturnType<typeof bio_alloc>): void {
  dreq.refcnt++;
  bio_set_end_io(bio, (ended, softirq) => {
    if (bio_error(ended)) dreq.error ||= -ERRNO.EIO;
    if (dreq.hazard === "end_io puts pages") {
      for (const { page } of bio_for_each_segment_all(ended)) put_page(page);
    }
    bio_put(ended);
    put_parallel(dreq, softirq);
  });
  submit_bio(bio);
}
/** Bios over the requests' pages, a new one where the file goes on elsewhere. */
function bl_do_pagelist(dreq: Dreq, layout: readonly Extent[]): void {
  let bio: ReturnType<typeof bio_alloc> | null = null;
  let next = { bdev: layout[0]?.bdev, addr: 0 };
  for (const { wb_page, wb_pgbase, wb_bytes, position } of dreq.requests) {
    for (let done = 0; done < wb_bytes;) {
      const at = position + done;
      const be = layout.find(({ offset, length }) => offset <= at && at < offset + length);
      if (!be) {
        dreq.error ||= -ERRNO.EIO;
        break;
      }
      const len = Math.min(wb_bytes - done, be.offset + be.length - at);
      const { bdev, addr } = { bdev: be.bdev, addr: be.addr + at - be.offset };
      if (bio && (next.bdev !== bdev || next.addr !== addr)) {
        bl_submit_bio(dreq, bio);
        bio = null;
      }
      bio ??= bio_alloc(bdev, BIO_MAX_VECS, dreq.op, addr / SECTOR_SIZE);
      if (bio_add_page(bio, wb_page, len, wb_pgbase + done) === 0) next = { bdev, addr: -1 };
      else {
        done += len;
        next = { bdev, addr: addr + len };
      }
    }
  }
  if (bio) bl_submit_bio(dreq, bio);
}
/** Transfers between memory and the file: 0, and ki_complete() is told bytes or -errno; or -errno at once. */
export function nfs_file_direct(
  current: Task,
  layout: readonly Extent[],
  iter: IovIter,
  pos: number,
  ki_complete: (result: number) => void,
  hazard: Hazard | null = null,
): number {
  const op = iov_iter_is_dest(iter) ? "REQ_OP_READ" : "REQ_OP_WRITE";
  const dreq: Dreq = { op, requests: [], ki_complete, hazard, refcnt: 1, error: 0 };
  const error = nfs_direct_schedule_iovec(dreq, iter, pos, current);
  if (error < 0) {
    for (const request of dreq.requests) nfs_clear_request(dreq, request, current);
    return error;
  }
  bl_do_pagelist(dreq, layout);
  if (--dreq.refcnt === 0) nfs_direct_complete(dreq, current);
  return 0;
}
