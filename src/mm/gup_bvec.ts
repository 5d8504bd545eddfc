/**
 * The walk behind get_user_bvec() (ours): like gup_walk(), but it takes one reference for each contiguous run inside one
 * folio instead of one per page.
 */

import type { GupError } from "../handle/errno.js";
import { PAGE_HANDLE_SHIFT } from "../handle/tags.js";
import {
  foll_pin_acquired,
  folio_table,
  FOLIO_ORDER,
  page_flags,
  page_ref,
  page_tables,
  PG_file,
} from "../machine/arena.js";
import { pages_before_fault } from "../machine/fault-inject.js";
import {
  GUP_PIN_COUNTING_BIAS,
  HPAGE_PMD_NR,
  PAGE_SIZE,
  PMD_SIZE,
  SECTION_SHIFT,
} from "../machine/limits.js";
import type { MachineState } from "../machine/machine.js";
import { preempt } from "../machine/trace.js";
import { pinned_accessible } from "./accessible.js";
import { file_page_pinned } from "./address_space.js";
import { check_vma_flags, gup_error, gup_slow, may_be_killed, SPINS, type Walk } from "./gup.js";
import { is_countable, must_unshare, warn_count } from "./gup_fast.js";
import { entry_at } from "./gup_fast_race.js";
import { FOLL } from "./gup_flags.js";
import type { MmState } from "./mm_types.js";
import { is_zero_pfn, pin_add, pin_sub, ref_count, REF_MAX } from "./page_ref.js";
import {
  _PAGE_PRESENT,
  _PAGE_PSE,
  _PAGE_RW,
  pmd_number,
  pmd_slot,
  pte_index,
  PTE_FLAGS,
} from "./pgtable.js";
import { pages_of } from "./user_pages.js";

const ENOMEM = -12;
/**
 * Pins `len` bytes from `addr` and appends page, offset and length of each extent to `extents`.  0, or -errno; the
 * extents appended before an error are pinned, the caller puts them back.
 */
export function gup_bvec(walk: Walk, addr: number, len: number, extents: number[]): number {
  const { mm, fast } = walk;
  if (!fast) mm.assert_no_writer("mmap_read_lock()");
  if (mm.machine.other_cpus === null) return walk_range(walk, addr, len, extents, false);
  mm.walking++;
  if (!fast) mm.faulting++;
  try {
    if (!fast) return walk_range(walk, addr, len, extents, false);
    return gup_bvec_raced(walk, addr, len, extents);
  } finally {
    mm.walking--;
    if (!fast) mm.faulting--;
  }
}
/** Looks at each entry twice, and gives back what it took if fork() ran meanwhile. */
function gup_bvec_raced(walk: Walk, addr: number, len: number, extents: number[]): number {
  const { mm } = walk;
  const seq = mm.write_protect_seq;
  if (seq & 1) mm.assert_no_writer("mmap_read_lock()");
  const before = extents.length;
  const failed = walk_range(walk, addr, len, extents, true);
  if (mm.write_protect_seq === seq) return failed;
  // fork() ran meanwhile: what was taken goes back, and the lock keeps the next one away.
  for (let i = before; i < extents.length; i += 3) pin_sub(extents[i]! >>> PAGE_HANDLE_SHIFT, 1);
  extents.length = before;
  return walk_range(walk, addr, len, extents, false);
}
/** `raced`: other CPUs are listening, and each entry is looked at twice. */
function walk_range(
  walk: Walk,
  addr: number,
  len: number,
  extents: number[],
  raced: boolean,
): number {
  const { mm, flags } = walk;
  const want = flags & FOLL.WRITE ? _PAGE_PRESENT | _PAGE_RW : _PAGE_PRESENT;
  mm.has_pinned = true;
  let next = 0; // the page that would extend the last extent
  let folio = ALONE; // and its entry in the page column
  for (let at = addr, end = addr + len; at < end;) {
    const pmd = pmd_number(at);
    const index = pte_index(at, pmd);
    const slot = pmd_slot(mm.pgd, pmd);
    const entry = slot === 0 ? 0 : page_tables[slot]!;
    const huge = (entry & _PAGE_PSE) !== 0;
    if (entry !== 0 && !huge && at % PAGE_SIZE === 0 && !raced) {
      const whole = Math.min(HPAGE_PMD_NR - index, Math.floor((end - at) / PAGE_SIZE));
      const found = grab_single_pages(((entry >>> 6) << 9) + index, whole, want, extents);
      if (found > 0) {
        at += found * PAGE_SIZE;
        next = 0;
        continue;
      }
    }
    const pte = huge || entry === 0 ? entry : page_tables[((entry >>> 6) << 9) + index]!;
    let ready =
      (pte & want) === want && ((pte & _PAGE_RW) !== 0 || !must_unshare(pte, flags, null));
    let page = (pte & ~PTE_FLAGS) + (huge ? index << PAGE_HANDLE_SHIFT : 0);
    let room = PAGE_SIZE - (at % PAGE_SIZE);
    let held = false;
    if (ready && raced) {
      const joins = page === next && page_ref[page >>> PAGE_HANDLE_SHIFT] === folio;
      ready = take_raced(mm, at, pte, page >>> PAGE_HANDLE_SHIFT, joins, flags);
      held = ready && !joins;
    }
    if (!ready) {
      page = slow(walk, at);
      if (page < 0) return page;
    } else if (huge) room = PMD_SIZE - (at - pmd * PMD_SIZE);
    if (room > end - at) room = end - at;
    const pfn = page >>> PAGE_HANDLE_SHIFT;
    if (page === next && page_ref[pfn] === folio) {
      extents[extents.length - 1] = extents[extents.length - 1]! + room;
    } else {
      const failed = held ? 0 : grab(pfn, flags);
      if (failed !== 0) return failed === ENOMEM ? not_countable(mm, pfn) : failed;
      extents.push(page, at % PAGE_SIZE, room);
      folio = extendable(pfn);
    }
    at += room;
    next = page + (pages_of(at - room, room) << PAGE_HANDLE_SHIFT);
  }
  return 0;
}
/** Takes a pin, unless the page joins the extent before it, and looks at the entry again; false without a pin if that changed. */
function take_raced(
  mm: MmState,
  at: number,
  pte: number,
  pfn: number,
  joins: boolean,
  flags: number,
): boolean {
  const { machine } = mm;
  if (machine.other_cpus !== null) preempt(machine, "gup_fast: entry read", pfn);
  if (!joins && grab(pfn, flags) !== 0) return false;
  if (machine.other_cpus !== null) preempt(machine, "gup_fast: reference taken", pfn);
  if (entry_at(mm, at).entry === pte) return true;
  if (!joins) pin_sub(pfn, 1);
  return false;
}
/** Bytes of a range that come before the page at which the call is made to fail; `len` if it is not. */
export function bytes_before_fault(
  machine: MachineState,
  addr: number,
  len: number,
  by: string,
): number {
  const nr = pages_of(addr, len);
  const pages = pages_before_fault(machine, nr, by);
  return pages === nr ? len : Math.max(0, pages * PAGE_SIZE - (addr % PAGE_SIZE));
}
/** Puts the extents back, and says where the walk, which had come from `addr` past `before` bytes of others, failed. */
export function gup_bvec_failed(
  failed: number,
  addr: number,
  extents: readonly number[],
  before = 0,
): GupError {
  let at = addr - before;
  for (let i = 0; i < extents.length; i += 3) {
    pin_sub(extents[i]! >>> PAGE_HANDLE_SHIFT, 1);
    at += extents[i + 2]!;
  }
  return gup_error(failed, at);
}
/** Takes whole pages of order 0, each an extent, from one table; stops at the first that is anything else. */
function grab_single_pages(table: number, nr: number, want: number, extents: number[]): number {
  let n = 0;
  for (; n < nr; n++) {
    const pte = page_tables[table + n]!;
    const pfn = pte >>> PAGE_HANDLE_SHIFT;
    const r = page_ref[pfn]!;
    if ((pte & want) !== want || (pte & _PAGE_RW) === 0 || r <= 0 || r >= REF_MAX) break;
    page_ref[pfn] = r + GUP_PIN_COUNTING_BIAS;
    extents.push(pte & ~PTE_FLAGS, 0, PAGE_SIZE);
  }
  if (n > 0) {
    const section = page_tables[table]! >>> (PAGE_HANDLE_SHIFT + SECTION_SHIFT);
    foll_pin_acquired[section] = foll_pin_acquired[section]! + n;
  }
  return n;
}
/** No entry of the page column. */
const ALONE: number = -(2 ** 31);
/** Only a page of a large folio can be followed by another of the same folio: its entry in the page column, else ALONE. */
function extendable(pfn: number): number {
  const r = page_ref[pfn]!;
  return r < 0 && folio_table[(~r << 2) + FOLIO_ORDER]! > 0 ? r : ALONE;
}
/** One pin on the folio of this page, unless its count is not above 0: 0, or -errno. */
function grab(pfn: number, flags: number): number {
  const r = page_ref[pfn]!;
  const section = pfn >>> SECTION_SHIFT;
  if (r > 0 && r < REF_MAX) page_ref[pfn] = r + GUP_PIN_COUNTING_BIAS;
  else {
    if (is_zero_pfn(pfn)) return 0;
    if (!is_countable(pfn, ref_count(pfn))) return ENOMEM;
    pin_add(pfn, 1);
    if (page_flags[pfn]! & PG_file) file_page_pinned(pfn, flags);
    return pinned_accessible(pfn);
  }
  foll_pin_acquired[section] = foll_pin_acquired[section]! + 1;
  return 0;
}
/** The slow walk waits for who froze the page under the lock that it needs, or finds the count in its way. */
function not_countable(mm: MmState, pfn: number): number {
  if (mm.page_table_lock !== null) return SPINS;
  warn_count(pfn, ref_count(pfn));
  return ENOMEM;
}
function slow(walk: Walk, addr: number): number {
  const { mm, flags } = walk;
  mm.assert_no_writer("mmap_read_lock()");
  if (mm.machine.faults !== null) may_be_killed(walk);
  if (walk.killed !== 0) return walk.killed;
  const vma = mm.vma_at(addr);
  const refused = check_vma_flags(vma, flags);
  return refused !== 0 ? refused : gup_slow(mm, vma!, addr, flags);
}
