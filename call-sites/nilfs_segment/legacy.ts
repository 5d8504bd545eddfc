// The segment buffers of fs/nilfs2: a bio is made in one function, filled in a second, given its end in a third.
import {
  bio_add_page,
  bio_alloc,
  bio_error,
  bio_for_each_segment_all,
  bio_put,
  bio_set_end_io,
  ERRNO,
  PAGE_SIZE,
  put_page,
  run_softirqs,
  SECTOR_SIZE,
  submit_bio,
  type BlockDevice,
  type BorrowedPage,
  type Machine,
  type Page,
} from "user-page";

/** A block of the log, in memory. */
export interface BufferHead {
  readonly b_page: Page;
  /** bytes into the page, and of the block: inside the page */
  readonly offset: number;
  readonly size: number;
}
/** The mistakes: end_io puts the pages; the segment is written before it was waited for. */
export type Hazard = "end_io puts pages" | "pages put before the end";

/** Where the bio stands that is being filled.  Models struct nilfs_write_info. */
interface WriteInfo {
  bio: ReturnType<typeof bio_alloc> | null;
  /** sectors that were given to bios */
  nr_sectors: number;
}
/** Models struct nilfs_segment_buffer. */
export class SegBuf {
  readonly sb_bdev: BlockDevice;
  readonly machine: Machine;
  /** first sector */
  readonly sb_pseg_start: number;
  readonly max_vecs: number;
  readonly hazard: Hazard | null;
  readonly sb_buffers: BufferHead[] = [];
  /** bios that are out */
  sb_nbio = 0;
  sb_err = 0;
  constructor(
    machine: Machine,
    bdev: BlockDevice,
    start: number,
    max_vecs: number,
    hazard: Hazard | null = null,
  ) {
    this.machine = machine;
    this.sb_bdev = bdev;
    this.sb_pseg_start = start;
    this.max_vecs = max_vecs;
    this.hazard = hazard;
  }
}
/** The segment keeps the page from here on. */
export function nilfs_segbuf_add_buffer(segbuf: SegBuf, bh: BufferHead): void {
  segbuf.sb_buffers.push(bh);
}
/** A page of another layer, found in a descriptor; whether it was looked up with get_user_pages() cannot be seen here. */
export function nilfs_segbuf_add_page(
  segbuf: SegBuf,
  page: BorrowedPage,
  offset: number,
  size: number,
): void {
  segbuf.sb_buffers.push({ b_page: page as Page, offset, size });
}

/** Sets the end, far from where the pages come in. */
function nilfs_segbuf_submit_bio(segbuf: SegBuf, wi: WriteInfo): void {
  const { bio } = wi;
  if (!bio) return;
  wi.bio = null;
  segbuf.sb_nbio++;
  bio_set_end_io(bio, (ended) => {
    if (bio_error(ended)) segbuf.sb_err = -ERRNO.EIO;
    if (segbuf.hazard === "end_io puts pages") {
      for (const { page } of bio_for_each_segment_all(ended)) put_page(page);
    }
    bio_put(ended);
    segbuf.sb_nbio--;
  });
  submit_bio(bio);
}
/** Fills the bio there is, or makes one. */
function nilfs_segbuf_submit_bh(segbuf: SegBuf, wi: WriteInfo, bh: BufferHead): void {
  for (;;) {
    const sector = segbuf.sb_pseg_start + wi.nr_sectors;
    wi.bio ??= bio_alloc(segbuf.sb_bdev, segbuf.max_vecs, "REQ_OP_WRITE", sector);
    if (bio_add_page(wi.bio, bh.b_page, bh.size, bh.offset) > 0) break;
    nilfs_segbuf_submit_bio(segbuf, wi);
  }
  wi.nr_sectors += bh.size / SECTOR_SIZE;
}
export function nilfs_segbuf_write(segbuf: SegBuf): void {
  const wi: WriteInfo = { bio: null, nr_sectors: 0 };
  for (const bh of segbuf.sb_buffers) nilfs_segbuf_submit_bh(segbuf, wi, bh);
  nilfs_segbuf_submit_bio(segbuf, wi);
  if (segbuf.hazard === "pages put before the end") nilfs_segbuf_clear(segbuf);
}
/** 0 or -errno. */
export function nilfs_segbuf_wait(segbuf: SegBuf): number {
  while (segbuf.sb_nbio > 0 && run_softirqs(segbuf.machine) > 0);
  return segbuf.sb_err;
}
/** The segment was written: its pages go back to whoever gave them. */
export function nilfs_segbuf_clear(segbuf: SegBuf): void {
  for (const { b_page } of segbuf.sb_buffers.splice(0)) put_page(b_page);
}
export const BLOCK_SIZE: number = PAGE_SIZE / 4;
