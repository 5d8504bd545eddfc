// The log of fs/gfs2: one bio collects pages of two kinds over several calls, and its end finds out page by page what each is.
import {
  bio_add_page,
  bio_alloc,
  bio_error,
  bio_for_each_segment_all,
  bio_put,
  bio_set_end_io,
  ERRNO,
  get_page,
  memcpy_to_page,
  page_to_pfn,
  PAGE_SIZE,
  put_page,
  SECTOR_SIZE,
  submit_bio,
  type BlockDevice,
  type BorrowedPage,
  type Page,
  type Pfn,
} from "user-page";

/** A block of the page cache that goes to the log; locked while it is written. */
export interface BufferHead {
  readonly b_page: Page;
  locked: boolean;
}
/** Pages for the log's own blocks.  Models mempool_t. */
export class Mempool {
  readonly #pages: Page[] = [];
  get nr_free(): number {
    return this.#pages.length;
  }
  mempool_alloc(): Page | null {
    return this.#pages.pop() ?? null;
  }
  mempool_free(page: Page): void {
    this.#pages.push(page);
  }
  mempool_destroy(): void {
    for (let page = this.#pages.pop(); page; page = this.#pages.pop()) put_page(page);
  }
}

/** The journal of one node. */
export class Journal {
  readonly bdev: BlockDevice;
  readonly sd_page_pool: Mempool;
  readonly max_vecs: number;
  /** where the bio stands that is being filled */
  jd_log_bio: ReturnType<typeof bio_alloc> | null = null;
  /** next block of the log */
  sd_log_flush_head = 0;
  sd_log_error = 0;
  /** bios that are out */
  sd_log_in_flight = 0;
  /** page_has_buffers() of C: the page says it */
  readonly page_buffers = new Map<Pfn, BufferHead>();
  constructor(bdev: BlockDevice, sd_page_pool: Mempool, max_vecs: number) {
    this.bdev = bdev;
    this.sd_page_pool = sd_page_pool;
    this.max_vecs = max_vecs;
  }
}
/** Both kinds, and whatever else has come in: without buffers, it must be of the pool. */
function gfs2_end_log_write(sdp: Journal, page: Page): void {
  const bh = sdp.page_buffers.get(page_to_pfn(page));
  if (bh) {
    sdp.page_buffers.delete(page_to_pfn(page));
    bh.locked = false;
    put_page(page);
  } else sdp.sd_page_pool.mempool_free(page);
}
/** Sends what was collected. */
export function gfs2_log_submit_bio(sdp: Journal): void {
  const bio = sdp.jd_log_bio;
  if (!bio) return;
  sdp.jd_log_bio = null;
  sdp.sd_log_in_flight++;
  bio_set_end_io(bio, (ended) => {
    if (bio_error(ended)) sdp.sd_log_error ||= -ERRNO.EIO;
    for (const { page } of bio_for_each_segment_all(ended)) gfs2_end_log_write(sdp, page);
    bio_put(ended);
    sdp.sd_log_in_flight--;
  });
  submit_bio(bio);
}
/** A page becomes the next block of the log: of any kind, as long as its end knows what to do with it. */
export function gfs2_log_write(sdp: Journal, page: BorrowedPage): void {
  const sector = (sdp.sd_log_flush_head * PAGE_SIZE) / SECTOR_SIZE;
  for (;;) {
    sdp.jd_log_bio ??= bio_alloc(sdp.bdev, sdp.max_vecs, "REQ_OP_WRITE", sector);
    if (bio_add_page(sdp.jd_log_bio, page, PAGE_SIZE, 0) > 0) break;
    gfs2_log_submit_bio(sdp);
  }
  sdp.sd_log_flush_head++;
}
/** A block of the page cache: locked, and referenced, until the end. */
export function gfs2_log_write_bh(sdp: Journal, bh: BufferHead): void {
  bh.locked = true;
  sdp.page_buffers.set(page_to_pfn(bh.b_page), bh);
  gfs2_log_write(sdp, get_page(bh.b_page));
}
/** A block of the log itself; 0, or -ENOMEM when the pool is empty. */
export function gfs2_log_write_page(sdp: Journal, bytes: Uint8Array): number {
  const page = sdp.sd_page_pool.mempool_alloc();
  if (!page) return -ERRNO.ENOMEM;
  memcpy_to_page(page, 0, bytes);
  gfs2_log_write(sdp, page);
  return 0;
}
