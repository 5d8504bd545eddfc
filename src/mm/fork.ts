/// <reference lib="esnext.disposable" preserve="true" />
/** Another task with a copy of an address space.  Models dup_mmap() of kernel/fork.c and copy_page_range() of mm/memory.c. */

import { to_forked_task, to_mm } from "../handle/cast.js";
import type { ForkedTask, Task } from "../handle/context.js";
import { ERR_PTR, type Errno } from "../handle/errno.js";
import { PAGE_HANDLE_SHIFT } from "../handle/tags.js";
import {
  page_flags,
  page_mapcount,
  page_tables,
  PG_anon_exclusive,
  PG_huge_zero,
} from "../machine/arena.js";
import { task_state, TaskContext } from "../machine/context.js";
import { PAGE_SIZE, PMD_SIZE } from "../machine/limits.js";
import { preempt } from "../machine/trace.js";
import { trace } from "../machine/tracepoint.js";
import { map_huge, split_huge_pmd } from "./huge_memory.js";
import { FAULT_FLAG_WRITE, map_anon, no_page_table } from "./memory.js";
import { VM_DONTCOPY, VM_SHARED, Vma, type MmState } from "./mm_types.js";
import { exit_mm, mm_alloc } from "./mmap.js";
import { bytes_to_read, bytes_to_write } from "./page_alloc.js";
import { is_zero_pfn, maybe_dma_pinned, ref_add, ref_count } from "./page_ref.js";
import {
  _PAGE_PRESENT,
  _PAGE_RW,
  is_swap_pte,
  pmd_alloc,
  pmd_number,
  pte_index,
  table_below,
} from "./pgtable.js";
import { swap_duplicate } from "./swapfile.js";
import { each_entry, mm_for_write } from "./vma_range.js";

class ForkedContext extends TaskContext {
  readonly #mm: MmState;
  constructor(mm: MmState, parent: TaskContext) {
    super(mm.machine, to_mm(mm));
    this.#mm = mm;
    this.rlimit_memlock = parent.rlimit_memlock;
    this.cap_ipc_lock = parent.cap_ipc_lock;
  }
  [Symbol.dispose](): void {
    if (!this.#mm.alive) return;
    this.#mm.assert_unused("exit_task()");
    const { machine, pid } = this;
    if (machine.tracers !== null) trace(machine, "sched_process_exit", { pid });
    exit_mm(this.#mm);
  }
}
/**
 * Starts a child with a copy of the address space: pages of private mappings are shared until one of the two writes, but
 * an exclusive page that may be pinned is copied at once, so that the parent and its device keep the original.  A plain
 * reference protects nothing.  Models fork().
 * The caller owns the child: exit_task(), or the end of a `using` block.
 *
 * @param current - whose address space is copied; nobody may hold its mmap_lock
 * @returns ENOMEM when there is no page for a copy; nothing of the child is left then
 * @example
 * using child = fork(current);
 * if (IS_ERR(child)) return child;
 * copy_to_user(child, buf, new Uint8Array([1])); // the child's page, not that of current
 */
export function fork(current: Task): ForkedTask | Errno<"ENOMEM"> {
  const mm = mm_for_write(current, "fork()");
  const child = mm_alloc(mm.machine);
  let copied = false;
  mm.writer = "fork()";
  try {
    copied = dup_mmap(mm, child);
  } finally {
    mm.writer = null;
    if (!copied) exit_mm(child);
  }
  if (!copied) return ERR_PTR("ENOMEM", "no free page for the child's copy of a pinned page");
  const parent = task_state(current, "fork()");
  const made = new ForkedContext(child, parent);
  if (mm.machine.tracers !== null) {
    const fields = { parent_pid: parent.pid, child_pid: made.pid };
    trace(mm.machine, "sched_process_fork", fields);
  }
  return to_forked_task(made);
}
function dup_mmap(mm: MmState, child: MmState): boolean {
  for (const vma of mm.vmas) {
    if (vma.flags & VM_DONTCOPY) continue;
    const copy = new Vma(child, vma.start, vma.end, vma.flags, vma.file, vma.offset);
    vma.file?.open_vma(copy);
    child.insert(copy);
    // What a fault brings in as well is left to it.
    if (vma.flags & VM_SHARED) continue;
    mm.write_protect_seq++;
    try {
      if (!copy_page_range(vma, copy)) return false;
    } finally {
      mm.write_protect_seq++;
    }
  }
  return true;
}
/** Copies the entries of a private mapping; false when memory is out. */
function copy_page_range(vma: Vma, copy: Vma): boolean {
  const { mm } = vma;
  const { machine } = mm;
  let ok = true;
  const told = (pfn: number): void => {
    if (machine.other_cpus !== null) preempt(machine, "fork: entry copied", pfn);
  };
  const small = (at: number, addr: number): void => {
    if (!ok) return;
    const pfn = page_tables[at]! >>> PAGE_HANDLE_SHIFT;
    ok = copy_pte(vma, copy, at, addr);
    if (ok) told(pfn);
  };
  const huge = (slot: number, addr: number): void => {
    if (!ok) return;
    const head = page_tables[slot]! >>> PAGE_HANDLE_SHIFT;
    if (copy_huge_pmd(mm, copy.mm, slot, addr)) told(head);
    else each_entry(mm, addr, addr + PMD_SIZE, huge, small);
  };
  each_entry(mm, vma.start, vma.end, huge, small);
  return ok;
}
/** Whether fork() must leave the page to who pinned it.  Models folio_needs_cow_for_dma() and folio_try_dup_anon_rmap(). */
function must_copy(mm: MmState, pfn: number): boolean {
  return (page_flags[pfn]! & PG_anon_exclusive) !== 0 && mm.has_pinned && maybe_dma_pinned(pfn);
}
/** Shares a huge page whole; one that may be pinned becomes 512 entries, to be copied one by one, and the answer is false. */
function copy_huge_pmd(mm: MmState, child: MmState, slot: number, addr: number): boolean {
  const head = page_tables[slot]! >>> PAGE_HANDLE_SHIFT;
  if (must_copy(mm, head)) {
    split_huge_pmd(mm, slot);
    return false;
  }
  if (ref_count(head) === 0) return true;
  if ((page_flags[head]! & PG_huge_zero) === 0) {
    page_flags[head] = page_flags[head]! & ~PG_anon_exclusive;
    page_tables[slot] = page_tables[slot]! & ~_PAGE_RW;
  }
  ref_add(head, 1);
  const present = page_tables[slot]! & _PAGE_PRESENT;
  map_huge(pmd_alloc(child.pgd, pmd_number(addr)), head, present);
  return true;
}
function copy_pte(vma: Vma, copy: Vma, at: number, addr: number): boolean {
  const { mm } = vma;
  const pmd = pmd_number(addr);
  if (mm.machine.faults !== null && no_page_table(copy.mm, pmd)) return false;
  const to = (table_below(pmd_alloc(copy.mm.pgd, pmd)) << 9) + pte_index(addr, pmd);
  const pte = page_tables[at]!;
  const pfn = pte >>> PAGE_HANDLE_SHIFT;
  if (is_swap_pte(pte)) {
    swap_duplicate(pte);
    page_tables[to] = pte;
  } else if (is_zero_pfn(pfn)) page_tables[to] = pte;
  else if (must_copy(mm, pfn)) return copy_present_page(copy, to, pfn);
  else if (ref_count(pfn) !== 0) {
    page_flags[pfn] = page_flags[pfn]! & ~PG_anon_exclusive;
    page_tables[at] = pte & ~_PAGE_RW;
    page_tables[to] = pte & ~_PAGE_RW;
    ref_add(pfn, 1);
    page_mapcount[pfn] = page_mapcount[pfn]! + 1;
  }
  // else somebody put the page once too often: the child does not get what is free.
  return true;
}
/** The child's own copy of a page that may be pinned; the parent's entry stays writable. */
function copy_present_page(copy: Vma, to: number, from: number): boolean {
  const { machine } = copy.mm;
  // Read first: that may throw, or let another CPU run.
  const bytes = bytes_to_read(machine, from, 0, PAGE_SIZE);
  const pfn = machine.allocator.alloc(0, true, "copy_present_page()");
  if (pfn === 0) return false;
  bytes_to_write(machine, pfn, 0, PAGE_SIZE).set(bytes);
  map_anon(copy, to, pfn, FAULT_FLAG_WRITE);
  return true;
}
