/**
 * tce_iommu_build() of drivers/vfio/vfio_iommu_spapr_tce.c pins one page in each round and leaves the loop when the page
 * does not suit; the clean-up covers the rounds before, not this one (read in 6.12 and 6.19, no fix known).  In C the pin
 * is a physical address in an out parameter.  Nothing static sees what is left undone; debug mode names the line.  A
 * scope around the pin of the round is the remedy.
 */
import {
  __free,
  ERR_PTR,
  FOLL_LONGTERM,
  get_user_page,
  IS_ERR,
  ITER_DEST,
  no_free_ptr,
  PAGE_SIZE,
  put_user_page,
  user_ptr_add,
  type LongtermUserPage,
} from "user-page";
import { dma_from_device, type Bench } from "./bench.js";

const NR = 4;
type Table = Array<LongtermUserPage<"dest">>;
function tce_iommu_clear(table: Table) {
  for (let page = table.pop(); page; page = table.pop()) put_user_page(page);
}
const is_contained = (fails: boolean, i: number): boolean => !(fails && i === 2);

export function wrong({ current, buf, fails }: Bench) {
  const table: Table = [];
  for (let i = 0; i < NR; i++) {
    const page = get_user_page(current, user_ptr_add(buf, i * PAGE_SIZE), ITER_DEST, FOLL_LONGTERM);
    if (IS_ERR(page)) break;
    if (!is_contained(fails, i)) break;
    table.push(page);
  }
  tce_iommu_clear(table);
}

export function right({ current, buf, device, fails }: Bench) {
  const table: Table = [];
  for (let i = 0; i < NR; i++) {
    const addr = user_ptr_add(buf, i * PAGE_SIZE);
    using hpa = __free(put_user_page, get_user_page(current, addr, ITER_DEST, FOLL_LONGTERM));
    if (IS_ERR(hpa) || !is_contained(fails, i)) {
      tce_iommu_clear(table);
      return IS_ERR(hpa) ? hpa : ERR_PTR("EPERM", "the page is smaller than the entry");
    }
    dma_from_device(device, hpa.page);
    table.push(no_free_ptr(hpa));
  }
  tce_iommu_clear(table);
}
