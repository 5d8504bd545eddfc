// What a driver for `npm start` exports: dio_read() and dio_write(), each of this type.
import type { Result } from "neverthrow";
import type { BlkError, BlockDevice, GupError, Task, UserAddr } from "user-page";

/** Moves `len` bytes between `buf` and the disk at `position`, both in bytes; returns how many it moved. */
export type Transfer = (
  current: Task,
  disk: BlockDevice,
  buf: UserAddr,
  len: number,
  position: number,
) => Result<number, GupError | BlkError>;
