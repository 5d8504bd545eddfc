/**
 * The hook of architectures whose pages may be inaccessible to the host.  Models arch_make_folio_accessible() and the
 * callers of it: FOLL_PIN, the start of writeback, and the fault handler.
 */

import { raw } from "../handle/cast.js";
import type { ProcessContext } from "../handle/context.js";
import type { HeldPage } from "../handle/page.js";
import type { OwnedAccessiblePage } from "../handle/secure.js";
import { PAGE_HANDLE_SHIFT } from "../handle/tags.js";
import { vm_bug, type Arch } from "../machine/arch.js";
import {
  foll_pin_acquired,
  page_flags,
  page_mapcount,
  PG_arch_1,
  PG_file,
  PG_swapbacked,
} from "../machine/arena.js";
import { might_sleep } from "../machine/context.js";
import { PAGE_SIZE, SECTION_SHIFT } from "../machine/limits.js";
import {
  machine_of_handle,
  machine_of_pfn,
  throw_foreign,
  throw_misuse,
  warn_misuse,
  type MachineState,
} from "../machine/machine.js";
import { describe_pfn, page_counts, pin_sub, ref_count } from "./page_ref.js";

/** CPUs and devices can access the page from now on: 0, or -errno.  The caller holds a reference that nobody expects. */
export function arch_make_folio_accessible(pfn: number): number {
  if ((page_flags[pfn]! & PG_arch_1) === 0) return 0;
  return machine_of_pfn(pfn)!.arch?.make_folio_accessible(pfn) ?? 0;
}
/** The references that are accounted for: those of entries, and the one of the file.  Models expected_folio_refs(). */
export function expected_folio_refs(pfn: number): number {
  // PG_private of the model is a block its file system reserved, and no reference.
  return page_mapcount[pfn]! + (page_flags[pfn]! & (PG_file | PG_swapbacked) ? 1 : 0);
}

// --- who calls it -----------------------------------------------------------------------------------------
/** Of a page that was just pinned: 0, or -errno without the pin. */
export function pinned_accessible(pfn: number): number {
  const failed = arch_make_folio_accessible(pfn);
  if (failed !== 0) pin_sub(pfn, 1);
  return failed;
}
/** The same in the fast walk, which counts its pins later: false sends it to the slow one. */
export function fast_accessible(pfn: number): boolean {
  if (arch_make_folio_accessible(pfn) === 0) return true;
  foll_pin_acquired[pfn >>> SECTION_SHIFT] = foll_pin_acquired[pfn >>> SECTION_SHIFT]! + 1;
  pin_sub(pfn, 1);
  return false;
}
/** Of a page under writeback: its flag keeps it from changing back.  Models the end of __folio_start_writeback(). */
export function writeback_accessible(machine: MachineState, pfn: number): void {
  if (arch_make_folio_accessible(pfn) === 0) return;
  vm_bug(machine, `__folio_start_writeback(): ${describe_pfn(pfn)} cannot be made accessible`);
}
/** The fault handler: whether a CPU can go on. */
export function cpu_can_access(pfn: number): boolean {
  if ((page_flags[pfn]! & PG_arch_1) === 0) return true;
  return machine_of_pfn(pfn)!.arch?.cpu_access(pfn) ?? true;
}
function for_each_pfn(
  pfn: number,
  offset: number,
  len: number,
  visit: (pfn: number) => void,
): void {
  const last = pfn + Math.floor((offset + Math.max(len, 1) - 1) / PAGE_SIZE);
  for (let i = pfn + Math.floor(offset / PAGE_SIZE); i <= last; i++) visit(i);
}
/** The kernel accesses bytes by itself, where a signal does not help. */
export function kernel_access(arch: Arch, pfn: number, offset: number, len: number): void {
  for_each_pfn(pfn, offset, len, (i) => {
    if ((page_flags[i]! & PG_arch_1) === 0 || arch.cpu_access(i)) return;
    vm_bug(machine_of_pfn(i)!, `${describe_pfn(i)} cannot be exported`);
    throw_misuse("inaccessible-page", "the kernel", describe_pfn(i));
  });
}
/** Why a device cannot access these bytes, or null.  What stops a device is a machine check, which is logged. */
export function device_access(
  machine: MachineState,
  pfn: number,
  offset: number,
  len: number,
): string | null {
  let refused: string | null = null;
  for_each_pfn(pfn, offset, len, (i) => {
    refused ??= machine.arch?.device_access(i) ?? null;
  });
  if (refused !== null) machine.printk(`machine check: ${refused as string}`);
  return refused;
}

/**
 * Makes a page accessible to devices, for as long as this reference is held (ours: the order of steps that Linux states in
 * a comment).  It asks for a reference of the caller's own, since no other keeps the page from becoming secure again.
 * Pinned pages need no such call: they are accessible from the beginning.
 *
 * @param current - may sleep
 * @returns true: accessible until its release.  false: the page cannot be exported; it is the caller's as before
 * @example
 * const page = alloc_page(current);
 * if (IS_ERR(page)) return page;
 * if (make_accessible(page, current)) secure_rw_page(disk, "REQ_OP_WRITE", 0, page, current);
 * put_page(page);
 */
export function make_accessible(
  page: HeldPage,
  current: ProcessContext,
): page is OwnedAccessiblePage {
  const called = "make_accessible()";
  const machine = might_sleep(current, called);
  const p = raw(page);
  if (machine_of_handle(p, called) !== machine) throw_foreign(called);
  const pfn = p >>> PAGE_HANDLE_SHIFT;
  const count = ref_count(pfn);
  // All references are accounted for: the caller has none, or what keeps the page in its file or its mapping.
  if (count <= expected_folio_refs(pfn)) {
    const evidence = {
      counts: { before: page_counts(pfn), after: null },
      facts: [{ what: "expected", text: `${expected_folio_refs(pfn)} without the caller's` }],
    };
    warn_misuse(machine, "accessible-before-reference", called, describe_pfn(pfn), evidence);
  } else machine.probe?.used("page", p, called);
  const failed = arch_make_folio_accessible(pfn);
  if (failed !== 0) machine.printk(`${called}: ${describe_pfn(pfn)}: errno ${failed}`);
  return failed === 0;
}
