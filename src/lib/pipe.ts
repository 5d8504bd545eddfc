/// <reference lib="esnext.disposable" preserve="true" />
/** A ring of pages with bytes to read, as far as an iterator fills one.  Models struct pipe_inode_info of fs/pipe.c. */

import type { Narrows } from "../handle/affine.js";
import { to_pipe } from "../handle/cast.js";
import type { ProcessContext } from "../handle/context.js";
import { ERR_PTR, type Errno } from "../handle/errno.js";
import type { BorrowedPipe, HeldPipe, OwnedPipe, SpentPipe } from "../handle/iov_iter.js";
import { ENDS, type By } from "../handle/kinds.js";
import { PAGE_HANDLE_SHIFT } from "../handle/tags.js";
import { might_sleep } from "../machine/context.js";
import { PAGE_SIZE, PIPE_DEF_BUFFERS } from "../machine/limits.js";
import { throw_misuse, type MachineState } from "../machine/machine.js";
import { ended } from "../machine/misuse.js";
import { bytes_to_read } from "../mm/page_alloc.js";
import { ref_sub } from "../mm/page_ref.js";

/** One page of the ring, on which the ring holds a reference. */
interface PipeBuffer {
  readonly handle: number;
  offset: number;
  len: number;
}
const buffer_pfn = ({ handle }: PipeBuffer): number => handle >>> PAGE_HANDLE_SHIFT;

export class PipeInode {
  readonly machine: MachineState;
  readonly max_usage: number;
  readonly ring: PipeBuffer[] = [];
  #freed = false;
  constructor(machine: MachineState, max_usage: number) {
    this.machine = machine;
    this.max_usage = max_usage;
  }
  get occupancy(): number {
    return this.ring.length;
  }
  get bytes(): number {
    return this.ring.reduce((sum, { len }) => sum + len, 0);
  }
  describe(): string {
    return `pipe with ${this.occupancy} of ${this.max_usage} pages`;
  }
  assert_held(called: string): void {
    if (!this.#freed && this.machine.alive) return;
    const how = this.#freed ? ENDS.free_pipe_info : "its machine was shut down";
    throw_misuse("use-after-release", called, this.describe(), ended(how));
  }
  /** A fresh page at the head of the ring; null when the ring is full or no page is free. */
  push_anon(by: string): PipeBuffer | null {
    if (this.ring.length >= this.max_usage) return null;
    const { probe, allocator } = this.machine;
    probe?.reserve(1);
    const pfn = allocator.alloc(0, false, by);
    if (pfn === 0) return null;
    const addr = pfn << PAGE_HANDLE_SHIFT;
    const handle = probe ? probe.acquired("page", addr, by, probe.site()) : addr;
    const buffer = { handle, offset: 0, len: 0 };
    this.ring.push(buffer);
    this.machine.probe?.held_by(handle, this, "pipe");
    return buffer;
  }
  drop(buffer: PipeBuffer, by: string): void {
    this.machine.probe?.released("page", buffer.handle, by);
    ref_sub(buffer_pfn(buffer), 1);
  }
  free(): void {
    const by = "free_pipe_info()";
    if (this.#freed) {
      throw_misuse("double-release", by, this.describe(), ended(ENDS.free_pipe_info));
    }
    this.assert_held(by);
    this.#freed = true;
    for (const buffer of this.ring.splice(0)) this.drop(buffer, by);
  }
  [Symbol.dispose](): void {
    if (!this.#freed && this.machine.alive) this.free();
  }
}

/** What an iterator appended to a ring; only the last page of it can be appended to. */
export class PipeState {
  readonly inode: PipeInode;
  /** in the order of the ring */
  readonly #mine: PipeBuffer[] = [];
  constructor(inode: PipeInode) {
    this.inode = inode;
  }
  /** The last page, while it is ours, still in the ring and not full. */
  get #partial(): PipeBuffer | null {
    const last = this.#mine.at(-1);
    if (!last || this.inode.ring.at(-1) !== last) return null;
    return last.offset + last.len < PAGE_SIZE ? last : null;
  }
  get offset(): number {
    const partial = this.#partial;
    return partial ? partial.offset + partial.len : 0;
  }
  /** Pages that bytes could go to. */
  get npages(): number {
    const { max_usage, occupancy } = this.inode;
    return max_usage - occupancy + (this.#partial ? 1 : 0);
  }
  get room(): number {
    return this.npages * PAGE_SIZE - this.offset;
  }
  /** Bytes of ours at the end of the ring that nobody has read. */
  get appended(): number {
    const { ring } = this.inode;
    let bytes = 0;
    for (let i = 1; i <= this.#mine.length; i++) {
      const buffer = this.#mine.at(-i)!;
      if (ring.at(-i) !== buffer) break;
      bytes += buffer.len;
    }
    return bytes;
  }
  /** Up to `max` bytes of one page more in the ring; null when there is no room. */
  append(max: number, by: string): { pfn: number; offset: number; len: number } | null {
    let buffer = this.#partial;
    if (!buffer) {
      buffer = this.inode.push_anon(by);
      if (!buffer) return null;
      this.#mine.push(buffer);
    }
    const offset = buffer.offset + buffer.len;
    const len = Math.min(max, PAGE_SIZE - offset);
    buffer.len += len;
    return { pfn: buffer_pfn(buffer), offset, len };
  }
  /** Takes the last `bytes` back out of the ring; `appended` at most. */
  unappend(bytes: number, by: string): void {
    const { inode } = this;
    while (bytes > 0) {
      const last = this.#mine.at(-1)!;
      if (bytes < last.len) {
        last.len -= bytes;
        return;
      }
      bytes -= last.len;
      this.#mine.pop();
      inode.ring.pop();
      inode.drop(last, by);
    }
  }
}

export function pipe_inode(pipe: object, called: string): PipeInode {
  if (!(pipe instanceof PipeInode)) throw_misuse("not-a-handle", called, "no pipe");
  pipe.assert_held(called);
  return pipe;
}
/**
 * Makes an empty pipe.  Models alloc_pipe_info().
 * The caller owns it: free_pipe_info(), or the end of a `using` block.
 *
 * @param current - may sleep
 * @param max_usage - pages, 1 to 2^20
 * @returns EINVAL for another number
 * @example
 * using pipe = alloc_pipe_info(current);
 * if (IS_ERR(pipe)) return pipe;
 * const iter = iov_iter_pipe(ITER_DEST, pipe, 8192);
 * copy_to_iter(new Uint8Array(100), iter, current);
 * console.log(pipe.bytes, pipe_read(pipe, new Uint8Array(60)), pipe.bytes); // -> 100 60 40
 */
export function alloc_pipe_info(
  current: ProcessContext,
  max_usage: number = PIPE_DEF_BUFFERS,
): OwnedPipe | Errno<"EINVAL"> {
  const machine = might_sleep(current, "alloc_pipe_info()");
  if (!Number.isSafeInteger(max_usage) || max_usage < 1 || max_usage > 1 << 20) {
    return ERR_PTR("EINVAL", `a pipe of ${max_usage} pages`);
  }
  return to_pipe(new PipeInode(machine, max_usage));
}
/** Ends a pipe; what nobody read is gone.  Models free_pipe_info().  The handle is spent. */
export const free_pipe_info: Narrows<HeldPipe, { is: SpentPipe<By<"free_pipe_info">> }> = (
  pipe,
) => {
  if (!(pipe instanceof PipeInode)) throw_misuse("not-a-handle", "free_pipe_info()", "no pipe");
  pipe.free();
};
/** Reads bytes out of a pipe; how many, 0 when it is empty.  Models pipe_read() that does not wait. */
export function pipe_read(pipe: BorrowedPipe, to: Uint8Array): number {
  const called = "pipe_read()";
  const inode = pipe_inode(pipe, called);
  if (!(to instanceof Uint8Array)) throw new RangeError(`${called}: the buffer is no bytes`);
  let done = 0;
  for (let buffer = inode.ring[0]; buffer && done < to.length; buffer = inode.ring[0]) {
    const len = Math.min(buffer.len, to.length - done);
    to.set(bytes_to_read(inode.machine, buffer_pfn(buffer), buffer.offset, len), done);
    buffer.offset += len;
    buffer.len -= len;
    done += len;
    if (buffer.len > 0) break;
    inode.ring.shift();
    inode.drop(buffer, called);
  }
  return done;
}
