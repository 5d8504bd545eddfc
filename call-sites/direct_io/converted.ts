// Direct I/O of fs/direct-io.c, converted: one reference for each extent, which moves from the queue to the current one to the bio.
import {
  bio_add_user_bvec,
  bio_alloc_pinned,
  bio_check_pages_dirty,
  bio_error,
  BIO_MAX_VECS,
  bio_put,
  bio_release_pages,
  bio_set_end_io,
  bio_set_pages_dirty,
  iov_iter_extract_bvecs,
  iov_iter_is_dest,
  iov_iter_is_source,
  IS_ERR,
  ITER_DEST,
  ITER_SOURCE,
  PAGE_SIZE,
  pop_user_bvec,
  put_user_bvec,
  run_softirqs,
  SECTOR_SIZE,
  split_user_bvec,
  submit_bio,
  zero_user_bvec,
  type BlkError,
  type BlockDevice,
  type BvecPinnedFor,
  type Dir,
  type EndedBio,
  type GupError,
  type IovIter,
  type Machine,
  type Narrows,
  type PinnedBio,
  type PinnedBvec,
  type PinnedBvecList,
  type ProcessContext,
  type SpentBvec,
  type Task,
} from "user-page";

/** Pages that are looked up at once. */
const DIO_PAGES = 64;
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
  /** Where a block of the file is, and those that follow it. */
  get_block(fs_block: number): MapBh | BlkError;
}
export type DioError = GupError | BlkError;
/** Who is told, if nobody waits. */
export type EndIo = (result: number | DioError) => void;

// --- what differs between the directions --------------------------------------------------------------------
type TakenByBio = SpentBvec<"moved into the bio by add()">;
type TakenBySection = SpentBvec<"moved to the disk by submit_page_section()">;
interface DioRw<D extends Dir> {
  readonly dir: D;
  submit_page_section: Narrows<
    BvecPinnedFor<D>,
    { is: TakenBySection },
    [dio: Dio<D>, sector: number]
  >;
  add: Narrows<BvecPinnedFor<D>, { is: TakenByBio }, [dio: Dio<D>, sector: number]>;
  /** zeroes for what a write leaves of a new block; a read has no use for them */
  zero(current: Task, len: number): PinnedBvec<D> | GupError | null;
  set_pages_dirty(bio: PinnedBio<D>, current: ProcessContext): void;
}
const READ: DioRw<"dest"> = {
  dir: ITER_DEST,
  submit_page_section,
  add: (bvec, dio, sector) => {
    const alloc = () => bio_alloc_pinned(dio.inode.bdev, BIO_MAX_VECS, "REQ_OP_READ", sector);
    while (!bio_add_user_bvec((dio.bio ??= alloc()), bvec)) dio_bio_submit(dio);
  },
  zero: () => null,
  set_pages_dirty: bio_set_pages_dirty,
};
const WRITE: DioRw<"source"> = {
  dir: ITER_SOURCE,
  submit_page_section,
  add: (bvec, dio, sector) => {
    const alloc = () => bio_alloc_pinned(dio.inode.bdev, BIO_MAX_VECS, "REQ_OP_WRITE", sector);
    while (!bio_add_user_bvec((dio.bio ??= alloc()), bvec)) dio_bio_submit(dio);
  },
  zero: zero_user_bvec,
  set_pages_dirty: () => undefined,
};

/** An extent that goes to sectors which follow each other. */
interface CurPage<D extends Dir> {
  readonly bvec: PinnedBvec<D>;
  readonly sector: number;
}
/** What was asked for. */
interface DioCall<D extends Dir> {
  readonly rw: DioRw<D>;
  readonly inode: Inode;
  readonly iter: IovIter<D, "user">;
  readonly current: Task;
  readonly end_io: EndIo | null;
}
type Dio<D extends Dir> = DioCall<D> & DioState<D>;
class DioState<D extends Dir> {
  refcount = 1;
  result = 0;
  error: DioError | null = null;
  io_error: BlkError | null = null;
  page_errors: GupError | null = null;
  queue: PinnedBvecList<D> | null = null;
  cur_page: CurPage<D> | null = null;
  bio: PinnedBio<D> | null = null;
  /** the sector that would follow those of the bio */
  final_sector = 0;
  /** ended, for the submitter to release */
  readonly bio_list: Array<EndedBio<"pinned user pages">> = [];
  sector_in_file = 0;
  /** sectors that are not submitted yet */
  todo = 0;
  blocks_available = 0;
  next_sector_for_io = 0;
  map_bh: MapBh | null = null;
}

// --- the queue --------------------------------------------------------------------------------------------
/** All extents of a range or none: where something is missing, what comes next alone. */
function dio_refill_pages<D extends Dir>(dio: Dio<D>): GupError | null {
  const { iter, current } = dio;
  let got = iov_iter_extract_bvecs(iter, DIO_PAGES * PAGE_SIZE, current);
  if (IS_ERR(got)) got = iov_iter_extract_bvecs(iter, SECTOR_SIZE, current);
  if (IS_ERR(got)) return got;
  dio.queue = got;
  return null;
}
function dio_get_page<D extends Dir>(dio: Dio<D>): PinnedBvec<D> | GupError {
  const front = dio.queue && pop_user_bvec(dio.queue);
  if (front) return front;
  const failed = dio_refill_pages(dio);
  const next = dio.queue && !failed ? pop_user_bvec(dio.queue) : null;
  if (next) return next;
  // Blocks were allocated already: they may not show what was on the disk before.
  const zeroes = dio.blocks_available > 0 ? dio.rw.zero(dio.current, PAGE_SIZE) : null;
  if (zeroes && !IS_ERR(zeroes)) dio.page_errors ??= failed;
  return zeroes ?? failed!;
}

/** An extent is to go to the disk: it becomes the current one. */
function submit_page_section<D extends Dir>(
  bvec: PinnedBvec<D>,
  dio: Dio<D>,
  sector: number,
): void {
  dio_send_cur_page(dio);
  dio.cur_page = { bvec, sector };
}

// --- the bio ----------------------------------------------------------------------------------------------
function dio_bio_submit<D extends Dir>(dio: Dio<D>): void {
  const { bio, end_io, current } = dio;
  if (!bio) return;
  dio.bio = null;
  dio.refcount++;
  if (end_io) dio.rw.set_pages_dirty(bio, current);
  bio_set_end_io(bio, (ended) => {
    if (!end_io) {
      dio.bio_list.push(ended);
      return;
    }
    dio_bio_complete(dio, ended, null);
    const result = drop_refcount(dio);
    if (result !== null) end_io(result);
  });
  submit_bio(bio);
}
function dio_send_cur_page<D extends Dir>(dio: Dio<D>): void {
  const { cur_page } = dio;
  if (!cur_page) return;
  dio.cur_page = null;
  const { bvec, sector } = cur_page;
  if (dio.bio && dio.final_sector !== sector) dio_bio_submit(dio);
  dio.final_sector = sector + bvec.len / SECTOR_SIZE;
  dio.rw.add(bvec, dio, sector);
}

// --- blocks -----------------------------------------------------------------------------------------------
function get_more_blocks<D extends Dir>(dio: Dio<D>): DioError | null {
  const { i_blksectors } = dio.inode;
  const bh = dio.inode.get_block(Math.floor(dio.sector_in_file / i_blksectors));
  if (IS_ERR(bh)) return bh;
  const into_block = dio.sector_in_file % i_blksectors;
  dio.map_bh = bh;
  dio.blocks_available = bh.nr - into_block;
  dio.next_sector_for_io = bh.sector + into_block;
  return dio_zero_block(dio, into_block, bh.sector);
}
/** The part of a new block before the transfer, or behind it. */
function dio_zero_block<D extends Dir>(
  dio: Dio<D>,
  sectors: number,
  sector: number,
): DioError | null {
  if (!dio.map_bh?.is_new || sectors === 0) return null;
  const zeroes = dio.rw.zero(dio.current, sectors * SECTOR_SIZE);
  if (!zeroes || IS_ERR(zeroes)) return zeroes;
  dio.rw.submit_page_section(zeroes, dio, sector);
  return null;
}
function do_direct_IO<D extends Dir>(dio: Dio<D>): DioError | null {
  while (dio.todo > 0) {
    const got = dio_get_page(dio);
    if (IS_ERR(got)) return got;
    for (let bvec: PinnedBvec<D> | null = got; bvec;) {
      const failed = dio.blocks_available === 0 ? get_more_blocks(dio) : null;
      const bytes = Math.min(dio.blocks_available, dio.todo) * SECTOR_SIZE;
      const rest: PinnedBvec<D> | GupError | null =
        !failed && bvec.len > bytes ? split_user_bvec(bvec, bytes) : null;
      if (failed || IS_ERR(rest)) {
        put_user_bvec(bvec);
        return failed ?? (IS_ERR(rest) ? rest : null);
      }
      const nr = bvec.len / SECTOR_SIZE;
      dio.rw.submit_page_section(bvec, dio, dio.next_sector_for_io);
      dio.sector_in_file += nr;
      dio.todo -= nr;
      dio.next_sector_for_io += nr;
      dio.blocks_available -= nr;
      if (!dio.page_errors) dio.result += nr * SECTOR_SIZE;
      bvec = rest;
      // A substitute lasts as long as blocks are there to be covered.
      if (!dio.page_errors || (dio.blocks_available > 0 && bvec)) continue;
      if (bvec) put_user_bvec(bvec);
      if (dio.blocks_available === 0) return dio.page_errors;
      break;
    }
  }
  return null;
}

// --- the end ----------------------------------------------------------------------------------------------
/** In a softirq, without a context, a read's pages were dirtied before. */
function dio_bio_complete<D extends Dir>(
  dio: Dio<D>,
  bio: EndedBio<"pinned user pages">,
  current: ProcessContext | null,
): void {
  const error = bio_error(bio);
  dio.io_error ??= error;
  if (dio.rw.dir === ITER_DEST && !current) {
    bio_check_pages_dirty(bio);
    return;
  }
  if (current) bio_release_pages(bio, dio.rw.dir === ITER_DEST && !error, current);
  else bio_release_pages(bio, false);
  bio_put(bio);
}
/** The result, if nobody is left who could change it. */
function drop_refcount<D extends Dir>(dio: Dio<D>): number | DioError | null {
  if (--dio.refcount > 0) return null;
  return dio.error ?? dio.page_errors ?? dio.io_error ?? dio.result;
}
/** The submitter releases what ended, where it may sleep. */
function dio_await_completion<D extends Dir>(dio: Dio<D>): void {
  run_softirqs(dio.inode.machine);
  for (let bio = dio.bio_list.pop(); bio; bio = dio.bio_list.pop()) {
    dio_bio_complete(dio, bio, dio.current);
    dio.refcount--;
  }
}
function direct_IO<D extends Dir>(
  call: DioCall<D>,
  pos: number,
): number | DioError | "EIOCBQUEUED" {
  const dio: Dio<D> = Object.assign(new DioState<D>(), call);
  dio.sector_in_file = pos / SECTOR_SIZE;
  dio.todo = call.iter.count / SECTOR_SIZE;
  dio.error = do_direct_IO(dio);
  const { inode, sector_in_file, queue } = dio;
  const into_block = sector_in_file % inode.i_blksectors;
  const behind = into_block === 0 ? 0 : inode.i_blksectors - into_block;
  dio.error ??= dio_zero_block(dio, behind, dio.next_sector_for_io);
  dio_send_cur_page(dio);
  dio_bio_submit(dio);
  dio.queue = null;
  if (queue) put_user_bvec(queue);
  if (!dio.end_io) dio_await_completion(dio);
  return drop_refcount(dio) ?? "EIOCBQUEUED";
}
/**
 * Transfers between memory and a file.  Bytes, an error, or "EIOCBQUEUED" if end_io is going to be told.
 *
 * @param pos - a multiple of 512, as the length is
 */
export function blockdev_direct_IO(
  current: Task,
  inode: Inode,
  iter: IovIter<Dir, "user">,
  pos: number,
  end_io: EndIo | null = null,
): number | DioError | "EIOCBQUEUED" {
  if (iov_iter_is_dest(iter)) return direct_IO({ rw: READ, current, inode, iter, end_io }, pos);
  if (!iov_iter_is_source(iter)) return 0;
  return direct_IO({ rw: WRITE, current, inode, iter, end_io }, pos);
}
