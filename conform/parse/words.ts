// The words rows use for sizes, offsets and kinds of memory.
import { PAGE_SIZE } from "user-page";
import { out, type Buffer, type Memory, type OutOfScope, type Piece } from "../scenario.js";

const ANON: Memory = {
  backing: "anonymous",
  shared: false,
  prot: "PROT_READ | PROT_WRITE",
  touched: "written",
  then: [],
  file_system: false,
  file_pages: null,
};
const THP: Memory = { ...ANON, backing: "huge pages" };
const HUGETLB: Memory = { ...ANON, backing: "huge memfd", shared: true };
const MEMFD: Memory = { ...ANON, backing: "memfd", shared: true };
const FILE: Memory = { ...MEMFD, file_system: true };
const FILE_PRIVATE: Memory = { ...FILE, shared: false };
const untouched = (memory: Memory): Memory => ({ ...memory, touched: "no" });
const read = (memory: Memory): Memory => ({ ...memory, touched: "read" });
export const after = (...then: Memory["then"]): Memory => ({ ...ANON, then });

const MEMORY: ReadonlyArray<readonly [words: string, memory: Memory]> = [
  ["anon", ANON],
  ["touched", ANON],
  ["anon-untouched", untouched(ANON)],
  ["untouched", untouched(ANON)],
  ["anon-readtouched(zeropage)", read(ANON)],
  ["anon-readtouched", read(ANON)],
  ["thp", THP],
  ["thp-untouched", untouched(THP)],
  ["thp-readtouched(hugezero)", read(THP)],
  ["thp-readtouched", read(THP)],
  ["in 64K mTHP folios", { ...ANON, backing: "folios of 64 KiB" }],
  ["hugetlb", HUGETLB],
  ["hugetlb2M", HUGETLB],
  ["hugetlb-untouched", untouched(HUGETLB)],
  ["hugetlb2M-untouched", untouched(HUGETLB)],
  ["shared-anon", { ...ANON, shared: true }],
  ["shared-anon-untouched", untouched({ ...ANON, shared: true })],
  ["shm", MEMFD],
  ["memfd", MEMFD],
  ["memfd-untouched", untouched(MEMFD)],
  ["ext4 MAP_SHARED", FILE],
  ["ext4 MAP_SHARED untouched", untouched(FILE)],
  ["ext4 MAP_SHARED ro-mapped", { ...read(FILE), prot: "PROT_READ" }],
  ["ext4 MAP_PRIVATE clean", read(FILE_PRIVATE)],
  ["ext4 MAP_PRIVATE written", FILE_PRIVATE],
  ["PROT_READ(after touch)", after("PROT_READ")],
  ["PROT_READ", after("PROT_READ")],
  ["PROT_NONE", after("PROT_NONE")],
  ["PROT_WRITE only", { ...ANON, prot: "PROT_WRITE" }],
  ["text page", { ...read(FILE_PRIVATE), prot: "PROT_READ | PROT_EXEC" }],
  ["touched wasm memory", ANON],
  ["UNTOUCHED wasm memory", untouched(ANON)],
  ["UNTOUCHED wasm memory (zero page)", untouched(ANON)],
];
const by_words = new Map(MEMORY);
export function memory_of(words: string): Memory {
  const memory = by_words.get(words);
  if (!memory) throw new RangeError(`no memory is called "${words}"`);
  return memory;
}
const longest_first = MEMORY.map(([words]) => words).sort((a, b) => b.length - a.length);

const UNIT: Readonly<Record<string, number>> = {
  B: 1,
  byte: 1,
  bytes: 1,
  page: PAGE_SIZE,
  pages: PAGE_SIZE,
  K: 1024,
  KiB: 1024,
  MiB: 1024 ** 2,
  GiB: 1024 ** 3,
};
/** Bytes at the front of the text: "8 pages", "4096 B", "4096*255", "2 MiB-4096", "8 pages - 100 bytes", "4096". */
function take_size(text: string): [bytes: number, rest: string] | null {
  const found =
    /^(\d+)(?:\*(\d+)| (bytes|byte|B|pages|page|KiB|MiB|GiB))?(?:-(\d+)| - (\d+) bytes| \+ (\d+) bytes?)?(?=$|[ ,])/.exec(
      text,
    );
  if (!found) return null;
  const [all, count, times = "1", unit = "B", less, less_bytes, more = "0"] = found;
  const whole = Number(count) * Number(times) * UNIT[unit]!;
  const bytes = whole - Number(less ?? less_bytes ?? "0") + Number(more);
  return Number.isSafeInteger(bytes) && bytes > 0 ? [bytes, text.slice(all.length)] : null;
}
export interface Range {
  readonly bytes: number;
  readonly offset: number;
  readonly memory: Memory | null;
}
/** Remarks that follow from the numbers beside them. */
const REMARK =
  /^\((?:straddles \d+ THPs|\d+ folios?|misaligned(?: (?:memory|length))?)\)(?=$|[ ,])/;

/** "8 pages @+512 thp": a size, and in any order an offset, a kind of memory and remarks; nothing else. */
export function parse_range(text: string): Range | OutOfScope {
  const size = take_size(text.trim());
  if (!size) return out(`no size at the beginning of "${text}"`);
  const [bytes] = size;
  let rest = size[1].replace(/^[ ,]+/, "");
  let offset: number | null = null;
  let memory: Memory | null = null;
  while (rest !== "") {
    const at = /^@\+(\d+)(K|KiB|MiB)?(?: bytes)?(?=$|[ ,])/.exec(rest);
    const word = /^(?:aligned|in(?:side)?(?: one)?(?= thp))(?=$|[ ,])/.exec(rest);
    const remark = REMARK.exec(rest);
    const kind = longest_first.find(
      (words) => rest.startsWith(words) && /^(?:$|[ ,])/.test(rest.slice(words.length)),
    );
    let taken: string;
    if (at && offset === null) {
      offset = Number(at[1]) * (UNIT[at[2] ?? "B"] ?? 1);
      [taken] = at;
    } else if (word) [taken] = word;
    else if (remark) [taken] = remark;
    else if (kind !== undefined && memory === null) {
      memory = memory_of(kind);
      taken = kind;
    } else return out(`"${rest}" is not understood`);
    rest = rest.slice(taken.length).replace(/^[ ,]+/, "");
  }
  return { bytes, offset: offset ?? 0, memory };
}
export const pages_of = (offset: number, bytes: number): number =>
  Math.floor((offset + bytes - 1) / PAGE_SIZE) - Math.floor(offset / PAGE_SIZE) + 1;
export const buffer_of = (...pieces: Piece[]): Buffer => ({ pieces, at: "somewhere" });
/** Memory of one kind, from a page boundary to the end of the range. */
export const buffer_for = (offset: number, bytes: number, memory: Memory): Buffer =>
  buffer_of({ pages: Math.ceil((offset + bytes) / PAGE_SIZE), memory });

/** Good pages, then what cannot be accessed; null for a tail of an unknown kind. */
export function with_tail(good: number, tail: string, of: number): Buffer | null {
  const front: Piece = { pages: good, memory: ANON };
  const rest = of - good;
  if (rest < 0) return null;
  switch (tail) {
    case "unmapped":
      return buffer_of(front, { pages: rest, memory: null });
    case "PROT_NONE":
    case "PROT_READ":
      return buffer_of(front, { pages: rest, memory: after(tail) });
    case "1-page hole then mapped":
      if (rest === 0) return null;
      return buffer_of(front, { pages: 1, memory: null }, { pages: rest - 1, memory: ANON });
    default:
      return null;
  }
}
