/// <reference lib="esnext.disposable" preserve="true" />
/** Types of page handles.  At run time a handle is a number: the address of a `struct page`. */

import type { Brand } from "ts-brand";
import type {
  Borrowed,
  Held,
  HeldArray,
  Lent,
  Owned,
  Ref,
  SpentOwned,
  SpentRef,
} from "./affine.js";
import type { GupError } from "./errno.js";
import type { Is } from "./kinds.js";

declare const dir: unique symbol;
declare const term: unique symbol;
declare const kind: unique symbol;

/** What the holder does with the bytes: 'source' reads them, 'dest' writes them (FOLL_WRITE).  iov_iter's words. */
export type Dir = "source" | "dest";
export const ITER_SOURCE = "source";
export const ITER_DEST = "dest";
/** How long a pin may last: the length of a call, or as long as a registration (FOLL_LONGTERM). */
export type Term = "short" | "longterm";

// --- plain pages -----------------------------------------------------------------------------------
export type page = Brand<unknown, Is<"page">>;
/** A reference on a page, as `get_page()` takes it; `put_page()` ends it. */
export type Page = Ref<page>;
export type OwnedPage = Owned<page>;
export type BorrowedPage = Borrowed<page>;
export type HeldPage = Held<page>;
export type SpentPageRef<By> = SpentRef<page, By>;
export type SpentPage<By> = SpentOwned<page, By> | SpentPageRef<By>;

/** A page found by its frame number or in a page table: nobody may use it before a reference was taken. */
export type UnreferencedPage = Brand<unknown, Is<"unreferenced_page">>;

// --- folios ----------------------------------------------------------------------------------------
export type folio = Brand<unknown, Is<"folio">>;
/** A reference on a folio, as `folio_get()` takes it; `folio_put()` ends it. */
export type Folio = Ref<folio>;
export type OwnedFolio = Owned<folio>;
export type BorrowedFolio = Borrowed<folio>;
export type HeldFolio = Held<folio>;
export type SpentFolioRef<By> = SpentRef<folio, By>;
export type SpentFolio<By> = SpentOwned<folio, By> | SpentFolioRef<By>;

// --- pinned user pages -----------------------------------------------------------------------------
export type user_page<D extends Dir = Dir, T extends Term = Term> = Brand<
  unknown,
  Is<"user_page">
> & { readonly [dir]: D; readonly [term]: T };
/** One pin on one page: Jan Kara's `struct user_page *`.  Never a `Page`, and no `Page` is one. */
export type UserPage<D extends Dir = Dir, T extends Term = Term> = Ref<user_page<D, T>>;
/** What may stay pinned after the call returned. */
export type LongtermUserPage<D extends Dir = Dir> = UserPage<D, "longterm">;
export type OwnedUserPage<D extends Dir = Dir, T extends Term = Term> = Owned<user_page<D, T>>;
export type LentUserPage<D extends Dir = Dir, T extends Term = Term> = Lent<user_page<D, T>>;
export type BorrowedUserPage = Borrowed<user_page>;
export type BorrowedDestPage = Borrowed<user_page<"dest">>;
export type HeldUserPage = Held<user_page>;
export type HeldDestPage = Held<user_page<"dest">>;
export type UserPagePinnedFor<D extends Dir> = Held<user_page<D>>;
export type CheckedUserPage<D extends Dir, T extends Term> = Owned<user_page<D, T>, { held: true }>;
export type SpentUserPageRef<By> = SpentRef<user_page<never, never>, By>;
export type SpentUserPage<By> = SpentOwned<user_page<any, any>, By> | SpentUserPageRef<By>;

// --- arrays of pinned pages: arrays that end by themselves -------------------------------------------
/** What acquirers of several pages return: an array, and `using` releases what is left in it. */
export type user_pages<D extends Dir = Dir, T extends Term = Term> = Array<OwnedUserPage<D, T>> &
  Disposable;
export type OwnedUserPages<D extends Dir = Dir, T extends Term = Term> = Owned<user_pages<D, T>>;
export type HeldUserPages = HeldArray<readonly HeldUserPage[]>;
export type HeldDestPages = HeldArray<readonly HeldDestPage[]>;
/** What a check of the direction makes of an array: it ends by itself only if it did before. */
export type OwnedDestPages = Owned<Array<OwnedUserPage<"dest">>>;
/** One shape for the arrays of pin_user_pages() and of iov_iter_extract_pages(), which know where their bytes lie. */
interface spent_pages extends Disposable {
  /** @deprecated released */
  readonly offset: number;
  /** @deprecated released */
  readonly bytes: number;
}
export type SpentUserPagesRef<By> = SpentRef<Array<SpentUserPageRef<By>> & spent_pages, By>;
export type SpentUserPages<By> =
  | SpentOwned<Array<SpentUserPage<By>> & spent_pages, By>
  | SpentUserPagesRef<By>;
/**
 * Fewer pages than asked for.  Not an array: nobody can take it for the whole range.
 * `partial` is yours: release it, or use it knowing that it is short.
 */
export interface ShortPin<D extends Dir = Dir, T extends Term = Term> extends Disposable {
  readonly [kind]: "short pin";
  /** pages asked for */
  readonly asked: number;
  readonly partial: OwnedUserPages<D, T>;
}
export type PinResult<D extends Dir = Dir, T extends Term = Term> =
  | OwnedUserPages<D, T>
  | ShortPin<D, T>
  | GupError;
