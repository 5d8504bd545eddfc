/**
 * sev_mem_enc_register_region() of arch/x86/kvm/svm/sev.c put its region on a list, dropped the lock, and flushed the region's
 * pages from the caches afterwards, when another call may have unregistered it: "KVM: SVM: Flush pages under kvm->lock to fix
 * UAF in sev_mem_enc_register_region()".  Putting the pins on a list is no move for the compiler; declared as one, they are
 * spent in the caller.
 */
import {
  all_or_none,
  FOLL_LONGTERM,
  IS_ERR,
  ITER_DEST,
  pin_user_pages_fast,
  unpin_user_pages,
  type HeldUserPages,
  type Narrows,
  type SpentUserPages,
  type UserPage,
} from "user-page";
import { dma_to_device, type Bench } from "./bench.js";

type Regions = Array<readonly UserPage[]>;
/** KVM_MEMORY_ENCRYPT_UNREG_REGION, on another CPU as soon as the lock is free. */
function unregister(regions: Regions) {
  for (let pages = regions.pop(); pages; pages = regions.pop()) unpin_user_pages(pages);
}
export function wrong({ current, buf, device }: Bench) {
  const pages = all_or_none(pin_user_pages_fast(current, buf, 4, ITER_DEST, FOLL_LONGTERM));
  if (IS_ERR(pages)) return pages;
  const regions: Regions = [];
  regions.push([...pages]);
  unregister(regions);
  for (const page of pages) dma_to_device(device, page); // sev_clflush_pages()
}

const list_add: Narrows<
  HeldUserPages,
  { is: SpentUserPages<"moved by list_add()"> },
  [regions: Regions]
> = (pages, regions) => {
  regions.push([...pages]);
};
/** The same bug, with a hand-over that says what it is. */
export function stricter({ current, buf, device }: Bench) {
  const pages = all_or_none(pin_user_pages_fast(current, buf, 4, ITER_DEST, FOLL_LONGTERM));
  if (IS_ERR(pages)) return pages;
  const regions: Regions = [];
  list_add(pages, regions);
  unregister(regions);
  // @ts-expect-error moved by list_add()
  for (const page of pages) dma_to_device(device, page);
}
export function right({ current, buf, device }: Bench) {
  const pages = all_or_none(pin_user_pages_fast(current, buf, 4, ITER_DEST, FOLL_LONGTERM));
  if (IS_ERR(pages)) return pages;
  const regions: Regions = [];
  for (const page of pages) dma_to_device(device, page);
  list_add(pages, regions);
  unregister(regions);
}
