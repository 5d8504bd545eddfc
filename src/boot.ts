/// <reference lib="esnext.disposable" preserve="true" />
/** Putting a machine together, and taking it apart (ours). */

import { debug_probe, type DebugLevel } from "./debug/debug.js";
import { to_machine } from "./handle/cast.js";
import type { Machine } from "./handle/context.js";
import { show } from "./handle/show.js";
import { TAG_PLAIN, TAG_RECORDED } from "./handle/tags.js";
import { new_folio_id, page_flags, page_ref, PG_allocated, PG_zero } from "./machine/arena.js";
import { inject_faults } from "./machine/fault-inject.js";
import { parse_fault_spec } from "./machine/fault_spec.js";
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
import { ORDER_ZERO_PAGE, page_counts } from "./mm/page_ref.js";
import { parse_thp_anon } from "./mm/thp_anon.js";

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
  /**
   * Let calls fail on purpose: a list of NAME@N as in docs/fault-injection.md, a seed, or "" to count only; injection() tells what
   * failed.
   */
  readonly inject?: string;
  /** What a report says of how to see it again; by default the options of this machine, which does the same in every run. */
  readonly reproduce?: string;
  /**
   * Sizes of folios that anonymous memory gets beside single pages, as the kernel parameter: "64K:madvise" for 64 KiB after
   * MADV_HUGEPAGE, "16K-64K:always;2M:never".  Powers of two from 16K to 2M; 2M:madvise unless it is named.
   */
  readonly thp_anon?: string;
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
 * @param options - a RangeError for memory that is no number of pages, or too much, and for an `inject` that is none
 * @example
 * using machine = boot({ mem: 16 << 20, CONFIG_DEBUG_USER_PAGE_REFERENCES: true });
 * const current = create_task(machine);
 */
export function boot(options: MachineOptions = {}): Machine {
  if (typeof options !== "object" || (options as unknown) === null) {
    throw new RangeError(`boot(): ${show(options)} is no object of options`);
  }
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
  const level = CONFIG_DEBUG_USER_PAGE_REFERENCES;
  if (typeof level !== "boolean" && level !== "tags" && level !== "owners") {
    throw new RangeError(
      `CONFIG_DEBUG_USER_PAGE_REFERENCES: ${show(level)} is none of false, "tags", "owners", true`,
    );
  }
  const faults = options.inject === undefined ? null : parse_fault_spec(options.inject);
  const huge_anon_orders = parse_thp_anon(options.thp_anon ?? "");
  const machine = claim_machine(mem / PAGE_SIZE, panic_on_warn);
  const [cma_pages, movable_pages] = [cma / PAGE_SIZE, movable / PAGE_SIZE];
  machine.allocator = new BuddyAllocator(machine, options.shuffle, cma_pages, movable_pages);
  machine.unpinnable_from = machine.base + machine.nr_pages - cma_pages - movable_pages;
  machine.huge_anon_orders = huge_anon_orders;
  machine.zero_pfn = make_zero_page(machine);
  if (level !== false) {
    machine.probe = debug_probe(machine, level, page_counts);
    machine.page_tags = machine.probe.records ? TAG_PLAIN | TAG_RECORDED : TAG_PLAIN;
  }
  machine.reproduce = options.reproduce ?? null;
  machine.booted = (inject = options.inject) => `boot(${call_text({ ...options, inject })})`;
  if (faults !== null) inject_faults(machine, faults);
  return to_machine(machine);
}
/** The options as they are written in a program. */
function call_text(options: Record<string, unknown>): string {
  const given = Object.entries(options).filter(([, value]) => value !== undefined);
  if (given.length === 0) return "";
  return `{ ${given.map(([name, value]) => `${name}: ${JSON.stringify(value)}`).join(", ")} }`;
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
