/// <reference lib="esnext.disposable" preserve="true" />
/** Types of contiguous memory, and of what was charged to a limit. */

import type { Borrowed, Held, Owned, Ref, SpentOwned, SpentRef } from "./affine.js";
import type { Is } from "./kinds.js";

declare const kind: unique symbol;

/** Contiguous pages of the CMA area, each with one reference.  Models the pages that cma_alloc() returns. */
export interface cma_pages extends Disposable {
  readonly [kind]: Is<"cma">;
  readonly nr_pages: number;
  /** page frame number of the first */
  readonly pfn: number;
}
export type CmaPages = Ref<cma_pages>;
export type OwnedCmaPages = Owned<cma_pages>;
export type BorrowedCmaPages = Borrowed<cma_pages>;
export type HeldCmaPages = Held<cma_pages>;
export type SpentCmaPages<By> = SpentOwned<cma_pages, By> | SpentRef<cma_pages, By>;

/**
 * Pages that were charged to a limit on locked memory (ours; C keeps a number and a pointer to who was charged).  Disposing it
 * takes the charge back, once.
 */
export interface LockedCharge extends Disposable {
  readonly [kind]: "charge of locked memory";
  /** pages charged; 0 for who may lock without a limit, where the convention does not count those */
  readonly nr_pages: number;
}
