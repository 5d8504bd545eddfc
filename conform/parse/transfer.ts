// One transfer that is over when the call returns, as a scenario; and the words for its parts.
import { BIO_MAX_VECS, PAGE_SIZE, PMD_SIZE, SECTOR_SIZE, type Op } from "user-page";
import {
  out,
  type Buffer,
  type Call,
  type Extent,
  type FileLayout,
  type Iov,
  type Memory,
  type OutOfScope,
  type Reading,
  type Target,
} from "../scenario.js";
import { buffer_for, memory_of, pages_of, parse_range } from "./words.js";

export const op_of = (word: string): Op =>
  word.startsWith("read") || word.startsWith("pread") ? "REQ_OP_READ" : "REQ_OP_WRITE";
export const whole = (buffer: Buffer): Iov => {
  const bytes = buffer.pieces.reduce((pages, piece) => pages + piece.pages, 0) * PAGE_SIZE;
  return { buffer: 0, offset: 0, count: 1, bytes, stride: 0 };
};
export const end_of = ({ offset, count, bytes, stride }: Iov): number =>
  offset + (count - 1) * stride + bytes;

/**
 * Misaligned memory is refused with what the first bio holds.  How much that is depends on which pages are neighbours, once there
 * are more than it has segments; inside one huge page all are.
 */
export function beyond_first_bio(
  { offset, bytes, count }: Iov,
  { pieces }: Buffer,
): OutOfScope | null {
  if (count > 1 || offset % SECTOR_SIZE === 0 || pages_of(offset, bytes) <= BIO_MAX_VECS)
    return null;
  const huge = pieces.every(({ memory }) => memory && HUGE.includes(memory.backing));
  return huge && offset + bytes <= PMD_SIZE
    ? null
    : out("misaligned beyond one bio: which pages are neighbours is not recorded");
}
const HUGE: ReadonlyArray<Memory["backing"]> = ["huge pages", "huge memfd"];
interface Options {
  readonly position?: number;
  readonly target?: Target;
  readonly spelling?: Reading["spelling"];
  readonly more?: readonly Call[];
  /** what came before, and is not counted */
  readonly before?: readonly Call[];
  /** one call for each part */
  readonly each?: boolean;
}
/** One transfer as a scenario of one step. */
export function transfer(
  op: Op,
  buffers: readonly Buffer[],
  iov: Iov,
  options: Options = {},
): Reading | OutOfScope {
  const { position = 0, target = "file", more = [], before = [], each = false } = options;
  const { spelling = "system call" } = options;
  const doubt = beyond_first_bio(iov, buffers[iov.buffer]!);
  const transferred = position + iov.count * iov.bytes;
  const disk =
    typeof target === "object"
      ? Math.max(
          transferred,
          target.extents.reduce((sum, { bytes }) => sum + bytes, 0),
        )
      : transferred;
  const call: Call = { call: "direct io", op, iov, position, target, each };
  return {
    scenario: {
      buffers,
      disk,
      steps: [
        ...(before.length > 0 ? [{ name: "before", calls: before, answer: "last" as const }] : []),
        { name: "call", calls: [call, ...more], answer: "first" },
      ],
    },
    step: "call",
    spelling,
    ...(doubt && { doubt: doubt.reason }),
  };
}
/** One part of one buffer; anonymous memory that was written, where the row does not say. */
export function one_range(
  op: Op,
  text: string,
  options: Options = {},
  memory = memory_of("anon"),
): Reading | OutOfScope {
  const range = parse_range(text);
  if ("reason" in range) return range;
  const { bytes, offset } = range;
  const buffer = buffer_for(offset, bytes, range.memory ?? memory);
  return transfer(op, [buffer], { buffer: 0, offset, count: 1, bytes, stride: 0 }, options);
}

/** "8 iovecs x 512 packed in one page": how many, how long, how far apart. */
export function parse_iov(text: string): Iov | OutOfScope {
  const found = /^(\d+)(?: iovecs| views)? x (\d+)(?: (.*))?$/.exec(text);
  if (!found) return out(`"${text}" names no parts`);
  const count = Number(found[1]);
  const bytes = Number(found[2]);
  const how = (found[3] ?? "").replace(/ \((?:\d+ pages|bad len)\)$/, "");
  const iov = (stride: number): Iov => ({ buffer: 0, offset: 0, count, bytes, stride });
  if (count === 0 || bytes === 0) return out("an empty vector");
  if (/^packed(?: in (?:one|two|\d+) pages?)?$/.test(how)) return iov(bytes);
  if (/^(?:of )?(?:the )?same page$/i.test(how)) return iov(0);
  if (/^the SAME (\d+) bytes$/.test(how)) return iov(0);
  const gap = /^gap (\d+)$/.exec(how);
  if (gap) return iov(bytes + Number(gap[1]));
  const by_pages = how === "page-stride" || how === "one per page" || how === "";
  if (by_pages && bytes <= PAGE_SIZE && (how !== "" || bytes === PAGE_SIZE)) return iov(PAGE_SIZE);
  return out(`"${how}" is not understood`);
}
export function vectored(
  op: Op,
  text: string,
  spelling: Reading["spelling"],
): Reading | OutOfScope {
  const iov = parse_iov(text);
  if ("reason" in iov) return iov;
  return transfer(op, [buffer_for(0, end_of(iov), memory_of("anon"))], iov, { spelling });
}

export const extent = (state: Extent["state"], pages: number): Extent => ({
  state,
  bytes: pages * PAGE_SIZE,
});
/** Reads a file whose last block may be partly used. */
export function read_short_file(
  size: number,
  bytes: number,
  position: number,
  spelling: Reading["spelling"],
): Reading | OutOfScope {
  const target: FileLayout = { size, extents: [extent("written", Math.ceil(size / PAGE_SIZE))] };
  const iov: Iov = { buffer: 0, offset: 0, count: 1, bytes, stride: 0 };
  const buffer = buffer_for(0, bytes, memory_of("anon"));
  return transfer("REQ_OP_READ", [buffer], iov, { target, position, spelling });
}
