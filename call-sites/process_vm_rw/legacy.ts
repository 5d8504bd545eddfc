// process_vm_readv() and process_vm_writev() as they were before they pinned: plain references on the other task's pages.
import {
  copy_from_user,
  copy_to_user,
  ERRNO,
  FOLL_WRITE,
  get_user_pages_remote,
  memcpy_from_page,
  memcpy_to_page,
  mmap_read_lock,
  mmap_read_unlock,
  PAGE_SIZE,
  put_page,
  set_page_dirty_lock,
  u64_to_user_ptr,
  user_ptr_add,
  type BorrowedPage,
  type GetFlags,
  type Mm,
  type Page,
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
  page: BorrowedPage,
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
  page: BorrowedPage,
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
  gup_flags: GetFlags | 0,
): number {
  let offset = iov_base % PAGE_SIZE;
  let pa = u64_to_user_ptr(iov_base - offset);
  let left = iov_len;
  while (left > 0) {
    const nr = Math.min(MAX_BATCH, Math.ceil((offset + left) / PAGE_SIZE));
    const pages: Page[] = [];
    const lock = mmap_read_lock(current, mm);
    const got = get_user_pages_remote(lock, pa, nr, gup_flags, pages);
    mmap_read_unlock(lock);
    // Whatever the reason was, the caller sees EFAULT.
    if (got <= 0) return -ERRNO.EFAULT;
    let all = true;
    for (const page of pages) {
      const n = Math.min(PAGE_SIZE - offset, left);
      const copy = vm_write ? copy_page_from_iter : copy_page_to_iter;
      all &&= copy(current, page, offset, n, iter);
      left -= n;
      offset = 0;
    }
    for (const page of pages) {
      if (vm_write) set_page_dirty_lock(page, current);
      put_page(page);
    }
    if (!all) return -ERRNO.EFAULT;
    pa = user_ptr_add(pa, got * PAGE_SIZE);
  }
  return 0;
}

/**
 * Copies between the current task and another address space.
 *
 * @returns the bytes copied before a fault of either side; -EFAULT if there are none
 */
export function process_vm_rw(
  current: Task,
  mm: Mm,
  vm_write: boolean,
  local: UserAddr,
  remote: readonly RemoteIovec[],
): number {
  const iter: LocalIter = { addr: local, copied: 0 };
  const gup_flags = vm_write ? FOLL_WRITE : 0;
  for (const iov of remote) {
    const rc = process_vm_rw_single_vec(current, mm, iov, iter, vm_write, gup_flags);
    if (rc < 0) return iter.copied > 0 ? iter.copied : rc;
  }
  return iter.copied;
}

/**
 * The hazard: the two facts "we write" and FOLL_WRITE are separate arguments, and here the second is forgotten.  Nothing
 * breaks copy-on-write, so the bytes land in whatever page is shared: the zero page of everybody.
 */
export function process_vm_writev_without_foll_write(
  current: Task,
  mm: Mm,
  local: UserAddr,
  remote: readonly RemoteIovec[],
): number {
  const iter: LocalIter = { addr: local, copied: 0 };
  for (const iov of remote) process_vm_rw_single_vec(current, mm, iov, iter, true, 0);
  return iter.copied;
}
