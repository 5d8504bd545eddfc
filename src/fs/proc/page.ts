/** What /proc says of each page frame, as text with equal neighbours joined: the kernel's files are binary.  Models fs/proc/page.c. */

import type { Machine } from "../../handle/context.js";
import {
  entire_mapcount,
  page_flags,
  page_mapcount,
  page_ref,
  PG_anon,
  PG_anon_exclusive,
  PG_arch_1,
  PG_dirty,
  PG_file,
  PG_huge_zero,
  PG_ksm,
  PG_private,
  PG_swapbacked,
  PG_writeback,
} from "../../machine/arena.js";
import { machine_state, type MachineState } from "../../machine/machine.js";
import { head_of, is_zero_pfn, order_of, pin_count, ref_count } from "../../mm/page_ref.js";

/** Lines "first-last text": one for each run of pages with the same text. */
function runs(machine: MachineState, text_of: (pfn: number) => string): string {
  const { base, nr_pages } = machine;
  const end = base + nr_pages;
  let lines = "";
  for (let first = base; first < end;) {
    const text = text_of(first);
    let next = first + 1;
    while (next < end && text_of(next) === text) next++;
    const range = next - first === 1 ? `${first}` : `${first}-${next - 1}`;
    lines += `${range.padEnd(17)} ${text}\n`;
    first = next;
  }
  return lines;
}
/** Entries that map the page, alone or with its whole folio.  Models folio_precise_page_mapcount(). */
export function precise_page_mapcount(pfn: number): number {
  const v = page_ref[pfn]!;
  return page_mapcount[pfn]! + (v < 0 ? entire_mapcount[~v]! : 0);
}
/**
 * How often each page is mapped, and beside it what the kernel's file does not have: the references of its folio, and of a large
 * folio the pins.  Models /proc/kpagecount.  Numbers of pages are page frame numbers, as of page_to_pfn().
 */
export function proc_kpagecount(machine: Machine): string {
  const column = (n: number): string => String(n).padStart(8);
  const lines = runs(machine_state(machine), (pfn) =>
    [precise_page_mapcount(pfn), ref_count(pfn), pin_count(pfn)].map(column).join(" "),
  );
  return `${"pfn".padEnd(17)} mapcount refcount pincount\n${lines}`;
}

/** Bits of the kernel's file by the names that tools/mm/page-types gives them; those of flags that the model has. */
const KPF = {
  dirty: 4,
  writeback: 8,
  buddy: 10,
  mmap: 11,
  anonymous: 12,
  swapbacked: 14,
  compound_head: 15,
  compound_tail: 16,
  ksm: 21,
  thp: 22,
  zero_page: 24,
  anon_exclusive: 34,
  private: 35,
  arch: 38,
} as const;
type KpfName = keyof typeof KPF;
const KPF_NAMES = Object.keys(KPF) as KpfName[];

/** Models stable_page_flags(). */
function flags_of(machine: MachineState, pfn: number): KpfName[] {
  const head = head_of(pfn);
  const own = page_flags[pfn]!;
  // Of a folio that is mapped whole the first page speaks for all.
  const flags = own | page_flags[head]!;
  const is_large = order_of(pfn) > 0;
  const is_anon = (flags & PG_anon) !== 0;
  const is_huge_zero = (flags & PG_huge_zero) !== 0;
  const v = page_ref[pfn]!;
  const speaks = v < 0 && entire_mapcount[~v]! > 0 ? flags : own;
  const has: Readonly<Record<KpfName, boolean>> = {
    dirty: (flags & PG_dirty) !== 0,
    writeback: (flags & PG_writeback) !== 0,
    buddy: machine.allocator.is_free(pfn),
    mmap: precise_page_mapcount(pfn) > 0,
    anonymous: is_anon,
    // Anonymous memory would go to the swap area as well.
    swapbacked: is_anon || (flags & PG_swapbacked) !== 0,
    compound_head: is_large && pfn === head,
    compound_tail: is_large && pfn !== head,
    ksm: (flags & PG_ksm) !== 0,
    thp: is_large && (is_anon || is_huge_zero || (flags & (PG_swapbacked | PG_file)) !== 0),
    zero_page: is_zero_pfn(pfn) || is_huge_zero,
    anon_exclusive: is_anon && (speaks & PG_anon_exclusive) !== 0,
    private: (flags & PG_private) !== 0,
    arch: (flags & PG_arch_1) !== 0,
  };
  return KPF_NAMES.filter((name) => has[name]);
}
/**
 * The flags of each page: the bits of the kernel's file in hexadecimal, and the names that tools/mm/page-types gives them.
 * Models /proc/kpageflags.  `buddy` is a free page; no flag at all is one that the kernel uses, or one that was lost as a bad
 * page.
 */
export function proc_kpageflags(machine: Machine): string {
  const state = machine_state(machine);
  const lines = runs(state, (pfn) => {
    const names = flags_of(state, pfn);
    // Above 32 bits, where | does not reach.
    const bits = names.reduce((sum, name) => sum + 2 ** KPF[name], 0);
    return `0x${bits.toString(16).padStart(16, "0")} ${names.join(",") || "-"}`;
  });
  return `${"pfn".padEnd(17)} ${"flags".padEnd(18)} names\n${lines}`;
}
