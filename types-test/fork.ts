/**
 * fork() and splitting.
 *
 * 1. Only a task has an address space to copy; the child is a task that a `using` block ends.
 * 2. A folio is split by who owns a reference on it: a lent one would leave its owner's reference on another page.
 */
import type { Result } from "neverthrow";
import { expectAssignable, expectNotAssignable, expectType } from "tsd";
import {
  exit_task,
  folio_alloc,
  folio_put,
  fork,
  get_user_page,
  IS_ERR,
  ITER_SOURCE,
  page_folio,
  put_user_page,
  split_folio,
  try_to_merge_one_page,
  type Errno,
  type ForkedTask,
  type KsmError,
  type Page,
  type ProcessContext,
  type SoftirqContext,
  type Task,
  type UserAddr,
} from "user-page";

// --- 1. tasks ---------------------------------------------------------------------------------------------
export function a_child_is_a_task(current: Task, buf: UserAddr) {
  const child = fork(current);
  expectType<ForkedTask | Errno<"ENOMEM">>(child);
  if (IS_ERR(child)) return;
  expectAssignable<Task>(child);
  expectAssignable<Disposable>(child);
  expectNotAssignable<Disposable>(current);
  const pin = get_user_page(child, buf, ITER_SOURCE);
  if (IS_ERR(pin)) return;
  put_user_page(pin);
  exit_task(child);
}
export function the_end_of_a_block_ends_the_child(current: Task) {
  using child = fork(current);
  if (IS_ERR(child)) return;
  using grandchild = fork(child);
  expectAssignable<ForkedTask | Errno>(grandchild);
}
export function without_a_look_at_the_answer_there_is_no_child(current: Task, buf: UserAddr) {
  const child = fork(current);
  // @ts-expect-error it may be ENOMEM
  get_user_page(child, buf, ITER_SOURCE);
}
export function only_a_task_forks(kworker: ProcessContext, softirq: SoftirqContext) {
  // @ts-expect-error a kworker has no address space
  fork(kworker);
  // @ts-expect-error and a softirq has none either
  fork(softirq);
}
export function pages_of_tasks_are_merged(current: Task, other: Task, addr: UserAddr) {
  expectType<Result<void, KsmError>>(try_to_merge_one_page(current, addr, other, addr));
  // @ts-expect-error a page is found by its address
  try_to_merge_one_page(current, 4096, other, addr);
}

// --- 2. splitting -----------------------------------------------------------------------------------------
export function who_splits_keeps_its_reference(current: Task, kworker: ProcessContext) {
  const folio = folio_alloc(current, 9);
  if (IS_ERR(folio)) return;
  expectType<Result<void, Errno<"EINVAL" | "EBUSY" | "EAGAIN">>>(split_folio(folio, kworker));
  folio_put(folio);
  // @ts-expect-error it was put
  split_folio(folio, current);
}
export function a_lent_folio_is_not_split(page: Page, current: Task, softirq: SoftirqContext) {
  // @ts-expect-error lent
  split_folio(page_folio(page), current);
  const folio = folio_alloc(current, 9);
  if (IS_ERR(folio)) return;
  // @ts-expect-error it sleeps
  split_folio(folio, softirq);
  folio_put(folio);
}
