/** Taking pages out of a file, whoever holds them.  Models mm/truncate.c. */

import { page_flags, PG_dirty, PG_writeback } from "../machine/arena.js";
import { wait_for_completion } from "../machine/context.js";
import { PAGE_SIZE } from "../machine/limits.js";
import type { AddressSpace } from "./filemap.js";
import { zap_pte } from "./memory.js";
import { bytes_to_write } from "./page_alloc.js";
import { ref_count } from "./page_ref.js";
import { assert_may_unmap, rmap_walk } from "./rmap.js";
import { zap_range } from "./vma_range.js";

/** Takes away every entry that maps the page.  Models unmap_mapping_folio(). */
function unmap_page(pfn: number): void {
  rmap_walk(pfn, zap_pte);
}
/** Takes away what mappings have of the pages from `first` on, copies of private mappings too.  Models unmap_mapping_pages(). */
function unmap_from(mapping: AddressSpace, first: number): void {
  assert_may_unmap(mapping, first, Infinity);
  for (const { mm, start, end, offset } of mapping.i_mmap) {
    const from = Math.max(start, start - offset + first * PAGE_SIZE);
    if (from >= end) continue;
    mm.faulting++; // the end of the mapping waits for the lock of the file
    try {
      zap_range(mm, from, end);
    } finally {
      mm.faulting--;
    }
  }
}
/**
 * The pages [first, end) leave the file; who pinned them keeps the memory, and what is stored there goes nowhere.  Models
 * truncate_inode_pages_range().  Sleeps until the disk has what is under way.
 */
export function truncate_pages(mapping: AddressSpace, first: number, end: number): void {
  for (const [index, pfn] of [...mapping.i_pages]) {
    if (index < first || index >= end) continue;
    wait_for_write(mapping, index);
    // Whoever ran meanwhile may have truncated it.
    if (mapping.i_pages.get(index) !== pfn) continue;
    unmap_page(pfn);
    // An export lets another CPU run as well.
    if (mapping.i_pages.get(index) === pfn) mapping.remove_page(index, pfn);
  }
}
/** The pages behind the new end leave the file, and so do copies that private mappings have.  Models truncate_pagecache(). */
export function truncate_pagecache(mapping: AddressSpace): void {
  const first = mapping.nr_pages;
  unmap_from(mapping, first);
  truncate_pages(mapping, first, Infinity);
  zero_partial(mapping, mapping.i_size, first * PAGE_SIZE);
}
/** Sleeps until the disk has the page at this index, or a copy of it, if it is on its way. */
function wait_for_write(mapping: AddressSpace, index: number): void {
  const done = (): boolean => !mapping.in_flight.has(index);
  wait_for_completion(mapping.machine, done, "truncate_inode_pages_range()");
}
/** All pages leave a file that is no more; nothing is waited for. */
export function drop_pages(mapping: AddressSpace): void {
  assert_may_unmap(mapping, 0, Infinity);
  mapping.i_size = 0;
  unmap_from(mapping, 0);
  for (const [index, pfn] of [...mapping.i_pages]) mapping.remove_page(index, pfn);
}
/** Zeroes bytes of a page, from `from` to its end at most, if it is in the cache.  Models truncate_inode_partial_folio(). */
export function zero_partial(mapping: AddressSpace, from: number, to: number): void {
  const index = Math.floor(from / PAGE_SIZE);
  const pfn = mapping.i_pages.get(index);
  const end = Math.min(to, (index + 1) * PAGE_SIZE);
  if (pfn === undefined || end <= from) return;
  do {
    mapping.wait_for_stable(pfn);
    if (mapping.i_pages.get(index) !== pfn) return;
  } while (mapping.export_page(pfn));
  bytes_to_write(mapping.machine, pfn, from % PAGE_SIZE, end - from).fill(0);
}
/**
 * Clean pages that nobody maps or holds leave the cache and are read again.  Models invalidate_mapping_pages().  Returns how
 * many left.
 */
export function invalidate_mapping_pages(mapping: AddressSpace): number {
  let gone = 0;
  for (const [index, pfn] of [...mapping.i_pages]) {
    // The cache holds one reference; a pin or an entry holds more.  What is on its way to the disk is not there yet.
    if (page_flags[pfn]! & (PG_dirty | PG_writeback) || mapping.in_flight.has(index)) continue;
    if (ref_count(pfn) !== 1) continue;
    mapping.remove_page(index, pfn);
    gone++;
  }
  return gone;
}
