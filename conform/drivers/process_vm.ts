// process_vm_readv() and process_vm_writev(), as Linux has them: the remote side is pinned in batches.
import {
  copy_from_user,
  copy_to_user,
  IS_ERR,
  IS_SHORT,
  ITER_DEST,
  ITER_SOURCE,
  memcpy_from_page,
  memcpy_to_page,
  mmap_read_lock,
  mmap_read_unlock,
  PAGE_SIZE,
  pin_user_pages_remote,
  put_user_pages,
  put_user_pages_dirty_lock,
  u64_to_user_ptr,
  user_ptr_add,
  type BorrowedDestPage,
  type BorrowedUserPage,
  type Dir,
  type Mm,
  type PinResult,
  type Task,
  type UserAddr,
} from "user-page";
import type { Outcome } from "./file.js";

/** Page pointers fit into two pages of kernel memory. */
const MAX_BATCH = (2 * PAGE_SIZE) / 8;

export interface RemotePart {
  readonly addr: UserAddr;
  readonly len: number;
}
/** Where the local side is. */
interface Cursor {
  addr: UserAddr;
}
/** Copies `len` bytes page by page of the local side; false at a local fault. */
function copy(
  cursor: Cursor,
  len: number,
  move: (at: UserAddr, done: number, n: number) => boolean,
) {
  for (let done = 0; done < len;) {
    const n = Math.min(PAGE_SIZE - (cursor.addr % PAGE_SIZE), len - done);
    if (!move(cursor.addr, done, n)) return false;
    cursor.addr = user_ptr_add(cursor.addr, n);
    done += n;
  }
  return true;
}
function pin<D extends Dir>(
  current: Task,
  mm: Mm,
  page: UserAddr,
  nr: number,
  dir: D,
): PinResult<D, "short"> {
  const lock = mmap_read_lock(current, mm);
  const pinned = pin_user_pages_remote(lock, page, nr, dir);
  mmap_read_unlock(lock);
  return pinned;
}
/** Pages of a batch that were pinned, and whether their bytes could all be copied. */
interface Batch {
  readonly pinned: number;
  readonly copied: boolean;
}
type Pieces = (pages: number) => Array<[offset: number, len: number]>;

function read_batch(
  current: Task,
  mm: Mm,
  page: UserAddr,
  nr: number,
  cursor: Cursor,
  pieces: Pieces,
): Batch {
  const found = pin(current, mm, page, nr, ITER_SOURCE);
  if (IS_ERR(found)) return { pinned: 0, copied: false };
  const pages = IS_SHORT(found) ? found.partial : found;
  const pinned = pages.length;
  const copied = pieces(pinned).every(([offset, len], i) => {
    const from: BorrowedUserPage = pages[i]!;
    const bytes = new Uint8Array(len);
    memcpy_from_page(bytes, from, offset);
    return copy(cursor, len, (at, done, n) =>
      copy_to_user(current, at, bytes.subarray(done, done + n)).isOk(),
    );
  });
  put_user_pages(pages);
  return { pinned, copied };
}
function write_batch(
  current: Task,
  mm: Mm,
  page: UserAddr,
  nr: number,
  cursor: Cursor,
  pieces: Pieces,
): Batch {
  const found = pin(current, mm, page, nr, ITER_DEST);
  if (IS_ERR(found)) return { pinned: 0, copied: false };
  const pages = IS_SHORT(found) ? found.partial : found;
  const pinned = pages.length;
  const copied = pieces(pinned).every(([offset, len], i) => {
    const to: BorrowedDestPage = pages[i]!;
    const bytes = new Uint8Array(len);
    const all = copy(cursor, len, (at, done, n) =>
      copy_from_user(current, bytes.subarray(done, done + n), at).isOk(),
    );
    if (all) memcpy_to_page(to, offset, bytes);
    return all;
  });
  put_user_pages_dirty_lock(pages, current);
  return { pinned, copied };
}
/**
 * Copies between the current task and another address space.
 *
 * @param write - into the other one
 * @param local - one contiguous range, as long as the parts together
 * @returns the bytes copied until a fault of either side; EFAULT if that is none
 */
export function process_vm_rw(
  current: Task,
  mm: Mm,
  write: boolean,
  local: UserAddr,
  parts: readonly RemotePart[],
): Outcome {
  const cursor: Cursor = { addr: local };
  const copied = (): number => cursor.addr - local;
  for (const { addr, len } of parts) {
    const before = copied();
    for (let done = 0; done < len; done = copied() - before) {
      const at = user_ptr_add(addr, done);
      const start = at % PAGE_SIZE;
      const nr = Math.min(MAX_BATCH, Math.ceil((start + len - done) / PAGE_SIZE));
      const pieces: Pieces = (pages) =>
        Array.from({ length: pages }, (_, i) => {
          const offset = i === 0 ? start : 0;
          const left = len - done - (i === 0 ? 0 : i * PAGE_SIZE - start);
          return [offset, Math.min(PAGE_SIZE - offset, left)];
        });
      const page = u64_to_user_ptr(at - start);
      const batch = (write ? write_batch : read_batch)(current, mm, page, nr, cursor, pieces);
      if (batch.pinned === 0 || !batch.copied) return copied() > 0 ? copied() : "EFAULT";
    }
  }
  return copied();
}
