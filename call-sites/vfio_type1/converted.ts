// DMA mappings of vfio type1, converted: the IOMMU has its numbers, a table beside it has the handles.
import {
  ERR_PTR,
  FOLL_LONGTERM,
  get_user_bvec_remote,
  is_dest,
  IS_ERR,
  ITER_DEST,
  ITER_SOURCE,
  page_to_pfn,
  PAGE_SIZE,
  put_user_bvec,
  put_user_bvec_dirty_lock,
  type Errno,
  type GupError,
  type LongtermBvecList,
  type Mm,
  type ProcessContext,
  type UserAddr,
} from "user-page";

export class Vfio {
  readonly #capacity: number;
  /** physical addresses, by the device's page number */
  readonly #iommu = new Map<number, number>();
  /** what keeps the pages of a mapping, by the device's address */
  readonly #dmas = new Map<number, LongtermBvecList>();

  /** @param capacity - entries of the IOMMU's table */
  constructor(capacity = Infinity) {
    this.#capacity = capacity;
  }
  /** What the device reaches through its address. */
  iommu_iova_to_phys(iova: number): number | null {
    return this.#iommu.get(iova / PAGE_SIZE) ?? null;
  }
  /** Maps `size` bytes at `vaddr` for the device. */
  map_dma(
    current: ProcessContext,
    mm: Mm,
    iova: number,
    vaddr: UserAddr,
    size: number,
    write: boolean,
  ): GupError | Errno<"ENOSPC" | "EEXIST"> | null {
    let slot = iova / PAGE_SIZE;
    for (let i = 0; i < size / PAGE_SIZE; i++) {
      if (this.#iommu.has(slot + i)) return ERR_PTR("EEXIST", "the device's address is mapped");
    }
    const dir = write ? ITER_DEST : ITER_SOURCE;
    const bvecs = get_user_bvec_remote(current, mm, vaddr, size, dir, FOLL_LONGTERM);
    if (IS_ERR(bvecs)) return bvecs;
    if (this.#iommu.size + size / PAGE_SIZE > this.#capacity) {
      put_user_bvec(bvecs);
      return ERR_PTR("ENOSPC", `the IOMMU's table has ${this.#capacity} entries`);
    }
    for (const { page, len } of bvecs) {
      const phys = page_to_pfn(page) * PAGE_SIZE;
      for (let at = 0; at < len; at += PAGE_SIZE) this.#iommu.set(slot++, phys + at);
    }
    this.#dmas.set(iova, bvecs);
    return null;
  }
  /** Unmaps what map_dma() mapped at this address, whole; a second call finds nothing. */
  unmap_dma(current: ProcessContext, iova: number): void {
    const bvecs = this.#dmas.get(iova);
    if (!bvecs) return;
    this.#dmas.delete(iova);
    for (let at = 0; at < bvecs.count; at += PAGE_SIZE) this.#iommu.delete((iova + at) / PAGE_SIZE);
    if (is_dest(bvecs)) put_user_bvec_dirty_lock(bvecs, current);
    else put_user_bvec(bvecs);
  }
}
