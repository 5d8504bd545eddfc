/** An address space and its mappings.  Models struct mm_struct and struct vm_area_struct. */

import type { Mm } from "../handle/context.js";
import { page_tables } from "../machine/arena.js";
import { free_page_table, new_page_table } from "../machine/arena.js";
import { type Context } from "../machine/context.js";
import { PAGE_SIZE } from "../machine/limits.js";
import { throw_misuse, type MachineState } from "../machine/machine.js";
import { _PAGE_PRESENT } from "./pgtable.js";

export const PROT_NONE = 0;
export const PROT_READ = 1;
export const PROT_WRITE = 2;
export const PROT_EXEC = 4;
export const MAP_SHARED = 0x01;
export const MAP_PRIVATE = 0x02;
export const MAP_FIXED = 0x10;
export const MAP_ANONYMOUS = 0x20;
export const MAP_POPULATE = 0x8000;
export const MAP_FIXED_NOREPLACE = 0x100000;
export const MADV_DONTNEED = 4;
export const MADV_FREE = 8;
export const MADV_DONTFORK = 10;
export const MADV_DOFORK = 11;
export const MADV_HUGEPAGE = 14;
export const MADV_NOHUGEPAGE = 15;
export const MADV_PAGEOUT = 21;
export const MADV_POPULATE_READ = 22;
export const MADV_POPULATE_WRITE = 23;

/** Bits of Vma.flags; the first three equal PROT_*. */
export const VM_READ = 1;
export const VM_WRITE = 2;
export const VM_SHARED = 8;
export const VM_IO = 16;
export const VM_HUGEPAGE = 32;
/** Could be made writable by mprotect(): not for shared mappings of what is read-only. */
export const VM_MAYWRITE = 64;
/** A child does not get it. */
export const VM_DONTCOPY = 128;
/** Single pages, whatever the machine does by default. */
export const VM_NOHUGEPAGE = 256;

/** What a mapping shows, page by page.  Models what mm/ asks of struct address_space and struct vm_operations_struct. */
export interface MappedFile {
  readonly machine: MachineState;
  /** pages up to its end */
  readonly nr_pages: number;
  /** Its file system is asked before a page is stored to, and told what becomes dirty.  Models vma_needs_dirty_tracking(). */
  readonly tracks_dirty: boolean;
  /** Pages of a device that is memory itself. */
  readonly is_dax: boolean;
  /** It tracks what becomes dirty, and refuses long-term pins to write a shared mapping. */
  readonly refuses_longterm?: boolean;
  /** The page at this index, brought in at first use; 0 when memory is out, below 0 when it cannot be read. */
  page(index: number): number;
  /** Before a store through a shared mapping: 0, or a VM_FAULT_ code. */
  page_mkwrite(index: number, pfn: number): number;
  /** A mapping begins or ends: vm_ops->open() and close(). */
  open_vma(vma: Vma): void;
  close_vma(vma: Vma): void;
}
/** A descriptor: what mmap() takes. */
export abstract class OpenFile {
  abstract readonly machine: MachineState;
  abstract readonly open: boolean;
  abstract readonly mapping: MappedFile;
}
/** A descriptor as the library sees it, open and of this machine. */
export function open_file(file: object, machine: MachineState, called: string): OpenFile {
  if (file instanceof OpenFile && file.open && file.machine === machine) return file;
  throw_misuse("not-a-handle", called, "no open file of this machine");
}

/** One mapping: [start, end), page-aligned. */
export class Vma {
  readonly mm: MmState;
  start: number;
  end: number;
  flags: number;
  readonly file: MappedFile | null;
  /** bytes into the file at which `start` lies */
  offset: number;
  constructor(
    mm: MmState,
    start: number,
    end: number,
    flags: number,
    file: MappedFile | null,
    offset: number,
  ) {
    this.mm = mm;
    this.start = start;
    this.end = end;
    this.flags = flags;
    this.file = file;
    this.offset = offset;
  }
  /** Private and writable, perhaps later: its pages are copied before they are written. */
  get is_cow(): boolean {
    return (this.flags & (VM_SHARED | VM_MAYWRITE)) === VM_MAYWRITE;
  }
  /** Whether entries made here are present: those of PROT_NONE, which FOLL_FORCE makes, are not. */
  get present(): number {
    return (this.flags & 7) === 0 ? 0 : _PAGE_PRESENT;
  }
  get is_anonymous(): boolean {
    return this.file === null;
  }
  /** Page index in the file of the page at `addr`. */
  pgoff(addr: number): number {
    return Math.floor((addr - this.start + this.offset) / PAGE_SIZE);
  }
  /** Cuts at `addr`: this one keeps the front, the rest is returned. */
  split(addr: number): Vma {
    const offset = this.offset + addr - this.start;
    const rest = new Vma(this.mm, addr, this.end, this.flags, this.file, offset);
    this.file?.open_vma(rest);
    this.end = addr;
    return rest;
  }
}

export class MmState {
  readonly machine: MachineState;
  /** page table of the top level */
  readonly pgd: number;
  /** by address, not overlapping */
  readonly vmas: Vma[] = [];
  /** who holds the mmap_lock for reading */
  readonly readers: Context[] = [];
  /** sticky: a page of this address space was pinned at some time (MMF_HAS_PINNED) */
  has_pinned = false;
  /** pages that drivers charged to it, in either way; mlock.ts counts */
  locked_vm = 0;
  pinned_vm = 0;
  /** who holds the lock of its page tables while another CPU may run; null if nobody does */
  page_table_lock: string | null = null;
  /** odd while fork() copies entries of private mappings */
  write_protect_seq = 0;
  /** which call holds the mmap_lock for writing while another CPU runs */
  writer: string | null = null;
  /** calls under way that hold it for reading without a token, or the lock of a file it maps, while another CPU runs */
  faulting = 0;
  /** walks without a lock under way: mappings may end meanwhile, the upper tables may not go */
  walking = 0;
  #hit: Vma | null = null;
  alive = true;
  /** what the machine does at its end, if the task did not exit before */
  at_exit: (() => void) | null = null;

  constructor(machine: MachineState) {
    this.machine = machine;
    this.pgd = new_page_table();
    mms_of(machine).add(this);
  }
  /** The mapping that contains `addr`. */
  vma_at(addr: number): Vma | null {
    const hit = this.#hit;
    if (hit && addr >= hit.start && addr < hit.end) return hit;
    const vma = this.vmas[this.first_ending_after(addr)];
    if (!vma || addr < vma.start) return null;
    return (this.#hit = vma);
  }
  /** Index of the first mapping that ends above `addr`; vmas.length if none does.  Models find_vma(). */
  first_ending_after(addr: number): number {
    let low = 0;
    let high = this.vmas.length;
    while (low < high) {
      const middle = (low + high) >>> 1;
      if (this.vmas[middle]!.end > addr) high = middle;
      else low = middle + 1;
    }
    return low;
  }
  insert(vma: Vma): void {
    this.vmas.splice(this.first_ending_after(vma.start), 0, vma);
  }
  forget_hit(): void {
    this.#hit = null;
  }
  /** The lock is taken for writing, for the duration of one call: nobody may hold it. */
  assert_unlocked(called: string): void {
    this.assert_no_writer(called);
    if (this.readers.length > 0) {
      throw_misuse("lock-recursion", called, `mmap_lock held by ${this.readers[0]!.name}`);
    }
    if (this.faulting > 0) {
      throw_misuse("lock-recursion", called, "mmap_lock held by a call that was interrupted");
    }
  }
  /** The end of the task waits for walks without a lock as well. */
  assert_unused(called: string): void {
    this.assert_unlocked(called);
    if (this.walking > 0) {
      throw_misuse("lock-recursion", called, "page tables walked by a call that was interrupted");
    }
  }
  /** What takes the mmap_lock, for reading or for a fault, on another CPU that interrupted its holder would wait forever. */
  assert_no_writer(called: string): void {
    if (this.writer !== null) {
      throw_misuse("lock-recursion", called, `mmap_lock held by ${this.writer}`);
    }
  }
  free_tables(): void {
    free_below(this.pgd, 3);
  }
}
function free_below(table: number, level: number): void {
  if (level > 0) {
    for (let i = table << 9; i < (table + 1) << 9; i++) {
      const entry = page_tables[i]!;
      if (entry !== 0) free_below(entry >>> 6, level - 1);
    }
  }
  free_page_table(table);
}

const all_mms = new WeakMap<MachineState, Set<MmState>>();
/** The address spaces of a machine. */
export function mms_of(machine: MachineState): Set<MmState> {
  let mms = all_mms.get(machine);
  if (!mms) all_mms.set(machine, (mms = new Set()));
  return mms;
}
/** An address space as the library sees it. */
export function mm_state(mm: Mm, called: string): MmState {
  if (!(mm instanceof MmState) || !mm.alive || !mm.machine.alive) {
    throw_misuse("not-a-handle", called, "no address space of a running task");
  }
  return mm;
}
