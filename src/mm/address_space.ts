/** Which file a page belongs to.  Models folio->mapping and folio->index, as far as files have pages that can be dirty. */

import { page_flags, PG_dest, PG_dirty, PG_private, PG_writeback } from "../machine/arena.js";
import { machine_of_pfn, type MachineState } from "../machine/machine.js";
import type { PageEventName } from "../machine/trace.js";
import { trace, trace_id } from "../machine/tracepoint.js";
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
/** Trace events of a page of a file: all have the same fields. */
type FolioEvent =
  | "page_mkwrite"
  | "writeback_dirty_folio"
  | "folio_clear_dirty_for_io"
  | "folio_start_writeback"
  | "folio_end_writeback"
  | "folio_wait_writeback"
  | "mm_filemap_add_to_page_cache"
  | "mm_filemap_delete_from_page_cache";
/** The trace events that tell the same. */
const TRACED: Readonly<Record<PageEventName, FolioEvent | null>> = {
  page_mkwrite: "page_mkwrite",
  folio_mark_dirty: "writeback_dirty_folio",
  folio_clear_dirty_for_io: "folio_clear_dirty_for_io",
  folio_start_writeback: "folio_start_writeback",
  folio_end_writeback: "folio_end_writeback",
  truncate: "mm_filemap_delete_from_page_cache",
  store: null,
  pin: null,
  unpin: null,
  skip: null,
};
/** Call as `if (machine.tracers !== null) trace_folio(…)`. */
export function trace_folio(machine: MachineState, pfn: number, name: FolioEvent | null): void {
  const at = cached_page(pfn);
  if (!at || name === null) return;
  trace(machine, name, { pfn, index: at.index, file: trace_id(machine, "file", at.mapping) });
}
/** Tells who listens what happened to a page of a file. */
export function tell(pfn: number, name: PageEventName, stable = false): void {
  const machine = machine_of_pfn(pfn);
  if (machine && machine.tracers !== null) trace_folio(machine, pfn, TRACED[name]);
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
