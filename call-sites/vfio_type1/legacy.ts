// DMA mappings of vfio type1 as Linux keeps them: page frame numbers in the IOMMU's table, and nothing else.
import {
  ERRNO,
  FOLL_LONGTERM,
  get_page_unless_zero,
  IS_ERR,
  IS_SHORT,
  ITER_DEST,
  ITER_SOURCE,
  is_zero_page,
  mmap_read_lock,
  mmap_read_unlock,
  page_folio,
  page_to_pfn,
  PAGE_SIZE,
  pfn_to_page,
  pin_user_pages_remote,
  put_page,
  set_page_dirty_lock,
  unpin_user_folio,
  user_ptr_add,
  type Machine,
  type Mm,
  type Pfn,
  type ProcessContext,
  type UserAddr,
} from "user-page";

/** Page pointers that one page of kernel memory holds. */
const BATCH = PAGE_SIZE / 8;

/** One entry of the IOMMU's table. */
interface IommuEntry {
  readonly pfn: Pfn;
  readonly write: boolean;
}
export class Vfio {
  readonly #machine: Machine;
  readonly #capacity: number;
  /** by the device's page number */
  readonly #iommu = new Map<number, IommuEntry>();

  /** @param capacity - entries of the IOMMU's table */
  constructor(machine: Machine, capacity = Infinity) {
    this.#machine = machine;
    this.#capacity = capacity;
  }
  /** What the device reaches through its address. */
  iommu_iova_to_phys(iova: number): number | null {
    const entry = this.#iommu.get(iova / PAGE_SIZE);
    return entry ? entry.pfn * PAGE_SIZE : null;
  }
  /** Maps `size` bytes at `vaddr` for the device; 0 or -errno. */
  map_dma(
    current: ProcessContext,
    mm: Mm,
    iova: number,
    vaddr: UserAddr,
    size: number,
    write: boolean,
  ): number {
    const dir = write ? ITER_DEST : ITER_SOURCE;
    for (let done = 0; done < size;) {
      const nr = Math.min(BATCH, (size - done) / PAGE_SIZE);
      const lock = mmap_read_lock(current, mm);
      const at = user_ptr_add(vaddr, done);
      const pinned = pin_user_pages_remote(lock, at, nr, dir, FOLL_LONGTERM);
      mmap_read_unlock(lock);
      if (IS_ERR(pinned)) {
        this.unmap_dma(current, iova, done);
        return -ERRNO[pinned.errno];
      }
      const pfns = (IS_SHORT(pinned) ? pinned.partial : pinned).map(page_to_pfn);
      // From here on nobody has a page any more, only numbers.
      if (this.#iommu.size + pfns.length > this.#capacity) {
        for (const pfn of pfns) this.#put_pfn(current, pfn, false);
        this.unmap_dma(current, iova, done);
        return -ERRNO.ENOSPC;
      }
      pfns.forEach((pfn, i) => this.#iommu.set((iova + done) / PAGE_SIZE + i, { pfn, write }));
      done += pfns.length * PAGE_SIZE;
    }
    return 0;
  }
  unmap_dma(current: ProcessContext, iova: number, size: number): void {
    for (let page = iova / PAGE_SIZE; page < (iova + size) / PAGE_SIZE; page++) {
      const entry = this.#iommu.get(page);
      if (!entry) continue;
      this.#iommu.delete(page);
      this.#put_pfn(current, entry.pfn, entry.write);
    }
  }
  /** A pin of whatever page the number stands for. */
  #put_pfn(current: ProcessContext, pfn: Pfn, dirty: boolean): void {
    const found = pfn_to_page(this.#machine, pfn);
    if (IS_ERR(found)) return;
    const page = get_page_unless_zero(found);
    if (!page) return;
    // The test for "reserved": whether there is something to release is guessed from the number.
    if (!is_zero_page(page)) {
      if (dirty) set_page_dirty_lock(page, current);
      unpin_user_folio(page_folio(page), 1);
    }
    put_page(page);
  }
  /** The hazard: an entry that is left in the table is released again, as a pin of somebody else. */
  unmap_dma_and_forget_the_table(current: ProcessContext, iova: number, size: number): void {
    for (let page = iova / PAGE_SIZE; page < (iova + size) / PAGE_SIZE; page++) {
      const entry = this.#iommu.get(page);
      if (entry) this.#put_pfn(current, entry.pfn, entry.write);
    }
  }
}
