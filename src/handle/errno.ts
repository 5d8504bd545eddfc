/// <reference lib="esnext.disposable" preserve="true" />
/** Errors of the modelled world as values: what the kernel encodes as ERR_PTR(-EFAULT) or returns as -EFAULT. */

import { err, Err, Ok } from "neverthrow";

/** Errno numbers of the generic Linux ABI, for those this library can return. */
export const ERRNO = {
  EPERM: 1,
  ENOENT: 2,
  EINTR: 4,
  EIO: 5,
  ENXIO: 6,
  E2BIG: 7,
  EAGAIN: 11,
  ENOMEM: 12,
  EACCES: 13,
  EFAULT: 14,
  ENOTBLK: 15,
  EBUSY: 16,
  EEXIST: 17,
  EINVAL: 22,
  ENOSPC: 28,
  EOVERFLOW: 75,
  EOPNOTSUPP: 95,
  ENOBUFS: 105,
} as const;
export type ErrnoName = keyof typeof ERRNO;

/** A failure with its errno and a sentence.  Disposable (nothing happens), so that `using x = acquire()` takes it. */
export interface Errno<E extends ErrnoName = ErrnoName> extends Disposable {
  readonly errno: E;
  readonly message: string;
}
/** Any of them: the name that messages show instead of the list. */
export interface AnyErrno extends Errno {}
/** Why pages could not be found, pinned or mapped. */
export type GupError = Errno<
  "EFAULT" | "ENOMEM" | "EINTR" | "EAGAIN" | "EOPNOTSUPP" | "EINVAL" | "EBUSY" | "EOVERFLOW"
>;
/** Why a mapping call failed. */
export type MmError = Errno<"ENOMEM" | "EINVAL" | "EEXIST" | "EACCES" | "EFAULT" | "EINTR">;
/** Why a page could not be made secure. */
export type UvError = Errno<"EAGAIN" | "EBUSY" | "ENXIO" | "E2BIG" | "EINVAL" | "EFAULT">;
/** Why a block transfer failed. */
export type BlkError = Errno<"EIO" | "ENOSPC" | "EINVAL">;
/** Why a disk could not be opened. */
export type OpenError = Errno<"ENOENT" | "EACCES" | "EINVAL" | "EIO" | "ENOMEM">;

class ErrnoValue<E extends ErrnoName> implements Errno<E> {
  readonly errno: E;
  readonly message: string;
  constructor(errno: E, message: string) {
    this.errno = errno;
    this.message = message;
  }
  [Symbol.dispose](): void {
    // an error holds nothing
  }
  toString(): string {
    return `${this.errno}: ${this.message}`;
  }
}

/** Makes an error value of the modelled world.  Models ERR_PTR(). */
export function ERR_PTR<E extends ErrnoName>(errno: E, message: string): Errno<E> {
  return new ErrnoValue(errno, message);
}
/**
 * Whether an acquiring function failed; in the other branch the handle is yours.  Models IS_ERR().  A Result is asked isErr():
 * a RangeError here.
 */
export function IS_ERR<T>(x: T): x is Extract<T, Errno> {
  if (x instanceof ErrnoValue) return true;
  if (x instanceof Ok || x instanceof Err) throw new RangeError("IS_ERR(): a Result; ask isErr()");
  return false;
}
/**
 * The error of a handle-or-error, for a function that returns a Result:
 * `if (IS_ERR(bvecs)) return PTR_ERR(bvecs)`.  Models PTR_ERR().
 */
export function PTR_ERR<E extends Errno>(error: E): Err<never, E> {
  return err(error);
}
/** The number C code would see (ours): -14 for EFAULT. */
export function errno_code(error: Errno): number {
  return -ERRNO[error.errno];
}
