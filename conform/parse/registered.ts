// Rows about memory that stays pinned: io_uring and AF_XDP.
import { PAGE_SIZE } from "user-page";
import type { Row } from "../rows.js";
import {
  out,
  type Buffer,
  type Call,
  type Iov,
  type OutOfScope,
  type Reading,
  type Step,
} from "../scenario.js";
import { one_part, program, register, registration, step, unregister } from "./ring.js";
import { limits, locked, smallest_limit } from "./ring_limits.js";
import { beyond_first_bio, end_of, op_of, whole } from "./transfer.js";
import { buffer_for, buffer_of, memory_of, with_tail } from "./words.js";

interface Shape {
  readonly bytes: number;
  readonly stride: number;
  readonly memory: string;
}
const SHAPES: Readonly<Record<string, Shape>> = {
  "distinct 4K pages": { bytes: PAGE_SIZE, stride: PAGE_SIZE, memory: "anon" },
  "the SAME 4K page": { bytes: PAGE_SIZE, stride: 0, memory: "anon" },
  "512 B packed": { bytes: 512, stride: 512, memory: "anon" },
  "4K slices of THPs": { bytes: PAGE_SIZE, stride: PAGE_SIZE, memory: "thp" },
  "1 byte in distinct pages": { bytes: 1, stride: PAGE_SIZE, memory: "anon" },
};
function many(phase: string, params: string): Reading | OutOfScope | null {
  const found = /^(\d+) iovecs, (.+)$/.exec(params);
  if (!found) return out(`"${params}" is not understood`);
  const count = Number(found[1]);
  const shape = SHAPES[found[2]!];
  if (!shape || count === 0) return out(`"${params}" is not understood`);
  const { bytes, stride, memory } = shape;
  const iov: Iov = { buffer: 0, offset: 0, count, bytes, stride };
  return registration(buffer_for(0, end_of(iov), memory_of(memory)), iov, phase);
}
function fault(phase: string, params: string): Reading | OutOfScope | null {
  const tail =
    /^(\d+) good then (unmapped|PROT_NONE|PROT_READ|1-page hole then mapped), of (\d+) pages$/.exec(
      params,
    );
  if (tail) {
    const buffer = with_tail(Number(tail[1]), tail[2]!, Number(tail[3]));
    return buffer && registration(buffer, whole(buffer), phase);
  }
  const two = /^iovec A (\d+) good pages, iovec B (\d+) unmapped$/.exec(params);
  if (two && phase.startsWith("register")) {
    const [a, b] = [Number(two[1]) * PAGE_SIZE, Number(two[2]) * PAGE_SIZE];
    const buffer = with_tail(Number(two[1]), "unmapped", Number(two[1]) + Number(two[2]))!;
    const first: Iov = { buffer: 0, offset: 0, count: 1, bytes: a, stride: 0 };
    const second: Iov = { ...first, offset: a, bytes: b };
    return program(buffer, [register(first, second)], "register");
  }
  return out(`"${params}" is not understood`);
}
function mixed_folios(phase: string, params: string): Reading | OutOfScope | null {
  let at = 0;
  const pieces = params.split(/ then |, /).map((part) => {
    const small = /^(\d+) small$/.exec(part);
    // Two MiB that begin elsewhere than at a multiple of them are no huge page, whatever they are made of.
    const more = part === "2 MiB more" && at % 512 !== 0;
    const pages = small ? Number(small[1]) : 512;
    at += pages;
    if (small || more) return { pages, memory: memory_of("anon") };
    return part === "THP" ? { pages, memory: memory_of("thp") } : null;
  });
  if (!pieces.every((piece) => piece !== null)) {
    return out(`"${params}" does not say of which folios each part is`);
  }
  const starts = pieces.map((_, i) => pieces.slice(0, i).reduce((n, { pages }) => n + pages, 0));
  if (pieces.some(({ memory }, i) => memory.backing === "huge pages" && starts[i]! % 512 !== 0)) {
    return out("a THP does not begin there");
  }
  const buffer = buffer_of(...pieces);
  return registration(buffer, whole(buffer), phase);
}
/** Transfers through a ring; the fixed ones use what was registered. */
function ring_io(phase: string, params: string): Reading | OutOfScope | null {
  const found = /^(READ|WRITE)(_FIXED|V)? (.+)$/.exec(params);
  if (!found) return out(`"${params}" is not understood`);
  const buffered = /^buffered (.+)$/.exec(found[3]!)?.[1];
  const part = one_part(buffered ?? found[3]!);
  if ("reason" in part) return part;
  const { buffer, iov } = part;
  const op = op_of(found[1]!.toLowerCase());
  if (buffered !== undefined) {
    if (found[2] === "_FIXED") return out("buffered I/O of a registered buffer");
    const io: Call = { call: "buffered io", op, iov, position: 0, target: "file" };
    return program(buffer, [step("io #1", io), step("io #2", io)], phase, iov.bytes);
  }
  const too_long = found[2] === "_FIXED" ? null : beyond_first_bio(iov, buffer);
  if (too_long) return too_long;
  const call: Call =
    found[2] === "_FIXED"
      ? { call: "fixed io", op, ring: "A", iov }
      : { call: "direct io", op, iov, position: 0, target: "file", each: false };
  const twice = [step("io #1", call), step("io #2", call)];
  const steps = found[2] === "_FIXED" ? [register(iov), ...twice, unregister] : twice;
  return program(buffer, steps, phase, iov.bytes);
}
/** What lies outside of the buffer, or begins inside a block of the disk, is refused however long it is; else the length counts. */
function fixed_range(phase: string, params: string): Reading | OutOfScope | null {
  const offset = { "past end": 2 * PAGE_SIZE, "@+16 misaligned": 16 }[params];
  if (offset === undefined) return out("the row does not say how many bytes are read");
  const buffer = buffer_for(0, 2 * PAGE_SIZE, memory_of("anon"));
  const iov: Iov = { buffer: 0, offset, count: 1, bytes: PAGE_SIZE, stride: 0 };
  const read: Call = { call: "fixed io", op: "REQ_OP_READ", ring: "A", iov };
  const steps = [register(whole(buffer)), step("READ_FIXED", read), unregister];
  return program(buffer, steps, phase);
}
function table(phase: string, params: string): Reading | OutOfScope | null {
  const part = one_part(params);
  if ("reason" in part) return part;
  const update = (iov: Iov | null): Call => ({ call: "update", ring: "A", slot: 1, iov });
  const steps = [
    step("update slot 1", update(part.iov)),
    step("replace slot 1", update(part.iov)),
    step("clear slot 1 (NULL iovec)", update(null)),
  ];
  return program(part.buffer, steps, phase);
}
function two_rings(op: string, phase: string, params: string): Reading | OutOfScope | null {
  const part = one_part(params);
  if ("reason" in part) return part;
  const iovs = [part.iov];
  const second: Step =
    op === "io_uring clone"
      ? step("clone A->B", { call: "clone", from: "A", to: "B" })
      : step("register same in ring B", { call: "register", ring: "B", iovs });
  const steps = [
    step("register in ring A", { call: "register", ring: "A", iovs }),
    second,
    step("unregister A", { call: "unregister", ring: "A" }),
    step("unregister B", { call: "unregister", ring: "B" }),
  ];
  const at = phase === "register" || phase === "register A" ? "register in ring A" : phase;
  return program(part.buffer, steps, at);
}
/** Memory a ring itself lives in: pinned, never by folios. */
function region(parts: readonly Iov[], buffer: Buffer, phase: string): Reading | null {
  const pins = parts.map((iov, i): Call => ({ call: "pin region", region: `${i}`, iov }));
  const unpins = parts.map((_, i): Call => ({ call: "unpin region", region: `${i}` }));
  const begins = /^(?:register|setup)\b/.test(phase);
  const ends = /^(?:unregister|close)\b/.test(phase);
  const steps = [step("begin", ...pins), step("end", ...unpins)];
  return begins || ends ? program(buffer, steps, begins ? "begin" : "end") : null;
}
const round_up = (bytes: number): number => Math.ceil(bytes / PAGE_SIZE) * PAGE_SIZE;
function ring_memory(op: string, phase: string, params: string): Reading | OutOfScope | null {
  const found = /^(\d+) (?:entries|pages?)(?: \(\d+ pages?\))?(?: (anon|thp|hugetlb|memfd))?$/.exec(
    params,
  );
  if (!found) return out(`"${params}" is not understood`);
  const n = Number(found[1]);
  const memory = memory_of(found[2] ?? "anon");
  const of_pages = /^\d+ pages?/.test(params);
  const iov = (offset: number, bytes: number): Iov => ({
    buffer: 0,
    offset,
    count: 1,
    bytes,
    stride: 0,
  });
  if (op === "io_uring MEM_REGION" && of_pages) {
    return region([iov(0, n * PAGE_SIZE)], buffer_for(0, n * PAGE_SIZE, memory), phase);
  }
  if (op === "io_uring PBUF_RING" && !of_pages) {
    return region([iov(0, n * 16)], buffer_for(0, n * 16, memory), phase);
  }
  if (op === "io_uring NO_MMAP" && !of_pages) {
    // A header of 64 bytes, two completions of 16 bytes and one index of 4 for each entry; submissions of 64.
    const rings = 64 + 2 * n * 16 + n * 4;
    const sqes = n * 64;
    const parts = [iov(0, rings), iov(round_up(rings), sqes)];
    return region(parts, buffer_for(0, round_up(rings) + sqes, memory), phase);
  }
  return null;
}
function umem(phase: string, params: string): Reading | OutOfScope | null {
  const part = one_part(params.replace(/ chunk \d+$/, ""));
  if ("reason" in part) return part;
  const steps = [
    step("XDP_UMEM_REG", { call: "register umem", iov: part.iov }),
    step("close", { call: "close umem" }),
  ];
  return program(part.buffer, steps, phase.startsWith("close") ? "close" : phase);
}
/** What the process does to registered memory does not end the registration. */
function lifetime(op: string, phase: string, params: string): Reading | OutOfScope | null {
  const part = one_part(params === "page registered" ? "1 page" : params);
  if ("reason" in part) return part;
  const during =
    op === "io_uring close w/o unregister"
      ? step("munmap while pinned", { call: "munmap", buffer: 0 })
      : step("MADV_DONTNEED; touch", {
          call: "madvise",
          buffer: 0,
          advice: "MADV_DONTNEED",
          touch: true,
        });
  const at = /^close\b/.test(phase) ? "unregister" : phase;
  return program(part.buffer, [register(part.iov), during, unregister], at);
}

export function parse_registered({ op, phase }: Row, params: string): Reading | OutOfScope | null {
  switch (op) {
    case "io_uring REGISTER_BUFFERS": {
      const part = one_part(params);
      return "reason" in part ? part : registration(part.buffer, part.iov, phase);
    }
    case "io_uring REGISTER_BUFFERS many":
      return many(phase, params);
    case "io_uring register fault":
      return fault(phase, params);
    case "io_uring REGISTER mixed folios":
      return mixed_folios(phase, params);
    case "io_uring RLIMIT_MEMLOCK":
      return locked(phase, params);
    case "io_uring RLIMIT_MEMLOCK min":
      return smallest_limit(phase, params);
    case "io_uring REGISTER limits":
      return limits(phase, params);
    case "io_uring O_DIRECT":
      return ring_io(phase, params);
    case "io_uring READ_FIXED range":
      return fixed_range(phase, params);
    case "io_uring REGISTER mTHP64K": {
      const part = one_part(params);
      return "reason" in part ? part : registration(part.buffer, part.iov, phase);
    }
    case "io_uring buffer table":
      return table(phase, params);
    case "io_uring clone":
    case "io_uring two rings":
      return two_rings(op, phase, params);
    case "io_uring PBUF_RING":
    case "io_uring NO_MMAP":
    case "io_uring MEM_REGION":
      return ring_memory(op, phase, params);
    case "AF_XDP UMEM":
      return umem(phase, params);
    case "io_uring SEND_ZC": {
      // Of the rows about sending, those of the buffer that was registered for it.
      const fixed = /^(.+) fixed buffer$/.exec(params);
      const part = fixed && one_part(fixed[1]!);
      if (!part || "reason" in part || !/^(?:un)?register$/.test(phase)) return null;
      return registration(part.buffer, part.iov, phase);
    }
    case "io_uring close w/o unregister":
    case "MADV_DONTNEED vs pinned page":
      return lifetime(op, phase, params);
    default:
      return null;
  }
}
