/**
 * Call sites of the kernel, written with this API: direct I/O, synchronous, asynchronous and padded.
 * Each correct function compiles as it stands; what follows are the mistakes that were, or could be, made there, each
 * refused where it is made.
 */
import { err, ok, type Result } from "neverthrow";
import {
  bio_add_page,
  bio_add_user_bvec,
  bio_add_user_bvecs,
  bio_alloc_pinned,
  bio_check_pages_dirty,
  bio_error,
  bio_put,
  bio_release_pages,
  bio_set_end_io,
  bio_set_pages_dirty,
  get_user_bvec,
  IS_ERR,
  is_dest,
  ITER_DEST,
  ITER_SOURCE,
  pop_user_bvec,
  PTR_ERR,
  put_user_bvec,
  put_user_bvec_dirty_lock,
  schedule_work,
  split_user_bvec,
  submit_bio,
  submit_bio_wait,
  zero_user_bvec,
  ZERO_PAGE,
  type BlkError,
  type BlockDevice,
  type BvecPinnedFor,
  type EndedBio,
  type GupError,
  type Kiocb,
  type Narrows,
  type Op,
  type PinnedBio,
  type PinnedBvec,
  type PinnedBvecList,
  type SoftirqContext,
  type SpentBvec,
  type Task,
  type UserAddr,
} from "user-page";

declare const bdev: BlockDevice;
declare function perhaps(): boolean;
type Moved = Result<number, GupError | BlkError>;

// --- synchronous direct I/O ----------------------------------------------------------------------------
export function dio_read(current: Task, addr: UserAddr, len: number): Moved {
  const bvecs = get_user_bvec(current, addr, len, ITER_DEST);
  if (IS_ERR(bvecs)) return PTR_ERR(bvecs);
  let done = 0;
  while (bvecs.count > 0) {
    const bio = bio_alloc_pinned(bdev, 256, "REQ_OP_READ");
    const bytes = bio_add_user_bvecs(bio, bvecs);
    const error = submit_bio_wait(bio, current);
    bio_release_pages(bio, error === null, current);
    bio_put(bio);
    if (error) {
      put_user_bvec(bvecs);
      return done ? ok(done) : err(error);
    }
    done += bytes;
  }
  put_user_bvec(bvecs);
  return ok(done);
}
/** Extent by extent; bios overlap, the last one is waited for. */
export function dio_write(current: Task, addr: UserAddr, len: number): Moved {
  const bvecs = get_user_bvec(current, addr, len, ITER_SOURCE);
  if (IS_ERR(bvecs)) return PTR_ERR(bvecs);
  let bio: PinnedBio<"source"> | null = null;
  let bvec: PinnedBvec<"source"> | null = pop_user_bvec(bvecs);
  while (bvec) {
    let rest: PinnedBvec<"source"> | GupError | null = null;
    if (bvec.len > 1 << 20) rest = split_user_bvec(bvec, 1 << 20);
    if (rest && IS_ERR(rest)) rest = null;
    bio ??= bio_alloc_pinned(bdev, 256, "REQ_OP_WRITE");
    while (!bio_add_user_bvec(bio, bvec)) {
      bio_set_end_io(bio, (ended) => {
        bio_release_pages(ended, false);
        bio_put(ended);
      });
      submit_bio(bio);
      bio = bio_alloc_pinned(bdev, 256, "REQ_OP_WRITE");
    }
    bvec = rest ?? pop_user_bvec(bvecs);
  }
  put_user_bvec(bvecs);
  if (!bio) return ok(0);
  const error = submit_bio_wait(bio, current);
  bio_release_pages(bio, false);
  bio_put(bio);
  return error ? err(error) : ok(len);
}
/** The direction is known at run time: the list is asked once, where the bio is allocated. */
export function dio_rw(current: Task, op: Op, addr: UserAddr, len: number): Moved {
  const bvecs = get_user_bvec(current, addr, len, op === "REQ_OP_READ" ? ITER_DEST : ITER_SOURCE);
  if (IS_ERR(bvecs)) return PTR_ERR(bvecs);
  let bio: PinnedBio;
  let bytes: number;
  if (is_dest(bvecs)) {
    const read = bio_alloc_pinned(bdev, 256, "REQ_OP_READ");
    bytes = bio_add_user_bvecs(read, bvecs);
    bio = read;
  } else {
    const write = bio_alloc_pinned(bdev, 256, "REQ_OP_WRITE");
    bytes = bio_add_user_bvecs(write, bvecs);
    bio = write;
  }
  put_user_bvec(bvecs);
  const error = submit_bio_wait(bio, current);
  bio_release_pages(bio, op === "REQ_OP_READ" && !error, current);
  bio_put(bio);
  return error ? err(error) : ok(bytes);
}
export function dio_directions_confused(current: Task, addr: UserAddr) {
  const bvecs = get_user_bvec(current, addr, 8192, ITER_SOURCE);
  if (IS_ERR(bvecs)) return;
  const read = bio_alloc_pinned(bdev, 1, "REQ_OP_READ");
  // @ts-expect-error the device would write into pages pinned to be read
  bio_add_user_bvecs(read, bvecs);
}
export function dio_kept_after_the_bio_took_it(current: Task, addr: UserAddr) {
  const bvecs = get_user_bvec(current, addr, 8192, ITER_SOURCE);
  if (IS_ERR(bvecs)) return;
  const bvec = pop_user_bvec(bvecs);
  if (!bvec) return;
  const write = bio_alloc_pinned(bdev, 1, "REQ_OP_WRITE");
  if (bio_add_user_bvec(write, bvec)) perhaps();
  // @ts-expect-error perhaps moved into the bio
  put_user_bvec(bvec);
}
export function dio_leaks_on_error(current: Task) {
  const bio = bio_alloc_pinned(bdev, 1, "REQ_OP_READ");
  if (!submit_bio_wait(bio, current)) bio_release_pages(bio, true, current);
  // @ts-expect-error on the error path its pages are still pinned
  bio_put(bio);
}

// --- asynchronous direct I/O ---------------------------------------------------------------------------
interface Dio {
  ref: number;
  size: number;
  readonly should_dirty: boolean;
  readonly iocb: Kiocb;
}
export function dio_read_async(current: Task, iocb: Kiocb, addr: UserAddr, len: number): Moved {
  const bvecs = get_user_bvec(current, addr, len, ITER_DEST);
  if (IS_ERR(bvecs)) return PTR_ERR(bvecs);
  const dio: Dio = { ref: 1, size: 0, should_dirty: true, iocb };
  while (bvecs.count > 0) {
    const bio = bio_alloc_pinned(bdev, 256, "REQ_OP_READ");
    const bytes = bio_add_user_bvecs(bio, bvecs);
    dio.ref++;
    bio_set_pages_dirty(bio, current);
    bio_set_end_io(bio, (ended, softirq) => {
      if (!bio_error(ended)) dio.size += bytes;
      dio_end(dio, ended);
      dio_put(dio, softirq);
    });
    submit_bio(bio);
  }
  put_user_bvec(bvecs);
  if (--dio.ref === 0) return ok(dio.size); // all ended already: the caller is told here
  return ok(len);
}
function dio_end(dio: Dio, bio: EndedBio<"pinned user pages">) {
  if (dio.should_dirty) bio_check_pages_dirty(bio);
  else {
    bio_release_pages(bio, false);
    bio_put(bio);
  }
}
function dio_put(dio: Dio, softirq: SoftirqContext) {
  if (--dio.ref === 0) dio.iocb.ki_complete?.(ok(dio.size), softirq);
}
/** By hand: the whole bio travels to a kworker, because dirtying locks each folio. */
export function end_io_by_hand(current: Task, bio: PinnedBio<"dest">) {
  bio_set_end_io(bio, (ended, softirq) => {
    schedule_work(softirq, (kworker) => {
      bio_release_pages(ended, true, kworker);
      bio_put(ended);
    });
  });
  submit_bio(bio);
}
/** rds: the driver keeps the extents and releases them when the remote side is done. */
export function deferred_unpin(current: Task, op: { bvecs: PinnedBvecList<"dest"> | null }) {
  const { bvecs } = op;
  op.bvecs = null;
  if (!bvecs) return;
  schedule_work(current, (kworker) => {
    put_user_bvec_dirty_lock(bvecs, kworker);
  });
}
export function async_dirties_in_softirq(bio: PinnedBio<"dest">) {
  bio_set_end_io(bio, (ended, softirq) => {
    // @ts-expect-error locks each folio
    bio_release_pages(ended, true, softirq);
  });
}
export function async_puts_after_the_check(bio: PinnedBio<"dest">) {
  bio_set_end_io(bio, (ended) => {
    bio_check_pages_dirty(ended);
    // @ts-expect-error taken
    bio_put(ended);
  });
}
export function async_pins_in_softirq(bio: PinnedBio<"dest">, addr: UserAddr) {
  bio_set_end_io(bio, (ended, softirq) => {
    // @ts-expect-error whose memory, and it may fault
    get_user_bvec(softirq, addr, 1, ITER_DEST);
    bio_check_pages_dirty(ended);
  });
}

// --- zero padding --------------------------------------------------------------------------------------
/** false: full, the zeroes are still to be written. */
function bio_add_zeroes(bio: PinnedBio<"source">, current: Task, len: number): boolean {
  const zeroes = zero_user_bvec(current, len);
  if (IS_ERR(zeroes)) return false;
  if (bio_add_user_bvec(bio, zeroes)) return true;
  put_user_bvec(zeroes);
  return false;
}
export function dio_write_padded(current: Task, addr: UserAddr, len: number, tail: number): Moved {
  const bvecs = get_user_bvec(current, addr, len, ITER_SOURCE);
  if (IS_ERR(bvecs)) return PTR_ERR(bvecs);
  let error: BlkError | null = null;
  do {
    const bio = bio_alloc_pinned(bdev, 256, "REQ_OP_WRITE");
    bio_add_user_bvecs(bio, bvecs);
    if (bvecs.count === 0 && tail && bio_add_zeroes(bio, current, tail)) tail = 0;
    error = submit_bio_wait(bio, current);
    bio_release_pages(bio, false);
    bio_put(bio);
  } while (!error && (bvecs.count > 0 || tail > 0));
  put_user_bvec(bvecs);
  return error ? err(error) : ok(len);
}
export function pads_with_a_plain_page(current: Task, bio: PinnedBio<"source">) {
  // @ts-expect-error in a bio that unpins its pages
  bio_add_page(bio, ZERO_PAGE(current), 512, 0);
}
export function reads_into_the_zero_page(current: Task, bio: PinnedBio<"dest">) {
  const zeroes = zero_user_bvec(current, 512);
  if (IS_ERR(zeroes)) return;
  // @ts-expect-error
  if (bio_add_user_bvec(bio, zeroes)) return;
}

// --- the old direct I/O: queue, current extent, bio ------------------------------------------------------
interface OldDio {
  queue: PinnedBvecList<"source"> | null;
  cur_page: PinnedBvec<"source"> | null;
  bio: PinnedBio<"source"> | null;
}
declare const submit_page_section: Narrows<
  BvecPinnedFor<"source">,
  { is: SpentBvec<"moved to the disk by submit_page_section()"> },
  [dio: OldDio]
>;
export function puts_what_became_the_current_page(dio: OldDio, bvec: PinnedBvec<"source">) {
  submit_page_section(bvec, dio);
  // @ts-expect-error one reference, and it moved
  put_user_bvec(bvec);
}
export function sends_it_to_two_blocks(dio: OldDio, bvec: PinnedBvec<"source">) {
  submit_page_section(bvec, dio);
  // @ts-expect-error split_user_bvec() makes two of one
  submit_page_section(bvec, dio);
}
export function splits_after_the_move(dio: OldDio, bvec: PinnedBvec<"source">) {
  submit_page_section(bvec, dio);
  // @ts-expect-error before, not after
  split_user_bvec(bvec, 512);
}
export function substitutes_a_plain_zero_page(current: Task, dio: OldDio) {
  // @ts-expect-error the bio would unpin it
  submit_page_section(ZERO_PAGE(current), dio);
}
export function forgets_where_the_rest_went(bvec: PinnedBvec<"source">, dio: OldDio) {
  const rest = split_user_bvec(bvec, 512);
  submit_page_section(bvec, dio);
  // @ts-expect-error it may be an error
  submit_page_section(rest, dio);
}
export function cleans_up_what_it_gave_away(dio: OldDio) {
  const { queue } = dio;
  if (!queue) return;
  const bio = bio_alloc_pinned(bdev, 1, "REQ_OP_WRITE");
  put_user_bvec(queue);
  // @ts-expect-error [head, tail) was released
  bio_add_user_bvecs(bio, queue);
}
