// The dirty log of vhost as it was before it pinned: a plain reference on a page of the log, a bit set, dirty, put.
import {
  ERRNO,
  FOLL_WRITE,
  get_user_pages_fast,
  memcpy_from_page,
  memcpy_to_page,
  PAGE_SIZE,
  put_page,
  set_page_dirty_lock,
  user_ptr_add,
  type BorrowedPage,
  type Page,
  type Task,
  type UserAddr,
} from "user-page";

/** Guest memory one bit stands for. */
const VHOST_PAGE_SIZE = 4096;

export class VhostLog {
  readonly #log_base: UserAddr;
  /** @param log_base - one bit for each page of the guest, in memory of the program */
  constructor(log_base: UserAddr) {
    this.#log_base = log_base;
  }
  /** Notes that guest memory was written; 0 or -errno. */
  log_write(current: Task, write_address: number, write_length: number): number {
    const first = Math.floor(write_address / VHOST_PAGE_SIZE);
    const end = Math.ceil((write_address + write_length) / VHOST_PAGE_SIZE);
    for (let bit = first; bit < end; bit++) {
      const log = user_ptr_add(this.#log_base, Math.floor(bit / 8));
      const error = this.set_bit_to_user(current, bit % 8, log);
      if (error < 0) return error;
    }
    return 0;
  }
  set_bit_to_user(current: Task, nr: number, addr: UserAddr): number {
    const pages: Page[] = [];
    const got = get_user_pages_fast(current, addr, 1, FOLL_WRITE, pages);
    if (got < 0) return got;
    const page = pages[0]!;
    this.set_bit(page, addr % PAGE_SIZE, nr);
    set_page_dirty_lock(page, current);
    put_page(page);
    return 0;
  }
  /** The CPU writes; until the put, whoever looks at the page sees a reference like any other. */
  protected set_bit(page: BorrowedPage, offset: number, nr: number): void {
    const byte = new Uint8Array(1);
    memcpy_from_page(byte, page, offset);
    byte[0]! |= 1 << nr;
    memcpy_to_page(page, offset, byte);
  }
  /** The hazard of a release without the dirty bit: writeback does not know that there is something to write. */
  set_bit_without_dirty(current: Task, nr: number, addr: UserAddr): number {
    const pages: Page[] = [];
    if (get_user_pages_fast(current, addr, 1, FOLL_WRITE, pages) !== 1) return -ERRNO.EFAULT;
    this.set_bit(pages[0]!, addr % PAGE_SIZE, nr);
    put_page(pages[0]!);
    return 0;
  }
  /** The hazard of the wrong order: the page may be free when it is dirtied. */
  set_bit_puts_first(current: Task, nr: number, addr: UserAddr): number {
    const pages: Page[] = [];
    if (get_user_pages_fast(current, addr, 1, FOLL_WRITE, pages) !== 1) return -ERRNO.EFAULT;
    for (const page of pages) this.set_bit(page, addr % PAGE_SIZE, nr);
    for (const page of pages) put_page(page);
    for (const page of pages) set_page_dirty_lock(page, current);
    return 0;
  }
}
