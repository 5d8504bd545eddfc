// Memory of an RDMA region as Linux pins it today: page by page, collected into a scatter list, released by range.
import {
  ERRNO,
  FOLL_LONGTERM,
  IS_ERR,
  IS_SHORT,
  ITER_DEST,
  page_to_pfn,
  PAGE_SIZE,
  pin_user_pages_fast,
  unpin_user_page_range_dirty_lock,
  unpin_user_pages,
  user_ptr_add,
  type Pfn,
  type ProcessContext,
  type Task,
  type UserAddr,
  type UserPage,
} from "user-page";

/** Page pointers that one page of kernel memory holds. */
const CHUNK = PAGE_SIZE / 8;

/** Contiguous pages: the first, and bytes.  The other page pointers are gone. */
interface SgEntry {
  readonly page: UserPage<"dest">;
  readonly pfn: Pfn;
  readonly offset: number;
  len: number;
}
/** What the device is given. */
export interface DmaSegment {
  readonly pfn: Pfn;
  readonly offset: number;
  readonly len: number;
}

export class IbUmem {
  readonly #writable: boolean;
  readonly #max_entries: number;
  readonly #sg: SgEntry[] = [];

  constructor(writable: boolean, max_entries: number) {
    this.#writable = writable;
    this.#max_entries = max_entries;
  }

  /**
   * Pins a range and maps it for the device.
   *
   * @param writable - whether the device may write into it
   * @param max_entries - scatter list entries the device can take
   * @returns the region, or -errno
   */
  static get(
    current: Task,
    addr: UserAddr,
    size: number,
    writable: boolean,
    max_entries = Infinity,
  ): IbUmem | number {
    const umem = new IbUmem(writable, max_entries);
    const error = umem.#pin(current, addr, size);
    if (error === 0) return umem;
    umem.#unpin(current, false);
    return error;
  }
  #pin(current: Task, addr: UserAddr, size: number): number {
    let offset = addr % PAGE_SIZE;
    let left = size;
    for (let at = user_ptr_add(addr, -offset); left > 0;) {
      const nr = Math.min(CHUNK, Math.ceil((offset + left) / PAGE_SIZE));
      // Always for writing, so that copy-on-write is broken now and not under the device.
      const pinned = pin_user_pages_fast(current, at, nr, ITER_DEST, FOLL_LONGTERM);
      if (IS_ERR(pinned)) return -ERRNO[pinned.errno];
      const pages = IS_SHORT(pinned) ? pinned.partial : pinned;
      at = user_ptr_add(at, pages.length * PAGE_SIZE);
      for (let i = 0; i < pages.length; i++) {
        const len = Math.min(PAGE_SIZE - offset, left);
        if (!this.#append(pages[i]!, offset, len)) {
          // The list has the pages before; the rest of the chunk is nobody else's.
          unpin_user_pages(pages.slice(i));
          return -ERRNO.ENOMEM;
        }
        left -= len;
        offset = 0;
      }
    }
    return 0;
  }
  #append(page: UserPage<"dest">, offset: number, len: number): boolean {
    const last = this.#sg.at(-1);
    const pfn = page_to_pfn(page);
    if (last && last.pfn * PAGE_SIZE + last.offset + last.len === pfn * PAGE_SIZE) last.len += len;
    else if (this.#sg.length < this.#max_entries) this.#sg.push({ page, pfn, offset, len });
    else return false;
    return true;
  }
  #unpin(current: ProcessContext, make_dirty: boolean): void {
    for (const { page, offset, len } of this.#sg.splice(0)) {
      const nr = Math.ceil((offset + len) / PAGE_SIZE);
      unpin_user_page_range_dirty_lock(page, nr, make_dirty, current);
    }
  }
  get sg(): readonly DmaSegment[] {
    return this.#sg.map(({ pfn, offset, len }) => ({ pfn, offset, len }));
  }
  release(current: ProcessContext): void {
    this.#unpin(current, this.#writable);
  }
  /**
   * The hazard: the number of pins is computed from the bytes, and a range that begins inside its first page touches one
   * page more than its bytes fill.
   */
  release_by_length(current: ProcessContext): void {
    for (const { page, len } of this.#sg.splice(0)) {
      const nr = Math.ceil(len / PAGE_SIZE);
      unpin_user_page_range_dirty_lock(page, nr, this.#writable, current);
    }
  }
}
