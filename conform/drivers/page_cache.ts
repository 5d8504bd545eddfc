// The page cache of one file: plain references on kernel pages, and bytes that are copied to and from user memory.
import {
  alloc_page,
  blkdev_direct_IO,
  copy_from_iter,
  copy_to_iter,
  fault_in_iov_iter_readable,
  IS_ERR,
  iov_iter_bvec,
  iov_iter_count,
  ITER_DEST,
  ITER_SOURCE,
  memcpy_from_page,
  memcpy_to_page,
  PAGE_SIZE,
  put_page,
  splice_folio_into_pipe,
  type BlockDevice,
  type BorrowedPipe,
  type ErrnoName,
  type IovIter,
  type OwnedPage,
  type Task,
} from "user-page";
import type { FileLayout } from "../scenario.js";

/** Bytes, or the errno. */
type Outcome = number | ErrnoName;
interface Cached {
  readonly page: OwnedPage;
  dirty: boolean;
}
const ZEROES = new Uint8Array(PAGE_SIZE);

/** Models struct address_space, filemap_read() and generic_perform_write(); each byte of the file has the same place on the disk. */
export class PageCache {
  /** null: the pages are all there is, as on tmpfs */
  readonly #disk: BlockDevice | null;
  readonly #pages = new Map<number, Cached>();
  /** pages that have a block */
  readonly #blocks = new Set<number>();
  i_size: number;

  constructor(disk: BlockDevice | null, { size, extents }: FileLayout) {
    this.#disk = disk;
    this.i_size = size;
    let index = 0;
    for (const { bytes, state } of extents) {
      const end = index + Math.ceil(bytes / PAGE_SIZE);
      for (; index < end; index++) if (state === "written") this.#blocks.add(index);
    }
  }
  /** Reads what the iterator has room for, as far as the file and the memory go. */
  read(current: Task, iter: IovIter<"dest">, pos: number): Outcome {
    let done = 0;
    while (iov_iter_count(iter) > 0 && pos + done < this.i_size) {
      const offset = (pos + done) % PAGE_SIZE;
      const here = Math.min(PAGE_SIZE - offset, this.i_size - pos - done, iov_iter_count(iter));
      const found = this.#folio(current, Math.floor((pos + done) / PAGE_SIZE), true);
      if (typeof found === "string") return done || found;
      const bytes = new Uint8Array(here);
      memcpy_from_page(bytes, found.page, offset);
      const copied = copy_to_iter(bytes, iter, current);
      if (copied.isErr()) return done || copied.error.errno;
      done += copied.value;
    }
    return done;
  }
  /** Writes what the iterator has, as far as the memory goes. */
  write(current: Task, iter: IovIter<"source">, pos: number): Outcome {
    let done = 0;
    while (iov_iter_count(iter) > 0) {
      const want = Math.min(PAGE_SIZE - ((pos + done) % PAGE_SIZE), iov_iter_count(iter));
      // Before the page is locked, as in the kernel: a fault might need this very page.
      const here = want - fault_in_iov_iter_readable(iter, want, current);
      if (here === 0) return done || "EFAULT";
      const bytes = new Uint8Array(here);
      const copied = copy_from_iter(bytes, iter, current);
      if (copied.isErr()) return done || copied.error.errno;
      const stored = this.write_bytes(current, bytes.subarray(0, copied.value), pos + done);
      if (typeof stored === "string") return done || stored;
      done += stored;
    }
    return done;
  }
  /** The same of bytes that the kernel has. */
  write_bytes(current: Task, bytes: Uint8Array, pos: number): Outcome {
    for (let done = 0; done < bytes.length;) {
      const at = pos + done;
      const offset = at % PAGE_SIZE;
      const here = Math.min(PAGE_SIZE - offset, bytes.length - done);
      // What is overwritten whole need not be read.
      const whole = offset === 0 && (here === PAGE_SIZE || at + here >= this.i_size);
      const found = this.#folio(current, Math.floor(at / PAGE_SIZE), !whole);
      if (typeof found === "string") return done || found;
      memcpy_to_page(found.page, offset, bytes.subarray(done, done + here));
      found.dirty = true;
      done += here;
      this.i_size = Math.max(this.i_size, pos + done);
    }
    return bytes.length;
  }
  /** Puts pages of the file into a pipe, which holds references of its own: splice(2). */
  splice_read(current: Task, pipe: BorrowedPipe, pos: number, len: number): Outcome {
    const end = Math.min(pos + len, this.i_size);
    let at = pos;
    while (at < end) {
      const offset = at % PAGE_SIZE;
      const found = this.#folio(current, Math.floor(at / PAGE_SIZE), true);
      if (typeof found === "string") return at - pos || found;
      const here = Math.min(PAGE_SIZE - offset, end - at);
      if (splice_folio_into_pipe(pipe, found.page, here, offset) === 0) break;
      at += here;
    }
    return at - pos;
  }
  /** Writes what is dirty to the disk.  Models filemap_write_and_wait(). */
  write_and_wait(current: Task): ErrnoName | null {
    for (const [index, cached] of this.#pages) {
      if (!cached.dirty || !this.#disk) continue;
      const iter = iov_iter_bvec(ITER_SOURCE, [{ page: cached.page, offset: 0, len: PAGE_SIZE }]);
      const done = blkdev_direct_IO(current, { ki_pos: index * PAGE_SIZE }, iter, this.#disk);
      if (done.isErr()) return done.error.errno;
      this.#blocks.add(index);
      cached.dirty = false;
    }
    return null;
  }
  /** Clean pages leave.  Models invalidate_inode_pages2_range(). */
  invalidate(): void {
    for (const [index, cached] of this.#pages) {
      if (cached.dirty) continue;
      this.#pages.delete(index);
      put_page(cached.page);
    }
  }
  /** All leave, dirty or not. */
  drop(): void {
    for (const { page } of this.#pages.values()) put_page(page);
    this.#pages.clear();
  }
  /** The page at `index`; with `read` as the disk has it, or zeroes. */
  #folio(current: Task, index: number, read: boolean): Cached | ErrnoName {
    const found = this.#pages.get(index);
    if (found) return found;
    const page = alloc_page(current);
    if (IS_ERR(page)) return page.errno;
    memcpy_to_page(page, 0, ZEROES);
    if (read && this.#disk && this.#blocks.has(index)) {
      const iter = iov_iter_bvec(ITER_DEST, [{ page, offset: 0, len: PAGE_SIZE }]);
      const done = blkdev_direct_IO(current, { ki_pos: index * PAGE_SIZE }, iter, this.#disk);
      if (done.isErr()) {
        put_page(page);
        return done.error.errno;
      }
    }
    const cached = { page, dirty: false };
    this.#pages.set(index, cached);
    return cached;
  }
}
