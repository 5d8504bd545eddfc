// Packet memory of AF_XDP as Linux 5.7 and later pin it: page by page, once, under the mmap_lock.
import {
  ERRNO,
  FOLL_LONGTERM,
  FOLL_WRITE,
  get_user_pages,
  IS_ERR,
  IS_SHORT,
  ITER_DEST,
  mmap_read_lock,
  mmap_read_unlock,
  page_to_pfn,
  PAGE_SIZE,
  pin_user_pages,
  put_page,
  schedule_work,
  set_page_dirty_lock,
  unpin_user_pages,
  unpin_user_pages_dirty_lock,
  type LongtermUserPage,
  type Page,
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
  #pgs: Array<LongtermUserPage<"dest">> = [];
  #addrs: number[] = [];
  #users = 1;

  /**
   * Registers packet memory.
   *
   * @param addr - a multiple of PAGE_SIZE, as is size
   * @param kcalloc - whether the kernel has memory for the table of addresses
   * @returns the memory, or -errno
   */
  static reg(
    current: Task,
    addr: UserAddr,
    size: number,
    kcalloc: () => boolean = () => true,
  ): XdpUmem | number {
    const umem = new XdpUmem();
    const error = umem.#pin_pages(current, addr, size / PAGE_SIZE);
    if (error < 0) return error;
    if (!umem.#addr_map(kcalloc)) {
      umem.#unpin_pages(current);
      return -ERRNO.ENOMEM;
    }
    return umem;
  }
  #pin_pages(current: Task, addr: UserAddr, npgs: number): number {
    const lock = mmap_read_lock(current, current.mm);
    const pinned = pin_user_pages(lock, addr, npgs, ITER_DEST, FOLL_LONGTERM);
    mmap_read_unlock(lock);
    if (IS_ERR(pinned)) return -ERRNO[pinned.errno];
    if (IS_SHORT(pinned)) {
      unpin_user_pages(pinned.partial);
      return -ERRNO.ENOMEM;
    }
    this.#pgs = pinned;
    return 0;
  }
  #addr_map(kcalloc: () => boolean): boolean {
    if (!kcalloc()) return false;
    this.#addrs = this.#pgs.map(page_to_pfn);
    return true;
  }
  /** All are dirty: the card may have written any of them. */
  #unpin_pages(current: ProcessContext): void {
    unpin_user_pages_dirty_lock(this.#pgs, true, current);
    this.#pgs = [];
  }
  get sg(): DmaSegment[] {
    return this.#addrs.map((pfn) => ({ pfn, offset: 0, len: PAGE_SIZE }));
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

/** The hazard of Linux 4.19: plain references that last for as long as the socket, with no FOLL_LONGTERM to say so. */
export class XdpUmem419 {
  #pgs: Page[] = [];

  /** And its error path: without memory for the table it leaves by the label that does not release. */
  static reg(
    current: Task,
    addr: UserAddr,
    size: number,
    kcalloc: () => boolean = () => true,
  ): XdpUmem419 | number {
    const umem = new XdpUmem419();
    const npgs = size / PAGE_SIZE;
    const lock = mmap_read_lock(current, current.mm);
    const got = get_user_pages(lock, addr, npgs, FOLL_WRITE, umem.#pgs);
    mmap_read_unlock(lock);
    if (got < npgs) {
      for (let i = 0; i < got; i++) put_page(umem.#pgs[i]!);
      return -ERRNO.ENOMEM;
    }
    if (!kcalloc()) return -ERRNO.ENOMEM;
    return umem;
  }
  get sg(): DmaSegment[] {
    return this.#pgs.map((page) => ({ pfn: page_to_pfn(page), offset: 0, len: PAGE_SIZE }));
  }
  unpin_pages(current: ProcessContext): void {
    for (const page of this.#pgs.splice(0)) {
      set_page_dirty_lock(page, current);
      put_page(page);
    }
  }
}
