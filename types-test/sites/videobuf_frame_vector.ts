/**
 * Mistakes at one call site, frames of videobuf in user memory: each refused where it is made.  The site itself is call-sites/videobuf_frame_vector.
 */
import {
  FOLL_FORCE,
  FOLL_LONGTERM,
  get_user_bvec,
  gup_flags,
  IS_ERR,
  ITER_DEST,
  mmap_read_lock,
  pin_user_pages,
  put_user_bvec,
  put_user_bvec_dirty_lock,
  type LongtermBvecList,
  type LongtermUserPage,
  type Task,
  type UserAddr,
} from "user-page";

export class FrameVector {
  pages: Array<LongtermUserPage<"dest">> = [];
  bvecs: LongtermBvecList<"dest"> | null = null;

  takes_a_short_pin_for_the_frame(current: Task, addr: UserAddr) {
    using lock = mmap_read_lock(current, current.mm);
    const pinned = pin_user_pages(lock, addr, 4, ITER_DEST, FOLL_LONGTERM);
    if (IS_ERR(pinned)) return;
    // @ts-expect-error perhaps short: .partial says so
    this.pages = pinned;
  }
  counts_a_short_pin(current: Task, addr: UserAddr) {
    using lock = mmap_read_lock(current, current.mm);
    const pinned = pin_user_pages(lock, addr, 4, ITER_DEST, FOLL_LONGTERM);
    if (IS_ERR(pinned)) return 0;
    // @ts-expect-error a short pin has no length
    return pinned.length;
  }
  streams_with_a_pin_of_one_call(current: Task, addr: UserAddr) {
    const bvecs = get_user_bvec(current, addr, 8192, ITER_DEST, gup_flags(FOLL_FORCE));
    if (IS_ERR(bvecs)) return;
    // @ts-expect-error FOLL_LONGTERM was forgotten
    this.bvecs = bvecs;
  }
  has_the_phases_in_the_wrong_order(current: Task) {
    const { bvecs } = this;
    if (!bvecs) return;
    put_user_bvec(bvecs);
    // @ts-expect-error
    put_user_bvec_dirty_lock(bvecs, current);
  }
  does_not_look_whether_there_is_a_frame(current: Task) {
    // @ts-expect-error perhaps null: there is no got_ref to forget
    put_user_bvec_dirty_lock(this.bvecs, current);
  }
}
