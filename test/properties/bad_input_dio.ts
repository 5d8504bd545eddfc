/** Rows of direct I/O, and the values that its arguments must not have. */
import * as api from "user-page";
import type { Bench } from "./bad_input.js";

const NO_OBJECT = [null, undefined, "text", {}, NaN, 5] as const;
const NO_POSITION = [NaN, -1, 1.5, 100, Infinity, 2 ** 60, "8", {}, null] as const;
const iocb: api.Kiocb = { ki_pos: 0 };
const user_iter = (b: Bench) => api.iov_iter_ubuf(api.ITER_DEST, b.buf, 512);
const file_on = (b: Bench): api.IomapFile => ({
  bdev: b.disk,
  i_size: 4096,
  i_blocksize: 4096,
  iomap_begin: () => ({ type: "IOMAP_MAPPED", offset: 0, length: 4096, addr: 0 }),
});

export const BAD_DIO: Readonly<Record<string, (b: Bench) => unknown[]>> = {
  iocb: () => [
    ...NO_OBJECT,
    ...NO_POSITION.map((ki_pos) => ({ ki_pos })),
    { ki_pos: 0, ki_complete: 5 },
    { ki_pos: 0, ki_complete: null },
  ],
  file: (b) => [
    ...NO_OBJECT,
    { ...file_on(b), bdev: {} },
    { ...file_on(b), i_size: NaN },
    { ...file_on(b), i_blocksize: 0 },
    { ...file_on(b), i_blocksize: 100 },
    { ...file_on(b), iomap_begin: null },
    { ...file_on(b), iomap_begin: () => null },
    { ...file_on(b), end_io: 5 },
    { ...file_on(b), iomap_end: 5 },
  ],
};
export const DIO_ROWS: Readonly<
  Record<string, readonly [args: (b: Bench) => unknown[], ...kinds: string[]]>
> = {
  blkdev_direct_IO: [
    (b) => [b.current, iocb, user_iter(b), b.disk],
    "task",
    "iocb",
    "object",
    "object",
  ],
  iomap_dio_rw: [
    (b) => [b.current, iocb, user_iter(b), file_on(b)],
    "task",
    "iocb",
    "object",
    "file",
  ],
};
