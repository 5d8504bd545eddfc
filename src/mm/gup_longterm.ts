/**
 * Long-term pins: nothing that has to move some day may stay pinned, so the pages are moved first.  Models FOLL_LONGTERM of
 * mm/gup.c: pin all, look, unpin all, move what is in the wrong place, and pin again.
 */

import { PAGE_HANDLE_SHIFT } from "../handle/tags.js";
import {
  foll_pin_acquired,
  foll_pin_released,
  page_flags,
  page_tables,
  PG_file,
} from "../machine/arena.js";
import { HPAGE_PMD_NR, PAGE_SIZE, SECTION_SHIFT } from "../machine/limits.js";
import type { MachineState } from "../machine/machine.js";
import { gup_walk_slow, longterm_refused, MIGRATION_FAILED, type Walk } from "./gup.js";
import { gup_bvec } from "./gup_bvec.js";
import { gup_pages } from "./gup_fast.js";
import { gup_fast, preempt_walk } from "./gup_fast_race.js";
import { FOLL } from "./gup_flags.js";
import { migrate_pages } from "./migrate.js";
import type { MmState } from "./mm_types.js";
import { head_of, pin_sub } from "./page_ref.js";
import { _PAGE_PRESENT, _PAGE_PSE, _PAGE_RW, pmd_number, pmd_slot, pte_index } from "./pgtable.js";
import { lookup_pte } from "./uaccess.js";

/** gup_walk() with FOLL_LONGTERM.  What the fast walk pinned before the slow one began stays pinned when that one fails. */
export function gup_longterm(walk: Walk, start: number, nr: number): number {
  const { mm } = walk;
  const fast = walk.fast ? fast_part(walk, start, nr) : 0;
  walk.nr_fast += fast;
  if (fast === nr) return nr;
  walk.fast = false;
  for (;;) {
    const got = unmovable(mm.machine, () => gup_walk_slow(walk, start, nr, fast));
    if (got <= fast) return got;
    const bad = new Set<number>();
    for (let i = fast; i < got; i++) collect(mm.machine, gup_pages[i]!, bad);
    if (bad.size === 0) return got;
    for (let i = fast; i < got; i++) pin_sub(gup_pages[i]! >>> PAGE_HANDLE_SHIFT, 1);
    if (!move_away(mm.machine, bad, fast)) return fast || MIGRATION_FAILED;
  }
}
/** gup_bvec() with FOLL_LONGTERM: nothing is pinned after an error. */
export function gup_bvec_longterm(
  walk: Walk,
  addr: number,
  len: number,
  extents: number[],
): number {
  const { mm, flags } = walk;
  for (let i = mm.first_ending_after(addr); i < mm.vmas.length; i++) {
    const vma = mm.vmas[i]!;
    if (vma.start >= addr + len) break;
    const refused = longterm_refused(vma, flags);
    if (refused !== 0) return refused;
  }
  for (;;) {
    const failed = unmovable(mm.machine, () => gup_bvec(walk, addr, len, extents));
    const bad = new Set<number>();
    for (let i = 0; failed === 0 && i < extents.length; i += 3) {
      collect(mm.machine, extents[i]!, bad);
    }
    if (failed === 0 && bad.size === 0) return 0;
    for (let i = 0; i < extents.length; i += 3) pin_sub(extents[i]! >>> PAGE_HANDLE_SHIFT, 1);
    extents.length = 0;
    if (failed !== 0) return failed;
    if (!move_away(mm.machine, bad, 0)) return MIGRATION_FAILED;
  }
}

/** What faults allocate meanwhile is not movable.  Models memalloc_pin_save(). */
function unmovable(machine: MachineState, walk: () => number): number {
  machine.memalloc_pin++;
  try {
    return walk();
  } finally {
    machine.memalloc_pin--;
  }
}
/** Notes the folio of this page if it is where nothing may stay pinned. */
function collect(machine: MachineState, page: number, bad: Set<number>): void {
  const pfn = page >>> PAGE_HANDLE_SHIFT;
  if (pfn >= machine.unpinnable_from) bad.add(head_of(pfn));
}
/** Models migrate_longterm_unpinnable_folios(), after everything was unpinned but `fast` pages. */
function move_away(machine: MachineState, bad: ReadonlySet<number>, fast: number): boolean {
  const [first = 0] = bad;
  if (machine.other_cpus !== null) preempt_walk(machine, "migrate: unpinned", first, fast);
  return migrate_pages(machine, bad, false).length === 0;
}

// --- the fast walk ----------------------------------------------------------------------------------------
/** Fast, up to the first page that has to be looked at under the lock: of a file that writes back, or in the wrong place. */
function fast_part(walk: Walk, start: number, nr: number): number {
  const { mm, flags } = walk;
  const file_at = first_of_file(mm, start, start + nr * PAGE_SIZE);
  const here = longterm_pages(mm, start, Math.min(nr, (file_at - start) / PAGE_SIZE));
  const done = here > 0 ? keep_longterm(mm, gup_fast(mm, start, here, flags)) : 0;
  const stopped = start + done * PAGE_SIZE;
  if (done < nr && stopped === file_at) try_file_page(mm, stopped, flags);
  return done;
}
/** Another CPU may have put other pages there after the look: the first of them and those behind it are put back. */
function keep_longterm({ machine }: MmState, done: number): number {
  if (machine.other_cpus === null) return done;
  for (let i = 0; i < done; i++) {
    const pfn = gup_pages[i]! >>> PAGE_HANDLE_SHIFT;
    if (pfn < machine.unpinnable_from && (page_flags[pfn]! & PG_file) === 0) continue;
    for (let j = i; j < done; j++) pin_sub(gup_pages[j]! >>> PAGE_HANDLE_SHIFT, 1);
    return i;
  }
  return done;
}
/** Where the first mapping begins of a file whose pages the fast walk does not keep; `end` if there is none. */
function first_of_file(mm: MmState, start: number, end: number): number {
  for (let i = mm.first_ending_after(start); i < mm.vmas.length; i++) {
    const { file, start: begin } = mm.vmas[i]!;
    if (begin >= end) break;
    if (file && (file.tracks_dirty || file.is_dax)) return Math.max(begin, start);
  }
  return end;
}
/** How many of these pages are, as far as they are present, where they may stay. */
function longterm_pages(mm: MmState, start: number, nr: number): number {
  const { machine } = mm;
  if (machine.unpinnable_from === machine.base + machine.nr_pages) return nr;
  for (let done = 0; done < nr;) {
    const addr = start + done * PAGE_SIZE;
    const pmd = pmd_number(addr);
    const slot = pmd_slot(mm.pgd, pmd);
    const entry = slot === 0 ? 0 : page_tables[slot]!;
    const index = pte_index(addr, pmd);
    const here = Math.min(HPAGE_PMD_NR - index, nr - done);
    const huge = (entry & _PAGE_PSE) !== 0;
    for (let i = 0; entry !== 0 && i < (huge ? 1 : here); i++) {
      const pte = huge ? entry : page_tables[((entry >>> 6) << 9) + index + i]!;
      if (pte >>> PAGE_HANDLE_SHIFT >= machine.unpinnable_from) return done + i;
    }
    done += here;
  }
  return nr;
}
/** The fast walk takes the page of a file, sees that it is one, and puts it back: both are counted. */
function try_file_page(mm: MmState, addr: number, flags: number): void {
  const pte = lookup_pte(mm, addr);
  const want = flags & FOLL.WRITE ? _PAGE_PRESENT | _PAGE_RW : _PAGE_PRESENT;
  const pfn = pte >>> PAGE_HANDLE_SHIFT;
  if ((pte & want) !== want || (page_flags[pfn]! & PG_file) === 0) return;
  const section = pfn >>> SECTION_SHIFT;
  foll_pin_acquired[section] = foll_pin_acquired[section]! + 1;
  foll_pin_released[section] = foll_pin_released[section]! + 1;
}
