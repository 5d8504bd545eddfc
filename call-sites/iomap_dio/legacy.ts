// Direct I/O of fs/iomap/direct-io.c as it was until Linux 6.4: plain references, and a flag beside the bio that says whether there are any.
import {
  bio_add_page,
  bio_alloc,
  bio_error,
  bio_for_each_segment_all,
  bio_put,
  bio_set_end_io,
  ERRNO,
  iov_iter_get_pages2,
  iov_iter_is_dest,
  IS_ERR,
  PAGE_SIZE,
  pop_iter_page,
  put_page,
  schedule_work,
  SECTOR_SIZE,
  set_page_dirty_lock,
  submit_bio,
  ZERO_PAGE,
  type BlockDevice,
  type EndedBio,
  type IovIter,
  type ProcessContext,
  type SoftirqContext,
  type Task,
} from "user-page";

/** Segments in a bio. */
const NR_VECS = 16;
export const EIOCBQUEUED = 529;
/** A file in one piece. */
export interface IomapFile {
  readonly bdev: BlockDevice;
  /** first byte on the disk */
  readonly addr: number;
  readonly i_blocksize: number;
  /** the blocks are allocated by this write: what it leaves of them must be zeroed */
  readonly is_new: boolean;
}
export interface Iocb {
  readonly ki_pos: number;
  ki_complete(result: number): void;
}
/** What is done first when the last bio ends: Linux 6.12 tells the caller, Linux 7 releases. */
export type Order = "complete first" | "release first";
/** The mistakes: the padding is released like the rest; nobody looks whether the pages are dirty still. */
export type Hazard = "zero page put" | "dirty trusted";
export interface Options {
  readonly order: Order;
  readonly hazard?: Hazard;
}

interface IomapDio {
  /** bios that are out, and the submitter */
  ref: number;
  size: number;
  error: number;
  /** the caller has left: ki_complete() tells */
  queued: boolean;
  readonly should_dirty: boolean;
  readonly current: Task;
  readonly file: IomapFile;
  readonly iocb: Iocb;
  readonly options: Options;
}
/** BIO_NO_PAGE_REF: the end finds it with the bio. */
interface Flags {
  readonly no_page_ref: boolean;
}
type Bio = ReturnType<typeof bio_alloc>;

function iomap_dio_submit_bio(dio: IomapDio, bio: Bio, bytes: number, flags: Flags): void {
  dio.ref++;
  bio_set_end_io(bio, (ended, softirq) => {
    if (bio_error(ended)) dio.error ||= -ERRNO.EIO;
    else dio.size += bytes;
    iomap_dio_bio_end_io(dio, ended, flags, softirq);
  });
  submit_bio(bio);
}
/** The same for bios with references and without. */
function iomap_dio_bio_end_io(
  dio: IomapDio,
  bio: EndedBio<"plain pages">,
  flags: Flags,
  softirq: SoftirqContext,
): void {
  // Looked at before the dio may be gone.
  const { should_dirty, options } = dio;
  const release_first = options.order === "release first";
  if (!release_first) iomap_dio_put(dio);
  if (should_dirty && options.hazard !== "dirty trusted") {
    schedule_work(softirq, (kworker) => {
      release(bio, flags, kworker);
      if (release_first) iomap_dio_put(dio);
    });
    return;
  }
  release(bio, flags, null);
  if (release_first) iomap_dio_put(dio);
}
function release(
  bio: EndedBio<"plain pages">,
  { no_page_ref }: Flags,
  kworker: ProcessContext | null,
): void {
  if (!no_page_ref) {
    for (const { page } of bio_for_each_segment_all(bio)) {
      // Writeback may have cleaned it since it was dirtied for the transfer.
      if (kworker) set_page_dirty_lock(page, kworker);
      put_page(page);
    }
  }
  bio_put(bio);
}
function iomap_dio_put(dio: IomapDio): void {
  if (--dio.ref === 0 && dio.queued) dio.iocb.ki_complete(dio.error || dio.size);
}
/** Zeroes in a bio of their own: of a page that is always there, so nobody takes a reference. */
function iomap_dio_zero(dio: IomapDio, position: number, len: number): void {
  for (let done = 0; done < len; done += PAGE_SIZE) {
    const bio = bio_alloc(dio.file.bdev, 1, "REQ_OP_WRITE", (position + done) / SECTOR_SIZE);
    bio_add_page(bio, ZERO_PAGE(dio.current), Math.min(PAGE_SIZE, len - done), 0);
    const no_page_ref = dio.options.hazard !== "zero page put";
    iomap_dio_submit_bio(dio, bio, 0, { no_page_ref });
  }
}
function iomap_dio_bio_iter(dio: IomapDio, iter: IovIter): void {
  const { current, file, iocb, should_dirty } = dio;
  const start = file.addr + iocb.ki_pos;
  const front = file.is_new && !should_dirty ? start % file.i_blocksize : 0;
  iomap_dio_zero(dio, start - front, front);
  let position = start;
  while (iter.count > 0 && dio.error === 0) {
    const pages = iov_iter_get_pages2(iter, NR_VECS * PAGE_SIZE, NR_VECS, current);
    if (IS_ERR(pages)) {
      dio.error = -ERRNO[pages.errno];
      break;
    }
    const op = should_dirty ? "REQ_OP_READ" : "REQ_OP_WRITE";
    const bio = bio_alloc(file.bdev, NR_VECS, op, position / SECTOR_SIZE);
    let { offset } = pages;
    let left = pages.bytes;
    position += left;
    for (let page = pop_iter_page(pages); page; page = pop_iter_page(pages)) {
      const here = Math.min(PAGE_SIZE - offset, left);
      if (should_dirty) set_page_dirty_lock(page, current);
      bio_add_page(bio, page, here, offset);
      left -= here;
      offset = 0;
    }
    iomap_dio_submit_bio(dio, bio, pages.bytes, { no_page_ref: false });
  }
  const behind = file.is_new && !should_dirty ? -position % file.i_blocksize : 0;
  iomap_dio_zero(dio, position, behind === 0 ? 0 : behind + file.i_blocksize);
}
/** Transfers between memory and a file: -EIOCBQUEUED, and iocb.ki_complete() is told bytes or -errno; or -errno at once. */
export function iomap_dio_rw(
  current: Task,
  iocb: Iocb,
  iter: IovIter,
  file: IomapFile,
  options: Options,
): number {
  const dio: IomapDio = {
    ref: 1,
    size: 0,
    error: 0,
    queued: false,
    should_dirty: iov_iter_is_dest(iter),
    current,
    file,
    iocb,
    options,
  };
  iomap_dio_bio_iter(dio, iter);
  dio.queued = dio.ref > 1;
  iomap_dio_put(dio);
  return dio.queued ? -EIOCBQUEUED : dio.error || dio.size;
}
