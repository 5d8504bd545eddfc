// The log of fs/gfs2, converted: what does not belong into the bio is refused like by a full one, and each kind has its own end.
import {
  bio_alloc_any,
  bio_error,
  bio_set_end_io_pair,
  bio_try_add_page,
  bio_try_add_user_page,
  end_io_pair,
  ERR_PTR,
  get_page,
  memcpy_to_page,
  page_to_pfn,
  PAGE_SIZE,
  put_page,
  SECTOR_SIZE,
  submit_bio,
  type BlkError,
  type BlockDevice,
  type EndIoPair,
  type Errno,
  type HeldPage,
  type HeldUserPage,
  type Narrows,
  type OwnedAnyBio,
  type Page,
  type Pfn,
  type SpentPage,
  type SpentUserPage,
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
  readonly mempool_free: Narrows<
    HeldPage,
    { is: SpentPage<"moved into the pool by mempool_free()"> }
  > = (page) => {
    this.#pages.push(page);
  };
  mempool_destroy(): void {
    for (let page = this.#pages.pop(); page; page = this.#pages.pop()) put_page(page);
  }
}

/** The journal of one node. */
export class Journal {
  readonly bdev: BlockDevice;
  readonly sd_page_pool: Mempool;
  readonly max_vecs: number;
  /** where the bio stands that is being filled; its first page decides what it holds */
  jd_log_bio: OwnedAnyBio<"source"> | null = null;
  /** next block of the log */
  sd_log_flush_head = 0;
  sd_log_error: BlkError | null = null;
  /** bios that are out */
  sd_log_in_flight = 0;
  /** page_has_buffers() of C: the page says it */
  readonly page_buffers = new Map<Pfn, BufferHead>();
  /** for plain pages, and for pins; what both do comes first */
  readonly end_io: EndIoPair = end_io_pair(
    (bio) => {
      this.sd_log_error ??= bio_error(bio);
      this.sd_log_in_flight--;
    },
    (page) => {
      gfs2_end_log_write(this, page);
    },
  );
  constructor(bdev: BlockDevice, sd_page_pool: Mempool, max_vecs: number) {
    this.bdev = bdev;
    this.sd_page_pool = sd_page_pool;
    this.max_vecs = max_vecs;
  }
}
/** Of the two kinds of plain pages; a pin never comes here. */
function gfs2_end_log_write(sdp: Journal, page: Page): void {
  const bh = sdp.page_buffers.get(page_to_pfn(page));
  const pool: Mempool = sdp.sd_page_pool;
  if (bh) {
    sdp.page_buffers.delete(page_to_pfn(page));
    bh.locked = false;
    put_page(page);
  } else pool.mempool_free(page);
}
/** Sends what was collected. */
export function gfs2_log_submit_bio(sdp: Journal): void {
  const bio = sdp.jd_log_bio;
  if (!bio) return;
  sdp.jd_log_bio = null;
  sdp.sd_log_in_flight++;
  bio_set_end_io_pair(bio, sdp.end_io);
  submit_bio(bio);
}
const gfs2_log_get_bio = (sdp: Journal): OwnedAnyBio<"source"> =>
  (sdp.jd_log_bio ??= bio_alloc_any(
    sdp.bdev,
    sdp.max_vecs,
    "REQ_OP_WRITE",
    (sdp.sd_log_flush_head * PAGE_SIZE) / SECTOR_SIZE,
  ));
/** A page becomes the next block of the log.  0 means full, or the other kind: submit it and start another. */
export const gfs2_log_write: Narrows<
  HeldPage,
  { is: SpentPage<"moved into the log by gfs2_log_write()"> },
  [sdp: Journal]
> = (page, sdp) => {
  while (bio_try_add_page(gfs2_log_get_bio(sdp), page, PAGE_SIZE, 0) === 0) {
    gfs2_log_submit_bio(sdp);
  }
  sdp.sd_log_flush_head++;
};
/** The same of a pinned page: in Linux there is no such caller, and nothing that would stop one. */
export const gfs2_log_write_user: Narrows<
  HeldUserPage,
  { is: SpentUserPage<"moved into the log by gfs2_log_write_user()"> },
  [sdp: Journal]
> = (page, sdp) => {
  while (!bio_try_add_user_page(gfs2_log_get_bio(sdp), page, PAGE_SIZE, 0)) {
    gfs2_log_submit_bio(sdp);
  }
  sdp.sd_log_flush_head++;
};
/** A block of the page cache: locked, and referenced, until the end. */
export function gfs2_log_write_bh(sdp: Journal, bh: BufferHead): void {
  bh.locked = true;
  sdp.page_buffers.set(page_to_pfn(bh.b_page), bh);
  const page = get_page(bh.b_page);
  gfs2_log_write(page, sdp);
}
/** A block of the log itself; ENOMEM when the pool is empty. */
export function gfs2_log_write_page(sdp: Journal, bytes: Uint8Array): Errno<"ENOMEM"> | null {
  const page = sdp.sd_page_pool.mempool_alloc();
  if (!page) return ERR_PTR("ENOMEM", "the pool is empty");
  memcpy_to_page(page, 0, bytes);
  gfs2_log_write(page, sdp);
  return null;
}
