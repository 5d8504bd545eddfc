/**
 * user-page: the typed reference API for pinned user pages, and a machine to run it on.
 * @packageDocumentation
 */

export type { Narrows } from "./handle/affine.js";
export type { Pfn, UserAddr } from "./handle/addr.js";
export type * from "./handle/bio.js";
export type * from "./handle/bvec.js";
export type * from "./handle/context.js";
export {
  ERRNO,
  ERR_PTR,
  errno_code,
  IS_ERR,
  PTR_ERR,
  type BlkError,
  type Errno,
  type ErrnoName,
  type GupError,
  type MmError,
  type OpenError,
} from "./handle/errno.js";
export type * from "./handle/gup_flags.js";
export { ENDS, KINDS, MISUSE, type EndedBy, type Kind, type MisuseId } from "./handle/kinds.js";
export { ITER_DEST, ITER_SOURCE } from "./handle/page.js";
export type * from "./handle/page.js";

export { boot, shutdown, type MachineOptions, type ShutdownReport } from "./boot.js";
export type { DebugLevel } from "./debug/debug.js";
export { flush_work, kill_task, run_softirqs, schedule_work } from "./machine/context.js";
export {
  BIO_MAX_VECS,
  GUP_PIN_COUNTING_BIAS,
  HPAGE_PMD_NR,
  HPAGE_PMD_ORDER,
  MAX_PAGE_ORDER,
  PAGE_SHIFT,
  PAGE_SIZE,
  PMD_SIZE,
  SECTOR_SIZE,
  TASK_SIZE,
} from "./machine/limits.js";
export { dmesg, misuse_reports, vmstat, type VmStat } from "./machine/machine.js";
export { format_report, MisuseError, type MisuseReport } from "./machine/misuse.js";
export type { HeldReference } from "./machine/probe.js";

export { __free, no_free_ptr, type LentOf, type Scope } from "./mm/cleanup.js";
export {
  get_user_pages,
  get_user_pages_fast,
  get_user_pages_remote,
  get_user_pages_unlocked,
  set_page_dirty_lock,
} from "./mm/get_user_pages.js";
export {
  FOLL_ANON,
  FOLL_FORCE,
  FOLL_GET,
  FOLL_HWPOISON,
  FOLL_INTERRUPTIBLE,
  FOLL_LONGTERM,
  FOLL_NOFAULT,
  FOLL_NOWAIT,
  FOLL_PCI_P2PDMA,
  FOLL_SPLIT_PMD,
  FOLL_WRITE,
  gup_flags,
  gup_flags_from,
} from "./mm/gup_flags.js";
export { memcpy_from_bvec, memcpy_from_page, memcpy_to_bvec, memcpy_to_page } from "./mm/kmap.js";
export {
  MADV_DONTNEED,
  MADV_FREE,
  MADV_HUGEPAGE,
  MADV_NOHUGEPAGE,
  MADV_POPULATE_READ,
  MADV_POPULATE_WRITE,
  MAP_ANONYMOUS,
  MAP_FIXED,
  MAP_FIXED_NOREPLACE,
  MAP_PRIVATE,
  MAP_SHARED,
  PROT_EXEC,
  PROT_NONE,
  PROT_READ,
  PROT_WRITE,
} from "./mm/mm_types.js";
export { create_task, exit_task, mmap, munmap, u64_to_user_ptr, user_ptr_add } from "./mm/mmap.js";
export { madvise, mprotect } from "./mm/mprotect.js";
export { mmap_read_lock, mmap_read_unlock } from "./mm/mmap_lock.js";
export {
  folio_get,
  folio_maybe_dma_pinned,
  folio_order,
  folio_page,
  folio_pincount,
  folio_put,
  folio_ref_count,
  page_folio,
  try_get_folio,
} from "./mm/folio.js";
export {
  get_page,
  get_page_unless_zero,
  is_zero_page,
  page_mapcount,
  page_ref_count,
  page_ref_freeze,
  page_ref_unfreeze,
  page_to_pfn,
  pfn_to_page,
  put_page,
  try_get_page,
} from "./mm/page.js";
export { assert_held, folio_add_pin, page_to_user_page, ZERO_PAGE } from "./mm/page_pin.js";
export { alloc_page, folio_alloc, fragment_memory, type Fragmentation } from "./mm/page_alloc.js";
export {
  get_user_page,
  pin_user_pages,
  pin_user_pages_fast,
  pin_user_pages_remote,
  pin_user_pages_unlocked,
} from "./mm/pin_user_pages.js";
export { memfd_create, MFD_HUGE } from "./mm/shmem.js";
export { copy_from_user, copy_to_user } from "./mm/uaccess.js";
export { put_user_page, unpin_user_folio, unpin_user_page } from "./mm/unpin.js";
export {
  put_user_pages,
  put_user_pages_dirty_lock,
  unpin_user_page_range_dirty_lock,
  unpin_user_pages,
  unpin_user_pages_dirty_lock,
} from "./mm/unpin_pages.js";
export {
  get_user_bvec,
  get_user_bvec_remote,
  is_dest,
  pop_user_bvec,
  put_user_bvec,
  put_user_bvec_dirty_lock,
  split_user_bvec,
  zero_user_bvec,
} from "./mm/user_bvec.js";
export { all_or_none, IS_SHORT, pages_are_dest } from "./mm/user_pages.js";
export {
  vaddr_pin_pages,
  vaddr_unpin_pages,
  vaddr_unpin_pages_dirty_lock,
  VaddrPin,
} from "./mm/vaddr_pin.js";

export {
  bio_add_page,
  bio_add_user_bvec,
  bio_add_user_bvecs,
  bio_add_user_page,
  bio_alloc,
  bio_alloc_pinned,
  bio_check_pages_dirty,
  bio_error,
  bio_for_each_segment_all,
  bio_is_pinned,
  bio_put,
  bio_release_pages,
  bio_set_end_io,
  bio_set_pages_dirty,
} from "./block/bio.js";
export { submit_bio, submit_bio_wait } from "./block/blk-core.js";
export { brd_alloc } from "./block/brd.js";
export { loop_configure } from "./block/loop.js";
export {
  direct_io,
  direct_io_pages,
  direct_io_pages_async,
  type FaultRule,
  type Kiocb,
} from "./fs/direct_io.js";
