/**
 * Moving folios to other memory: bytes, flags, the entries that map them and their places in files.  Models mm/migrate.c.  A
 * folio on which anybody but its entries and its file holds a reference does not move: a pin is such a reference.
 */

import { raw } from "../handle/cast.js";
import type { BorrowedFolio } from "../handle/page.js";
import { PAGE_HANDLE_SHIFT } from "../handle/tags.js";
import {
  entire_mapcount,
  folio_table,
  FOLIO_REF,
  new_folio_id,
  page_flags,
  page_mapcount,
  page_ref,
  page_tables,
  PG_allocated,
  PG_arch_1,
  PG_file,
  PG_touched,
  PG_writeback,
} from "../machine/arena.js";
import { should_fail } from "../machine/fault-inject.js";
import { PAGE_SIZE } from "../machine/limits.js";
import { machine_of_handle, type MachineState } from "../machine/machine.js";
import { trace } from "../machine/tracepoint.js";
import { arch_make_folio_accessible, expected_folio_refs } from "./accessible.js";
import { cached_page, set_cached_page } from "./address_space.js";
import { mms_of } from "./mm_types.js";
import { bytes_to_read, clear_pages } from "./page_alloc.js";
import {
  head_of,
  order_of,
  ref_add,
  ref_count,
  ref_freeze,
  ref_sub,
  ref_unfreeze,
} from "./page_ref.js";
import { is_swap_pte, PTE_FLAGS } from "./pgtable.js";
import { shmem_files_of } from "./shmem.js";
import { each_entry } from "./vma_range.js";

/**
 * Whether the folio may be pinned long-term where it is: not in the CMA area or in ZONE_MOVABLE.  Models
 * folio_is_longterm_pinnable().
 *
 * @example
 * const page = get_user_page(current, buf, ITER_DEST, FOLL_LONGTERM);
 * if (IS_ERR(page)) return page;
 * console.log(folio_is_longterm_pinnable(page_folio(page))); // -> true
 * put_user_page(page);
 */
export function folio_is_longterm_pinnable(folio: BorrowedFolio): boolean {
  const called = "folio_is_longterm_pinnable()";
  const handle = raw(folio);
  const machine = machine_of_handle(handle, called);
  machine.probe?.used("folio", handle, called);
  return handle >>> PAGE_HANDLE_SHIFT < machine.unpinnable_from;
}

/** One folio on its way: first pages, and how many references its entries and its file hold. */
interface Move {
  readonly from: number;
  readonly to: number;
  readonly nr: number;
  readonly refs: number;
}
/**
 * Moves each of these folios, given by their first pages; `movable` if they may be where they are not pinnable again.  Returns
 * those that stayed: pinned, referenced otherwise, or without a free block of their size.  Sleeps until the disk has what is
 * under writeback; what that throws, perhaps somebody else's error, comes before anything moves.  Models
 * migrate_pages(MIGRATE_SYNC).
 */
export function migrate_pages(
  machine: MachineState,
  heads: ReadonlySet<number>,
  movable: boolean,
): number[] {
  // Others run here.  From the first folio that is frozen and copied on, nobody does.
  for (const head of heads) if (is_folio(head)) settle(head);
  const in_files = references_of_files(machine, heads);
  const moves = new Map<number, Move>();
  // Of what another CPU freed since it was found there is nothing to move, and others may move there.
  const there = [...heads].filter(is_folio);
  for (const from of there) {
    const move = begin(machine, from, in_files.get(from) ?? 0, movable);
    if (move) moves.set(from, move);
  }
  if (moves.size > 0) {
    move_entries(machine, moves);
    for (const file of shmem_files_of(machine)) {
      file.replace_pages((pfn) => moved(moves, pfn));
    }
    for (const move of moves.values()) end(move);
  }
  const stayed = there.filter((head) => !moves.has(head));
  if (machine.tracers !== null) {
    trace(machine, "mm_migrate_pages", { succeeded: moves.size, failed: stayed.length });
  }
  return stayed;
}
const is_folio = (head: number): boolean =>
  (page_flags[head]! & PG_allocated) !== 0 && head_of(head) === head;
/** Sleeps until the disk has the folio, and makes it accessible if nothing but a secure page is in the way. */
function settle(head: number): void {
  if (page_flags[head]! & PG_writeback) cached_page(head)?.mapping.wait_for_stable(head);
  if ((page_flags[head]! & PG_arch_1) === 0) return;
  const count = ref_count(head);
  if (count === 0 || count !== expected_folio_refs(head)) return;
  ref_add(head, 1);
  try {
    // Whether it could be exported shows when it is about to move.
    arch_make_folio_accessible(head);
  } finally {
    ref_sub(head, 1);
  }
}
/** Where a page is now, or 0 if it stays. */
function moved(moves: ReadonlyMap<number, Move>, pfn: number): number {
  const head = head_of(pfn);
  const move = moves.get(head);
  return move ? move.to + pfn - head : 0;
}
/** References that files hold on these folios: one for each of their pages. */
function references_of_files(
  machine: MachineState,
  heads: ReadonlySet<number>,
): Map<number, number> {
  const held = new Map<number, number>();
  const count = (head: number): void => {
    if (heads.has(head)) held.set(head, (held.get(head) ?? 0) + 1);
  };
  for (const file of shmem_files_of(machine)) {
    file.replace_pages((pfn) => (count(head_of(pfn)), 0));
  }
  for (const head of heads) if (cached_page(head)) count(head);
  return held;
}
/** Entries that map the folio or a part of it: each holds one reference.  Models folio_mapcount(). */
function folio_mapcount(head: number, nr: number): number {
  const v = page_ref[head]!;
  let count = v < 0 ? entire_mapcount[~v]! : 0;
  for (let pfn = head; pfn < head + nr; pfn++) count += page_mapcount[pfn]!;
  return count;
}
/** Copies the folio and freezes it, without a sleep; null if it has to stay. */
function begin(
  machine: MachineState,
  from: number,
  in_files: number,
  movable: boolean,
): Move | null {
  // Again, or still: what settled it may be undone by now.
  if (page_flags[from]! & (PG_writeback | PG_arch_1)) return null;
  const order = order_of(from);
  const nr = 2 ** order;
  const refs = folio_mapcount(from, nr) + in_files;
  // What neither an entry nor a file refers to is the kernel's own.
  if (refs === 0 || ref_count(from) !== refs) return null;
  if (machine.faults !== null && should_fail(machine, "fail_migrate", "migrate_pages()"))
    return null;
  const to = machine.allocator.alloc(order, movable, "alloc_migration_target()");
  if (to === 0) return null;
  ref_freeze(from, refs);
  for (let i = 0; i < nr; i++) copy_page(machine, from + i, to + i);
  return { from, to, nr, refs };
}
function copy_page(machine: MachineState, from: number, to: number): void {
  if ((page_flags[from]! & PG_touched) === 0) clear_pages(machine, to, 1);
  else bytes_to_read(machine, to, 0, PAGE_SIZE).set(bytes_to_read(machine, from, 0, PAGE_SIZE));
}
/** One walk over all page tables for all folios: what Linux finds by rmap_walk(), folio by folio. */
function move_entries(machine: MachineState, moves: ReadonlyMap<number, Move>): void {
  const visit = (at: number): void => {
    const entry = page_tables[at]!;
    if (is_swap_pte(entry)) return;
    const to = moved(moves, entry >>> PAGE_HANDLE_SHIFT);
    if (to !== 0) page_tables[at] = (to << PAGE_HANDLE_SHIFT) | (entry & PTE_FLAGS);
  };
  for (const mm of mms_of(machine)) {
    for (const vma of mm.vmas) each_entry(mm, vma.start, vma.end, visit, visit);
  }
}
/** Flags and counts go to the new pages; the old ones are free. */
function end({ from, to, nr, refs }: Move): void {
  const cached = cached_page(from);
  if (cached) {
    cached.mapping.i_pages.set(cached.index, to);
    set_cached_page(from, null);
    set_cached_page(to, cached);
  }
  for (let i = 0; i < nr; i++) {
    page_flags[to + i] = page_flags[from + i]!;
    page_flags[from + i] = page_flags[from + i]! & (PG_allocated | PG_touched);
    page_mapcount[to + i] = page_mapcount[from + i]!;
    page_mapcount[from + i] = 0;
  }
  const v = page_ref[to]!;
  if (v < 0) {
    folio_table[(~v << 2) + FOLIO_REF] = refs;
    const old = ~page_ref[from]!;
    entire_mapcount[~v] = entire_mapcount[old]!;
    entire_mapcount[old] = 0;
  } else if (page_flags[to]! & PG_file) {
    // Pages of files have an entry of their own in the folio table.
    page_ref[to] = ~new_folio_id(refs, 0, to, 0);
  } else page_ref[to] = refs;
  ref_unfreeze(from, 1);
  ref_sub(from, 1);
}
