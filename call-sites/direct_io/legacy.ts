// Direct I/O of fs/direct-io.c as it was until Linux 6.5: a page lies in a queue, is the current page, lies in a bio; each place has a reference.
import {
  bio_add_page,
  bio_alloc,
  bio_error,
  bio_for_each_segment_all,
  BIO_MAX_VECS,
  bio_put,
  bio_set_end_io,
  ERRNO,
  get_page,
  iov_iter_get_pages2,
  iov_iter_is_dest,
  IS_ERR,
  page_to_pfn,
  PAGE_SIZE,
  pop_iter_page,
  put_page,
  put_user_page,
  run_softirqs,
  schedule_work,
  SECTOR_SIZE,
  set_page_dirty_lock,
  submit_bio,
  ZERO_PAGE,
  type BlockDevice,
  type BorrowedPage,
  type EndedBio,
  type IovIter,
  type Machine,
  type Page,
  type PlainBio,
  type ProcessContext,
  type Task,
  type UserPage,
} from "user-page";

/** Pages that are looked up at once. */
const DIO_PAGES = 64;
export const EIOCBQUEUED = 529;
/** Sectors that follow each other on the disk. */
export interface MapBh {
  readonly sector: number;
  readonly nr: number;
  /** allocated for this write: what it leaves of them must be zeroed */
  readonly is_new: boolean;
}
export interface Inode {
  readonly machine: Machine;
  readonly bdev: BlockDevice;
  /** sectors in a block of the file system */
  readonly i_blksectors: number;
  /** Where a block of the file is, and those that follow it; -errno. */
  get_block(fs_block: number): MapBh | number;
}
/** Who is told, if nobody waits. */
export type EndIo = (result: number) => void;
/** A mistake that was, or could be, made here. */
export type Hazard = "no cleanup" | "current page kept" | "zero page not taken" | "half converted";

/** Bytes of one page that go to sectors which follow each other. */
interface CurPage {
  readonly page: Page;
  readonly offset: number;
  len: number;
  readonly sector: number;
}
/** What was asked for. */
interface DioCall {
  readonly inode: Inode;
  readonly iter: IovIter;
  readonly is_read: boolean;
  readonly current: Task;
  readonly end_io: EndIo | null;
  readonly hazard: Hazard | null;
}
type Dio = DioCall & DioState;
class DioState {
  refcount = 1;
  result = 0;
  error = 0;
  io_error = 0;
  page_errors = 0;
  /** the queue: from head on */
  pages: Page[] = [];
  head = 0;
  /** bytes into the first of them, and in all */
  from = 0;
  queued = 0;
  cur_page: CurPage | null = null;
  bio: PlainBio | null = null;
  /** the sector that would follow those of the bio */
  final_sector = 0;
  /** ended, for the submitter to release */
  readonly bio_list: Array<EndedBio<"plain pages">> = [];
  sector_in_file = 0;
  /** sectors that are not submitted yet */
  todo = 0;
  blocks_available = 0;
  next_sector_for_io = 0;
  map_bh: MapBh | null = null;
}

// --- the queue --------------------------------------------------------------------------------------------
function dio_refill_pages(dio: Dio): number {
  const { iter, current, is_read } = dio;
  const got = iov_iter_get_pages2(iter, DIO_PAGES * PAGE_SIZE, DIO_PAGES, current);
  dio.pages = [];
  dio.head = 0;
  if (IS_ERR(got)) {
    const error = -ERRNO[got.errno];
    if (is_read || dio.blocks_available === 0) return error;
    // Blocks were allocated already: they may not show what was on the disk before.
    dio.page_errors ||= error;
    dio.pages = [get_page(ZERO_PAGE(current))];
    dio.from = 0;
    dio.queued = PAGE_SIZE;
    return 0;
  }
  dio.from = got.offset;
  dio.queued = got.bytes;
  for (let page = pop_iter_page(got); page; page = pop_iter_page(got)) dio.pages.push(page);
  return 0;
}
/** Null: dio.error says why. */
function dio_get_page(dio: Dio): Page | null {
  if (dio.head === dio.pages.length) dio.error = dio_refill_pages(dio);
  if (dio.error < 0) return null;
  return dio.pages[dio.head++]!;
}
/** What is left in the queue when something failed. */
function dio_cleanup(dio: Dio): void {
  while (dio.head < dio.pages.length) put_page(dio.pages[dio.head++]!);
}

// --- the bio ----------------------------------------------------------------------------------------------
function dio_bio_submit(dio: Dio): void {
  const { bio, current } = dio;
  if (!bio) return;
  dio.bio = null;
  dio.refcount++;
  if (dio.is_read && dio.end_io) {
    for (const { page } of bio_for_each_segment_all(bio)) set_page_dirty_lock(page, current);
  }
  bio_set_end_io(bio, (ended, softirq) => {
    const { end_io } = dio;
    if (!end_io) {
      dio.bio_list.push(ended);
      return;
    }
    // Dirtying sleeps, so all of it goes to a worker.
    schedule_work(softirq, (kworker) => {
      dio_bio_complete(dio, ended, kworker);
      const result = drop_refcount(dio);
      if (result !== null) end_io(result);
    });
  });
  submit_bio(bio);
}
function dio_bio_add_page(dio: Dio, { page, offset, len, sector }: CurPage): boolean {
  const bio = (dio.bio ??= bio_alloc(
    dio.inode.bdev,
    BIO_MAX_VECS,
    dio.is_read ? "REQ_OP_READ" : "REQ_OP_WRITE",
    sector,
  ));
  const zero = ZERO_PAGE(dio.current);
  const forgotten = dio.hazard === "zero page not taken" && page_to_pfn(page) === page_to_pfn(zero);
  const ref = forgotten ? (zero as Page) : get_page(page);
  if (bio_add_page(bio, ref, len, offset) === 0) {
    put_page(ref);
    return false;
  }
  dio.final_sector = sector + len / SECTOR_SIZE;
  return true;
}
function dio_send_cur_page(dio: Dio): void {
  const { cur_page } = dio;
  if (!cur_page) return;
  dio.cur_page = null;
  if (dio.bio && dio.final_sector !== cur_page.sector) dio_bio_submit(dio);
  while (!dio_bio_add_page(dio, cur_page)) dio_bio_submit(dio);
  if (dio.hazard !== "current page kept") put_page(cur_page.page);
}
/** Bytes of a page are to go to the disk: they extend the current page, or become it. */
function submit_page_section(
  dio: Dio,
  page: BorrowedPage,
  offset: number,
  len: number,
  sector: number,
): void {
  const cur = dio.cur_page;
  if (
    cur &&
    page_to_pfn(cur.page) === page_to_pfn(page) &&
    cur.offset + cur.len === offset &&
    cur.sector + cur.len / SECTOR_SIZE === sector
  ) {
    cur.len += len;
    return;
  }
  dio_send_cur_page(dio);
  dio.cur_page = { page: get_page(page), offset, len, sector };
}

// --- blocks -----------------------------------------------------------------------------------------------
function get_more_blocks(dio: Dio): number {
  const { i_blksectors } = dio.inode;
  const bh = dio.inode.get_block(Math.floor(dio.sector_in_file / i_blksectors));
  if (typeof bh === "number") return bh;
  const into_block = dio.sector_in_file % i_blksectors;
  dio.map_bh = bh;
  dio.blocks_available = bh.nr - into_block;
  dio.next_sector_for_io = bh.sector + into_block;
  dio_zero_block(dio, into_block, bh.sector);
  return 0;
}
/** The part of a new block before the transfer, or behind it. */
function dio_zero_block(dio: Dio, sectors: number, sector: number): void {
  if (!dio.map_bh?.is_new || sectors === 0) return;
  submit_page_section(dio, ZERO_PAGE(dio.current), 0, sectors * SECTOR_SIZE, sector);
}
function do_direct_IO(dio: Dio): number {
  while (dio.todo > 0) {
    const page = dio_get_page(dio);
    if (!page) return dio.error;
    const to = Math.min(PAGE_SIZE, dio.from + dio.queued);
    dio.queued -= to - dio.from;
    for (let from = dio.from; from < to && dio.todo > 0;) {
      const error = dio.blocks_available === 0 ? get_more_blocks(dio) : 0;
      if (error < 0) {
        put_page(page);
        return error;
      }
      const nr = Math.min(dio.blocks_available, (to - from) / SECTOR_SIZE, dio.todo);
      submit_page_section(dio, page, from, nr * SECTOR_SIZE, dio.next_sector_for_io);
      from += nr * SECTOR_SIZE;
      dio.sector_in_file += nr;
      dio.todo -= nr;
      dio.next_sector_for_io += nr;
      dio.blocks_available -= nr;
      if (dio.page_errors === 0) dio.result += nr * SECTOR_SIZE;
      // A substitute lasts as long as blocks are there to be covered.
      else if (dio.blocks_available === 0) {
        put_page(page);
        return dio.page_errors;
      }
    }
    dio.from = 0;
    put_page(page);
  }
  return 0;
}

// --- the end ----------------------------------------------------------------------------------------------
type Ended = EndedBio<"plain pages">;
function dio_bio_complete(dio: Dio, bio: Ended, current: ProcessContext): void {
  if (bio_error(bio)) dio.io_error = -ERRNO.EIO;
  for (const { page } of bio_for_each_segment_all(bio)) {
    if (dio.is_read && dio.io_error === 0) set_page_dirty_lock(page, current);
    // Half converted: the release follows the pins of 6.5, the pages come from before.
    if (dio.hazard === "half converted") put_user_page(page as unknown as UserPage);
    else put_page(page);
  }
  bio_put(bio);
}
/** The result, if nobody is left who could change it. */
function drop_refcount(dio: Dio): number | null {
  if (--dio.refcount > 0) return null;
  return dio.error || dio.page_errors || dio.io_error || dio.result;
}
/** The submitter releases what ended, where it may sleep. */
function dio_await_completion(dio: Dio): void {
  run_softirqs(dio.inode.machine);
  for (let bio = dio.bio_list.pop(); bio; bio = dio.bio_list.pop()) {
    dio_bio_complete(dio, bio, dio.current);
    dio.refcount--;
  }
}
/**
 * Transfers between memory and a file.  Bytes, -errno, or -EIOCBQUEUED if end_io is going to be told.
 *
 * @param pos - a multiple of 512, as the length is
 */
export function blockdev_direct_IO(
  current: Task,
  inode: Inode,
  iter: IovIter,
  pos: number,
  end_io: EndIo | null = null,
  hazard: Hazard | null = null,
): number {
  const is_read = iov_iter_is_dest(iter);
  const call: DioCall = { current, inode, iter, is_read, end_io, hazard };
  const dio: Dio = Object.assign(new DioState(), call);
  dio.sector_in_file = pos / SECTOR_SIZE;
  dio.todo = iter.count / SECTOR_SIZE;
  dio.error = do_direct_IO(dio);
  if (dio.map_bh?.is_new) {
    const into_block = dio.sector_in_file % inode.i_blksectors;
    const behind = into_block === 0 ? 0 : inode.i_blksectors - into_block;
    dio_zero_block(dio, behind, dio.next_sector_for_io);
  }
  dio_send_cur_page(dio);
  dio_bio_submit(dio);
  if (hazard !== "no cleanup") dio_cleanup(dio);
  if (!end_io) dio_await_completion(dio);
  return drop_refcount(dio) ?? -EIOCBQUEUED;
}
