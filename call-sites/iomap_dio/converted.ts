// Direct I/O of fs/iomap/direct-io.c, converted: whether something is to be released stands in the bio, and its end has to ask.
import {
  bio_add_page,
  bio_alloc,
  bio_alloc_pinned,
  bio_check_pages_dirty,
  bio_error,
  bio_iov_iter_get_pages,
  bio_is_pinned,
  bio_put,
  bio_release_pages,
  bio_set_end_io,
  bio_set_pages_dirty,
  iov_iter_is_dest,
  iov_iter_is_source,
  PAGE_SIZE,
  SECTOR_SIZE,
  submit_bio,
  ZERO_PAGE,
  type BlkError,
  type BlockDevice,
  type Dir,
  type EndedBio,
  type GupError,
  type IovIter,
  type PinnedBio,
  type PlainBio,
  type Task,
} from "user-page";

/** Segments in a bio. */
const NR_VECS = 16;
/** A file in one piece. */
export interface IomapFile {
  readonly bdev: BlockDevice;
  /** first byte on the disk */
  readonly addr: number;
  readonly i_blocksize: number;
  /** the blocks are allocated by this write: what it leaves of them must be zeroed */
  readonly is_new: boolean;
}
export type DioError = GupError | BlkError;
export interface Iocb {
  readonly ki_pos: number;
  ki_complete(result: number | DioError): void;
}
/** What is done first when the last bio ends: Linux 6.12 tells the caller, Linux 7 releases. */
export type Order = "complete first" | "release first";
export interface Options {
  readonly order: Order;
}

interface IomapDio {
  /** bios that are out, and the submitter */
  ref: number;
  size: number;
  error: DioError | null;
  /** the caller has left: ki_complete() tells */
  queued: boolean;
  readonly should_dirty: boolean;
  readonly current: Task;
  readonly file: IomapFile;
  readonly iocb: Iocb;
  readonly options: Options;
}
type Ended = EndedBio<"plain pages"> | EndedBio<"pinned user pages">;

function iomap_dio_submit_bio(dio: IomapDio, bio: PlainBio | PinnedBio, bytes: number): void {
  dio.ref++;
  bio_set_end_io(bio, (ended) => {
    const error = bio_error(ended);
    if (error) dio.error ??= error;
    else dio.size += bytes;
    iomap_dio_bio_end_io(dio, ended);
  });
  submit_bio(bio);
}
/** The same for bios with pins and without. */
function iomap_dio_bio_end_io(dio: IomapDio, bio: Ended): void {
  // Looked at before the dio may be gone.
  const { should_dirty, options } = dio;
  const release_first = options.order === "release first";
  if (!release_first) iomap_dio_put(dio);
  if (!bio_is_pinned(bio)) bio_put(bio);
  else if (should_dirty) bio_check_pages_dirty(bio);
  else {
    bio_release_pages(bio, false);
    bio_put(bio);
  }
  if (release_first) iomap_dio_put(dio);
}
function iomap_dio_put(dio: IomapDio): void {
  if (--dio.ref === 0 && dio.queued) dio.iocb.ki_complete(dio.error ?? dio.size);
}
/** Zeroes in a bio of their own: of a page that is always there, so nobody takes a reference. */
function iomap_dio_zero(dio: IomapDio, position: number, len: number): void {
  for (let done = 0; done < len; done += PAGE_SIZE) {
    const bio = bio_alloc(dio.file.bdev, 1, "REQ_OP_WRITE", (position + done) / SECTOR_SIZE);
    bio_add_page(bio, ZERO_PAGE(dio.current), Math.min(PAGE_SIZE, len - done), 0);
    iomap_dio_submit_bio(dio, bio, 0);
  }
}
/** One bio; the bytes it took, or why there is none. */
function iomap_dio_bio_read(
  dio: IomapDio,
  iter: IovIter<"dest", "user">,
  position: number,
): number | DioError {
  using bio = bio_alloc_pinned(dio.file.bdev, NR_VECS, "REQ_OP_READ", position / SECTOR_SIZE);
  const got = bio_iov_iter_get_pages(bio, iter, dio.current);
  if (got.isErr()) return got.error;
  bio_set_pages_dirty(bio, dio.current);
  iomap_dio_submit_bio(dio, bio, got.value);
  return got.value;
}
function iomap_dio_bio_write(
  dio: IomapDio,
  iter: IovIter<"source", "user">,
  position: number,
): number | DioError {
  using bio = bio_alloc_pinned(dio.file.bdev, NR_VECS, "REQ_OP_WRITE", position / SECTOR_SIZE);
  const got = bio_iov_iter_get_pages(bio, iter, dio.current);
  if (got.isErr()) return got.error;
  iomap_dio_submit_bio(dio, bio, got.value);
  return got.value;
}
function iomap_dio_bio_iter(dio: IomapDio, iter: IovIter<Dir, "user">): void {
  const { file, iocb, should_dirty } = dio;
  const start = file.addr + iocb.ki_pos;
  const front = file.is_new && !should_dirty ? start % file.i_blocksize : 0;
  iomap_dio_zero(dio, start - front, front);
  let position = start;
  while (iter.count > 0 && !dio.error) {
    const got = iov_iter_is_dest(iter)
      ? iomap_dio_bio_read(dio, iter, position)
      : iov_iter_is_source(iter)
        ? iomap_dio_bio_write(dio, iter, position)
        : 0;
    if (typeof got === "number") position += got;
    else dio.error = got;
  }
  const behind = file.is_new && !should_dirty ? -position % file.i_blocksize : 0;
  iomap_dio_zero(dio, position, behind === 0 ? 0 : behind + file.i_blocksize);
}
/** Transfers between memory and a file: "EIOCBQUEUED", and iocb.ki_complete() is told bytes or an error; or the error at once. */
export function iomap_dio_rw(
  current: Task,
  iocb: Iocb,
  iter: IovIter<Dir, "user">,
  file: IomapFile,
  options: Options,
): number | DioError | "EIOCBQUEUED" {
  const dio: IomapDio = {
    ref: 1,
    size: 0,
    error: null,
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
  return dio.queued ? "EIOCBQUEUED" : (dio.error ?? dio.size);
}
