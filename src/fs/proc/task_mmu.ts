/** What /proc/PID says of an address space.  Models fs/proc/task_mmu.c; the kernel's pagemap is binary, here it is text. */

import type { Task } from "../../handle/context.js";
import { PAGE_HANDLE_SHIFT } from "../../handle/tags.js";
import {
  page_flags,
  page_tables,
  PG_anon,
  PG_dirty,
  PG_huge_zero,
  PG_ksm,
  PG_swapbacked,
} from "../../machine/arena.js";
import { task_state } from "../../machine/context.js";
import { HPAGE_PMD_NR, PAGE_SIZE } from "../../machine/limits.js";
import { AddressSpace } from "../../mm/filemap.js";
import {
  mm_state,
  VM_DONTCOPY,
  VM_HUGEPAGE,
  VM_IO,
  VM_MAYWRITE,
  VM_READ,
  VM_SHARED,
  VM_WRITE,
  type MmState,
  type Vma,
} from "../../mm/mm_types.js";
import { head_of, is_zero_pfn } from "../../mm/page_ref.js";
import { is_swap_pte } from "../../mm/pgtable.js";
import { each_entry } from "../../mm/vma_range.js";
import { Inode } from "../cowfs_inode.js";
import { precise_page_mapcount } from "./page.js";

const VM_EXEC = 4;
const hex = (n: number): string => n.toString(16);
const range_of = (start: number, end: number): string =>
  [start, end].map((at) => hex(at).padStart(8, "0")).join("-");

// --- what is mapped -----------------------------------------------------------------------------------------
/** One page of a mapping that is present or swapped out; `pfn` 0 if it is swapped out. */
interface MappedPage {
  readonly addr: number;
  readonly pfn: number;
  /** by one entry for 2 MiB */
  readonly huge: boolean;
}
/** Entries of PROT_NONE are present for the kernel as well: only the CPU does not think so. */
function each_page(vma: Vma, on_page: (page: MappedPage) => void): void {
  const { mm, start, end } = vma;
  const huge = (slot: number, addr: number): void => {
    const head = page_tables[slot]! >>> PAGE_HANDLE_SHIFT;
    for (let i = 0; i < HPAGE_PMD_NR; i++) {
      on_page({ addr: addr + i * PAGE_SIZE, pfn: head + i, huge: true });
    }
  };
  const small = (at: number, addr: number): void => {
    const pte = page_tables[at]!;
    on_page({ addr, pfn: is_swap_pte(pte) ? 0 : pte >>> PAGE_HANDLE_SHIFT, huge: false });
  };
  each_entry(mm, start, end, huge, small);
}
const is_huge_zero = (pfn: number): boolean => (page_flags[head_of(pfn)]! & PG_huge_zero) !== 0;
/** The zero pages are nobody's.  Models vm_normal_page(). */
const is_normal = (pfn: number): boolean => pfn !== 0 && !is_zero_pfn(pfn) && !is_huge_zero(pfn);
const flags_of = (pfn: number): number => page_flags[pfn]! | page_flags[head_of(pfn)]!;

// --- maps ---------------------------------------------------------------------------------------------------
function name_of({ file, flags }: Vma): string {
  if (file === null) return "";
  if (file.is_dax) return "/dev/dax0.0";
  if (file instanceof AddressSpace && file.a_ops instanceof Inode) return `/${file.a_ops.name}`;
  return flags & VM_SHARED ? "/memfd: (deleted)" : "/memfd:";
}
function map_line(vma: Vma): string {
  const { start, end, flags, offset, file } = vma;
  const bit = (mask: number, letter: string): string => (flags & mask ? letter : "-");
  const prot = `${bit(VM_READ, "r")}${bit(VM_WRITE, "w")}${bit(VM_EXEC, "x")}`;
  const at = hex(file === null ? 0 : offset).padStart(8, "0");
  const line = `${range_of(start, end)} ${prot}${flags & VM_SHARED ? "s" : "p"} ${at} 00:00 0 `;
  const name = name_of(vma);
  return name === "" ? `${line}\n` : `${line.padEnd(73)}${name}\n`;
}
function mm_of(task: Task, called: string): MmState {
  return mm_state(task_state(task, called).mm, called);
}
/** The mappings of a task, by address.  Models /proc/PID/maps. */
export function proc_maps(task: Task): string {
  return mm_of(task, "proc_maps()").vmas.map(map_line).join("");
}

// --- status -------------------------------------------------------------------------------------------------
/**
 * How much memory a task has: mapped, in memory by kind of page, swapped out, and what drivers charged to it in the two ways
 * that there are, VmLck and VmPin.  Models the memory lines of /proc/PID/status.
 */
export function proc_status(task: Task): string {
  const mm = mm_of(task, "proc_status()");
  const pages = {
    VmSize: 0,
    VmLck: mm.locked_vm,
    VmPin: mm.pinned_vm,
    VmRSS: 0,
    RssAnon: 0,
    RssFile: 0,
    RssShmem: 0,
    VmSwap: 0,
  };
  for (const vma of mm.vmas) {
    pages.VmSize += (vma.end - vma.start) / PAGE_SIZE;
    each_page(vma, ({ pfn }) => {
      if (pfn === 0) pages.VmSwap++;
      if (!is_normal(pfn)) return;
      const flags = flags_of(pfn);
      const shmem = flags & PG_swapbacked ? "RssShmem" : "RssFile";
      pages[flags & PG_anon ? "RssAnon" : shmem]++;
      pages.VmRSS++;
    });
  }
  return Object.entries(pages)
    .map(
      ([name, nr]) => `${`${name}:`.padEnd(9)}${String((nr * PAGE_SIZE) / 1024).padStart(8)} kB\n`,
    )
    .join("");
}

// --- smaps --------------------------------------------------------------------------------------------------
const VM_FLAGS: ReadonlyArray<readonly [number, string]> = [
  [VM_READ, "rd"],
  [VM_WRITE, "wr"],
  [VM_EXEC, "ex"],
  [VM_SHARED, "sh"],
  [VM_MAYWRITE, "mw"],
  [VM_IO, "io"],
  [VM_DONTCOPY, "dc"],
  [VM_HUGEPAGE, "hg"],
];
function smap(vma: Vma): string {
  const bytes = {
    Size: vma.end - vma.start,
    Rss: 0,
    Pss: 0,
    Shared_Clean: 0,
    Shared_Dirty: 0,
    Private_Clean: 0,
    Private_Dirty: 0,
    Anonymous: 0,
    KSM: 0,
    AnonHugePages: 0,
    ShmemPmdMapped: 0,
    Swap: 0,
  };
  each_page(vma, ({ pfn, huge }) => {
    if (pfn === 0) bytes.Swap += PAGE_SIZE;
    if (!is_normal(pfn)) return;
    const flags = flags_of(pfn);
    const mapcount = precise_page_mapcount(pfn);
    const is_anon = (flags & PG_anon) !== 0;
    // An anonymous page came to be by a store; entries have no dirty bit here.
    const dirty = is_anon || (flags & PG_dirty) !== 0 ? "Dirty" : "Clean";
    bytes.Rss += PAGE_SIZE;
    bytes.Pss += PAGE_SIZE / Math.max(mapcount, 1);
    bytes[`${mapcount > 1 ? "Shared" : "Private"}_${dirty}`] += PAGE_SIZE;
    if (is_anon) bytes.Anonymous += PAGE_SIZE;
    if (flags & PG_ksm) bytes.KSM += PAGE_SIZE;
    if (is_anon && huge) bytes.AnonHugePages += PAGE_SIZE;
    if (flags & PG_swapbacked && huge) bytes.ShmemPmdMapped += PAGE_SIZE;
  });
  const lines = Object.entries(bytes).map(([name, n]) => {
    return `${`${name}:`.padEnd(16)}${String(Math.floor(n / 1024)).padStart(8)} kB\n`;
  });
  const flags = VM_FLAGS.filter(([bit]) => vma.flags & bit).map(([, name]) => `${name} `);
  return `${map_line(vma)}${lines.join("")}VmFlags: ${flags.join("")}\n`;
}
/**
 * What each mapping of a task has in memory.  Models /proc/PID/smaps, without the lines about what the model does not have.  A
 * pin changes none of them: kpagecount and page_owner tell of pins.
 */
export function proc_smaps(task: Task): string {
  return mm_of(task, "proc_smaps()").vmas.map(smap).join("");
}

// --- pagemap ------------------------------------------------------------------------------------------------
/** The bits of an entry: 63 present, 62 swapped, 61 file or shared, 56 mapped once. */
function bits_of({ pfn }: MappedPage): string {
  if (pfn === 0) return "swapped";
  if (!is_normal(pfn)) return "present";
  const file = flags_of(pfn) & PG_anon ? "" : ",file";
  return `present${file}${precise_page_mapcount(pfn) === 1 ? ",exclusive" : ""}`;
}
/**
 * Which page is at which address, and the bits of its entry: present, swapped, file (or shared memory), exclusive (mapped once).
 * Pages that follow each other in both ways are one line.  Models /proc/PID/pagemap; what is neither present nor swapped out has
 * no line.
 */
export function proc_pagemap(task: Task): string {
  let lines = "";
  let run: { start: number; end: number; first: number; last: number; bits: string } | null = null;
  const flush = (): void => {
    if (!run) return;
    const { start, end, first, last, bits } = run;
    const pfns = first === 0 ? "-" : first === last ? `${first}` : `${first}-${last}`;
    lines += `${range_of(start, end)} pfn ${pfns} ${bits}\n`;
    run = null;
  };
  const on_page = (page: MappedPage): void => {
    const { addr, pfn } = page;
    const bits = bits_of(page);
    const follows = run?.end === addr && run.bits === bits && (pfn === 0 || run.last + 1 === pfn);
    if (run && follows) {
      run.end += PAGE_SIZE;
      run.last = pfn;
      return;
    }
    flush();
    run = { start: addr, end: addr + PAGE_SIZE, first: pfn, last: pfn, bits };
  };
  for (const vma of mm_of(task, "proc_pagemap()").vmas) {
    each_page(vma, on_page);
    flush();
  }
  return lines;
}
