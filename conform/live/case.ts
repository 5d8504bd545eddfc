// One case: a file, memory, and one call of direct I/O on them.

export const PAGE = 4096;
export const BLOCK = 4096;
export const SECTOR = 512;

export type PieceState = "data" | "hole" | "unwritten";
export interface Piece {
  readonly state: PieceState;
  /** of the file system */
  readonly blocks: number;
}
/** A file before the call; what lies behind its pieces is a hole. */
export interface Layout {
  readonly pieces: readonly Piece[];
  /** bytes */
  readonly size: number;
  /** Its data was written piece by piece in another order, with another file's between: it may lie in several places. */
  readonly scattered: boolean;
}
/** u: never touched, r: only read, w: written */
export type PageState = "u" | "r" | "w";
/** Byte from the beginning of the memory, and length. */
export type Iov = readonly [offset: number, len: number];

export interface LiveCase {
  readonly seed: number;
  readonly number: number;
  readonly name: ClassName;
  readonly op: "read" | "write";
  /** one buffer: pread(), pwrite(); else preadv(), pwritev() */
  readonly vector: boolean;
  /** from this thread, from a thread of libuv, or held by the disk until it was looked at */
  readonly way: "sync" | "async" | "in flight";
  readonly layout: Layout;
  /** byte in the file */
  readonly position: number;
  /** a letter for each page */
  readonly pages: string;
  readonly iovs: readonly Iov[];
}
export const CLASSES = {
  "whole pages": "one buffer of whole pages",
  "inside pages": "one buffer at a multiple of 512 in a page",
  scattered: "2 to 64 parts with gaps",
  packed: "2 to 64 parts, each where the last one ended, also of odd lengths",
  "same page": "parts that lie in the same pages, several times",
  "many parts": "65 to 1024 parts",
  large: "256 KiB to 4 MiB",
  "zero page": "memory that was never touched, or only read",
  "odd memory": "memory at no multiple of 512",
  "odd position": "positions, lengths or both that are no multiple of 512",
  "empty parts": "parts of 0 bytes among others",
  holes: "files with holes and unwritten blocks",
  "end of file": "files of any size, around and beyond their ends",
  extents: "files in several extents, memory not at pages",
  "in flight": "looked at while the disk has it, and again at the end",
} as const;
export type ClassName = keyof typeof CLASSES;

export const total_of = ({ iovs }: LiveCase): number => iovs.reduce((sum, [, len]) => sum + len, 0);
export const memory_of = ({ pages }: LiveCase): number => pages.length * PAGE;
/** Bytes of the file the case can concern, in whole blocks. */
export function reach_of(one: LiveCase): number {
  const of_pieces = one.layout.pieces.reduce((sum, { blocks }) => sum + blocks * BLOCK, 0);
  const end = Math.max(of_pieces, one.layout.size, one.position + total_of(one));
  return Math.ceil(end / BLOCK) * BLOCK;
}
/** Bytes that more than one part covers: in which order a disk writes them is not said. */
export function overlaps_of({ iovs }: LiveCase): Iov[] {
  const sorted = iovs.filter(([, len]) => len > 0).sort(([a], [b]) => a - b);
  const overlaps: Iov[] = [];
  let end = 0;
  for (const [offset, len] of sorted) {
    if (offset < end) overlaps.push([offset, Math.min(end, offset + len) - offset]);
    end = Math.max(end, offset + len);
  }
  return overlaps;
}
const shortened = (list: readonly string[], most: number): string =>
  list.length <= most
    ? list.join(" ")
    : `${list.slice(0, most).join(" ")} … (${list.length} in all)`;
const runs_of = (letters: string): string[] =>
  (letters.match(/(.)\1*/g) ?? []).map((run) => `${run.length}${run[0]}`);

/** The case in words, a few lines. */
export function describe(one: LiveCase): string[] {
  const { op, vector, way, layout, position, pages, iovs } = one;
  const call = `p${op}${vector ? "v" : ""}()`;
  const pieces = layout.pieces.map(({ state, blocks }) => `${blocks}x${state}`);
  const parts = iovs.map(([offset, len]) => `${len}@${offset}`);
  return [
    `${one.name}: ${call} of ${total_of(one)} bytes at ${position}, ${way}`,
    `parts    ${shortened(parts, 12)}`,
    `memory   ${shortened(runs_of(pages), 16)} (u: never touched, r: read, w: written; pages)`,
    `file     ${layout.size} bytes: ${shortened(pieces, 16)}${layout.scattered ? ", scattered" : ""} (blocks)`,
  ];
}
