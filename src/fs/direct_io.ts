/**
 * Direct I/O between a user range and a disk: by extents, as this library proposes, and by pages, as Linux does it.
 * Models fs/iomap/direct-io.c and the direct path of block/fops.c.
 */

import { ok, type Result } from "neverthrow";
import { bdev_state } from "../block/bdev.js";
import {
  bio_add_user_bvecs,
  bio_add_user_page,
  bio_alloc_pinned,
  bio_check_pages_dirty,
  bio_error,
  bio_put,
  bio_release_pages,
  bio_set_end_io,
  bio_set_pages_dirty,
} from "../block/bio.js";
import { submit_bio, submit_bio_wait } from "../block/blk-core.js";
import type { UserAddr } from "../handle/addr.js";
import type { BlockDevice, Op } from "../handle/bio.js";
import type { Task } from "../handle/context.js";
import { ERR_PTR, IS_ERR, PTR_ERR, type BlkError, type GupError } from "../handle/errno.js";
import { ITER_DEST, ITER_SOURCE, type Dir, type OwnedUserPage } from "../handle/page.js";
import { might_sleep, run_softirqs_of } from "../machine/context.js";
import { BIO_MAX_VECS, PAGE_SIZE, SECTOR_SIZE } from "../machine/limits.js";
import { throw_misuse } from "../machine/machine.js";
import { user_ptr_add } from "../mm/mmap.js";
import { pin_user_pages_fast } from "../mm/pin_user_pages.js";
import { put_user_page } from "../mm/unpin.js";
import { get_user_bvec } from "../mm/user_bvec.js";
import { IS_SHORT, pages_of } from "../mm/user_pages.js";

type DioResult = Result<number, GupError | BlkError>;
const dio_error = (errno: "EINVAL" | "ENOSPC", message: string): DioResult =>
  PTR_ERR(ERR_PTR(errno, message) as BlkError);

/** Position and length must be sectors of the disk; how much of them lies on it, or the refusal. */
function bytes_on_disk(
  current: Task,
  bdev: BlockDevice,
  op: Op,
  len: number,
  position: number,
): DioResult {
  const called = "direct_io()";
  const { size, machine } = bdev_state(bdev, called);
  if (machine !== might_sleep(current, called)) {
    throw_misuse("not-a-handle", called, "a task and a disk of two machines");
  }
  if (op !== "REQ_OP_READ" && op !== "REQ_OP_WRITE") {
    return dio_error("EINVAL", `${String(op)} is neither REQ_OP_READ nor REQ_OP_WRITE`);
  }
  if (!Number.isSafeInteger(len) || len < 0 || len % SECTOR_SIZE !== 0) {
    return dio_error("EINVAL", `${len} bytes are not a number of sectors`);
  }
  if (!Number.isSafeInteger(position) || position < 0 || position % SECTOR_SIZE !== 0) {
    return dio_error("EINVAL", `position ${position} is not the beginning of a sector`);
  }
  if (len > 0 && op === "REQ_OP_WRITE" && position >= size) {
    return dio_error("ENOSPC", `position ${position} is beyond the end of the disk`);
  }
  return ok(Math.max(0, Math.min(len, size - position)));
}
/** What may go wrong with a transfer of which a part is done: the part counts. */
function partial(done: number, error: GupError | BlkError): DioResult {
  return done > 0 ? ok(done) : PTR_ERR(error);
}

// --- by extents -------------------------------------------------------------------------------------------
/**
 * Transfers between a user range and a disk, with one reference for each contiguous run of memory (ours).
 *
 * @param op - REQ_OP_READ writes into the range, REQ_OP_WRITE reads from it
 * @param addr - a multiple of 512
 * @param len - bytes, a multiple of 512; what lies beyond the end of the disk is not transferred
 * @param position - byte on the disk, a multiple of 512
 * @returns the bytes transferred; EINVAL for what is not aligned, EFAULT and ENOMEM of get_user_bvec(), ENOSPC for a
 *   write beyond the end, EIO.  Nothing is transferred when a page cannot be pinned, and nothing stays pinned
 * @example
 * const written = direct_io(current, disk, "REQ_OP_WRITE", buf, 8192, 0);
 */
export function direct_io(
  current: Task,
  bdev: BlockDevice,
  op: Op,
  addr: UserAddr,
  len: number,
  position: number,
): DioResult {
  const on_disk = bytes_on_disk(current, bdev, op, len, position);
  if (on_disk.isErr()) return on_disk;
  if (addr % SECTOR_SIZE !== 0) return dio_error("EINVAL", `address ${addr} is not aligned to 512`);
  return op === "REQ_OP_READ"
    ? read_extents(current, bdev, addr, on_disk.value, position)
    : write_extents(current, bdev, addr, on_disk.value, position);
}
function read_extents(
  current: Task,
  bdev: BlockDevice,
  addr: UserAddr,
  len: number,
  position: number,
): DioResult {
  using bvecs = get_user_bvec(current, addr, len, ITER_DEST);
  if (IS_ERR(bvecs)) return PTR_ERR(bvecs);
  let done = 0;
  while (bvecs.count > 0) {
    const sector = (position + done) / SECTOR_SIZE;
    using bio = bio_alloc_pinned(bdev, BIO_MAX_VECS, "REQ_OP_READ", sector);
    const bytes = bio_add_user_bvecs(bio, bvecs); // what does not fit stays in bvecs
    const error = submit_bio_wait(bio, current);
    bio_release_pages(bio, !error, current);
    bio_put(bio);
    if (error) return partial(done, error);
    done += bytes;
  }
  return ok(done);
}
function write_extents(
  current: Task,
  bdev: BlockDevice,
  addr: UserAddr,
  len: number,
  position: number,
): DioResult {
  using bvecs = get_user_bvec(current, addr, len, ITER_SOURCE);
  if (IS_ERR(bvecs)) return PTR_ERR(bvecs);
  let done = 0;
  while (bvecs.count > 0) {
    const sector = (position + done) / SECTOR_SIZE;
    using bio = bio_alloc_pinned(bdev, BIO_MAX_VECS, "REQ_OP_WRITE", sector);
    const bytes = bio_add_user_bvecs(bio, bvecs);
    const error = submit_bio_wait(bio, current);
    bio_release_pages(bio, false);
    bio_put(bio);
    if (error) return partial(done, error);
    done += bytes;
  }
  return ok(done);
}

// --- by pages ---------------------------------------------------------------------------------------------
/** Who waits for an asynchronous transfer.  Models struct kiocb. */
export interface Kiocb {
  ki_complete(result: DioResult): void;
}
/**
 * What a fault in the middle of the range means.  A block device ends small transfers short; a file system on iomap fails
 * the whole, though the pages before the fault were transferred.
 */
export type FaultRule = "block device" | "iomap";

interface Dio {
  /** bios that are out, and the submitter */
  ref: number;
  size: number;
  error: GupError | BlkError | null;
  readonly short_is_ok: boolean;
  readonly iocb: Kiocb;
}
function dio_put(dio: Dio): void {
  if (--dio.ref > 0) return;
  const { error, size, short_is_ok } = dio;
  dio.iocb.ki_complete(!error || (short_is_ok && size > 0) ? ok(size) : PTR_ERR(error));
}
/** What one bio transferred. */
function dio_account(dio: Dio, error: BlkError | null, bytes: number): void {
  if (error) dio.error ??= error;
  else dio.size += bytes;
}
/**
 * Moves pages that were pinned for the range at `addr` into a bio, as long as it takes them; the rest is unpinned.
 * Returns the bytes moved.
 */
function fill_bio<D extends Dir>(
  pages: Array<OwnedUserPage<D>>,
  addr: number,
  len: number,
  add: (page: OwnedUserPage<D>, len: number, offset: number) => boolean,
): number {
  let bytes = 0;
  for (let page = pages.shift(); page; page = pages.shift()) {
    const offset = (addr + bytes) % PAGE_SIZE;
    const here = Math.min(PAGE_SIZE - offset, len - bytes);
    if (!add(page, here, offset)) {
      put_user_page(page);
      break;
    }
    bytes += here;
  }
  return bytes;
}
const nr_pages_of_bio = (addr: number, len: number): number =>
  Math.min(BIO_MAX_VECS, pages_of(addr, len));
/** The disk takes whole sectors of memory, except inside one page.  Found out on the built bio: its pages are pinned by then. */
const is_misaligned = (addr: number, bytes: number): boolean =>
  addr % SECTOR_SIZE !== 0 && pages_of(addr, bytes) > 1;
const misaligned = (addr: number): BlkError =>
  ERR_PTR("EINVAL", `address ${addr} is not aligned to ${SECTOR_SIZE}`);

/** Pins, fills and submits one READ bio: its bytes, or why there is none. */
function submit_read(
  dio: Dio,
  current: Task,
  bdev: BlockDevice,
  addr: UserAddr,
  len: number,
  position: number,
): number | GupError | BlkError {
  const pinned = pin_user_pages_fast(current, addr, nr_pages_of_bio(addr, len), ITER_DEST);
  if (IS_ERR(pinned)) return pinned;
  using pages = IS_SHORT(pinned) ? pinned.partial : pinned;
  using bio = bio_alloc_pinned(bdev, BIO_MAX_VECS, "REQ_OP_READ", position / SECTOR_SIZE);
  const bytes = fill_bio(pages, addr, len, (page, n, at) => bio_add_user_page(bio, page, n, at));
  if (is_misaligned(addr, bytes)) return misaligned(addr);
  bio_set_pages_dirty(bio, current);
  bio_set_end_io(bio, (ended) => {
    dio_account(dio, bio_error(ended), bytes);
    bio_check_pages_dirty(ended);
    dio_put(dio);
  });
  dio.ref++;
  submit_bio(bio);
  return bytes;
}
/** The same for a WRITE bio. */
function submit_write(
  dio: Dio,
  current: Task,
  bdev: BlockDevice,
  addr: UserAddr,
  len: number,
  position: number,
): number | GupError | BlkError {
  const pinned = pin_user_pages_fast(current, addr, nr_pages_of_bio(addr, len), ITER_SOURCE);
  if (IS_ERR(pinned)) return pinned;
  using pages = IS_SHORT(pinned) ? pinned.partial : pinned;
  using bio = bio_alloc_pinned(bdev, BIO_MAX_VECS, "REQ_OP_WRITE", position / SECTOR_SIZE);
  const bytes = fill_bio(pages, addr, len, (page, n, at) => bio_add_user_page(bio, page, n, at));
  if (is_misaligned(addr, bytes)) return misaligned(addr);
  bio_set_end_io(bio, (ended) => {
    dio_account(dio, bio_error(ended), bytes);
    bio_release_pages(ended, false);
    bio_put(ended);
    dio_put(dio);
  });
  dio.ref++;
  submit_bio(bio);
  return bytes;
}
/**
 * Submits a transfer with one pin per page, as Linux 6.18 does; it is in flight until the disk ends it: run_softirqs().
 * Models __blkdev_direct_IO_async() and iomap_dio_rw().
 *
 * @param iocb - told the result of what was submitted, with all pins released: the bytes, EFAULT, ENOMEM, EINVAL or EIO
 * @param rule - what a fault in the middle means
 * @returns the bytes submitted, or why nothing was
 */
export function direct_io_pages_async(
  current: Task,
  iocb: Kiocb,
  bdev: BlockDevice,
  op: Op,
  addr: UserAddr,
  len: number,
  position: number,
  rule: FaultRule = "block device",
): DioResult {
  const on_disk = bytes_on_disk(current, bdev, op, len, position);
  if (on_disk.isErr()) return on_disk;
  if (typeof iocb?.ki_complete !== "function") throw new RangeError("a kiocb has ki_complete()");
  const bytes = on_disk.value;
  const short_is_ok = rule === "block device" && pages_of(addr, bytes) <= BIO_MAX_VECS;
  const dio: Dio = { ref: 1, size: 0, error: null, short_is_ok, iocb };
  const submit = op === "REQ_OP_READ" ? submit_read : submit_write;
  let done = 0;
  while (done < bytes) {
    const at = user_ptr_add(addr, done);
    const submitted = submit(dio, current, bdev, at, bytes - done, position + done);
    if (typeof submitted !== "number") {
      dio.error = submitted;
      break;
    }
    done += submitted;
  }
  if (dio.error && done === 0) return PTR_ERR(dio.error); // nobody waits for what was not submitted
  dio_put(dio);
  return ok(done);
}
/**
 * direct_io() with one pin per page, as Linux 6.18 does, and waiting for it.
 *
 * @param rule - what a fault in the middle means
 * @returns the bytes transferred; EINVAL, EFAULT, ENOMEM, ENOSPC, EIO
 */
export function direct_io_pages(
  current: Task,
  bdev: BlockDevice,
  op: Op,
  addr: UserAddr,
  len: number,
  position: number,
  rule: FaultRule = "block device",
): DioResult {
  let result: DioResult = ok(0);
  const iocb: Kiocb = {
    ki_complete: (ended) => {
      result = ended;
    },
  };
  const submitted = direct_io_pages_async(current, iocb, bdev, op, addr, len, position, rule);
  run_softirqs_of(bdev_state(bdev, "direct_io_pages()").machine);
  return submitted.isErr() ? submitted : result;
}
