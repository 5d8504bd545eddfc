/// <reference lib="esnext.disposable" preserve="true" />
/**
 * One direct transfer under way: what was submitted, what is out, how it ends.  Models struct iomap_dio of
 * fs/iomap/direct-io.c.
 */

import { ok, type Result } from "neverthrow";
import { bio_error, bio_set_end_io } from "../block/bio_end_io.js";
import { bio_check_pages_dirty, bio_put, bio_release_pages } from "../block/bio_pages.js";
import { submit_bio } from "../block/blk-core.js";
import type { BioBackFromDevice, BlockDevice, EndedBio, FreshBio } from "../handle/bio.js";
import type { SoftirqContext, Task } from "../handle/context.js";
import { PTR_ERR, type BlkError, type Errno, type GupError } from "../handle/errno.js";
import { SECTOR_SIZE } from "../machine/limits.js";

export type DioError = GupError | BlkError;
/** What a file system makes of a run that could not be submitted; ENOTBLK: the rest is for buffered I/O. */
export type RunError = BlkError | Errno<"ENOTBLK">;
export type DioResult = Result<number, DioError>;
/** Who asks, and who is told.  Models struct kiocb. */
export interface Kiocb {
  /** byte position in the file or on the disk */
  readonly ki_pos: number;
  /** With it the call does not wait: this is told the result, in softirq context. */
  readonly ki_complete?: (result: DioResult, softirq: SoftirqContext) => void;
}
/** How a transfer holds its pages. */
export interface DioOptions {
  /** one pin for each page, as Linux 6.18 does; one reference for each contiguous run by default, as this library proposes */
  readonly references?: "per page" | "per extent";
  /**
   * Whether the pages are released when ki_complete() runs, as in Linux 7, or the caller is told first, as in 6.12, and may
   * find its pages pinned still.
   */
  readonly order?: "release first" | "complete first";
  /** A fault in the middle leaves a short count, and not an error.  Models IOMAP_DIO_PARTIAL. */
  readonly partial?: boolean;
}
/** Options as they can be; anything else is the caller's mistake. */
export function check_options(options: DioOptions, called: string): void {
  if (typeof options !== "object" || options === null) {
    throw new RangeError(`${called}: ${String(options)} are no options`);
  }
  const { references, order, partial } = options;
  for (const [name, is, allowed] of [
    ["references", references, ["per page", "per extent"]],
    ["order", order, ["release first", "complete first"]],
    ["partial", partial, [true, false]],
  ] as const) {
    const all: readonly unknown[] = allowed;
    if (is === undefined || all.includes(is)) continue;
    throw new RangeError(`${called}: ${name}: ${String(is)}, and not one of ${all.join(", ")}`);
  }
}
/** One run of the disk that is transferred. */
export interface Run {
  /** byte on the disk */
  readonly position: number;
  /** bytes */
  readonly len: number;
  /** Blocks of this many bytes are new: what a write leaves of them is filled with zeroes.  0: they are not. */
  readonly new_block: number;
  /** bytes from the beginning of such a block */
  readonly into_block: number;
}
/** Bytes from the end of what was written to the end of its block. */
export function zero_tail({ new_block, into_block }: Run, written: number): number {
  const rest = new_block === 0 ? 0 : (into_block + written) % new_block;
  return rest === 0 ? 0 : new_block - rest;
}
export const zero_front = ({ new_block, into_block }: Run): number =>
  new_block === 0 ? 0 : into_block;

/** Told once; null: the submitter put the last reference, in its own context. */
type Complete = (result: DioResult, softirq: SoftirqContext | null) => void;

export class Dio {
  readonly current: Task;
  readonly bdev: BlockDevice;
  readonly per_page: boolean;
  readonly #release_first: boolean;
  readonly #partial: boolean;
  readonly #complete: Complete;
  /** bios that are out, and the submitter */
  #ref = 1;
  /** bytes that were submitted, or done without a bio: all of them count, or there is an error */
  #size = 0;
  #error: DioError | null = null;
  /** there is no memory to go on with: an error, unless the file system makes less of it */
  #fault: GupError | null = null;
  #ends_short = false;
  constructor(current: Task, bdev: BlockDevice, options: DioOptions, complete: Complete) {
    this.current = current;
    this.bdev = bdev;
    this.per_page = options.references === "per page";
    this.#release_first = options.order !== "complete first";
    this.#partial = options.partial === true;
    this.#complete = complete;
  }
  /** Nothing more is to be submitted. */
  get over(): boolean {
    return this.#error !== null || this.#fault !== null || this.#ends_short;
  }
  /** Something is under way that will end. */
  get in_flight(): boolean {
    return this.#ref > 1;
  }
  /** The first error counts. */
  fail(error: DioError): void {
    this.#error ??= error;
  }
  /** There is no memory to go on with: what was submitted may be the answer, if the caller takes less. */
  fault(error: GupError): void {
    if (this.#partial && this.#size > 0 && error.errno === "EFAULT") this.#ends_short = true;
    else this.#fault ??= error;
  }
  /** The file system has the last word on a run of which nothing was, or can be, submitted. */
  end_run(error: RunError): void {
    this.#fault = null;
    if (error.errno === "ENOTBLK") this.#ends_short = true;
    else this.fail(error);
  }
  /** What stopped the submission comes before what the disk is going to say. */
  all_submitted(): void {
    this.#error ??= this.#fault;
  }
  /** Bytes that are done without a bio. */
  done(bytes: number): void {
    this.#size += bytes;
  }
  put(softirq: SoftirqContext | null): void {
    if (--this.#ref === 0) this.#complete(this.result(), softirq);
  }
  result(): DioResult {
    const error = this.#error ?? this.#fault;
    return error ? PTR_ERR(error) : ok(this.#size);
  }
  /** Submits a bio of `bytes` that count; `release` takes what it holds when it ended. */
  submit_pinned(
    bio: FreshBio<"pinned user pages">,
    bytes: number,
    release: (ended: EndedBio<"pinned user pages">) => void,
  ): void {
    bio_set_end_io(bio, (ended, softirq) => {
      this.#end(ended, softirq, () => {
        release(ended);
      });
    });
    this.#ref++;
    this.#size += bytes;
    submit_bio(bio);
  }
  /** The same of pages that nobody has to release. */
  submit_unpinned(bio: FreshBio<"plain pages" | "borrowed pages">, bytes: number): void {
    bio_set_end_io(bio, (ended, softirq) => {
      this.#end(ended, softirq, () => {
        bio_put(ended);
      });
    });
    this.#ref++;
    this.#size += bytes;
    submit_bio(bio);
  }
  #end(ended: BioBackFromDevice, softirq: SoftirqContext, release: () => void): void {
    const error = bio_error(ended);
    if (error) this.fail(error);
    const put = (): void => {
      this.put(softirq);
    };
    const [first, then] = this.#release_first ? [release, put] : [put, release];
    try {
      first();
    } finally {
      then(); // whatever ki_complete() throws
    }
  }
}
export const was_written = (ended: EndedBio<"pinned user pages">): void => {
  bio_release_pages(ended, false);
  bio_put(ended);
};
export const was_read = (ended: EndedBio<"pinned user pages">): void => {
  bio_check_pages_dirty(ended);
};
export const sector_of = (position: number): number => position / SECTOR_SIZE;
