/**
 * vaddr_get_pfns() of drivers/vfio/vfio_iommu_type1.c unpins the zero page as soon as it found it among what it pinned, and
 * goes on using it: the zero page cannot go away.  A released handle cannot be used here; ZERO_PAGE() lends the page to
 * whoever wants it.
 */
import {
  all_or_none,
  is_zero_page,
  IS_ERR,
  ITER_SOURCE,
  MAP_ANONYMOUS,
  MAP_PRIVATE,
  mmap,
  pin_user_pages_fast,
  PROT_READ,
  unpin_user_page,
  ZERO_PAGE,
  type BorrowedPage,
  type UserPage,
} from "user-page";
import { Device, dma_to_device, type Bench } from "./bench.js";

export function right({ current }: Bench) {
  const flags = MAP_PRIVATE | MAP_ANONYMOUS;
  const untouched = mmap(current, null, 4 * 4096, PROT_READ, flags)._unsafeUnwrap();
  const pages = all_or_none(pin_user_pages_fast(current, untouched, 4, ITER_SOURCE));
  if (IS_ERR(pages)) return pages;
  const mapped: Array<BorrowedPage | UserPage> = [];
  const held: UserPage[] = [];
  for (const page of pages) {
    if (is_zero_page(page)) {
      unpin_user_page(page);
      mapped.push(ZERO_PAGE(current));
    } else {
      mapped.push(page);
      held.push(page);
    }
  }
  const device = new Device(); // the memory is not the bench's
  for (const page of mapped) dma_to_device(device, page);
  for (let page = held.pop(); page; page = held.pop()) unpin_user_page(page);
  return device.log.every((bytes) => bytes.every((byte) => byte === 0)) ? 0 : -5;
}
