/**
 * Contexts and the mmap_lock.
 *
 * 1. `current` may sleep and has an address space; a kworker may sleep and has none; a softirq must not sleep.
 * 2. What may sleep asks for a context that may; what pins user memory of `current` asks for a task.
 * 3. The mmap_lock is a handle: walks of an address space ask for it while it is held.
 */
import { expectAssignable, expectNotAssignable, expectType } from "tsd";
import {
  alloc_page,
  bio_set_pages_dirty,
  copy_to_user,
  get_user_bvec,
  get_user_bvec_remote,
  get_user_page,
  get_user_pages,
  IS_ERR,
  ITER_DEST,
  ITER_SOURCE,
  mmap_read_lock,
  mmap_read_unlock,
  pin_user_pages,
  pin_user_pages_fast,
  put_user_bvec,
  put_user_bvec_dirty_lock,
  schedule_work,
  set_page_dirty_lock,
  submit_bio_wait,
  ZERO_PAGE,
  type AnyContext,
  type BorrowedPage,
  type LockedMm,
  type Machine,
  type Mm,
  type MmapLock,
  type OwnedMmapLock,
  type Page,
  type PinnedBio,
  type PinnedBvecList,
  type PlainBio,
  type ProcessContext,
  type SoftirqContext,
  type SpentMmapLock,
  type Task,
  type UserAddr,
} from "user-page";

declare function perhaps(): boolean;
declare const bytes: Uint8Array;
type Unlocked = "released by mmap_read_unlock()";

// --- 1. three contexts ------------------------------------------------------------------------------------
export function a_task_is_a_process_context(
  task: Task,
  kworker: ProcessContext,
  softirq: SoftirqContext,
) {
  expectAssignable<ProcessContext>(task);
  expectNotAssignable<Task>(kworker);
  expectNotAssignable<ProcessContext>(softirq);
  expectNotAssignable<SoftirqContext>(task);
  expectAssignable<AnyContext>(softirq);
  expectType<Mm | null>(kworker.mm);
  expectType<Mm>(task.mm);
}
export function unknown_is_no_context(value: unknown, look_alike: { mm: null; pid: number }) {
  expectNotAssignable<AnyContext>(value);
  expectNotAssignable<AnyContext>(look_alike);
  expectNotAssignable<ProcessContext>(null);
}
export function a_machine_is_no_context(machine: Machine) {
  // @ts-expect-error
  alloc_page(machine);
}

// --- 2. who may do what -----------------------------------------------------------------------------------
export function a_kworker_has_no_user_memory(kworker: ProcessContext, addr: UserAddr) {
  // @ts-expect-error whose memory?
  get_user_page(kworker, addr, ITER_SOURCE);
  // @ts-expect-error
  get_user_bvec(kworker, addr, 4096, ITER_SOURCE);
  // @ts-expect-error
  pin_user_pages_fast(kworker, addr, 1, ITER_SOURCE);
  // @ts-expect-error
  copy_to_user(kworker, addr, bytes);
}
export function but_reaches_one_it_is_given(kworker: ProcessContext, mm: Mm, addr: UserAddr) {
  return get_user_bvec_remote(kworker, mm, addr, 4096, ITER_SOURCE);
}
export function a_softirq_does_not_sleep(
  softirq: SoftirqContext,
  mm: Mm,
  addr: UserAddr,
  page: Page,
  pinned: PinnedBio<"dest">,
  plain: PlainBio,
) {
  // @ts-expect-error
  mmap_read_lock(softirq, mm);
  // @ts-expect-error
  alloc_page(softirq);
  // @ts-expect-error
  get_user_page(softirq, addr, ITER_SOURCE);
  // @ts-expect-error
  get_user_bvec_remote(softirq, mm, addr, 4096, ITER_SOURCE);
  // @ts-expect-error
  set_page_dirty_lock(page, softirq);
  // @ts-expect-error
  bio_set_pages_dirty(pinned, softirq);
  // @ts-expect-error
  submit_bio_wait(plain, softirq);
}
export function a_context_of_either_kind_is_asked_first(context: AnyContext) {
  // @ts-expect-error perhaps a softirq
  alloc_page(context);
}
export function any_context_names_its_machine(softirq: SoftirqContext) {
  expectType<BorrowedPage>(ZERO_PAGE(softirq));
}
export function what_sleeps_is_deferred(softirq: SoftirqContext, bvecs: PinnedBvecList<"dest">) {
  schedule_work(softirq, (kworker) => {
    expectType<ProcessContext>(kworker);
    put_user_bvec_dirty_lock(bvecs, kworker);
  });
}
export function deferred_work_is_no_task(current: Task, addr: UserAddr) {
  schedule_work(current, (kworker) => {
    // @ts-expect-error a kworker has no memory of the user's
    get_user_bvec(kworker, addr, 4096, ITER_SOURCE);
  });
}
export function deferred_work_does_not_demand_a_task(current: Task) {
  // @ts-expect-error it will run in a kworker
  schedule_work(current, (task: Task) => {
    perhaps();
    return task.mm;
  });
}
export function released_before_the_work_was_made(current: Task, addr: UserAddr) {
  const bvecs = get_user_bvec(current, addr, 4096, ITER_DEST);
  if (IS_ERR(bvecs)) return;
  put_user_bvec(bvecs);
  schedule_work(current, (kworker) => {
    // @ts-expect-error released
    put_user_bvec_dirty_lock(bvecs, kworker);
  });
}

// --- 3. mmap_lock -----------------------------------------------------------------------------------------
export function locked_walked_unlocked(current: Task, addr: UserAddr) {
  const lock = mmap_read_lock(current, current.mm);
  const pinned = pin_user_pages(lock, addr, 4, ITER_SOURCE);
  mmap_read_unlock(lock);
  return pinned;
}
export function a_walk_needs_the_lock(current: Task, addr: UserAddr) {
  // @ts-expect-error the task is no lock
  pin_user_pages(current, addr, 4, ITER_SOURCE);
  // @ts-expect-error nor is its address space
  get_user_pages(current.mm, addr, 4, 0, null);
}
export function unlocked_is_not_walked(current: Task, addr: UserAddr) {
  const lock = mmap_read_lock(current, current.mm);
  mmap_read_unlock(lock);
  expectType<SpentMmapLock<Unlocked>>(lock);
  // @ts-expect-error
  pin_user_pages(lock, addr, 4, ITER_SOURCE);
  // @ts-expect-error
  get_user_pages(lock, addr, 4, 0, null);
}
export function unlocked_once(lock: MmapLock) {
  mmap_read_unlock(lock);
  // @ts-expect-error
  mmap_read_unlock(lock);
}
export function perhaps_unlocked(current: Task, addr: UserAddr) {
  const lock = mmap_read_lock(current, current.mm);
  if (perhaps()) mmap_read_unlock(lock);
  // @ts-expect-error
  pin_user_pages(lock, addr, 4, ITER_SOURCE);
}
export function a_borrowed_lock_is_not_dropped(lock: LockedMm) {
  // @ts-expect-error whoever took it drops it
  mmap_read_unlock(lock);
}
export function a_lock_in_a_scope(current: Task, addr: UserAddr) {
  using lock = mmap_read_lock(current, current.mm);
  return pin_user_pages(lock, addr, 4, ITER_SOURCE);
}
export function a_lock_is_of_one_address_space(lock: MmapLock) {
  expectType<Mm>(lock.mm);
}
export function spent_shapes_fit_the_live_ones(spent: SpentMmapLock<"x">) {
  expectAssignable<OwnedMmapLock>(spent);
  expectNotAssignable<LockedMm>(spent);
  expectNotAssignable<MmapLock>(spent);
}
