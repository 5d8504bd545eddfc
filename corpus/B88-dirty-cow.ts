/**
 * CVE-2016-5195: the loop of mm/gup.c that faulted a page in to write it dropped FOLL_WRITE for its next round, since the copy
 * was made by then; another thread took the copy away, and the round found the page of the file (commit 19be0eaffa3a keeps
 * the flag).  The walk of this library keeps it.  A driver can write the loop once more: one call faults in, another one
 * takes the page.  With pins, what was taken to be read cannot be written; plain pages have no direction.
 */
import {
  copy_from_user,
  copy_to_user,
  FOLL_FORCE,
  FOLL_WRITE,
  get_user_page,
  get_user_pages_unlocked,
  gup_flags,
  IS_ERR,
  ITER_DEST,
  ITER_SOURCE,
  madvise,
  MADV_DONTNEED,
  MAP_PRIVATE,
  MAP_SHARED,
  memcpy_to_page,
  memfd_create,
  mmap,
  munmap,
  PAGE_SIZE,
  PROT_READ,
  PROT_WRITE,
  put_user_page,
  type UserAddr,
} from "user-page";
import { wrong_pages, type Bench } from "./bench.js";

const STORED = new Uint8Array(PAGE_SIZE).fill(2);
/** Pages of a file that a task changed which may only read it. */
function damaged({ current }: Bench, write: (addr: UserAddr) => void) {
  using file = memfd_create(current, PAGE_SIZE);
  if (IS_ERR(file)) return file;
  const prot = PROT_READ | PROT_WRITE;
  const shared = mmap(current, null, PAGE_SIZE, prot, MAP_SHARED, file)._unsafeUnwrap();
  const before = new Uint8Array(PAGE_SIZE).fill(1);
  copy_to_user(current, shared, before)._unsafeUnwrap();
  const addr = mmap(current, null, PAGE_SIZE, PROT_READ, MAP_PRIVATE, file)._unsafeUnwrap();
  write(addr);
  munmap(current, addr, PAGE_SIZE)._unsafeUnwrap();
  const after = new Uint8Array(PAGE_SIZE);
  copy_from_user(current, after, shared)._unsafeUnwrap();
  munmap(current, shared, PAGE_SIZE)._unsafeUnwrap();
  return wrong_pages(after, before);
}
/** The copy is made; then another thread takes it away. */
function fault_in({ current }: Bench, addr: UserAddr) {
  get_user_pages_unlocked(current, addr, 1, null, gup_flags(FOLL_WRITE, FOLL_FORCE));
  madvise(current, addr, PAGE_SIZE, MADV_DONTNEED)._unsafeUnwrap();
}
export function wrong(bench: Bench) {
  return damaged(bench, (addr) => {
    fault_in(bench, addr);
    const page = get_user_page(bench.current, addr, ITER_SOURCE, FOLL_FORCE);
    if (IS_ERR(page)) return;
    // @ts-expect-error pinned to be read
    memcpy_to_page(page, 0, STORED);
    put_user_page(page);
  });
}

export function right(bench: Bench) {
  return damaged(bench, (addr) => {
    fault_in(bench, addr);
    const page = get_user_page(bench.current, addr, ITER_DEST, FOLL_FORCE);
    if (IS_ERR(page)) return;
    memcpy_to_page(page, 0, STORED);
    put_user_page(page);
  });
}
