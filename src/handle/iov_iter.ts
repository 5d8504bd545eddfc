/// <reference lib="esnext.disposable" preserve="true" />
/** Types of iterators over memory, and of the pages that come out of them: what they need at release follows from the iterator. */

import type { UserAddr } from "./addr.js";
import type { Borrowed, Held, Lent, Owned, Ref, SpentOwned, SpentRef } from "./affine.js";
import type { PinFor } from "./bio.js";
import type { OwnedBvecList, user_bvec } from "./bvec.js";
import type { Is } from "./kinds.js";
import type { BorrowedFolio, BorrowedPage, Dir, page, SpentPageRef, user_pages } from "./page.js";

declare const kind: unique symbol;
declare const dir: unique symbol;

// --- iterators ------------------------------------------------------------------------------------------
/** 'user': UBUF and IOVEC, whose pages are pinned.  'kernel': all others, whose maker keeps the pages. */
export type IterKind = "user" | "kernel";
export type IterType =
  | "ITER_UBUF"
  | "ITER_IOVEC"
  | "ITER_BVEC"
  | "ITER_KVEC"
  | "ITER_XARRAY"
  | "ITER_FOLIOQ"
  | "ITER_DISCARD"
  | "ITER_PIPE";
/** A position in a list of memory ranges.  Models `struct iov_iter`; no handle: it holds nothing. */
export interface IovIter<D extends Dir = Dir, K extends IterKind = IterKind> {
  readonly [kind]: K;
  readonly [dir]: D;
  /** bytes left */
  readonly count: number;
  readonly iter_type: IterType;
  /** whether extracting may not fault pages in (FOLL_NOFAULT) */
  nofault: boolean;
}
/** An iterator of which the type is known too. */
export type IterOfType<D extends Dir, K extends IterKind, I extends IterType> = IovIter<D, K> & {
  readonly iter_type: I;
};
/** A range of user memory.  Models `struct iovec`. */
export interface Iovec {
  readonly iov_base: UserAddr;
  /** bytes, 0 and more */
  readonly iov_len: number;
}
/** A range of kernel pages that are contiguous in memory.  Models `struct bio_vec` where nothing of it is released. */
export interface KernelBvec<D extends Dir = never> {
  /** of what an extraction gave: the direction of its iterator.  Nobody said one for what is put together by hand. */
  readonly [dir]?: D;
  /** the first page */
  readonly page: BorrowedPage;
  /** bytes from its start */
  readonly offset: number;
  /** bytes, 0 and more */
  readonly len: number;
}
/** What an iterator goes over without owning it: kernel pages, and extents that somebody keeps pinned for this direction. */
export type LentRange<D extends Dir> = KernelBvec<PinFor<D>> | Borrowed<user_bvec<PinFor<D>>>;
/** A range of kernel memory.  Models `struct kvec`; an address is a buffer and an offset here. */
export interface Kvec {
  readonly iov_base: BorrowedVmArea;
  /** bytes into the buffer */
  readonly iov_offset: number;
  /** bytes, 0 and more */
  readonly iov_len: number;
}
/** The page cache of a file as far as an iterator needs it: folios by the index of their first page, or of each page. */
export type FolioMap = ReadonlyMap<number, BorrowedFolio>;

// --- what comes out of them -----------------------------------------------------------------------------
/** Pins that were extracted: an array of them, and where the bytes lie. */
export type iter_user_pages<D extends Dir = Dir> = user_pages<D, "short"> & {
  /** bytes into the first page */
  readonly offset: number;
  /** bytes the pages hold from there, which may be fewer than asked for */
  readonly bytes: number;
};
export type OwnedIterUserPages<D extends Dir = Dir> = Owned<iter_user_pages<D>>;
/** Pages of a kernel iterator: they are used, not released.  The end of a `using` block does nothing. */
export interface KernelPages extends Disposable {
  readonly kernel: readonly BorrowedPage[];
  /** bytes into the first page */
  readonly offset: number;
  /** bytes the pages hold from there, which may be fewer than asked for */
  readonly bytes: number;
}
/** Extents of a kernel iterator: they are used, not released.  The end of a `using` block does nothing. */
export interface KernelBvecs<D extends Dir = Dir> extends Disposable {
  readonly kernel: ReadonlyArray<KernelBvec<D>>;
}
/** Of a user iterator: pins you own.  Of a kernel iterator: pages you only use.  Which one is in the value: is_pinned(). */
export type ExtractedPages<D extends Dir, K extends IterKind> = K extends "user"
  ? OwnedIterUserPages<D>
  : KernelPages;
/** Of a user iterator: extents you own.  Of a kernel iterator: extents you only use.  is_pinned() tells. */
export type Extracted<D extends Dir, K extends IterKind> = K extends "user"
  ? OwnedBvecList<D, "short">
  : KernelBvecs<D>;

// --- plain references: the way before pins -----------------------------------------------------------------
/** A queue of references with one owner.  Iterating lends the pages; popping moves one out. */
export interface iter_pages extends Disposable, Iterable<Lent<page>> {
  readonly [kind]: Is<"iter_pages">;
  /** bytes into the first page that was there */
  readonly offset: number;
  /** bytes the pages held from there */
  readonly bytes: number;
  /** pages still here */
  readonly nr_pages: number;
}
interface spent_iter_pages<By> extends Disposable, Iterable<SpentPageRef<By>> {
  readonly [kind]: Is<"iter_pages">;
  /** @deprecated released */
  readonly offset: number;
  /** @deprecated released */
  readonly bytes: number;
  /** @deprecated released */
  readonly nr_pages: number;
}
/** References on pages of an iterator; iov_iter_put_pages() ends them. */
export type IterPages = Ref<iter_pages>;
export type OwnedIterPages = Owned<iter_pages>;
export type BorrowedIterPages = Borrowed<iter_pages>;
export type HeldIterPages = Held<iter_pages>;
export type SpentIterPages<By> =
  | SpentOwned<spent_iter_pages<By>, By>
  | SpentRef<spent_iter_pages<By>, By>;

// --- kernel memory that iterators go over -------------------------------------------------------------------
/** Kernel memory of single pages.  Models what vmalloc() returns. */
export interface vm_area extends Disposable {
  readonly [kind]: Is<"vm_area">;
  /** bytes asked for */
  readonly size: number;
}
export type VmArea = Ref<vm_area>;
export type OwnedVmArea = Owned<vm_area>;
export type BorrowedVmArea = Borrowed<vm_area>;
export type HeldVmArea = Held<vm_area>;
export type SpentVmArea<By> = SpentOwned<vm_area, By> | SpentRef<vm_area, By>;
/** A ring of pages with bytes to read.  Models `struct pipe_inode_info`. */
export interface pipe_inode_info extends Disposable {
  readonly [kind]: Is<"pipe">;
  /** pages the ring has room for */
  readonly max_usage: number;
  /** pages in the ring */
  readonly occupancy: number;
  /** bytes to read */
  readonly bytes: number;
}
export type PipeInodeInfo = Ref<pipe_inode_info>;
export type OwnedPipe = Owned<pipe_inode_info>;
export type BorrowedPipe = Borrowed<pipe_inode_info>;
export type HeldPipe = Held<pipe_inode_info>;
export type SpentPipe<By> = SpentOwned<pipe_inode_info, By> | SpentRef<pipe_inode_info, By>;
