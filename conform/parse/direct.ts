// Rows of C programs about O_DIRECT reads and writes that are over when the call returns.
import { PAGE_SIZE, type Op } from "user-page";
import type { Row } from "../rows.js";
import {
  out,
  type Buffer,
  type Call,
  type Extent,
  type FileLayout,
  type OutOfScope,
  type Reading,
  type Target,
} from "../scenario.js";
import {
  extent,
  one_range,
  op_of,
  read_short_file,
  transfer,
  vectored,
  whole,
} from "./transfer.js";
import { after, buffer_for, buffer_of, memory_of, with_tail } from "./words.js";

// --- layouts of files --------------------------------------------------------------------------------------
function parse_layout(words: string, pages: number): FileLayout | null {
  const of = (...extents: Extent[]): FileLayout => ({ size: pages * PAGE_SIZE, extents });
  switch (words) {
    case "new file (size 0)":
      return { size: 0, extents: [extent("hole", pages)] };
    case "sparse hole":
      return of(extent("hole", pages));
    case "fallocated unwritten":
      return of(extent("unwritten", pages));
    case "half written half hole":
      return pages % 2 === 0 ? of(extent("written", pages / 2), extent("hole", pages / 2)) : null;
    case "fully written":
      return of(extent("written", pages));
    default:
      return null;
  }
}
function on_layout(op: Op, params: string): Reading | OutOfScope {
  const found = /^(\d+) pages, (.+)$/.exec(params);
  const pages = Number(found?.[1]);
  const target = found && parse_layout(found[2]!, pages);
  if (!target) return out(`the layout "${params}" is not understood`);
  const buffer = buffer_of({ pages, memory: memory_of("anon") });
  return transfer(op, [buffer], whole(buffer), { target });
}
function at_eof(text: string): Reading | OutOfScope {
  const found = /^file (\d+) bytes, read (\d+) at (\d+)$/.exec(text);
  if (!found) return out(`"${text}" is not understood`);
  const [size, bytes, position] = found.slice(1).map(Number) as [number, number, number];
  return read_short_file(size, bytes, position, "system call");
}
function across_extents(op: Op, params: string): Reading | OutOfScope {
  const found = /^(\d+) pages (aligned|@\+\d+), ([WU](?:\/[WU])*) extents of (\d+)$/.exec(params);
  if (!found) return out(`the layout "${params}" is not understood`);
  const extents = found[3]!
    .split("/")
    .map((letter) => extent(letter === "W" ? "written" : "unwritten", Number(found[4])));
  const size = extents.reduce((sum, { bytes }) => sum + bytes, 0);
  if (size !== Number(found[1]) * PAGE_SIZE) return out("the extents are not as long as the range");
  return one_range(op, `${found[1]} pages ${found[2]}`, { target: { size, extents } });
}

// --- faults and mixtures -----------------------------------------------------------------------------------
function with_fault(
  op: Op,
  match: RegExpExecArray | null,
  target: Target,
  tail?: string,
): Reading | OutOfScope {
  const named = match?.groups?.["tail"] ?? tail;
  const { good, of } = match?.groups ?? {};
  const buffer = named === undefined ? null : with_tail(Number(good), named, Number(of));
  if (!buffer) return out("the place of the fault is not understood");
  return transfer(op, [buffer], whole(buffer), { target });
}
function mixed(op: Op, params: string): Reading | OutOfScope {
  const anon = memory_of("anon");
  const untouched = memory_of("untouched");
  const first = /^(\d+) pages: first (\d+) touched, rest untouched$/.exec(params);
  const every = /^(\d+) pages: even touched, odd untouched$/.exec(params);
  const protect = /^(\d+) pages mprotect R then RW$/.exec(params);
  const pages = Number((first ?? every ?? protect)?.[1]);
  let buffer: Buffer;
  if (first) {
    const front = Number(first[2]);
    if (front > pages) return out("more pages touched than there are");
    buffer = buffer_of({ pages: front, memory: anon }, { pages: pages - front, memory: untouched });
  } else if (every) {
    const memory = (_: unknown, i: number) => ({ pages: 1, memory: i % 2 ? untouched : anon });
    buffer = buffer_of(...Array.from({ length: pages }, memory));
  } else if (protect) {
    buffer = buffer_of({ pages, memory: after("PROT_READ", "PROT_READ | PROT_WRITE") });
  } else return out(`"${params}" is not understood`);
  return transfer(op, [buffer], whole(buffer));
}
function special(op: Op, what: string): Reading | OutOfScope {
  if (what === "stack page") return one_range(op, "1 pages anon");
  if (what === "text page") return one_range(op, "1 pages text page");
  if (what === "vdso page") {
    // It is mapped as program text is; only what a device reads there is the host's.
    return op === "REQ_OP_READ"
      ? one_range(op, "1 pages text page")
      : out(
          "DMA from a page of the kernel's image: its EIO is that of the recorder's virtual machine",
        );
  }
  if (what === "vvar page") {
    return out("vvar is a mapping of bare page frames (VM_PFNMAP), of which the model has none");
  }
  if (what === "NULL" || what === "kernel address") {
    const buffer: Buffer = {
      pieces: [{ pages: 1, memory: null }],
      at: what === "NULL" ? "NULL" : "kernel",
    };
    return transfer(op, [buffer], whole(buffer));
  }
  return out(`the model has no ${what}`);
}
function verified_write(params: string): Reading | OutOfScope {
  const found = /^(\d+) good of (\d+) pages, rest unmapped$/.exec(params);
  const buffer = found && with_tail(Number(found[1]), "unmapped", Number(found[2]));
  if (!buffer) return out(`"${params}" is not understood`);
  const iov = whole(buffer);
  const target = "file";
  const verify: Call = {
    call: "direct io",
    op: "REQ_OP_READ",
    iov: { ...iov, buffer: 1 },
    position: 0,
    target,
    each: false,
  };
  const other = buffer_for(0, iov.bytes, memory_of("anon"));
  return transfer("REQ_OP_WRITE", [buffer, other], iov, { more: [verify] });
}

/** The file's pages are in the page cache before the transfer goes around it. */
function over_page_cache(op: Op, params: string): Reading | OutOfScope {
  const pages = /^(\d+) pages cached$/.exec(params)?.[1];
  if (pages === undefined) return out(`"${params}" is not understood`);
  const buffer = buffer_of({ pages: Number(pages), memory: memory_of("anon") });
  const iov = whole(buffer);
  const target = "file";
  const fill: Call = { call: "buffered io", op: "REQ_OP_READ", iov, position: 0, target };
  return transfer(op, [buffer], iov, { before: [fill] });
}
/** The buffer is a mapping of the very file, whose pages a direct write takes out of the cache first: they fault back in. */
function self_mapped(op: Op, params: string): Reading | OutOfScope {
  const pages = /^(\d+) pages$/.exec(params)?.[1];
  if (pages === undefined) return out(`"${params}" is not understood`);
  const buffer = buffer_of({ pages: Number(pages), memory: memory_of("ext4 MAP_SHARED") });
  const unmap: Call = { call: "madvise", buffer: 0, advice: "MADV_DONTNEED", touch: false };
  const before = op === "REQ_OP_WRITE" ? [unmap] : [];
  return transfer(op, [buffer], whole(buffer), { before });
}

// --- rows ------------------------------------------------------------------------------------------------
const RAW = /^(.+), loop (?:dio|direct-io)=(?:on|off)$/;
const GOOD_OF = /^(?<good>\d+) good of (?<of>\d+)$/;
const GOOD_OF_PAGES = /^(?<good>\d+) good of (?<of>\d+) pages, rest unmapped$/;
const GOOD_THEN =
  /^(?<good>\d+) good pages then (?<tail>unmapped|PROT_NONE|PROT_READ|1-page hole then mapped)(?: tail)?, of (?<of>\d+)$/;

/** C programs; null when the row is about something else. */
export function parse_direct({ op, phase }: Row, params: string): Reading | OutOfScope | null {
  const named = /^O_DIRECT p?(read|write)/.exec(op)?.[1];
  const mapped = /^p(read|write) self-mapped$/.exec(phase)?.[1];
  if (mapped !== undefined && op === "O_DIRECT self-mapped file") {
    return self_mapped(op_of(mapped), params);
  }
  const done = /^p(read|write)(v?)$/.exec(phase);
  if (op === "O_DIRECT EFAULT side effect" && phase === "pwrite (+verify read)") {
    return verified_write(params);
  }
  if (!done || (named !== undefined && named !== done[1])) return null;
  const way = op_of(done[1]!);
  if (done[2] === "v") {
    if (op === `O_DIRECT ${phase}` || op === `O_DIRECT ${phase} gaps`) {
      return vectored(way, params, "system call");
    }
    return null;
  }
  if (op === "O_DIRECT over page cache") return over_page_cache(way, params);
  const raw = RAW.exec(params)?.[1] ?? "";
  switch (op.replace(/^O_DIRECT (?:read|write)(?= |$)/, "O_DIRECT")) {
    case "O_DIRECT":
    case "O_DIRECT into":
    case "O_DIRECT mTHP64K":
    case "O_DIRECT from":
    case "zero page identity, O_DIRECT write from":
      return params.startsWith("file position")
        ? out("the row does not say how many bytes")
        : one_range(way, params.replace(/^misaligned:? /, "").replace(/ misaligned$/, ""));
    case "O_DIRECT fault":
      return with_fault(way, GOOD_THEN.exec(params), "file");
    case "O_DIRECT EFAULT side effect":
      return with_fault(way, GOOD_OF_PAGES.exec(params), "file", "unmapped");
    case "O_DIRECT extent":
      return on_layout(way, params);
    case "O_DIRECT at EOF":
      return way === "REQ_OP_READ" ? at_eof(params) : null;
    case "O_DIRECT extent boundaries":
      return across_extents(way, params);
    case "O_DIRECT mixed":
      return mixed(way, params);
    case "O_DIRECT special":
      return special(way, params);
    case "O_DIRECT MADV_FREEd":
      return one_range(way, params, {}, after("MADV_FREE"));
    case "O_DIRECT MADV_DONTNEEDed":
      return one_range(way, params, {}, after("MADV_DONTNEED"));
    case "O_DIRECT one memfd page mapped N times": {
      const times = /^(\d+) VAs$/.exec(params)?.[1];
      if (times === undefined) return out(`"${params}" is not understood`);
      const memory = { ...memory_of("memfd"), backing: "one memfd page" as const };
      return one_range(way, `${times} pages`, {}, memory);
    }
    case "MAP_SHARED past EOF": {
      const found = /^(\d+) file pages? \+ (\d+) beyond EOF$/.exec(params);
      if (!found) return out(`"${params}" is not understood`);
      const file_pages = Number(found[1]);
      const memory = { ...memory_of("ext4 MAP_SHARED"), file_pages };
      return one_range(way, `${file_pages + Number(found[2])} pages`, {}, memory);
    }
    case "raw block device O_DIRECT":
      return one_range(way, raw.replace(/ misaligned$/, ""), { target: "block device" });
    case "raw block device fault":
      return with_fault(way, GOOD_OF.exec(raw), "block device", "unmapped");
    default:
      return null;
  }
}
