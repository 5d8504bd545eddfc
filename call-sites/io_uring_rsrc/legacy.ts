// Fixed buffers of io_uring as Linux 6.12 and later keep them: a pin for each page, trimmed to one for each folio.
import {
  bio_add_page,
  bio_alloc,
  BIO_MAX_VECS,
  bio_put,
  ERRNO,
  FOLL_LONGTERM,
  folio_order,
  folio_page,
  IS_ERR,
  IS_SHORT,
  ITER_DEST,
  page_folio,
  page_to_pfn,
  PAGE_SIZE,
  pin_user_pages_fast,
  SECTOR_SIZE,
  submit_bio_wait,
  unpin_user_page,
  unpin_user_pages,
  user_ptr_add,
  type BlockDevice,
  type BorrowedPage,
  type BorrowedUserPage,
  type LongtermUserPage,
  type Op,
  type Task,
  type UserAddr,
} from "user-page";

export interface Iovec {
  readonly iov_base: UserAddr;
  readonly iov_len: number;
}
/** Pages that follow each other in one folio; the pin is that of the first. */
interface Bvec {
  readonly page: LongtermUserPage<"dest">;
  readonly nr_pages: number;
}
/** One registered buffer. */
interface MappedUbuf extends Iovec {
  readonly bvecs: Bvec[];
}
/** The place of a page in its folio: the driver looks into the memory management. */
const index_in_folio = (page: BorrowedUserPage): number =>
  page_to_pfn(page) - page_to_pfn(folio_page(page_folio(page), 0));

/** Whether all folios are large, of one size, and only the first and the last are not there in full. */
function can_coalesce(pages: readonly BorrowedUserPage[]): boolean {
  const order = folio_order(page_folio(pages[0]!));
  let last = index_in_folio(pages[0]!) - 1;
  return pages.every((page, i) => {
    const index = index_in_folio(page);
    const follows =
      index === 0
        ? i === 0 || last === 2 ** order - 1
        : index === last + 1 && (i === 0 || page_to_pfn(page) === page_to_pfn(pages[i - 1]!) + 1);
    last = index;
    return order > 0 && folio_order(page_folio(page)) === order && follows;
  });
}
/** Keeps one pin of each folio and gives the others back. */
function coalesce(pages: ReadonlyArray<LongtermUserPage<"dest">>): Bvec[] {
  const bvecs: Bvec[] = [];
  for (let i = 0; i < pages.length;) {
    const page = pages[i]!;
    const nr_pages = Math.min(
      2 ** folio_order(page_folio(page)) - index_in_folio(page),
      pages.length - i,
    );
    unpin_user_pages(pages.slice(i + 1, i + nr_pages));
    bvecs.push({ page, nr_pages });
    i += nr_pages;
  }
  return bvecs;
}

export class FixedBuffers {
  readonly #disk: BlockDevice;
  readonly #kvmalloc: () => boolean;
  readonly #nodes: MappedUbuf[] = [];

  /** @param kvmalloc - whether the kernel has memory for one more description of a buffer */
  constructor(disk: BlockDevice, kvmalloc: () => boolean = () => true) {
    this.#disk = disk;
    this.#kvmalloc = kvmalloc;
  }
  /** All or none: 0, or -errno. */
  register(current: Task, iovs: readonly Iovec[]): number {
    for (const iov of iovs) {
      const error = this.#register_one(current, iov, true);
      if (error === 0) continue;
      this.unregister();
      return error;
    }
    return 0;
  }
  #register_one(current: Task, iov: Iovec, careful: boolean): number {
    const { iov_base, iov_len } = iov;
    const nr = Math.ceil(((iov_base % PAGE_SIZE) + iov_len) / PAGE_SIZE);
    const pinned = pin_user_pages_fast(current, iov_base, nr, ITER_DEST, FOLL_LONGTERM);
    if (IS_ERR(pinned)) return -ERRNO[pinned.errno];
    if (IS_SHORT(pinned)) {
      unpin_user_pages(pinned.partial);
      return -ERRNO.EFAULT;
    }
    if (!this.#kvmalloc()) {
      if (careful) unpin_user_pages(pinned);
      return -ERRNO.ENOMEM;
    }
    const bvecs = can_coalesce(pinned)
      ? coalesce(pinned)
      : pinned.map((page) => ({ page, nr_pages: 1 }));
    this.#nodes.push({ iov_base, iov_len, bvecs });
    return 0;
  }
  unregister(): void {
    for (const { bvecs } of this.#nodes.splice(0))
      for (const { page } of bvecs) unpin_user_page(page);
  }
  /** Bytes transferred between the disk and part of a buffer, without a reference taken; or -errno. */
  rw_fixed(current: Task, op: Op, buf_index: number, addr: UserAddr, len: number): number {
    const imu = this.#nodes[buf_index];
    if (!imu || addr < imu.iov_base || addr + len > imu.iov_base + imu.iov_len) {
      return -ERRNO.EFAULT;
    }
    for (let done = 0; done < len;) {
      using bio = bio_alloc(this.#disk, BIO_MAX_VECS, op, done / SECTOR_SIZE);
      const first = done;
      while (done < len) {
        const at = user_ptr_add(addr, done);
        const n = Math.min(PAGE_SIZE - (at % PAGE_SIZE), len - done);
        if (bio_add_page(bio, page_at(imu, at), n, at % PAGE_SIZE) === 0) break;
        done += n;
      }
      const error = submit_bio_wait(bio, current);
      bio_put(bio);
      if (error) return first > 0 ? first : -ERRNO[error.errno];
    }
    return len;
  }
  /** The hazard of Linux 6.4: an exit between the pins and the table that knows them. */
  register_leaks_without_memory(current: Task, iovs: readonly Iovec[]): number {
    for (const iov of iovs) {
      const error = this.#register_one(current, iov, false);
      if (error === 0) continue;
      this.unregister();
      return error;
    }
    return 0;
  }
}
function page_at({ iov_base, bvecs }: MappedUbuf, at: UserAddr): BorrowedPage {
  let n = Math.floor(at / PAGE_SIZE) - Math.floor(iov_base / PAGE_SIZE);
  let i = 0;
  while (n >= bvecs[i]!.nr_pages) n -= bvecs[i++]!.nr_pages;
  const { page } = bvecs[i]!;
  return folio_page(page_folio(page), index_in_folio(page) + n);
}
