/// <reference lib="esnext.disposable" preserve="true" />
/** Types of pinned extents: one reference per contiguous run, and the list that owns the runs of a range. */

import type { Borrowed, Held, Lent, Narrows, Owned, Ref, SpentOwned, SpentRef } from "./affine.js";
import type { Is } from "./kinds.js";
import type { Dir, LentUserPage, SpentUserPageRef, Term } from "./page.js";

declare const kind: unique symbol;
declare const dir: unique symbol;
declare const term: unique symbol;

// --- one extent --------------------------------------------------------------------------------------
/** One contiguous run inside one folio: one reference, however many pages it spans. */
export interface user_bvec<D extends Dir = Dir, T extends Term = Term> extends Disposable {
  readonly [kind]: Is<"bvec">;
  readonly [dir]: D;
  readonly [term]: T;
  /** the first page of the run */
  readonly page: LentUserPage<D, T>;
  /** bytes into the first page, 0 to 4095 */
  readonly offset: number;
  /** bytes */
  readonly len: number;
}
/** What an extent or a list becomes: one shape that fits both, so that one release serves both. */
interface spent_bvec<By> extends Disposable, Iterable<SpentBvecRef<By>> {
  readonly [kind]: never;
  readonly [dir]: never;
  readonly [term]: never;
  readonly page: SpentUserPageRef<By>;
  /** @deprecated released or moved */
  readonly offset: number;
  /** @deprecated released or moved */
  readonly len: number;
  /** @deprecated released or moved */
  readonly count: number;
  /** @deprecated released or moved */
  readonly nr_segs: number;
}
export type PinnedBvec<D extends Dir = Dir, T extends Term = Term> = Ref<user_bvec<D, T>>;
export type LongtermBvec<D extends Dir = Dir> = PinnedBvec<D, "longterm">;
export type OwnedBvec<D extends Dir = Dir, T extends Term = Term> = Owned<user_bvec<D, T>>;
export type LentBvec<D extends Dir = Dir, T extends Term = Term> = Lent<user_bvec<D, T>>;
export type BorrowedBvec = Borrowed<user_bvec>;
export type BorrowedDestBvec = Borrowed<user_bvec<"dest">>;
export type HeldBvec = Held<user_bvec>;
export type HeldDestBvec = Held<user_bvec<"dest">>;
export type SpentBvecRef<By> = SpentRef<spent_bvec<By>, By>;
export type SpentBvec<By> = SpentOwned<spent_bvec<By>, By> | SpentBvecRef<By>;

// --- the extents of one user range: one handle ---------------------------------------------------------
/** A queue of extents with one owner.  Iterating lends them; popping and adding to a bio move them out. */
export interface bvec_list<D extends Dir = Dir, T extends Term = Term>
  extends Disposable, Iterable<LentBvec<D, T>> {
  readonly [kind]: Is<"bvec_list">;
  readonly [dir]: D;
  readonly [term]: T;
  /** bytes still here */
  readonly count: number;
  /** extents still here */
  readonly nr_segs: number;
}
export type PinnedBvecList<D extends Dir = Dir, T extends Term = Term> = Ref<bvec_list<D, T>>;
/** What a registration keeps in a field. */
export type LongtermBvecList<D extends Dir = Dir> = PinnedBvecList<D, "longterm">;
export type OwnedBvecList<D extends Dir = Dir, T extends Term = Term> = Owned<bvec_list<D, T>>;
export type BorrowedBvecList = Borrowed<bvec_list>;
export type BorrowedDestBvecList = Borrowed<bvec_list<"dest">>;
export type HeldBvecList = Held<bvec_list>;
export type HeldDestBvecList = Held<bvec_list<"dest">>;
/** What generic parameters ask for. */
export type BvecPinnedFor<D extends Dir, T extends Term = Term> = Held<user_bvec<D, T>>;
export type BvecListPinnedFor<D extends Dir, T extends Term = Term> = Held<bvec_list<D, T>>;
export type HeldBvecOrList = HeldBvec | HeldBvecList;
export type HeldDestBvecOrList = HeldDestBvec | HeldDestBvecList;
/**
 * The type of a function of yours that releases:
 * `export const mr_free: ReleasesBvec<"mr_free()", [current: ProcessContext]> = (bvecs, current) => { … }`.
 */
export type ReleasesBvec<F extends string, Rest extends unknown[] = []> = Narrows<
  HeldBvecOrList,
  { is: SpentBvec<`released by ${F}`> },
  Rest
>;
