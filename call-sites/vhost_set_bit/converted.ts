// The dirty log of vhost, converted: one byte of user memory, pinned to be written, dirtied and released in one call.
import {
  get_user_bvec,
  IS_ERR,
  ITER_DEST,
  memcpy_from_bvec,
  memcpy_to_bvec,
  put_user_bvec_dirty_lock,
  user_ptr_add,
  type BorrowedDestBvec,
  type GupError,
  type Task,
  type UserAddr,
} from "user-page";

/** Guest memory one bit stands for. */
const VHOST_PAGE_SIZE = 4096;

export class VhostLog {
  readonly #log_base: UserAddr;
  /** @param log_base - one bit for each page of the guest, in memory of the program */
  constructor(log_base: UserAddr) {
    this.#log_base = log_base;
  }
  /** Notes that guest memory was written. */
  log_write(current: Task, write_address: number, write_length: number): GupError | null {
    const first = Math.floor(write_address / VHOST_PAGE_SIZE);
    const end = Math.ceil((write_address + write_length) / VHOST_PAGE_SIZE);
    for (let bit = first; bit < end; bit++) {
      const log = user_ptr_add(this.#log_base, Math.floor(bit / 8));
      const error = this.set_bit_to_user(current, bit % 8, log);
      if (error) return error;
    }
    return null;
  }
  set_bit_to_user(current: Task, nr: number, addr: UserAddr): GupError | null {
    using bvecs = get_user_bvec(current, addr, 1, ITER_DEST);
    if (IS_ERR(bvecs)) return bvecs;
    for (const bvec of bvecs) this.set_bit(bvec, nr);
    put_user_bvec_dirty_lock(bvecs, current);
    return null;
  }
  /** The CPU writes; until the put, whoever looks at the page sees that it may be written. */
  protected set_bit(bvec: BorrowedDestBvec, nr: number): void {
    const byte = new Uint8Array(1);
    memcpy_from_bvec(byte, bvec);
    byte[0]! |= 1 << nr;
    memcpy_to_bvec(bvec, byte);
  }
}
