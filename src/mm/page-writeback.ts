/** Dirty pages: who makes a page dirty, and how writeback makes it clean.  Models mm/page-writeback.c. */

import { lend_page } from "../handle/cast.js";
import { ERR_PTR } from "../handle/errno.js";
import { PAGE_HANDLE_SHIFT } from "../handle/tags.js";
import { page_flags, PG_dirty, PG_file, PG_private, PG_writeback } from "../machine/arena.js";
import { wait_for_completion } from "../machine/context.js";
import { PAGE_SIZE } from "../machine/limits.js";
import { machine_of_pfn } from "../machine/machine.js";
import { preempt } from "../machine/trace.js";
import { writeback_accessible } from "./accessible.js";
import { cached_page, tell } from "./address_space.js";
import type { AddressSpace, FileError } from "./filemap.js";
import { bytes_to_read, bytes_to_write } from "./page_alloc.js";
import {
  describe_pfn,
  head_of,
  is_zero_pfn,
  maybe_dma_pinned,
  ref_add,
  ref_sub,
} from "./page_ref.js";
import { folio_mkclean } from "./rmap.js";
import type { PinnedAction, SyncMode } from "./writeback_policy.js";

/** The dirty bit of the whole folio; the file of a page is told.  Models folio_mark_dirty(). */
export function set_folio_dirty(pfn: number): void {
  if (is_zero_pfn(pfn)) return;
  const head = head_of(pfn);
  const flags = page_flags[head]!;
  if ((flags & (PG_file | PG_dirty)) === PG_file) cached_page(head)?.mapping.dirty_folio(head);
  else page_flags[head] = flags | PG_dirty;
}
/** Takes the dirty bit: true if there was one.  `keep` leaves entries and bit as they are, for a copy that is written. */
function folio_clear_dirty_for_io(pfn: number, keep: boolean): boolean {
  const flags = page_flags[pfn]!;
  if ((flags & PG_dirty) === 0) return false;
  if (keep) return true;
  folio_mkclean(pfn);
  page_flags[pfn] = flags & ~(PG_dirty | PG_private);
  tell(pfn, "folio_clear_dirty_for_io");
  return true;
}

// --- writeback ------------------------------------------------------------------------------------------
/**
 * Sends every dirty page of the file to the disk; with WB_SYNC_ALL waits for those under way.  Models write_cache_pages().  What
 * stops one page does not stop the others; the first thing that was thrown is thrown then.
 */
export function write_cache_pages(mapping: AddressSpace, sync: SyncMode): void {
  const thrown: unknown[] = [];
  const dirty = [...mapping.i_pages].filter(([, pfn]) => page_flags[pfn]! & PG_dirty);
  for (const [index] of dirty.sort(([a], [b]) => a - b)) {
    try {
      const failed = write_if_dirty(mapping, index, sync);
      if (failed) mapping.wb_err ??= failed;
    } catch (reason) {
      thrown.push(reason);
    }
  }
  if (thrown.length > 0) throw thrown[0];
}
function write_if_dirty(mapping: AddressSpace, index: number, sync: SyncMode): FileError | null {
  for (;;) {
    const pfn = mapping.i_pages.get(index);
    // Another CPU may have truncated the file or written the page meanwhile.
    if (pfn === undefined || (page_flags[pfn]! & PG_dirty) === 0) return null;
    if (!mapping.in_flight.has(index)) return write_page(mapping, index, pfn, sync);
    if (sync === "WB_SYNC_NONE") return null;
    const done = (): boolean => !mapping.in_flight.has(index);
    wait_for_completion(mapping.machine, done, "write_cache_pages()");
  }
}
/** Waits until nothing of the file is under way: the first error since somebody asked.  Models filemap_fdatawait(). */
export function filemap_fdatawait(mapping: AddressSpace): FileError | null {
  wait_for_completion(mapping.machine, () => mapping.in_flight.size === 0, "filemap_fdatawait()");
  const error = mapping.wb_err;
  mapping.wb_err = null;
  return error;
}
/** A page that is about to be written, as far as it got. */
interface Write {
  readonly mapping: AddressSpace;
  readonly index: number;
  readonly pfn: number;
  /** what goes to the disk in its place, or 0 */
  readonly copy: number;
  /** A copy is made when the dirty bit goes, the checksum was taken before. */
  readonly late: boolean;
  /** A copy cannot change under the disk. */
  readonly stable: boolean;
  /** The page stays dirty, and was given another block. */
  readonly keep: boolean;
  /** a block is the write's, not the page's */
  has_block: boolean;
  /** a reference keeps the page where it is */
  holds_page: boolean;
  told: boolean;
}
function write_page(
  mapping: AddressSpace,
  index: number,
  pfn: number,
  sync: SyncMode,
): FileError | null {
  const { machine, policy, stats, a_ops } = mapping;
  const pinned = maybe_dma_pinned(pfn);
  const action: PinnedAction = pinned ? policy[sync] : "write";
  if (action === "skip") {
    stats.skipped++;
    tell(pfn, "skip");
    return null;
  }
  if ((page_flags[pfn]! & PG_private) === 0) return lose(mapping, pfn);
  const keep = pinned && policy.keep_dirty;
  // It is going to need another place; without one it stays as it is.
  const full = keep ? a_ops.prepare(index) : null;
  if (full) return full;
  const copy = action === "write" ? 0 : machine.allocator.alloc(0, false, "writeback of a copy");
  if (action !== "write" && copy === 0) {
    if (keep) a_ops.unprepare(index, 1);
    return ERR_PTR("ENOMEM", "no page for a copy");
  }
  // It is under way before another CPU can look: who truncates or writes the same page waits, as for a locked folio.
  mapping.in_flight.add(index);
  // Nor may it move before it is copied, should its pin go now.
  if (copy !== 0) ref_add(pfn, 1);
  const write: Write = {
    mapping,
    index,
    pfn,
    copy,
    late: action === "copy late",
    stable: action === "copy",
    keep,
    has_block: keep,
    holds_page: copy !== 0,
    told: false,
  };
  try {
    send(write);
  } catch (reason) {
    // Another CPU, or the page itself, which cannot be exported.
    if (machine.alive) undo(write);
    throw reason;
  }
  if (copy !== 0) stats.copied++;
  else {
    stats.written++;
    if (pinned) stats.written_pinned++;
  }
  return null;
}
function send(write: Write): void {
  const { mapping, index, pfn, copy, late, stable } = write;
  const { machine, a_ops } = mapping;
  // Checksums of a file system are taken before the dirty bit goes; a copy that is made then comes too late for them.
  const early = late ? a_ops.checksum(page_bytes(pfn)) : null;
  if (early !== null && machine.other_cpus !== null)
    preempt(machine, "writeback: checksum taken", pfn);
  folio_clear_dirty_for_io(pfn, write.keep);
  write.has_block = true;
  if (copy === 0) {
    // With the dirty bit, so that no fault or new pin gets in between: it waits for stable pages.
    page_flags[pfn] = page_flags[pfn]! | PG_writeback;
    if (machine.arch !== null) writeback_accessible(machine, pfn);
  }
  if (machine.other_cpus !== null) preempt(machine, "writeback: dirty bit cleared", pfn);
  if (copy !== 0) {
    bytes_to_write(machine, copy, 0, PAGE_SIZE).set(page_bytes(pfn));
    write.holds_page = false;
    ref_sub(pfn, 1);
  }
  tell(pfn, "folio_start_writeback", stable);
  write.told = true;
  const from = copy === 0 ? pfn : copy;
  const checksum = early ?? a_ops.checksum(page_bytes(from));
  if (early === null && machine.other_cpus !== null)
    preempt(machine, "writeback: checksum taken", pfn);
  const page = lend_page((from << PAGE_HANDLE_SHIFT) | machine.page_tags);
  a_ops.writepage(index, page, checksum, (error) => {
    mapping.in_flight.delete(index);
    if (error) mapping.wb_err ??= error;
    if (copy !== 0) ref_sub(copy, 1);
    else page_flags[pfn] = page_flags[pfn]! & ~PG_writeback;
    tell(pfn, "folio_end_writeback", stable);
  });
}
/** Nothing of it is under way: the page is as dirty as it was, and has its block.  Models folio_redirty_for_writepage(). */
function undo({ mapping, index, pfn, copy, stable, has_block, holds_page, told }: Write): void {
  mapping.in_flight.delete(index);
  if (copy !== 0) ref_sub(copy, 1);
  else page_flags[pfn] = page_flags[pfn]! & ~PG_writeback;
  const here = mapping.i_pages.get(index) === pfn;
  // Whoever stored meanwhile gave it another block.
  if (has_block && (!here || page_flags[pfn]! & PG_private)) mapping.a_ops.unprepare(index, 1);
  if (here) page_flags[pfn] = page_flags[pfn]! | PG_dirty | PG_private;
  if (told) tell(pfn, "folio_end_writeback", stable);
  if (here) tell(pfn, "folio_mark_dirty");
  if (holds_page) ref_sub(pfn, 1);
}
const page_bytes = (pfn: number): Uint8Array =>
  bytes_to_read(machine_of_pfn(pfn)!, pfn, 0, PAGE_SIZE);
/** Dirty, and nobody reserved a block: the file system has no place for it. */
function lose(mapping: AddressSpace, pfn: number): null {
  mapping.stats.lost++;
  mapping.machine.WARN_ONCE(
    `${describe_pfn(pfn)} is dirty and has no block: what was stored is lost`,
  );
  folio_clear_dirty_for_io(pfn, false);
  return null;
}
