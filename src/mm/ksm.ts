/** Merging pages that are alike.  Models mm/ksm.c, without its daemon and its trees: the caller says which two. */

import { ok, type Result } from "neverthrow";
import type { UserAddr } from "../handle/addr.js";
import type { Task } from "../handle/context.js";
import { ERR_PTR, PTR_ERR, type Errno } from "../handle/errno.js";
import { PAGE_HANDLE_SHIFT } from "../handle/tags.js";
import { page_flags, page_mapcount, page_tables, PG_anon, PG_ksm } from "../machine/arena.js";
import { PAGE_SIZE } from "../machine/limits.js";
import { throw_foreign } from "../machine/machine.js";
import { drop_mapping } from "./memory.js";
import { VM_SHARED, type MmState } from "./mm_types.js";
import { bytes_to_read } from "./page_alloc.js";
import { order_of, ref_add, ref_count } from "./page_ref.js";
import { _PAGE_PSE, _PAGE_RW, is_swap_pte, pmd_number, pmd_slot, pte_index } from "./pgtable.js";
import { folio_try_share_anon_rmap } from "./rmap_anon.js";
import { is_page_address, mm_for_write } from "./vma_range.js";

export type KsmError = Errno<"EFAULT" | "EBUSY" | "EAGAIN">;
const failed = (errno: "EFAULT" | "EBUSY" | "EAGAIN", why: string): Result<never, KsmError> =>
  PTR_ERR(ERR_PTR(errno, why));

/** Where the entry of a single anonymous page of a private mapping stands; 0 if there is none. */
function anon_entry(mm: MmState, addr: number): number {
  const vma = is_page_address(addr) ? mm.vma_at(addr) : null;
  if (!vma || vma.flags & VM_SHARED) return 0;
  const pmd = pmd_number(addr);
  const slot = pmd_slot(mm.pgd, pmd);
  const entry = slot === 0 ? 0 : page_tables[slot]!;
  if (entry === 0 || entry & _PAGE_PSE) return 0;
  const at = ((entry >>> 6) << 9) + pte_index(addr, pmd);
  const pte = page_tables[at]!;
  const pfn = pte >>> PAGE_HANDLE_SHIFT;
  if (pte === 0 || is_swap_pte(pte) || order_of(pfn) > 0) return 0;
  return page_flags[pfn]! & PG_anon ? at : 0;
}
/**
 * Makes the entry read-only and the page one that nobody has for himself, unless somebody beside the entries holds or has
 * pinned it.  Models write_protect_page().
 */
function write_protect_page(at: number): boolean {
  const pte = page_tables[at]!;
  const pfn = pte >>> PAGE_HANDLE_SHIFT;
  // First the entry goes: a pin that is taken without the lock either stands in the count now or sees that.
  page_tables[at] = 0;
  const shared = ref_count(pfn) === page_mapcount[pfn] && folio_try_share_anon_rmap(pfn);
  page_tables[at] = shared ? pte & ~_PAGE_RW : pte;
  return shared;
}
/**
 * Lets `addr` of one task show the page that another one has at `kaddr`, if their bytes are equal: both are read-only and
 * copied before the next store.  Models try_to_merge_one_page().
 *
 * @param current - whose page goes
 * @param addr - a multiple of PAGE_SIZE
 * @param other - a task of the same machine, or the same one
 * @param kaddr - a multiple of PAGE_SIZE
 * @returns EFAULT where no single page of a private mapping is that was written; EAGAIN when their bytes differ;
 *   EBUSY when one is pinned or anybody holds it beside its mappings
 */
export function try_to_merge_one_page(
  current: Task,
  addr: UserAddr,
  other: Task,
  kaddr: UserAddr,
): Result<void, KsmError> {
  const called = "try_to_merge_one_page()";
  const mm = mm_for_write(current, called);
  const kmm = mm_for_write(other, called);
  const { machine } = mm;
  if (kmm.machine !== machine) throw_foreign(called);
  const [at, kat] = [anon_entry(mm, addr), anon_entry(kmm, kaddr)];
  if (at === 0 || kat === 0) return failed("EFAULT", "no single page that was written");
  const pfn = page_tables[at]! >>> PAGE_HANDLE_SHIFT;
  const kpfn = page_tables[kat]! >>> PAGE_HANDLE_SHIFT;
  if (pfn === kpfn) return ok(undefined);
  if (!write_protect_page(kat)) return failed("EBUSY", "the page to keep is pinned or held");
  page_flags[kpfn] = page_flags[kpfn]! | PG_ksm;
  if (!write_protect_page(at)) return failed("EBUSY", "the page to merge is pinned or held");
  // Only now that neither can be stored to does equal mean equal.
  const [pte, kpte] = [page_tables[at]!, page_tables[kat]!];
  mm.faulting++;
  kmm.faulting++;
  let same;
  try {
    const kept = bytes_to_read(machine, kpfn, 0, PAGE_SIZE);
    same = bytes_to_read(machine, pfn, 0, PAGE_SIZE).every((byte, i) => byte === kept[i]);
  } finally {
    mm.faulting--;
    kmm.faulting--;
  }
  // Reading a secure page lets another CPU run, which may have stored to its copy of one.
  if (!same || page_tables[at] !== pte || page_tables[kat] !== kpte) {
    return failed("EAGAIN", "the bytes differ, or another CPU changed an entry");
  }
  page_tables[at] = (kpfn << PAGE_HANDLE_SHIFT) | (pte & 1);
  ref_add(kpfn, 1);
  page_mapcount[kpfn] = page_mapcount[kpfn]! + 1;
  drop_mapping(pfn);
  return ok(undefined);
}
