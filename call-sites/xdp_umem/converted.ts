// Packet memory of AF_XDP, converted: a long-term list of extents in a field, one reference for each.
import {
  ERR_PTR,
  FOLL_LONGTERM,
  get_user_bvec,
  IS_ERR,
  ITER_DEST,
  page_to_pfn,
  put_user_bvec,
  put_user_bvec_dirty_lock,
  schedule_work,
  type GupError,
  type LongtermBvecList,
  type ProcessContext,
  type SoftirqContext,
  type Task,
  type UserAddr,
} from "user-page";

/** What the network card is given. */
export interface DmaSegment {
  readonly pfn: number;
  readonly offset: number;
  readonly len: number;
}
export class XdpUmem {
  #bvecs: LongtermBvecList<"dest"> | null;
  readonly #addrs: readonly DmaSegment[];
  #users = 1;

  constructor(bvecs: LongtermBvecList<"dest">, addrs: readonly DmaSegment[]) {
    this.#bvecs = bvecs;
    this.#addrs = addrs;
  }
  /**
   * Registers packet memory.
   *
   * @param addr - a multiple of PAGE_SIZE, as is size
   * @param kcalloc - whether the kernel has memory for the table of addresses
   */
  static reg(
    current: Task,
    addr: UserAddr,
    size: number,
    kcalloc: () => boolean = () => true,
  ): XdpUmem | GupError {
    const bvecs = get_user_bvec(current, addr, size, ITER_DEST, FOLL_LONGTERM);
    if (IS_ERR(bvecs)) return bvecs;
    if (!kcalloc()) {
      put_user_bvec(bvecs);
      return ERR_PTR("ENOMEM", "no memory for the table of addresses");
    }
    const addrs: DmaSegment[] = [];
    for (const { page, offset, len } of bvecs) addrs.push({ pfn: page_to_pfn(page), offset, len });
    return new XdpUmem(bvecs, addrs);
  }
  /** All are dirty: the card may have written any of them. */
  #unpin_pages(current: ProcessContext): void {
    const bvecs = this.#bvecs;
    if (!bvecs) return;
    this.#bvecs = null;
    put_user_bvec_dirty_lock(bvecs, current);
  }
  get sg(): readonly DmaSegment[] {
    return this.#addrs;
  }
  /** Another socket shares the memory. */
  get(): void {
    this.#users++;
  }
  /** The last socket goes; in a softirq somebody else unpins. */
  put(softirq: SoftirqContext): void {
    if (--this.#users > 0) return;
    schedule_work(softirq, (kworker) => {
      this.#unpin_pages(kworker);
    });
  }
}
