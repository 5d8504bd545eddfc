// Fixed buffers of io_uring, converted: each buffer is a list of extents, one reference each, whatever its folios are.
import {
  blkdev_direct_IO,
  ERR_PTR,
  FOLL_LONGTERM,
  get_user_bvec,
  iov_iter_advance,
  iov_iter_bvec,
  iov_iter_truncate,
  IS_ERR,
  ITER_DEST,
  ITER_SOURCE,
  put_user_bvec,
  type BlkError,
  type BlockDevice,
  type GupError,
  type LongtermBvecList,
  type Op,
  type Task,
  type UserAddr,
} from "user-page";

export interface Iovec {
  readonly iov_base: UserAddr;
  readonly iov_len: number;
}
/** One registered buffer. */
interface MappedUbuf extends Iovec {
  readonly bvecs: LongtermBvecList<"dest">;
}

export class FixedBuffers {
  readonly #disk: BlockDevice;
  readonly #kvmalloc: () => boolean;
  readonly #nodes: MappedUbuf[] = [];

  /** @param kvmalloc - whether the kernel has memory for one more description of a buffer */
  constructor(disk: BlockDevice, kvmalloc: () => boolean = () => true) {
    this.#disk = disk;
    this.#kvmalloc = kvmalloc;
  }
  /** All or none. */
  register(current: Task, iovs: readonly Iovec[]): GupError | null {
    for (const iov of iovs) {
      const error = this.#register_one(current, iov);
      if (!error) continue;
      this.unregister();
      return error;
    }
    return null;
  }
  #register_one(current: Task, { iov_base, iov_len }: Iovec): GupError | null {
    // What may fail without pins is done without pins.
    if (!this.#kvmalloc()) return ERR_PTR("ENOMEM", "no memory for the buffer's description");
    const bvecs = get_user_bvec(current, iov_base, iov_len, ITER_DEST, FOLL_LONGTERM);
    if (IS_ERR(bvecs)) return bvecs;
    this.#nodes.push({ iov_base, iov_len, bvecs });
    return null;
  }
  unregister(): void {
    for (const { bvecs } of this.#nodes.splice(0)) put_user_bvec(bvecs);
  }
  /** Bytes transferred between the disk and part of a buffer, without a reference taken. */
  rw_fixed(
    current: Task,
    op: Op,
    buf_index: number,
    addr: UserAddr,
    len: number,
  ): number | GupError | BlkError {
    const imu = this.#nodes[buf_index];
    if (!imu || addr < imu.iov_base || addr + len > imu.iov_base + imu.iov_len) {
      return ERR_PTR("EFAULT", "the range is not inside the buffer");
    }
    const extents = [...imu.bvecs];
    const iter =
      op === "REQ_OP_READ"
        ? iov_iter_bvec(ITER_DEST, extents)
        : iov_iter_bvec(ITER_SOURCE, extents);
    iov_iter_advance(iter, addr - imu.iov_base);
    iov_iter_truncate(iter, len);
    const done = blkdev_direct_IO(current, { ki_pos: 0 }, iter, this.#disk);
    return done.isOk() ? Number(done.value) : done.error;
  }
}
