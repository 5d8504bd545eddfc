/**
 * put_pfn() of drivers/vfio/vfio_iommu_type1.c unpinned no page that counts as reserved, which the zero page does: its pins
 * grew with each mapping until the count overflowed: "vfio/type1: Unpin zero pages" (6.0-rc1, repaired by 6.4).  Since then
 * a pin on the zero page counts nothing, in Linux and here, so that nothing grows; what a handle is does not depend on it,
 * and debug mode reports it as never released.
 */
import { get_user_page, IS_ERR, is_zero_page, ITER_SOURCE, put_user_page } from "user-page";
import { map_pages, type Bench } from "./bench.js";

export function wrong({ current }: Bench) {
  const page = get_user_page(current, map_pages(current, 1), ITER_SOURCE);
  if (IS_ERR(page)) return page;
  const is_invalid_reserved = is_zero_page(page);
  if (!is_invalid_reserved) put_user_page(page);
}

export function right({ current }: Bench) {
  const page = get_user_page(current, map_pages(current, 1), ITER_SOURCE);
  if (IS_ERR(page)) return page;
  put_user_page(page);
}
