// A pipe as system calls use it: vmsplice(), write(), read(), splice() from a file.
import {
  alloc_pipe_info,
  copy_from_iter,
  copy_to_iter,
  free_pipe_info,
  IS_ERR,
  iov_iter_count,
  iov_iter_get_pages2,
  iov_iter_pipe,
  iov_iter_ubuf,
  ITER_DEST,
  ITER_SOURCE,
  PAGE_SIZE,
  pipe_read,
  splice_folio_into_pipe,
  type OwnedPipe,
  type Task,
} from "user-page";
import type { Outcome, UserPart } from "./file.js";
import type { PageCache } from "./page_cache.js";

const PIPE_BUFFERS = 16;

export class Pipe {
  #pipe: OwnedPipe | null;
  readonly #current: Task;
  /** Room for `bytes`, as after F_SETPIPE_SZ; what does not fit would wait for a reader. */
  constructor(current: Task, bytes: number) {
    const pipe = alloc_pipe_info(current, Math.max(PIPE_BUFFERS, Math.ceil(bytes / PAGE_SIZE) + 1));
    if (IS_ERR(pipe)) throw new Error(pipe.message);
    this.#current = current;
    this.#pipe = pipe;
  }
  get #open(): OwnedPipe {
    if (!this.#pipe) throw new Error("the pipe is closed");
    return this.#pipe;
  }
  /** The pages themselves, by plain references.  Models vmsplice(2) to a pipe; SPLICE_F_GIFT changes who may move them alone. */
  vmsplice(part: UserPart): Outcome {
    const iter = iov_iter_ubuf(ITER_SOURCE, part.addr, part.len);
    while (iov_iter_count(iter) > 0) {
      using pages = iov_iter_get_pages2(iter, iov_iter_count(iter), PIPE_BUFFERS, this.#current);
      const done = part.len - iov_iter_count(iter);
      if (IS_ERR(pages)) return done || pages.errno;
      let { offset, bytes } = pages;
      for (const page of pages) {
        const here = Math.min(PAGE_SIZE - offset, bytes);
        if (splice_folio_into_pipe(this.#open, page, here, offset) === 0) return "EAGAIN";
        bytes -= here;
        offset = 0;
      }
    }
    return part.len;
  }
  /** Copies, page by page: on a pipe with O_DIRECT each of them is a packet. */
  write(part: UserPart): Outcome {
    const iter = iov_iter_ubuf(ITER_SOURCE, part.addr, part.len);
    const room = iov_iter_pipe(ITER_DEST, this.#open, part.len);
    const bytes = new Uint8Array(PAGE_SIZE);
    let done = 0;
    while (iov_iter_count(iter) > 0) {
      const from = copy_from_iter(bytes, iter, this.#current);
      if (from.isErr()) return done || from.error.errno;
      const into = copy_to_iter(bytes.subarray(0, from.value), room, this.#current);
      if (into.isErr()) return done || "EAGAIN";
      done += into.value;
    }
    return done;
  }
  /** Copies what is there, or one packet, of which nothing is left for the next read. */
  read(part: UserPart, packet: boolean): Outcome {
    const bytes = new Uint8Array(packet ? Math.min(part.len, PAGE_SIZE) : part.len);
    const got = pipe_read(this.#open, bytes);
    const iter = iov_iter_ubuf(ITER_DEST, part.addr, part.len);
    const copied = copy_to_iter(bytes.subarray(0, got), iter, this.#current);
    return copied.isOk() ? copied.value : copied.error.errno;
  }
  /** Pages of the page cache. */
  splice(file: PageCache, pos: number, len: number): Outcome {
    return file.splice_read(this.#current, this.#open, pos, len);
  }
  /** What is in the pipe goes to a file: the way of copy_file_range() between two file systems. */
  write_to(file: PageCache, pos: number, len: number): Outcome {
    const bytes = new Uint8Array(len);
    const got = pipe_read(this.#open, bytes);
    return file.write_bytes(this.#current, bytes.subarray(0, got), pos);
  }
  close(): void {
    const pipe = this.#pipe;
    this.#pipe = null;
    if (pipe) free_pipe_info(pipe);
  }
}
