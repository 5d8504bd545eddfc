/** Which file a page belongs to.  Models folio->mapping and folio->index, as far as files have pages that can be dirty. */

import { page_flags, PG_dest, PG_dirty, PG_private, PG_writeback } from "../machine/arena.js";
import { machine_of_pfn } from "../machine/machine.js";
import type { PageEventName } from "../machine/trace.js";
import type { AddressSpace } from "./filemap.js";
import { FOLL } from "./gup_flags.js";
import { maybe_dma_pinned } from "./page_ref.js";

export interface CachedPage {
  readonly mapping: AddressSpace;
  readonly index: number;
}
/** By page frame number; those of all machines differ. */
const cached = new Map<number, CachedPage>();

/** The file of a page with PG_file, and where it lies in it. */
export const cached_page = (pfn: number): CachedPage | undefined => cached.get(pfn);
export function set_cached_page(pfn: number, page: CachedPage | null): void {
  if (page) cached.set(pfn, page);
  else cached.delete(pfn);
}

/** A page of a file was pinned with these FOLL_ flags. */
export function file_page_pinned(pfn: number, flags: number): void {
  if (flags & FOLL.WRITE) page_flags[pfn] = page_flags[pfn]! | PG_dest;
  tell(pfn, "pin");
}
/** The last pin of a page of a file went. */
export function file_page_unpinned(pfn: number): void {
  tell(pfn, "unpin");
  page_flags[pfn] = page_flags[pfn]! & ~PG_dest;
  cached_page(pfn)?.mapping.unpinned(pfn);
}
/** Tells who listens what happened to a page of a file. */
export function tell(pfn: number, name: PageEventName, stable = false): void {
  const machine = machine_of_pfn(pfn);
  const observers = machine?.observers;
  if (!observers) return;
  const flags = page_flags[pfn]!;
  const event = {
    name,
    pfn,
    index: cached_page(pfn)?.index ?? -1,
    pinned: maybe_dma_pinned(pfn),
    pinned_to_write: (flags & PG_dest) !== 0,
    dirty: (flags & PG_dirty) !== 0,
    prepared: (flags & PG_private) !== 0,
    stable,
    writeback: (flags & PG_writeback) !== 0,
  };
  machine.interrupted++;
  try {
    for (const observer of [...observers]) observer(event);
  } finally {
    machine.interrupted--;
  }
}
