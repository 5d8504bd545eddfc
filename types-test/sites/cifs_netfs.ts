/**
 * Mistakes at one call site, uncached I/O of a network file system: each refused where it is made.  The site itself is
 * call-sites/cifs_netfs.
 */
import {
  iov_iter_bvec,
  iov_iter_extract_bvecs,
  iov_iter_extract_pages,
  IS_ERR,
  is_pinned,
  memcpy_to_bvec,
  put_page,
  put_user_bvec,
  put_user_bvec_dirty_lock,
  schedule_work,
  type IovIter,
  type PinnedBvecList,
  type SoftirqContext,
  type Task,
} from "user-page";

interface Ctx {
  bv: PinnedBvecList | null;
}
export function releases_without_asking(current: Task, iter: IovIter, ctx: Ctx) {
  const got = iov_iter_extract_bvecs(iter, iter.count, current);
  if (IS_ERR(got)) return;
  // @ts-expect-error perhaps the kernel's
  ctx.bv = got;
}
export function transport_puts(current: Task, iter: IovIter<"dest", "kernel">) {
  const got = iov_iter_extract_pages(iter, iter.count, 16, current);
  if (IS_ERR(got)) return;
  for (const page of got.kernel) {
    // @ts-expect-error it was given to go over
    put_page(page);
  }
}
export function asks_and_confuses(current: Task, iter: IovIter) {
  const got = iov_iter_extract_bvecs(iter, iter.count, current);
  if (IS_ERR(got) || is_pinned(got)) return;
  // @ts-expect-error the branch of the kernel's pages
  put_user_bvec(got);
}
export function dirties_what_was_written_from(ctx: Ctx, current: Task) {
  if (!ctx.bv) return;
  // @ts-expect-error the direction is not known here: is_dest() asks
  put_user_bvec_dirty_lock(ctx.bv, current);
}
export function releases_in_the_softirq(bv: PinnedBvecList<"dest">, softirq: SoftirqContext) {
  // @ts-expect-error may sleep
  put_user_bvec_dirty_lock(bv, softirq);
  schedule_work(softirq, (kworker) => void kworker);
}
export function writes_over_a_source(
  bv: PinnedBvecList<"dest">,
  fill: (to: IovIter<"dest">) => void,
) {
  put_user_bvec(bv);
  // @ts-expect-error the iterator goes the other way
  fill(iov_iter_bvec("source", []));
}
export function iterates_over_what_it_released(bv: PinnedBvecList<"dest">) {
  put_user_bvec(bv);
  // @ts-expect-error released
  for (const bvec of bv) memcpy_to_bvec(bvec, new Uint8Array(1));
}
