/** What the allocator of mm/ gives to the machine. */

/** Freeing is reached from a put, which knows no allocator. */
export interface PageAllocator {
  readonly free_pages: number;
  /** of them, those that the kernel's own allocations can have */
  readonly free_kernel_pages: number;
  /** the area of cma_alloc(), [first, end) */
  readonly cma: readonly [first: number, end: number];
  /**
   * A block of 2^order pages; `movable` for pages of users, which may come from where they must be movable.  `by` names who
   * asks, and can be told that there is none.
   */
  alloc(order: number, movable?: boolean, by?: string): number;
  /** one free page of the CMA area, or false */
  take_cma_page(pfn: number): boolean;
  /** Free blocks by order, of each part of memory in turn: normal memory, the CMA area, ZONE_MOVABLE. */
  free_areas(): ReadonlyArray<readonly number[]>;
  /** Whether the page is in a free block. */
  is_free(pfn: number): boolean;
  /** the last reference went: `pfn` is the head */
  free(pfn: number): void;
}
