/** When an exclusive page may become one that is shared.  Models folio_try_share_anon_rmap_pte() of include/linux/rmap.h. */

import { page_flags, PG_anon_exclusive } from "../machine/arena.js";
import { maybe_dma_pinned } from "./page_ref.js";

/**
 * Ends the exclusivity of a page, unless it may be pinned.  The entry was cleared before: who takes a pin without a lock and
 * comes too late for this look finds that the entry changed, and gives the pin back.
 */
export function folio_try_share_anon_rmap(pfn: number): boolean {
  const flags = page_flags[pfn]!;
  if ((flags & PG_anon_exclusive) === 0) return true;
  if (maybe_dma_pinned(pfn)) return false;
  page_flags[pfn] = flags & ~PG_anon_exclusive;
  return true;
}
