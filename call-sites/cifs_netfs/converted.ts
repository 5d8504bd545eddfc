// Uncached I/O of fs/smb/client over netfs, converted: what was extracted says whether it is pinned, and goes down as an iterator that owns nothing.
import {
  dup_iter,
  iov_iter_advance,
  iov_iter_bvec,
  iov_iter_extract_bvecs,
  iov_iter_is_dest,
  iov_iter_is_source,
  iov_iter_truncate,
  is_dest,
  IS_ERR,
  is_pinned,
  ITER_DEST,
  ITER_SOURCE,
  put_user_bvec,
  put_user_bvec_dirty_lock,
  schedule_work,
  type Dir,
  type Errno,
  type GupError,
  type IovIter,
  type PinnedBvecList,
  type ProcessContext,
  type SoftirqContext,
  type Task,
} from "user-page";

type Failure = GupError | Errno<"EIO">;
/** What a server is asked; its transport goes over the iterator, then tells the result in a softirq. */
export interface SmbRequest {
  readonly offset: number;
  readonly iter: IovIter<Dir, "kernel">;
  readonly done: (result: number | Errno<"EIO">, softirq: SoftirqContext) => void;
}
export interface Server {
  /** bytes of one request */
  readonly rsize: number;
  submit(request: SmbRequest): void;
}

/** Everything one call started; whoever puts it last releases. */
class CifsAioCtx {
  refcount = 1;
  /** null: the memory is the kernel's, and somebody else keeps it */
  bv: PinnedBvecList | null = null;
  total_len = 0;
  rc: Failure | null = null;
  readonly ki_complete: (result: number | Failure) => void;
  constructor(ki_complete: (result: number | Failure) => void) {
    this.ki_complete = ki_complete;
  }
}
/** Pins of user memory, nothing of the kernel's; an iterator over either, which owns nothing. */
function setup_aio_ctx_iter(
  ctx: CifsAioCtx,
  iter: IovIter,
  current: Task,
): IovIter<Dir, "kernel"> | GupError {
  if (iov_iter_is_dest(iter)) {
    const got = iov_iter_extract_bvecs(iter, iter.count, current);
    if (IS_ERR(got)) return got;
    if (!is_pinned(got)) return iov_iter_bvec(ITER_DEST, got.kernel);
    ctx.bv = got;
    return iov_iter_bvec(ITER_DEST, Array.from(got));
  }
  if (!iov_iter_is_source(iter)) return iov_iter_bvec(ITER_SOURCE, []);
  const got = iov_iter_extract_bvecs(iter, iter.count, current);
  if (IS_ERR(got)) return got;
  if (!is_pinned(got)) return iov_iter_bvec(ITER_SOURCE, got.kernel);
  ctx.bv = got;
  return iov_iter_bvec(ITER_SOURCE, Array.from(got));
}
/** The last reference: dirties what a read wrote, and unpins. */
function cifs_aio_ctx_release(ctx: CifsAioCtx, current: ProcessContext): void {
  const { bv } = ctx;
  ctx.bv = null;
  if (!bv) return;
  if (is_dest(bv)) put_user_bvec_dirty_lock(bv, current);
  else put_user_bvec(bv);
}
function kref_put(ctx: CifsAioCtx, current: ProcessContext): void {
  if (--ctx.refcount > 0) return;
  cifs_aio_ctx_release(ctx, current);
  ctx.ki_complete(ctx.rc ?? ctx.total_len);
}
/** One request ended. */
function cifs_uncached_complete(
  ctx: CifsAioCtx,
  result: number | Errno<"EIO">,
  softirq: SoftirqContext,
): void {
  if (IS_ERR(result)) ctx.rc ??= result;
  else ctx.total_len += result;
  schedule_work(softirq, (kworker) => {
    kref_put(ctx, kworker);
  });
}
function cifs_send_async(
  ctx: CifsAioCtx,
  server: Server,
  iter: IovIter<Dir, "kernel">,
  pos: number,
): void {
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
        cifs_uncached_complete(ctx, result, softirq);
      },
    });
  }
}
/** Reads or writes as the iterator says: null, and ki_complete() is told bytes or an error; or the error at once. */
export function cifs_uncached_rw(
  current: Task,
  server: Server,
  iter: IovIter,
  pos: number,
  ki_complete: (result: number | Failure) => void,
): GupError | null {
  const ctx = new CifsAioCtx(ki_complete);
  const over = setup_aio_ctx_iter(ctx, iter, current);
  if (IS_ERR(over)) return over;
  cifs_send_async(ctx, server, over, pos);
  kref_put(ctx, current);
  return null;
}
