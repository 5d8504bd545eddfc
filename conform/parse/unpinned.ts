// Rows about what pins nothing: buffered I/O, pipes, special files, calls of mm/.
import { PAGE_SIZE, type Op } from "user-page";
import type { Row } from "../rows.js";
import {
  out,
  type Buffer,
  type Call,
  type Iov,
  type OutOfScope,
  type Reading,
  type Step,
  type Target,
} from "../scenario.js";
import { op_of, whole } from "./transfer.js";
import { buffer_for, buffer_of, memory_of, parse_range } from "./words.js";

type Buffered = Extract<Call, { call: "buffered io" }>;
const step = (name: string, ...calls: Call[]): Step => ({ name, calls, answer: "last" });
const program = (
  buffers: readonly Buffer[],
  steps: readonly Step[],
  at: string,
  spelling: Reading["spelling"] = "system call",
): Reading | null =>
  steps.some(({ name }) => name === at)
    ? {
        scenario: { buffers, disk: buffers[0] ? whole(buffers[0]).bytes : PAGE_SIZE, steps },
        step: at,
        spelling,
      }
    : null;
/** A buffer, and all of it; anonymous memory that was written, where the row does not say. */
function one_part(text: string): { buffer: Buffer; iov: Iov } | OutOfScope {
  const range = parse_range(text);
  if ("reason" in range) return range;
  const { bytes, offset, memory } = range;
  const buffer = buffer_for(offset, bytes, memory ?? memory_of("anon"));
  return { buffer, iov: { buffer: 0, offset, count: 1, bytes, stride: 0 } };
}
const buffered = (op: Op, iov: Iov, target: Buffered["target"]): Call => ({
  call: "buffered io",
  op,
  iov,
  position: 0,
  target,
});
function one_call(
  op: Op,
  params: string,
  target: Buffered["target"],
  spelling: Reading["spelling"],
): Reading | OutOfScope | null {
  const part = one_part(params);
  if ("reason" in part) return part;
  const io = step("call", buffered(op, part.iov, target));
  return program([part.buffer], [io], "call", spelling);
}
/** A file on tmpfs takes O_DIRECT, and copies all the same; what is read was written before. */
function tmpfs(phase: string, params: string): Reading | OutOfScope | null {
  const part = one_part(params);
  if ("reason" in part) return part;
  const { buffer, iov } = part;
  const target: Target = "tmpfs";
  const io = (op: Op): Call => ({ call: "direct io", op, iov, position: 0, target, each: false });
  const steps = [step("pwrite", io("REQ_OP_WRITE")), step("pread", io("REQ_OP_READ"))];
  return program([buffer], steps, phase);
}
const SPLICED: Readonly<Record<string, string>> = {
  "no gift": "anon",
  SPLICE_F_GIFT: "anon",
  thp: "thp",
  untouched: "untouched",
};
function vmsplice(phase: string, params: string): Reading | OutOfScope | null {
  const found = /^(\d+) pages (.+)$/.exec(params);
  const memory = SPLICED[found?.[2] ?? ""];
  if (!found || memory === undefined) return out(`"${params}" is not understood`);
  const from = buffer_of({ pages: Number(found[1]), memory: memory_of(memory) });
  const to = buffer_of({ pages: Number(found[1]), memory: memory_of("anon") });
  const iov = whole(from);
  const steps = [
    step("vmsplice", { call: "vmsplice", iov }),
    step("pipe drained", { call: "read pipe", iov: { ...iov, buffer: 1 }, packet: false }),
  ];
  return program([from, to], steps, phase);
}
/** Packets of a page each, of which one read() gets one. */
function packets(phase: string, params: string): Reading | OutOfScope | null {
  const part = one_part(params);
  if ("reason" in part) return part;
  const { buffer, iov } = part;
  const to: Iov = { ...iov, buffer: 1 };
  const steps = [
    step("write pipe", { call: "write pipe", iov }),
    step("read pipe", { call: "read pipe", iov: to, packet: true }),
  ];
  return program([buffer, buffer], steps, phase);
}
function splice(phase: string, params: string): Reading | OutOfScope | null {
  const found = /^(\d+) pages buffered file$/.exec(params);
  if (!found) return out(`"${params}" is not understood`);
  const buffer = buffer_of({ pages: Number(found[1]), memory: memory_of("anon") });
  const call: Call = { call: "splice", bytes: whole(buffer).bytes };
  return program([buffer], [step("splice file->pipe", call)], phase);
}
const FUTEX: Readonly<Record<string, readonly [memory: string, shared: boolean]>> = {
  "shared on file mapping": ["ext4 MAP_SHARED", true],
  "shared on anon": ["anon", true],
  private: ["anon", false],
};
function futex(phase: string, params: string): Reading | OutOfScope | null {
  const [memory, shared] = FUTEX[params] ?? [];
  if (memory === undefined || shared === undefined) return out(`"${params}" is not understood`);
  const buffer = buffer_of({ pages: 1, memory: memory_of(memory) });
  return program([buffer], [step("FUTEX_WAKE", { call: "futex wake", buffer: 0, shared })], phase);
}
function mem(phase: string, params: string): Reading | OutOfScope | null {
  const found = /^(\d+) pages read( untouched)?$/.exec(params);
  if (!found) return out(`"${params}" is not understood`);
  const pages = Number(found[1]);
  const from = buffer_of({ pages, memory: memory_of(found[2] ? "untouched" : "anon") });
  const to = buffer_of({ pages, memory: memory_of("anon") });
  const read = step("read /proc/self/mem", { call: "read mem", from: 0, to: 1 });
  return program([from, to], [read], phase);
}
function mm_calls(phase: string, params: string): Reading | OutOfScope | null {
  const part = one_part(params);
  if ("reason" in part) return part;
  const { bytes } = part.iov;
  switch (phase) {
    case "mlock": {
      const buffer = buffer_for(0, bytes, memory_of("untouched"));
      return program([buffer], [step(phase, { call: "mlock", buffer: 0 })], phase);
    }
    case "move_pages query":
      return program([part.buffer], [step(phase, { call: "move_pages", buffer: 0 })], phase);
    case "mmap MAP_POPULATE": {
      // The buffer is as much memory again, for what is mapped.
      return program([part.buffer], [step(phase, { call: "mmap populate", bytes })], phase);
    }
    default:
      return null;
  }
}
function node(op: string, params: string): Reading | OutOfScope | null {
  const way = /^node fs\.(read|write)Sync buffered$/.exec(op)?.[1];
  if (way !== undefined) return one_call(op_of(way), params, "file", "node");
  if (op !== "node fs.copyFileSync") return null;
  const part = one_part(params);
  if ("reason" in part) return part;
  const copy = step("call", { call: "copy file", bytes: part.iov.bytes });
  return program([part.buffer], [copy], "call", "nothing");
}
export function parse_unpinned({ op, phase }: Row, params: string): Reading | OutOfScope | null {
  const way = /^buffered (read|write)$/.exec(op)?.[1];
  if (way !== undefined && phase === `p${way} buffered`) {
    return one_call(op_of(way), params, "file", "system call");
  }
  if (phase === "call") return node(op, params);
  switch (op) {
    case "tmpfs O_DIRECT":
      return tmpfs(phase, params);
    case "char devices": {
      const found = /^(\/dev\/null|\/dev\/zero) (.+)$/.exec(params);
      const device = found?.[1] === "/dev/null" ? "/dev/null" : "/dev/zero";
      return !found || (phase !== "read" && phase !== "write")
        ? out(`"${params}" is not understood`)
        : one_call(op_of(phase), found[2]!, device, "system call");
    }
    case "vmsplice":
      return vmsplice(phase, params);
    case "pipe(O_DIRECT)":
      return packets(phase, params);
    case "splice":
      return splice(phase, params);
    case "futex":
      return futex(phase, params);
    case "/proc/self/mem":
      return mem(phase, params);
    case "mm syscalls":
      return mm_calls(phase, params);
    default:
      return null;
  }
}
