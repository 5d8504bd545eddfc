/**
 * hva_to_pfn_remapped() of virt/kvm/kvm_main.c took a reference on whatever page a frame number of a VM_PFNMAP mapping names,
 * counting from 0 to 1, and dropped it later, which freed memory its owner still used (5.11; get_page_unless_zero() in
 * 5.14).  pfn_to_page() of C returns the same type as an acquiring call.  Here it returns a page that only
 * get_page_unless_zero() takes.  The frame is modelled by one whose count is 0.
 */
import {
  alloc_page,
  get_page,
  get_page_unless_zero,
  IS_ERR,
  page_to_pfn,
  pfn_to_page,
  put_page,
} from "user-page";
import type { Bench } from "./bench.js";

/** follow_pfn(): a frame number out of a page table, of a frame that nobody counts. */
function follow_pfn({ current }: Bench) {
  const page = alloc_page(current);
  if (IS_ERR(page)) return page;
  const pfn = page_to_pfn(page);
  put_page(page);
  return pfn;
}
export function wrong(bench: Bench) {
  const pfn = follow_pfn(bench);
  if (IS_ERR(pfn)) return pfn;
  const found = pfn_to_page(bench.machine, pfn);
  if (IS_ERR(found)) return found;
  // @ts-expect-error nobody promised a reference
  put_page(get_page(found));
}

export function right(bench: Bench) {
  const pfn = follow_pfn(bench);
  if (IS_ERR(pfn)) return pfn;
  const found = pfn_to_page(bench.machine, pfn);
  if (IS_ERR(found)) return found;
  const page = get_page_unless_zero(found);
  if (!page) return; // refused: EFAULT
  put_page(page);
}
