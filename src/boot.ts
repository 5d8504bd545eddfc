/// <reference lib="esnext.disposable" preserve="true" />
/** Putting a machine together, and taking it apart (ours). */

import { debug_probe, type DebugLevel } from "./debug/debug.js";
import { to_machine } from "./handle/cast.js";
import type { Machine } from "./handle/context.js";
import { TAG_PLAIN, TAG_RECORDED } from "./handle/tags.js";
import { new_folio_id, page_flags, page_ref, PG_allocated, PG_zero } from "./machine/arena.js";
import { MAX_PAGES, PAGE_SIZE } from "./machine/limits.js";
import {
  assert_may_end,
  claim_machine,
  machine_state,
  release_machine,
  run_at_exit,
  type MachineState,
} from "./machine/machine.js";
import type { HeldReference } from "./machine/probe.js";
import { BuddyAllocator } from "./mm/buddy.js";
import { describe_counts, ORDER_ZERO_PAGE } from "./mm/page_ref.js";

/** How a machine is built; every option has a default. */
export interface MachineOptions {
  /** bytes of memory, a multiple of 4096; 64 MiB by default */
  readonly mem?: number;
  /** bytes at the end of memory that only movable pages of users may have (ZONE_MOVABLE), a multiple of 4096; 0 by default */
  readonly movable?: number;
  /** bytes before them for cma_alloc(), which movable pages of users may have meanwhile, a multiple of 4096; 0 by default */
  readonly cma?: number;
  /**
   * Check every handle: false (the default) checks nothing and costs nothing; "tags" checks bit 0; "owners" gives each
   * acquisition an identity too; true records where each was made and ended as well.
   */
  readonly CONFIG_DEBUG_USER_PAGE_REFERENCES?: boolean | DebugLevel;
  /** Throw on a misuse that debug mode sees (the default), or record it and go on as Linux would. */
  readonly panic_on_warn?: boolean;
  /** Hand out pages in an order that this seed decides, as CONFIG_SHUFFLE_PAGE_ALLOCATOR does. */
  readonly shuffle?: number;
}
/** What was left when a machine was shut down. */
export interface ShutdownReport {
  /** references that were never released; debug mode with owners lists them */
  readonly leaks: readonly HeldReference[];
  /** pages nobody maps and that never came back: leaked, or with a count that went wrong */
  readonly lost_pages: number;
}

/**
 * Boots a machine (ours).  The caller owns it: shutdown(), or the end of a `using` block.
 *
 * @param options - a RangeError for memory that is no number of pages, or too much
 * @example
 * using machine = boot({ mem: 16 << 20, CONFIG_DEBUG_USER_PAGE_REFERENCES: true });
 * const current = create_task(machine);
 */
export function boot(options: MachineOptions = {}): Machine {
  const {
    mem = 64 << 20,
    movable = 0,
    cma = 0,
    CONFIG_DEBUG_USER_PAGE_REFERENCES = false,
    panic_on_warn = true,
  } = options;
  if (!Number.isSafeInteger(mem) || mem < 16 * PAGE_SIZE || mem % PAGE_SIZE !== 0) {
    throw new RangeError(`mem: ${mem} bytes are not 16 pages or more of ${PAGE_SIZE} bytes`);
  }
  if (mem / PAGE_SIZE >= MAX_PAGES) {
    throw new RangeError(
      `mem: ${mem} bytes are too many; all machines together have ${MAX_PAGES} pages`,
    );
  }
  for (const bytes of [movable, cma]) {
    if (!Number.isSafeInteger(bytes) || bytes < 0 || bytes % PAGE_SIZE !== 0) {
      throw new RangeError(`movable, cma: ${bytes} bytes are no number of pages`);
    }
  }
  if (mem - movable - cma < 16 * PAGE_SIZE) {
    throw new RangeError(`movable, cma: less than 16 pages of ${mem} bytes are left to the kernel`);
  }
  const machine = claim_machine(mem / PAGE_SIZE, panic_on_warn);
  const [cma_pages, movable_pages] = [cma / PAGE_SIZE, movable / PAGE_SIZE];
  machine.allocator = new BuddyAllocator(machine, options.shuffle, cma_pages, movable_pages);
  machine.unpinnable_from = machine.base + machine.nr_pages - cma_pages - movable_pages;
  machine.zero_pfn = make_zero_page(machine);
  const level = CONFIG_DEBUG_USER_PAGE_REFERENCES;
  if (level !== false) {
    machine.probe = debug_probe(machine, level, describe_counts);
    machine.page_tags = machine.probe.records ? TAG_PLAIN | TAG_RECORDED : TAG_PLAIN;
  }
  return to_machine(machine);
}
function make_zero_page(machine: MachineState): number {
  const pfn = machine.allocator.alloc(0);
  page_ref[pfn] = ~new_folio_id(1, 0, pfn, ORDER_ZERO_PAGE);
  page_flags[pfn] = PG_allocated | PG_zero;
  return pfn;
}
/**
 * Shuts a machine down (ours): its tasks exit, its files and disks close, and what is still held then is reported.  Its
 * handles are no handles any more.
 *
 * @example
 * const machine = boot();
 * const { leaks, lost_pages } = shutdown(machine);
 * console.log(leaks.length, lost_pages); // -> 0 0
 */
export function shutdown(machine: Machine): ShutdownReport {
  const state = machine_state(machine);
  assert_may_end(state);
  run_at_exit(state);
  const kept = 1 + (state.huge_zero_pfn ? 512 : 0);
  const report = {
    leaks: state.probe?.leaks() ?? [],
    lost_pages: state.nr_pages - state.allocator.free_pages - kept,
  };
  release_machine(state);
  return report;
}
