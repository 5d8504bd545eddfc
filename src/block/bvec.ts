/** Where the bytes of a bio are: runs of memory, each of one or more pages that follow each other.  Models struct bio_vec. */

import type { Kind } from "../handle/kinds.js";
import { CHUNK_PAGES, PAGE_SIZE } from "../machine/limits.js";
import { head_of, order_of } from "../mm/page_ref.js";

/** What a segment was made of. */
export type SegmentKind = Extract<Kind, "page" | "user_page" | "bvec">;

export interface BioVec {
  /** first page */
  readonly pfn: number;
  /** bytes into it */
  readonly offset: number;
  len: number;
  readonly kind: SegmentKind;
  /** its first reference among those of the bio: one for each page it touches, or one for each extent */
  readonly first: number;
  nr_refs: number;
}

const start_of = ({ pfn, offset }: { pfn: number; offset: number }): number =>
  pfn * PAGE_SIZE + offset;
/** Whether bytes at this place would follow those of the segment.  Models the rule of bvec_try_merge_page(). */
export function can_merge(vec: BioVec, pfn: number, offset: number, kind: SegmentKind): boolean {
  return vec.kind === kind && start_of(vec) + vec.len === pfn * PAGE_SIZE + offset;
}
/** A run of bytes; `page` counts from the first page of the segment. */
export type OnPiece = (pfn: number, offset: number, len: number, page: number) => void;

/** Cuts a segment where `end_of(pfn)`, the first page that does not belong to the piece any more, says so. */
function for_each_piece(
  { pfn, offset, len }: Pick<BioVec, "pfn" | "offset" | "len">,
  end_of: (pfn: number) => number,
  on_piece: OnPiece,
): void {
  let at = pfn + Math.floor(offset / PAGE_SIZE);
  let inside = offset % PAGE_SIZE;
  for (let left = len; left > 0;) {
    const end = end_of(at);
    const here = Math.min((end - at) * PAGE_SIZE - inside, left);
    on_piece(at, inside, here, at - pfn);
    left -= here;
    at = end;
    inside = 0;
  }
}
/** Page by page. */
export function for_each_page(vec: BioVec, on_page: OnPiece): void {
  for_each_piece(vec, (pfn) => pfn + 1, on_page);
}
/** Folio by folio: the first of its pages that the segment touches, and how many it does. */
export function for_each_folio(
  { pfn, offset, len }: BioVec,
  on_folio: (pfn: number, nr_pages: number) => void,
): void {
  let at = pfn + Math.floor(offset / PAGE_SIZE);
  for (let left = pages_touched(offset, len); left > 0;) {
    // Asked before: where its pages are released, it may be no folio any more afterwards.
    const end = head_of(at) + (1 << order_of(at));
    const nr = Math.min(end - at, left);
    on_folio(at, nr);
    at += nr;
    left -= nr;
  }
}
/** In runs that lie in one piece of host memory, from byte `skip` of all segments on, `len` bytes. */
export function for_each_run(
  vecs: readonly BioVec[],
  base: number,
  skip: number,
  len: number,
  on_run: OnPiece,
): void {
  const end_of_chunk = (pfn: number): number =>
    base + (Math.floor((pfn - base) / CHUNK_PAGES) + 1) * CHUNK_PAGES;
  let past = skip;
  let left = len;
  for (const vec of vecs) {
    if (left === 0) return;
    const from = Math.min(past, vec.len);
    const here = Math.min(vec.len - from, left);
    past -= from;
    left -= here;
    if (here === 0) continue;
    const run = { pfn: vec.pfn, offset: vec.offset + from, len: here };
    for_each_piece(run, end_of_chunk, on_run);
  }
}
/** Pages a run of bytes touches. */
export const pages_touched = (offset: number, len: number): number =>
  Math.ceil(((offset % PAGE_SIZE) + len) / PAGE_SIZE);
