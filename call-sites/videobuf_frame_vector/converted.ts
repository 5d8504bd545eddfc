// A frame in user memory, converted: the struct holds the whole frame or nothing, and the release is one call.
import {
  FOLL_FORCE,
  FOLL_LONGTERM,
  get_user_bvec,
  gup_flags,
  is_dest,
  IS_ERR,
  ITER_DEST,
  ITER_SOURCE,
  page_to_pfn,
  put_user_bvec,
  put_user_bvec_dirty_lock,
  type GupError,
  type LongtermBvecList,
  type Pfn,
  type ProcessContext,
  type Task,
  type UserAddr,
} from "user-page";

/** What the camera or the display is given. */
export interface DmaSegment {
  readonly pfn: Pfn;
  readonly offset: number;
  readonly len: number;
}
export class FrameVector {
  readonly #from_device: boolean;
  #bvecs: LongtermBvecList | null = null;

  /** @param from_device - whether a camera writes the frame; else a display reads it */
  constructor(from_device: boolean) {
    this.#from_device = from_device;
  }
  /** Takes the pages of a frame.  After an error there is nothing to free. */
  init_user(current: Task, addr: UserAddr, size: number): GupError | null {
    const dir = this.#from_device ? ITER_DEST : ITER_SOURCE;
    const flags = gup_flags(FOLL_FORCE, FOLL_LONGTERM);
    const bvecs = get_user_bvec(current, addr, size, dir, flags);
    if (IS_ERR(bvecs)) return bvecs;
    this.free(current);
    this.#bvecs = bvecs;
    return null;
  }
  get sg(): DmaSegment[] {
    const segments: DmaSegment[] = [];
    for (const { page, offset, len } of this.#bvecs ?? []) {
      segments.push({ pfn: page_to_pfn(page), offset, len });
    }
    return segments;
  }
  /** Dirties what the device wrote and releases it: one call, one order.  A second call does nothing. */
  free(current: ProcessContext): void {
    const bvecs = this.#bvecs;
    if (!bvecs) return;
    this.#bvecs = null;
    if (is_dest(bvecs)) put_user_bvec_dirty_lock(bvecs, current);
    else put_user_bvec(bvecs);
  }
}
