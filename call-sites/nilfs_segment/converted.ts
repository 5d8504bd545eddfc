// The segment buffers of fs/nilfs2, converted: what the bio takes stands in the type of its field, wherever the field is looked at.
import {
  bio_add_page,
  bio_alloc,
  bio_error,
  bio_put,
  bio_set_end_io,
  PAGE_SIZE,
  put_page,
  run_softirqs,
  SECTOR_SIZE,
  submit_bio,
  type BlkError,
  type BlockDevice,
  type HeldPage,
  type Machine,
  type Narrows,
  type Page,
  type PlainBio,
  type SpentPage,
} from "user-page";

/** A block of the log, in memory. */
export interface BufferHead {
  readonly b_page: Page;
  /** bytes into the page, and of the block: inside the page */
  readonly offset: number;
  readonly size: number;
}

/** Where the bio stands that is being filled.  Models struct nilfs_write_info. */
interface WriteInfo {
  bio: PlainBio | null;
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
  readonly sb_buffers: BufferHead[] = [];
  /** bios that are out */
  sb_nbio = 0;
  sb_err: BlkError | null = null;
  constructor(machine: Machine, bdev: BlockDevice, start: number, max_vecs: number) {
    this.machine = machine;
    this.sb_bdev = bdev;
    this.sb_pseg_start = start;
    this.max_vecs = max_vecs;
  }
}
/** The segment keeps the page from here on. */
export function nilfs_segbuf_add_buffer(segbuf: SegBuf, bh: BufferHead): void {
  segbuf.sb_buffers.push(bh);
}
/** A page of another layer: a plain one, and its reference comes with it. */
export const nilfs_segbuf_add_page: Narrows<
  HeldPage,
  { is: SpentPage<"moved into the segment by nilfs_segbuf_add_page()"> },
  [segbuf: SegBuf, offset: number, size: number]
> = (page, segbuf, offset, size) => {
  segbuf.sb_buffers.push({ b_page: page, offset, size });
};

/** Sets the end, far from where the pages come in. */
function nilfs_segbuf_submit_bio(segbuf: SegBuf, wi: WriteInfo): void {
  const { bio } = wi;
  if (!bio) return;
  wi.bio = null;
  segbuf.sb_nbio++;
  bio_set_end_io(bio, (ended) => {
    segbuf.sb_err ??= bio_error(ended);
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
}
export function nilfs_segbuf_wait(segbuf: SegBuf): BlkError | null {
  while (segbuf.sb_nbio > 0 && run_softirqs(segbuf.machine) > 0);
  return segbuf.sb_err;
}
/** The segment was written: its pages go back to whoever gave them. */
export function nilfs_segbuf_clear(segbuf: SegBuf): void {
  const { sb_buffers } = segbuf;
  for (let bh = sb_buffers.pop(); bh; bh = sb_buffers.pop()) put_page(bh.b_page);
}
export const BLOCK_SIZE: number = PAGE_SIZE / 4;
