/**
 * Mistakes at one call site, packet memory of AF_XDP: each refused where it is made.  The site itself is call-sites/xdp_umem.
 */
import {
  FOLL_LONGTERM,
  FOLL_WRITE,
  get_user_bvec,
  get_user_pages,
  gup_flags,
  IS_ERR,
  ITER_DEST,
  ITER_SOURCE,
  put_user_bvec,
  put_user_bvec_dirty_lock,
  type LongtermBvecList,
  type LongtermUserPage,
  type MmapLock,
  type Page,
  type SoftirqContext,
  type Task,
  type UserAddr,
} from "user-page";

export class XdpUmem {
  pgs: Array<LongtermUserPage<"dest">> = [];
  bvecs: LongtermBvecList<"dest"> | null = null;

  asks_for_a_plain_reference_that_lasts(lock: MmapLock, addr: UserAddr, pages: Page[]) {
    const flags = gup_flags(FOLL_WRITE, FOLL_LONGTERM);
    // @ts-expect-error only a pin is long-term
    return get_user_pages(lock, addr, 4, flags, pages);
  }
  fills_the_field_with_plain_references(lock: MmapLock, addr: UserAddr) {
    // @ts-expect-error as in 4.19
    return get_user_pages(lock, addr, 4, FOLL_WRITE, this.pgs);
  }
  lets_the_card_write_what_was_pinned_to_be_read(current: Task, addr: UserAddr) {
    const bvecs = get_user_bvec(current, addr, 4096, ITER_SOURCE, FOLL_LONGTERM);
    if (IS_ERR(bvecs)) return;
    // @ts-expect-error
    this.bvecs = bvecs;
  }
  registers_after_the_error_path(current: Task, addr: UserAddr, addrs: boolean) {
    const bvecs = get_user_bvec(current, addr, 4096, ITER_DEST, FOLL_LONGTERM);
    if (IS_ERR(bvecs)) return;
    if (!addrs) put_user_bvec(bvecs);
    // @ts-expect-error perhaps released
    this.bvecs = bvecs;
  }
  unpins_in_the_softirq_of_the_last_put(softirq: SoftirqContext) {
    if (!this.bvecs) return;
    // @ts-expect-error may sleep
    put_user_bvec_dirty_lock(this.bvecs, softirq);
  }
}
