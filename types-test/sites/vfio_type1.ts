/**
 * Mistakes at one call site, vfio type1, which keeps frame numbers: each refused where it is made.  The site itself is call-sites/vfio_type1.
 */
import {
  IS_ERR,
  pfn_to_page,
  put_page,
  put_user_bvec,
  put_user_page,
  unpin_user_folio,
  type LongtermBvecList,
  type Machine,
  type Pfn,
  type ProcessContext,
  put_user_bvec_dirty_lock,
} from "user-page";

export function releases_a_pin_by_number(machine: Machine, pfn: Pfn) {
  const page = pfn_to_page(machine, pfn);
  if (IS_ERR(page)) return;
  // @ts-expect-error found, not held: nothing says that anybody pinned it
  put_user_page(page);
}
export function releases_a_reference_by_number(machine: Machine, pfn: Pfn) {
  const page = pfn_to_page(machine, pfn);
  if (IS_ERR(page)) return;
  // @ts-expect-error found, not held
  put_page(page);
}
export function takes_the_number_for_the_page(pfn: Pfn) {
  // @ts-expect-error
  put_user_page(pfn);
}
export function takes_the_number_for_the_folio(pfn: Pfn) {
  // @ts-expect-error
  unpin_user_folio(pfn, 512);
}
export function takes_a_device_address_for_a_number(machine: Machine, iova: number) {
  // @ts-expect-error
  return pfn_to_page(machine, iova / 4096);
}
export function dirties_whatever_was_mapped(dma: LongtermBvecList, current: ProcessContext) {
  // @ts-expect-error perhaps mapped for reading: ask is_dest()
  put_user_bvec_dirty_lock(dma, current);
}
export function unmaps_twice(dma: LongtermBvecList) {
  put_user_bvec(dma);
  // @ts-expect-error
  put_user_bvec(dma);
}
