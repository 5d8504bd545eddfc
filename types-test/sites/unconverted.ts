/**
 * Call sites of the kernel, written with this API: drivers of 2018, half converted, and a bio filled far away.
 * Each correct function compiles as it stands; what follows are the mistakes that were, or could be, made there, each
 * refused where it is made.
 */
import {
  all_or_none,
  bio_add_page,
  bio_add_user_bvec,
  bio_alloc,
  bio_for_each_segment_all,
  bio_put,
  bio_set_end_io,
  FOLL_WRITE,
  get_user_pages,
  get_user_pages_fast,
  IS_ERR,
  ITER_DEST,
  mmap_read_lock,
  mmap_read_unlock,
  PAGE_SIZE,
  pin_user_pages_fast,
  put_page,
  put_user_page,
  set_page_dirty_lock,
  submit_bio,
  type BlockDevice,
  type BorrowedPage,
  type Page,
  type PinnedBvec,
  type PlainBio,
  type Task,
  type UserAddr,
} from "user-page";

declare const bdev: BlockDevice;

// --- unconverted code ----------------------------------------------------------------------------------
declare function dma_from_device(pages: readonly Page[]): void;
/** As in 2018. */
export function old_driver(current: Task, start: UserAddr, nr: number): number {
  const pages: Page[] = [];
  const lock = mmap_read_lock(current, current.mm);
  const ret = get_user_pages(lock, start, nr, FOLL_WRITE, pages);
  mmap_read_unlock(lock);
  if (ret < nr) {
    for (let i = 0; i < ret; i++) put_page(pages[i]!);
    return -14;
  }
  dma_from_device(pages);
  for (const page of pages) {
    set_page_dirty_lock(page, current);
    put_page(page);
  }
  return 0;
}
export function old_dio(current: Task, start: UserAddr, nr: number): number {
  const pages: Page[] = [];
  const got = get_user_pages_fast(current, start, nr, FOLL_WRITE, pages);
  if (got <= 0) return got;
  const bio = bio_alloc(bdev, got, "REQ_OP_READ");
  for (const page of pages) bio_add_page(bio, page, PAGE_SIZE, 0);
  bio_set_end_io(bio, (ended) => {
    for (const { page } of bio_for_each_segment_all(ended)) put_page(page);
    bio_put(ended);
  });
  submit_bio(bio);
  return got;
}
export function only_the_acquirer_was_converted(current: Task, start: UserAddr, bio: PlainBio) {
  const pages = all_or_none(pin_user_pages_fast(current, start, 4, ITER_DEST));
  if (IS_ERR(pages)) return;
  // @ts-expect-error the callee wants plain pages
  dma_from_device(pages);
  for (const page of pages) {
    // @ts-expect-error a pin into a bio of plain pages
    bio_add_page(bio, page, PAGE_SIZE, 0);
    set_page_dirty_lock(page, current); // it was pinned to be written
    // @ts-expect-error put_page() on a pin
    put_page(page);
  }
}
export function only_the_release_was_converted(current: Task, start: UserAddr) {
  const pages: Page[] = [];
  get_user_pages_fast(current, start, 4, FOLL_WRITE, pages);
  for (const page of pages) {
    // @ts-expect-error a plain reference
    put_user_page(page);
  }
}
export function only_the_name_was_converted(current: Task, start: UserAddr) {
  const pages: Page[] = [];
  // @ts-expect-error a flag in the place of the direction, an array to be filled
  const ret = pin_user_pages_fast(current, start, 4, FOLL_WRITE, pages);
  return ret;
}
export function a_result_is_no_count(current: Task, start: UserAddr) {
  const ret = pin_user_pages_fast(current, start, 4, ITER_DEST);
  // @ts-expect-error
  return ret < 0;
}

// --- a bio filled far away -----------------------------------------------------------------------------
interface SegBuf {
  bio: PlainBio | null;
  nr: number;
}
export function segbuf_add(seg: SegBuf, page: BorrowedPage) {
  for (;;) {
    seg.bio ??= bio_alloc(bdev, 256, "REQ_OP_WRITE");
    if (bio_add_page(seg.bio, page, PAGE_SIZE, 0)) {
      seg.nr++;
      return;
    }
    segbuf_submit(seg);
  }
}
export function segbuf_submit(seg: SegBuf) {
  const { bio } = seg;
  if (!bio) return;
  seg.bio = null;
  bio_set_end_io(bio, (ended) => {
    bio_put(ended);
  });
  submit_bio(bio);
}
export function segbuf_takes_a_pin(seg: SegBuf, bvec: PinnedBvec) {
  if (!seg.bio) return;
  // @ts-expect-error allocated for plain pages, in another function
  return bio_add_user_bvec(seg.bio, bvec);
}
export function segbuf_filled_after_submit(seg: SegBuf, page: BorrowedPage) {
  if (!seg.bio) return;
  submit_bio(seg.bio);
  // @ts-expect-error submitted, and still in the field
  bio_add_page(seg.bio, page, PAGE_SIZE, 0);
}
