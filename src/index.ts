/**
 * user-page: the typed reference API for pinned user pages, and a machine to run it on.
 * @packageDocumentation
 */

export type { Narrows } from "./handle/affine.js";
export type { Pfn, UserAddr } from "./handle/addr.js";
export type * from "./handle/bio.js";
export type * from "./handle/bvec.js";
export type * from "./handle/cma.js";
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
  type UvError,
} from "./handle/errno.js";
export type * from "./handle/gup_flags.js";
export { ENDS, KINDS, MISUSE, type EndedBy, type Kind, type MisuseId } from "./handle/kinds.js";
export type * from "./handle/iov_iter.js";
export { ITER_DEST, ITER_SOURCE } from "./handle/page.js";
export type * from "./handle/page.js";
export type * from "./handle/secure.js";

export { boot, shutdown, type MachineOptions, type ShutdownReport } from "./boot.js";
export { driver_world, type Driver, type DriverWorld, type DriverWorldOptions } from "./driver.js";
export { inject_each, type InjectionOptions, type InjectionProgress } from "./inject.js";
export {
  format_injection,
  type FindingKind,
  type InjectionFinding,
  type InjectionReport,
  type InjectionRun,
  type SkippedPoints,
} from "./inject_report.js";
export type { DebugLevel } from "./debug/debug.js";
export { WouldSpin } from "./machine/arch.js";
export {
  injection,
  without_faults,
  type InjectedFault,
  type Injection,
} from "./machine/fault-inject.js";
export {
  FAULT_CAPABILITIES,
  type FaultCapability,
  type FaultName,
  type FaultValue,
} from "./machine/fault_spec.js";
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
export { vmstat, type VmStat } from "./machine/vmstat.js";
export { dmesg, misuse_reports } from "./machine/dmesg.js";
export {
  format_leak,
  format_leaks,
  group_leaks,
  leaks,
  type LeakGroup,
  type LeakReport,
} from "./machine/leaks.js";
export {
  format_report,
  MisuseError,
  type Counts,
  type Fact,
  type MisuseReport,
  type OtherReference,
  type PageCounts,
  type Step,
} from "./machine/misuse.js";
export type { HeldReference } from "./machine/probe.js";
export { all_thrown, first_thrown } from "./machine/thrown.js";
export {
  observe,
  on_preemption,
  PREEMPTION_POINTS,
  type Observer,
  type OtherCpu,
  type PageEvent,
  type PageEventName,
  type PreemptionPoint,
} from "./machine/trace.js";
export { TRACE_EVENTS, type TraceEventName, type TraceFields } from "./machine/trace_events.js";
export type { TraceEvent, TraceEventOf, Tracer } from "./machine/tracepoint.js";

export { make_accessible } from "./mm/accessible.js";
export { __free, no_free_ptr, type LentOf, type Scope } from "./mm/cleanup.js";
export { cma_alloc, cma_page, cma_release } from "./mm/cma.js";
export { dax_file } from "./mm/dax.js";
export {
  get_user_pages,
  get_user_pages_fast,
  get_user_pages_remote,
  get_user_pages_unlocked,
  set_page_dirty,
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
export type { FileError } from "./mm/filemap.js";
export { fork } from "./mm/fork.js";
export { try_to_merge_one_page, type KsmError } from "./mm/ksm.js";
export { folio_is_longterm_pinnable } from "./mm/migrate.js";
export {
  account_locked_vm,
  account_pinned_vm,
  CAP_IPC_LOCK,
  capset,
  io_account_mem,
  locked_memory,
  RLIM_INFINITY,
  RLIMIT_MEMLOCK,
  setrlimit,
  unaccount_mem,
  xdp_umem_account_pages,
  type LockedMemory,
  type LockLimit,
} from "./mm/mlock.js";
export {
  MADV_DOFORK,
  MADV_DONTFORK,
  MADV_DONTNEED,
  MADV_FREE,
  MADV_HUGEPAGE,
  MADV_NOHUGEPAGE,
  MADV_PAGEOUT,
  MADV_POPULATE_READ,
  MADV_POPULATE_WRITE,
  MAP_ANONYMOUS,
  MAP_FIXED,
  MAP_FIXED_NOREPLACE,
  MAP_POPULATE,
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
export { io_buffer_account_pin } from "./mm/rsrc.js";
export { memfd_create, MFD_HUGE } from "./mm/shmem.js";
export { split_folio } from "./mm/split_folio.js";
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
  DEFAULT_POLICY,
  WRITEBACK_POLICIES,
  type PolicyName,
  type WritebackPolicy,
  type WritebackStats,
} from "./mm/writeback_policy.js";
export {
  check_objectives,
  OBJECTIVES,
  type Objective,
  type ObjectivesCheck,
  type Violation,
} from "./mm/objectives.js";

export { copy_from_iter, copy_to_iter, iov_iter_zero } from "./lib/iov_copy.js";
export {
  dup_iter,
  iov_iter_advance,
  iov_iter_alignment,
  iov_iter_count,
  iov_iter_extract_will_pin,
  iov_iter_is_bvec,
  iov_iter_is_dest,
  iov_iter_is_kernel,
  iov_iter_is_kvec,
  iov_iter_is_source,
  iov_iter_npages,
  iov_iter_reexpand,
  iov_iter_revert,
  iov_iter_rw,
  iov_iter_single_seg_count,
  iov_iter_truncate,
  iter_is_iovec,
  iter_is_ubuf,
  user_backed_iter,
} from "./lib/iov_iter.js";
export { iov_iter_extract_bvecs } from "./lib/iov_iter_bvecs.js";
export { fault_in_iov_iter_readable, fault_in_iov_iter_writeable } from "./lib/iov_fault_in.js";
export {
  iov_iter_bvec,
  iov_iter_discard,
  iov_iter_folio_queue,
  iov_iter_init,
  iov_iter_kvec,
  iov_iter_pipe,
  iov_iter_ubuf,
  iov_iter_xarray,
} from "./lib/iov_iter_init.js";
export {
  iov_iter_extract_pages,
  iov_iter_get_pages2,
  iov_iter_put_pages,
  is_pinned,
  pop_iter_page,
} from "./lib/iov_iter_pages.js";
export { alloc_pipe_info, free_pipe_info, pipe_read } from "./lib/pipe.js";
export { splice_folio_into_pipe, tee } from "./lib/splice.js";
export { vfree, vmalloc, vmalloc_to_page } from "./lib/vmalloc.js";

export { queue_limits_set, disk_stats } from "./block/bdev.js";
export {
  __bio_add_page,
  bio_add_page,
  bio_add_user_bvec,
  bio_add_user_bvecs,
  bio_add_user_page,
  bio_alloc,
  bio_alloc_borrowing,
  bio_alloc_pinned,
} from "./block/bio.js";
export {
  bio_alloc_any,
  bio_try_add_page,
  bio_try_add_user_bvec,
  bio_try_add_user_page,
} from "./block/bio_any.js";
export { secure_bio_add_page, secure_rw_page } from "./block/bio_accessible.js";
export { bio_alloc_clone, bio_chain, bio_split } from "./block/bio_clone.js";
export {
  bio_error,
  bio_for_each_bvec_all,
  bio_for_each_segment_all,
  bio_is_pinned,
  bio_set_end_io,
  bio_set_end_io_pair,
  end_io_pair,
} from "./block/bio_end_io.js";
export { bio_iov_bvec_set, bio_iov_iter_get_pages } from "./block/bio_iov_iter.js";
export {
  bio_check_pages_dirty,
  bio_put,
  bio_release_pages,
  bio_set_pages_dirty,
} from "./block/bio_pages.js";
export {
  blk_finish_plug,
  blk_start_plug,
  submit_bio,
  submit_bio_wait,
  type Plug,
} from "./block/blk-core.js";
export { dm_flakey, flakey_seed, type FlakeyRates } from "./block/dm-flakey.js";
export { brd_alloc } from "./block/brd.js";
export { LO_FLAGS_DIRECT_IO, LO_FLAGS_READ_ONLY, loop_configure } from "./block/loop.js";

export { blkdev_direct_IO, direct_io, direct_io_pages } from "./fs/direct_io.js";
export type { DioError, DioOptions, DioResult, Kiocb, RunError } from "./fs/dio.js";
export { iomap_dio_rw, type Iomap, type IomapFile, type Queued } from "./fs/iomap.js";
export {
  mkfs_cowfs,
  mount_cowfs,
  vfs_statfs,
  writeback_stats,
  type MountOptions,
  type Statfs,
} from "./fs/cowfs.js";
export {
  FALLOC_FL_KEEP_SIZE,
  FALLOC_FL_PUNCH_HOLE,
  filp_open,
  O_CREAT,
  vfs_fallocate,
  vfs_truncate,
} from "./fs/open.js";
export {
  filemap_flush,
  invalidate_mapping_pages,
  kernel_read,
  kernel_write,
  scrub,
  sync_filesystem,
  vfs_fsync,
  type Corruption,
} from "./fs/read_write.js";
export { proc_meminfo } from "./fs/proc/meminfo.js";
export { proc_kpagecount, proc_kpageflags } from "./fs/proc/page.js";
export { proc_page_owner } from "./fs/proc/page_owner.js";
export { proc_maps, proc_pagemap, proc_smaps, proc_status } from "./fs/proc/task_mmu.js";
export { proc_buddyinfo, proc_vmstat } from "./fs/proc/vmstat.js";

export type { UvAnswer, UvCall, UvPlan, UvStat } from "./arch/s390/ultravisor.js";
export {
  gmap_convert_to_secure,
  make_folio_secure,
  setup_uv,
  uv_set_shared,
  uv_stat,
} from "./arch/s390/uv.js";

export type { ChromeEvent, ChromeTrace } from "./trace/chrome.js";
export { trace_machine } from "./trace/trace_machine.js";
export { start_trace, type TraceOptions, type Tracing } from "./trace/tracing.js";
