/**
 * put_pfn() of drivers/vfio/vfio_iommu_type1.c makes the page from the frame number that the IOMMU stored, and unpins it:
 * the IOMMU's table is the owner, and a number is all it can hold.  A number is no handle here.  The idiom is to keep the
 * handle beside the number, and to give only the number to the hardware.
 */
import {
  FOLL_LONGTERM,
  get_user_page,
  IS_ERR,
  ITER_DEST,
  PAGE_SIZE,
  page_to_pfn,
  unpin_user_page_range_dirty_lock,
  user_ptr_add,
  type LongtermUserPage,
  type Pfn,
} from "user-page";
import { dma_from_device, type Bench } from "./bench.js";

/** What vfio_dma keeps for an address of the device. */
interface VfioPfn {
  readonly pfn: Pfn;
  readonly page: LongtermUserPage<"dest">;
}
export function right({ current, buf, device, fails }: Bench) {
  const pfns = new Map<number, VfioPfn>();
  for (let iova = 0; iova < 4 * PAGE_SIZE; iova += PAGE_SIZE) {
    const page = get_user_page(current, user_ptr_add(buf, iova), ITER_DEST, FOLL_LONGTERM);
    if (IS_ERR(page)) break;
    pfns.set(iova, { pfn: page_to_pfn(page), page });
    dma_from_device(device, page);
  }
  for (const [iova, { page }] of pfns) {
    pfns.delete(iova);
    unpin_user_page_range_dirty_lock(page, 1, !fails, current);
  }
}
