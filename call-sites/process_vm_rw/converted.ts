// process_vm_readv() and process_vm_writev(), converted: pins whose direction is in their type, and may be short.
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
  pages_are_dest,
  pin_user_pages_remote,
  put_user_pages,
  put_user_pages_dirty_lock,
  ERR_PTR,
  u64_to_user_ptr,
  user_ptr_add,
  type BorrowedDestPage,
  type BorrowedUserPage,
  type GupError,
  type Mm,
  type Task,
  type UserAddr,
} from "user-page";

/** A range of the other address space. */
export interface RemoteIovec {
  readonly iov_base: UserAddr;
  readonly iov_len: number;
}
/** The local range, and how far it is copied. */
interface LocalIter {
  readonly addr: UserAddr;
  copied: number;
}
/** As many page pointers as two pages of kernel memory hold. */
const MAX_BATCH = (2 * PAGE_SIZE) / 8;

/** Copies by pages of the local side, each of which may fault; false when one did. */
function copy_local(iter: LocalIter, len: number, copy: LocalCopy): boolean {
  for (let done = 0; done < len;) {
    const at = user_ptr_add(iter.addr, iter.copied);
    const n = Math.min(PAGE_SIZE - (at % PAGE_SIZE), len - done);
    if (!copy(at, done, n)) return false;
    iter.copied += n;
    done += n;
  }
  return true;
}
type LocalCopy = (at: UserAddr, done: number, n: number) => boolean;

function copy_page_to_iter(
  current: Task,
  page: BorrowedUserPage,
  offset: number,
  len: number,
  iter: LocalIter,
): boolean {
  const bytes = new Uint8Array(len);
  memcpy_from_page(bytes, page, offset);
  return copy_local(iter, len, (at, done, n) =>
    copy_to_user(current, at, bytes.subarray(done, done + n)).isOk(),
  );
}
function copy_page_from_iter(
  current: Task,
  page: BorrowedDestPage,
  offset: number,
  len: number,
  iter: LocalIter,
): boolean {
  const bytes = new Uint8Array(len);
  const all = copy_local(iter, len, (at, done, n) =>
    copy_from_user(current, bytes.subarray(done, done + n), at).isOk(),
  );
  if (all) memcpy_to_page(page, offset, bytes);
  return all;
}

function process_vm_rw_single_vec(
  current: Task,
  mm: Mm,
  { iov_base, iov_len }: RemoteIovec,
  iter: LocalIter,
  vm_write: boolean,
): GupError | null {
  const dir = vm_write ? ITER_DEST : ITER_SOURCE;
  let offset = iov_base % PAGE_SIZE;
  let pa = u64_to_user_ptr(iov_base - offset);
  let left = iov_len;
  while (left > 0) {
    const nr = Math.min(MAX_BATCH, Math.ceil((offset + left) / PAGE_SIZE));
    const lock = mmap_read_lock(current, mm);
    const pinned = pin_user_pages_remote(lock, pa, nr, dir);
    mmap_read_unlock(lock);
    if (IS_ERR(pinned)) return pinned;
    const pages = IS_SHORT(pinned) ? pinned.partial : pinned;
    const got = pages.length;
    let all = true;
    if (pages_are_dest(pages, dir)) {
      for (const page of pages) {
        const n = Math.min(PAGE_SIZE - offset, left);
        all &&= copy_page_from_iter(current, page, offset, n, iter);
        left -= n;
        offset = 0;
      }
      put_user_pages_dirty_lock(pages, current);
    } else {
      for (const page of pages) {
        const n = Math.min(PAGE_SIZE - offset, left);
        all &&= copy_page_to_iter(current, page, offset, n, iter);
        left -= n;
        offset = 0;
      }
      put_user_pages(pages);
    }
    if (!all) return ERR_PTR("EFAULT", "the local side cannot be accessed");
    pa = user_ptr_add(pa, got * PAGE_SIZE);
  }
  return null;
}

/**
 * Copies between the current task and another address space.
 *
 * @returns the bytes copied before a fault of either side; the error, with its reason, if there are none
 */
export function process_vm_rw(
  current: Task,
  mm: Mm,
  vm_write: boolean,
  local: UserAddr,
  remote: readonly RemoteIovec[],
): number | GupError {
  const iter: LocalIter = { addr: local, copied: 0 };
  for (const iov of remote) {
    const error = process_vm_rw_single_vec(current, mm, iov, iter, vm_write);
    if (error) return iter.copied > 0 ? iter.copied : error;
  }
  return iter.copied;
}
