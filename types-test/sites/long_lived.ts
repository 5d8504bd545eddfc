/**
 * Call sites of the kernel, written with this API: an RDMA memory region, io_uring fixed buffers.
 * Each correct function compiles as it stands; what follows are the mistakes that were, or could be, made there, each
 * refused where it is made.
 */
import { ok, type Result } from "neverthrow";
import {
  all_or_none,
  FOLL_LONGTERM,
  get_user_bvec,
  IS_ERR,
  is_dest,
  ITER_DEST,
  ITER_SOURCE,
  PAGE_SIZE,
  pin_user_pages_fast,
  PTR_ERR,
  put_user_bvec,
  put_user_bvec_dirty_lock,
  type BorrowedBvecList,
  type GupError,
  type LongtermBvecList,
  type ProcessContext,
  type Task,
  type UserAddr,
} from "user-page";

declare function perhaps(): boolean;

// --- an RDMA memory region -----------------------------------------------------------------------------
declare function dma_map(bvecs: BorrowedBvecList): boolean;
declare function dma_unmap(bvecs: BorrowedBvecList): void;
/** The field is nullable, and emptied by whoever releases. */
export class MemoryRegion {
  #bvecs: LongtermBvecList | null = null;

  reg(current: Task, addr: UserAddr, len: number, writable: boolean): Result<void, GupError> {
    const dir = writable ? ITER_DEST : ITER_SOURCE;
    const bvecs = get_user_bvec(current, addr, len, dir, FOLL_LONGTERM);
    if (IS_ERR(bvecs)) return PTR_ERR(bvecs);
    if (!dma_map(bvecs)) {
      put_user_bvec(bvecs);
      return ok(undefined);
    }
    this.dereg(current);
    this.#bvecs = bvecs;
    return ok(undefined);
  }
  dereg(current: ProcessContext) {
    const bvecs = this.#bvecs;
    if (!bvecs) return;
    this.#bvecs = null;
    dma_unmap(bvecs);
    if (is_dest(bvecs)) put_user_bvec_dirty_lock(bvecs, current);
    else put_user_bvec(bvecs);
  }
}
export class RegionWithMistakes {
  bvecs: LongtermBvecList | null = null;
  keeps_a_short_pin(current: Task, addr: UserAddr) {
    const bvecs = get_user_bvec(current, addr, 4096, ITER_DEST);
    if (IS_ERR(bvecs)) return;
    // @ts-expect-error FOLL_LONGTERM was forgotten
    this.bvecs = bvecs;
  }
  unmaps_after_the_release() {
    if (!this.bvecs) return;
    put_user_bvec(this.bvecs);
    // @ts-expect-error released
    dma_unmap(this.bvecs);
  }
  dirties_what_was_read(current: ProcessContext) {
    if (!this.bvecs) return;
    // @ts-expect-error direction not known to be 'dest'
    put_user_bvec_dirty_lock(this.bvecs, current);
  }
  perhaps_released() {
    const { bvecs } = this;
    if (!bvecs) return;
    if (perhaps()) put_user_bvec(bvecs);
    // @ts-expect-error
    dma_unmap(bvecs);
  }
}

// --- io_uring fixed buffers ----------------------------------------------------------------------------
interface Iovec {
  readonly base: UserAddr;
  readonly len: number;
}
type Buffers = Array<LongtermBvecList<"dest">>;
export function register_buffers(current: Task, iov: readonly Iovec[]): Result<Buffers, GupError> {
  const buffers: Buffers = [];
  for (const { base, len } of iov) {
    const bvecs = get_user_bvec(current, base, len, ITER_DEST, FOLL_LONGTERM);
    if (IS_ERR(bvecs)) {
      unregister_buffers(buffers);
      return PTR_ERR(bvecs);
    }
    buffers.push(bvecs);
  }
  return ok(buffers);
}
export function unregister_buffers(buffers: Buffers) {
  for (let b = buffers.pop(); b; b = buffers.pop()) put_user_bvec(b);
}
export function register_pages(current: Task, { base, len }: Iovec) {
  const nr = Math.ceil(len / PAGE_SIZE);
  return all_or_none(pin_user_pages_fast(current, base, nr, ITER_DEST, FOLL_LONGTERM));
}
export function registers_for_the_length_of_a_call(
  current: Task,
  { base }: Iovec,
  buffers: Buffers,
) {
  const bvecs = get_user_bvec(current, base, 1, ITER_DEST);
  if (IS_ERR(bvecs)) return;
  // @ts-expect-error
  buffers.push(bvecs);
}
export function registers_what_it_released(current: Task, { base }: Iovec, buffers: Buffers) {
  const bvecs = get_user_bvec(current, base, 1, ITER_DEST, FOLL_LONGTERM);
  if (IS_ERR(bvecs)) return;
  put_user_bvec(bvecs);
  // @ts-expect-error
  buffers.push(bvecs);
}
