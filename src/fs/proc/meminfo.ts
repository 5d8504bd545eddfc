/** What the memory of a machine is used for, in kB.  Models fs/proc/meminfo.c. */

import type { Machine } from "../../handle/context.js";
import {
  entire_mapcount,
  page_flags,
  page_ref,
  PG_anon,
  PG_dirty,
  PG_file,
  PG_swapbacked,
  PG_writeback,
} from "../../machine/arena.js";
import { HPAGE_PMD_ORDER, PAGE_SIZE } from "../../machine/limits.js";
import { machine_state } from "../../machine/machine.js";
import { head_of, order_of } from "../../mm/page_ref.js";
import { precise_page_mapcount } from "./page.js";

/**
 * What memory is used for.  Models /proc/meminfo, of the lines that the model has something to say to: pages of files and shared
 * memory are Cached, AnonPages and Mapped are mapped by somebody.
 */
export function proc_meminfo(machine: Machine): string {
  const { allocator, base, nr_pages } = machine_state(machine);
  const [cma, end_of_cma] = allocator.cma;
  const pages = {
    MemTotal: nr_pages,
    MemFree: allocator.free_pages,
    Cached: 0,
    Dirty: 0,
    Writeback: 0,
    AnonPages: 0,
    Mapped: 0,
    Shmem: 0,
    AnonHugePages: 0,
    CmaTotal: end_of_cma - cma,
    CmaFree: 0,
  };
  for (let pfn = base; pfn < base + nr_pages; pfn++) {
    if (pfn >= cma && pfn < end_of_cma && allocator.is_free(pfn)) pages.CmaFree++;
    const flags = page_flags[pfn]! | page_flags[head_of(pfn)]!;
    const is_file = (flags & (PG_file | PG_swapbacked)) !== 0;
    const is_mapped = precise_page_mapcount(pfn) > 0;
    if (is_file) pages.Cached++;
    if (flags & PG_swapbacked) pages.Shmem++;
    if (flags & PG_file && flags & PG_dirty) pages.Dirty++;
    if (flags & PG_writeback) pages.Writeback++;
    if (is_file && is_mapped) pages.Mapped++;
    if (flags & PG_anon && is_mapped) pages.AnonPages++;
    const v = page_ref[pfn]!;
    const whole = order_of(pfn) === HPAGE_PMD_ORDER && entire_mapcount[~v]! > 0;
    if (whole && flags & PG_anon) pages.AnonHugePages++;
  }
  return Object.entries(pages)
    .map(([name, nr]) => {
      const kb = String((nr * PAGE_SIZE) / 1024).padStart(8);
      return `${`${name}:`.padEnd(15)} ${kb} kB\n`;
    })
    .join("");
}
