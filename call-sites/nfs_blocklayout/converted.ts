// Direct I/O of fs/nfs with a block layout, converted: a pin moves from the array to the request; bios borrow, and release nothing.
import {
  bio_add_page,
  bio_alloc,
  bio_error,
  BIO_MAX_VECS,
  bio_put,
  bio_set_end_io,
  ERR_PTR,
  folio_page,
  iov_iter_extract_pages,
  iov_iter_is_dest,
  iov_iter_rw,
  IS_ERR,
  page_folio,
  page_to_pfn,
  pages_are_dest,
  PAGE_SIZE,
  put_user_pages,
  put_user_pages_dirty_lock,
  schedule_work,
  SECTOR_SIZE,
  submit_bio,
  type BlkError,
  type BlockDevice,
  type BorrowedPage,
  type BorrowedUserPage,
  type Dir,
  type GupError,
  type IovIter,
  type Op,
  type PlainBio,
  type ProcessContext,
  type SoftirqContext,
  type Task,
  type UserPage,
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
/** Models struct nfs_page. */
interface NfsPage {
  readonly wb_page: UserPage;
  readonly wb_pgbase: number;
  readonly wb_bytes: number;
  readonly position: number;
}
type Failure = GupError | BlkError;
/** Everything one call started.  Models struct nfs_direct_req and struct parallel_io. */
interface Dreq {
  readonly op: Op;
  readonly dir: Dir;
  readonly requests: NfsPage[];
  readonly ki_complete: (result: number | Failure) => void;
  /** bios that are out, and the submitter */
  refcnt: number;
  error: Failure | null;
}
/** On completion, of whoever has them then. */
function nfs_clear_requests(dreq: Dreq, current: ProcessContext): void {
  const pages = dreq.requests.splice(0).map(({ wb_page }) => wb_page);
  if (pages_are_dest(pages, dreq.dir)) put_user_pages_dirty_lock(pages, current);
  else put_user_pages(pages);
}
/** Pages of the iterator become requests, which hold their pins. */
function nfs_direct_schedule_iovec(
  dreq: Dreq,
  iter: IovIter<Dir, "user">,
  pos: number,
  current: Task,
): GupError | null {
  let position = pos;
  while (iter.count > 0) {
    using pagevec = iov_iter_extract_pages(iter, 256 * PAGE_SIZE, 256, current);
    if (IS_ERR(pagevec)) return pagevec;
    let wb_pgbase = pagevec.offset;
    let left = pagevec.bytes;
    for (let page = pagevec.shift(); page; page = pagevec.shift()) {
      const wb_bytes = Math.min(PAGE_SIZE - wb_pgbase, left);
      dreq.requests.push({ wb_page: page, wb_pgbase, wb_bytes, position });
      position += wb_bytes;
      left -= wb_bytes;
      wb_pgbase = 0;
    }
  }
  return null;
}

// --- the layout driver ------------------------------------------------------------------------------------
function put_parallel(dreq: Dreq, softirq: SoftirqContext): void {
  if (--dreq.refcnt > 0) return;
  schedule_work(softirq, (rpciod) => {
    nfs_direct_complete(dreq, rpciod);
  });
}
function nfs_direct_complete(dreq: Dreq, current: ProcessContext): void {
  const bytes = dreq.requests.reduce((sum, { wb_bytes }) => sum + wb_bytes, 0);
  nfs_clear_requests(dreq, current);
  dreq.ki_complete(dreq.error ?? bytes);
}
/** Ends what it began: the bio.  It has nothing else to end. */
function bl_submit_bio(dreq: Dreq, bio: PlainBio): void {
  dreq.refcnt++;
  bio_set_end_io(bio, (ended, softirq) => {
    dreq.error ??= bio_error(ended);
    bio_put(ended);
    put_parallel(dreq, softirq);
  });
  submit_bio(bio);
}
/** The page as the block layer sees it, which does not care how it is held. */
function borrow(page: BorrowedUserPage): BorrowedPage {
  const folio = page_folio(page);
  return folio_page(folio, page_to_pfn(page) - page_to_pfn(folio_page(folio, 0)));
}
/** Bios over the requests' pages, a new one where the file goes on elsewhere. */
function bl_do_pagelist(dreq: Dreq, layout: readonly Extent[]): void {
  let bio: PlainBio | null = null;
  let next = { bdev: layout[0]?.bdev, addr: 0 };
  for (const { wb_page, wb_pgbase, wb_bytes, position } of dreq.requests) {
    for (let done = 0; done < wb_bytes;) {
      const at = position + done;
      const be = layout.find(({ offset, length }) => offset <= at && at < offset + length);
      if (!be) {
        dreq.error ??= ERR_PTR("EIO", `the layout does not cover byte ${at}`);
        break;
      }
      const len = Math.min(wb_bytes - done, be.offset + be.length - at);
      const { bdev, addr } = { bdev: be.bdev, addr: be.addr + at - be.offset };
      if (bio && (next.bdev !== bdev || next.addr !== addr)) {
        bl_submit_bio(dreq, bio);
        bio = null;
      }
      bio ??= bio_alloc(bdev, BIO_MAX_VECS, dreq.op, addr / SECTOR_SIZE);
      if (bio_add_page(bio, borrow(wb_page), len, wb_pgbase + done) === 0)
        next = { bdev, addr: -1 };
      else {
        done += len;
        next = { bdev, addr: addr + len };
      }
    }
  }
  if (bio) bl_submit_bio(dreq, bio);
}
/** Transfers between memory and the file: null, and ki_complete() is told bytes or an error; or the error at once. */
export function nfs_file_direct(
  current: Task,
  layout: readonly Extent[],
  iter: IovIter<Dir, "user">,
  pos: number,
  ki_complete: (result: number | Failure) => void,
): GupError | null {
  const op = iov_iter_is_dest(iter) ? "REQ_OP_READ" : "REQ_OP_WRITE";
  const dir = iov_iter_rw(iter);
  const dreq: Dreq = { op, dir, requests: [], ki_complete, refcnt: 1, error: null };
  const error = nfs_direct_schedule_iovec(dreq, iter, pos, current);
  if (error) {
    nfs_clear_requests(dreq, current);
    return error;
  }
  bl_do_pagelist(dreq, layout);
  if (--dreq.refcnt === 0) nfs_direct_complete(dreq, current);
  return null;
}
