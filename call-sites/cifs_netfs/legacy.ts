// Uncached I/O of fs/smb/client as it was in Linux 6.1: references are collected in one place, an iterator over them goes down, the last user releases.
import {
  dup_iter,
  ERRNO,
  iov_iter_advance,
  iov_iter_bvec,
  iov_iter_get_pages2,
  iov_iter_is_dest,
  iov_iter_truncate,
  IS_ERR,
  PAGE_SIZE,
  pop_iter_page,
  put_page,
  schedule_work,
  set_page_dirty_lock,
  type BorrowedPage,
  type IovIter,
  type Page,
  type ProcessContext,
  type SoftirqContext,
  type Task,
} from "user-page";

/** What a server is asked; its transport goes over the iterator, then tells the result in a softirq. */
export interface SmbRequest {
  readonly offset: number;
  readonly iter: IovIter;
  readonly done: (result: number, softirq: SoftirqContext) => void;
}
export interface Server {
  /** bytes of one request */
  readonly rsize: number;
  submit(request: SmbRequest): void;
}
/** Models struct bio_vec, where the reference travels in the table. */
interface BioVec {
  readonly page: Page;
  readonly offset: number;
  readonly len: number;
}
/** The mistakes. */
export type Hazard = "released in softirq" | "error exit forgotten" | "transport puts";

/** Everything one call started; whoever puts it last releases. */
class CifsAioCtx {
  refcount = 1;
  readonly bv: BioVec[] = [];
  iter: IovIter | null = null;
  should_dirty = false;
  total_len = 0;
  rc = 0;
  readonly current: Task;
  readonly ki_complete: (result: number) => void;
  readonly hazard: Hazard | null;
  constructor(current: Task, ki_complete: (result: number) => void, hazard: Hazard | null) {
    this.current = current;
    this.ki_complete = ki_complete;
    this.hazard = hazard;
  }
}
/** References on all pages, of user memory or of the kernel's; 0 or -errno. */
function setup_aio_ctx_iter(ctx: CifsAioCtx, iter: IovIter): number {
  ctx.should_dirty = iov_iter_is_dest(iter);
  while (iter.count > 0) {
    const pages = iov_iter_get_pages2(iter, iter.count, 64, ctx.current);
    if (IS_ERR(pages)) return -ERRNO[pages.errno];
    let { offset } = pages;
    let left = pages.bytes;
    for (let page = pop_iter_page(pages); page; page = pop_iter_page(pages)) {
      const len = Math.min(PAGE_SIZE - offset, left);
      ctx.bv.push({ page, offset, len });
      left -= len;
      offset = 0;
    }
  }
  ctx.iter = iov_iter_bvec(ctx.should_dirty ? "dest" : "source", ctx.bv);
  return 0;
}
/** The last reference: dirties what a read wrote, without the folio's lock in C, and puts every page. */
function cifs_aio_ctx_release(ctx: CifsAioCtx, current: ProcessContext): void {
  for (const { page } of ctx.bv.splice(0)) {
    if (ctx.should_dirty) set_page_dirty_lock(page, current);
    put_page(page);
  }
}
function kref_put(ctx: CifsAioCtx, current: ProcessContext): void {
  if (--ctx.refcount > 0) return;
  cifs_aio_ctx_release(ctx, current);
  ctx.ki_complete(ctx.rc || ctx.total_len);
}
/** One request ended. */
function cifs_uncached_complete(ctx: CifsAioCtx, result: number, softirq: SoftirqContext): void {
  if (result < 0) ctx.rc ||= result;
  else ctx.total_len += result;
  if (ctx.hazard === "released in softirq") {
    kref_put(ctx, ctx.current); // ambient, as in C
    return;
  }
  schedule_work(softirq, (kworker) => {
    kref_put(ctx, kworker);
  });
}
function cifs_send_async(ctx: CifsAioCtx, server: Server, pos: number): void {
  const { iter } = ctx;
  if (!iter) return;
  const len = iter.count;
  for (let done = 0; done < len; done += server.rsize) {
    const part = dup_iter(iter);
    iov_iter_advance(part, done);
    iov_iter_truncate(part, server.rsize);
    ctx.refcount++;
    server.submit({
      offset: pos + done,
      iter: part,
      done: (result, softirq) => {
        if (ctx.hazard === "transport puts") ctx.bv.forEach(({ page }) => put(page));
        cifs_uncached_complete(ctx, result, softirq);
      },
    });
  }
}
/** The layer below sees pages, and takes them for its own. */
const put = (page: BorrowedPage): void => put_page(page as Page);
/** Reads or writes as the iterator says: 0, and ki_complete() is told bytes or -errno; or -errno at once. */
export function cifs_uncached_rw(
  current: Task,
  server: Server,
  iter: IovIter,
  pos: number,
  ki_complete: (result: number) => void,
  hazard: Hazard | null = null,
): number {
  const ctx = new CifsAioCtx(current, ki_complete, hazard);
  const rc = setup_aio_ctx_iter(ctx, iter);
  if (rc < 0) {
    if (hazard !== "error exit forgotten") cifs_aio_ctx_release(ctx, current);
    return rc;
  }
  cifs_send_async(ctx, server, pos);
  kref_put(ctx, current);
  return 0;
}
