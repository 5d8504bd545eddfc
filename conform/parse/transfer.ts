// One transfer that is over when the call returns, as a scenario; and the words for its parts.
import { BIO_MAX_VECS, PAGE_SIZE, SECTOR_SIZE, type Op } from "user-page";
import {
  out,
  type Buffer,
  type Call,
  type Extent,
  type FileLayout,
  type Iov,
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

/** Which pages the first bio takes before the refusal depends on which are neighbours, once there are many. */
export function beyond_first_bio({ offset, bytes }: Iov): OutOfScope | null {
  return offset % SECTOR_SIZE !== 0 && pages_of(offset, bytes) > BIO_MAX_VECS
    ? out(
        "misaligned beyond one bio: the kernel merges neighbouring pages in a bio, the model does not",
      )
    : null;
}
interface Options {
  readonly position?: number;
  readonly target?: Target;
  readonly spelling?: Reading["spelling"];
  readonly more?: readonly Call[];
}
/** One transfer as a scenario of one step. */
export function transfer(
  op: Op,
  buffers: readonly Buffer[],
  iov: Iov,
  options: Options = {},
): Reading | OutOfScope {
  const { position = 0, target = "file", spelling = "system call", more = [] } = options;
  const too_long = beyond_first_bio(iov);
  if (too_long) return too_long;
  const transferred = position + iov.count * iov.bytes;
  const disk =
    typeof target === "object"
      ? Math.max(
          transferred,
          target.extents.reduce((sum, { bytes }) => sum + bytes, 0),
        )
      : transferred;
  const call: Call = { call: "direct io", op, iov, position, target };
  return {
    scenario: { buffers, disk, steps: [{ name: "call", calls: [call, ...more], answer: "first" }] },
    step: "call",
    spelling,
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
/**
 * Whether a vector is the same as its parts one after the other.  A part of whole sectors is pinned alone, whatever is
 * before it; a part that is none is accepted or not depending on its neighbours, which the model does not have.
 */
export function is_separable({ bytes, stride }: Iov): boolean {
  return bytes % SECTOR_SIZE === 0 && stride % SECTOR_SIZE === 0;
}
export function vectored(
  op: Op,
  text: string,
  spelling: Reading["spelling"],
): Reading | OutOfScope {
  const iov = parse_iov(text);
  if ("reason" in iov) return iov;
  if (iov.count > 1024) return out("more than UIO_MAXIOV parts: the model has no iovec");
  const memory = memory_of("anon");
  const total = iov.count * iov.bytes;
  if (total % SECTOR_SIZE !== 0) {
    // The length is refused as a whole, before any part is looked at.
    const one: Iov = { buffer: 0, offset: 0, count: 1, bytes: total, stride: 0 };
    return transfer(op, [buffer_for(0, total, memory)], one, { spelling });
  }
  if (!is_separable(iov)) return out("parts that are no sectors: needs an iov_iter");
  return transfer(op, [buffer_for(0, end_of(iov), memory)], iov, { spelling });
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
