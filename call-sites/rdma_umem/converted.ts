// Memory of an RDMA region, converted: the extents are the scatter list, and one handle in a field owns them.
import {
  FOLL_LONGTERM,
  get_user_bvec,
  is_dest,
  IS_ERR,
  ITER_DEST,
  ITER_SOURCE,
  ERR_PTR,
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

/** What the device is given. */
export interface DmaSegment {
  readonly pfn: Pfn;
  readonly offset: number;
  readonly len: number;
}

export class IbUmem {
  #bvecs: LongtermBvecList | null;

  constructor(bvecs: LongtermBvecList) {
    this.#bvecs = bvecs;
  }

  /**
   * Pins a range and maps it for the device.
   *
   * @param writable - whether the device may write into it
   * @param max_entries - scatter list entries the device can take
   */
  static get(
    current: Task,
    addr: UserAddr,
    size: number,
    writable: boolean,
    max_entries = Infinity,
  ): IbUmem | GupError {
    const dir = writable ? ITER_DEST : ITER_SOURCE;
    const bvecs = get_user_bvec(current, addr, size, dir, FOLL_LONGTERM);
    if (IS_ERR(bvecs)) return bvecs;
    if (bvecs.nr_segs <= max_entries) return new IbUmem(bvecs);
    const error = ERR_PTR("ENOMEM", `${bvecs.nr_segs} extents, the device takes ${max_entries}`);
    put_user_bvec(bvecs);
    return error;
  }
  get sg(): readonly DmaSegment[] {
    const segments: DmaSegment[] = [];
    for (const { page, offset, len } of this.#bvecs ?? []) {
      segments.push({ pfn: page_to_pfn(page), offset, len });
    }
    return segments;
  }
  /** Only a region that was pinned to be written is dirtied; a second call does nothing. */
  release(current: ProcessContext): void {
    const bvecs = this.#bvecs;
    if (!bvecs) return;
    this.#bvecs = null;
    if (is_dest(bvecs)) put_user_bvec_dirty_lock(bvecs, current);
    else put_user_bvec(bvecs);
  }
}
