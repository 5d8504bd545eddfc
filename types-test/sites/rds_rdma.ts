/**
 * Mistakes at one call site, RDMA of RDS: each refused where it is made.  The site itself is call-sites/rds_rdma.
 */
import {
  put_page,
  put_user_bvec,
  put_user_bvec_dirty_lock,
  schedule_work,
  type LongtermBvecList,
  type Narrows,
  type Page,
  type ProcessContext,
  type SoftirqContext,
  type SpentBvec,
} from "user-page";

declare class RdsMr {
  sg: LongtermBvecList<"dest"> | null;
}
declare const rds_get_mr: Narrows<
  LongtermBvecList<"dest">,
  { is: SpentBvec<"moved into the region by rds_get_mr()"> },
  [mr: RdsMr]
>;
export function tears_down_with_put_page({ sg }: RdsMr) {
  for (const { page } of sg ?? []) {
    // @ts-expect-error the other file knows what it holds
    put_page(page);
  }
}
export function carries_pins_as_plain_pages({ sg }: RdsMr): Page[] {
  const pages: Page[] = [];
  for (const { page } of sg ?? []) {
    // @ts-expect-error the kind does not get lost on the way
    pages.push(page);
  }
  return pages;
}
export function releases_after_the_region_took_it(sg: LongtermBvecList<"dest">, mr: RdsMr) {
  rds_get_mr(sg, mr);
  // @ts-expect-error moved
  put_user_bvec(sg);
}
export function dirties_in_a_softirq(sg: LongtermBvecList<"dest">, softirq: SoftirqContext) {
  // @ts-expect-error may sleep
  put_user_bvec_dirty_lock(sg, softirq);
}
export function frees_in_a_softirq(sg: LongtermBvecList<"dest">, softirq: SoftirqContext) {
  // @ts-expect-error what dirties asks for a context, so its callers have to
  free_op(sg, softirq);
  schedule_work(softirq, (kworker) => {
    free_op(sg, kworker);
  });
}
declare function free_op(sg: LongtermBvecList<"dest">, current: ProcessContext): void;
