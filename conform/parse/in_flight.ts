// Rows about transfers that are observed while the disk has them.
import { PAGE_SIZE } from "user-page";
import { FUSE_MAX_PAGES } from "../drivers/fuse.js";
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
import { beyond_first_bio, end_of, op_of, parse_iov } from "./transfer.js";
import { buffer_for, memory_of, pages_of, parse_range } from "./words.js";

type Submit = Extract<Call, { call: "submit" }>;

const step = (name: string, ...calls: Call[]): Step => ({ name, calls, answer: "last" });
function reading(
  buffer: Buffer,
  submit: Submit,
  during: readonly Step[],
  done: Extract<Call, { call: "complete" }>,
  at: string,
  spelling: Reading["spelling"] = "system call",
): Reading {
  const steps = [
    step("submitted", submit),
    ...during,
    step("still in flight", { call: "nothing" }),
    step("completed", done),
  ];
  const disk = submit.iov.count * submit.iov.bytes;
  return { scenario: { buffers: [buffer], disk, steps }, step: at, spelling };
}
/** The buffer, and all of it as one part; anonymous memory that was written, where the row does not say. */
function one_part(text: string): { buffer: Buffer; iov: Iov } | OutOfScope {
  const range = parse_range(text);
  if ("reason" in range) return range;
  const { bytes, offset, memory } = range;
  const iov: Iov = { buffer: 0, offset, count: 1, bytes, stride: 0 };
  return { buffer: buffer_for(offset, bytes, memory ?? memory_of("anon")), iov };
}
/** The same for a disk, which takes aligned memory. */
function disk_part(text: string): { buffer: Buffer; iov: Iov } | OutOfScope {
  const part = one_part(text);
  return "reason" in part ? part : (beyond_first_bio(part.iov, part.buffer) ?? part);
}
const PHASES: ReadonlyArray<readonly [phase: RegExp, step: string]> = [
  [/^io_submit\b.*\(in flight\)$/, "submitted"],
  [/^io_uring (?:READ|WRITE) in flight$/, "submitted"],
  [/^\+\d+ms still in flight$/, "still in flight"],
  [/^completed$/, "completed"],
];
const step_of = (phase: string): string | undefined =>
  PHASES.find(([pattern]) => pattern.test(phase))?.[1];

function vectored(phase: string, params: string, at: string): Reading | OutOfScope {
  const iov = parse_iov(params);
  if ("reason" in iov) return iov;
  const op = phase.includes("preadv") ? "REQ_OP_READ" : "REQ_OP_WRITE";
  const buffer = buffer_for(0, end_of(iov), memory_of("anon"));
  const submit: Submit = { call: "submit", op, iov, each: false, answer: "requests" };
  return reading(buffer, submit, [], { call: "complete", answer: "bytes" }, at);
}
function several(params: string, count: number, at: string): Reading | OutOfScope {
  const found = /^(\d+) x (.+)$/.exec(params);
  const part = found && disk_part(found[2]!);
  if (!part || Number(found[1]) !== count) return out(`"${params}" is not understood`);
  if ("reason" in part) return part;
  const submit: Submit = {
    call: "submit",
    op: "REQ_OP_READ",
    iov: { ...part.iov, count, stride: 0 },
    each: true,
    answer: "requests",
  };
  return reading(part.buffer, submit, [], { call: "complete", answer: "requests" }, at);
}
/** A transfer that ends when whoever asked for it is gone. */
function outlived(
  { buffer, iov }: { buffer: Buffer; iov: Iov },
  during: readonly Step[],
  at: string,
): Reading {
  const ended = step("ended", { call: "complete", answer: "nothing" });
  const scenario = { buffers: [buffer], disk: iov.bytes, steps: [...during, ended] };
  return { scenario, step: at, spelling: "system call" };
}
/** What a process does to memory that the disk works on. */
function meanwhile({ op, phase }: Row, params: string): Reading | OutOfScope | null {
  const part = disk_part(params.replace(/ (?:AIO|sync pread)$/, ""));
  if ("reason" in part) return part;
  const submit: Submit = {
    call: "submit",
    op: "REQ_OP_READ",
    iov: part.iov,
    each: false,
    answer: "requests",
  };
  const read = (during: readonly Step[], at: string): Reading =>
    reading(part.buffer, submit, during, { call: "complete", answer: "bytes" }, at);
  switch (op) {
    case "in flight: munmap+close": {
      const during = [
        step("munmap", { call: "munmap", buffer: 0 }),
        step("close", { call: "close" }),
      ];
      const at = /^(munmap|close)\b/.exec(phase)?.[1] ?? step_of(phase);
      return at === undefined ? null : read(during, at);
    }
    case "in flight: MADV_DONTNEED": {
      const advice = "MADV_DONTNEED" as const;
      const during = step("advised", { call: "madvise", buffer: 0, advice, touch: true });
      const at = phase.startsWith("MADV_DONTNEED") ? "advised" : step_of(phase);
      return at === undefined ? null : read([during], at);
    }
    case "in flight: fork": {
      const fork: Call = { call: "fork", of: "current", child: "lives", goes_on: "parent" };
      const during = step("fork in flight", fork, { call: "touch", buffer: 0 });
      const at = phase === "fork in flight" ? phase : step_of(phase);
      return at === undefined ? null : read([during], at);
    }
    case "in flight: process exit": {
      const gone = [{ ...submit, answer: "nothing" }, { call: "exit" }] as const;
      const at = phase.includes("_exit") ? "gone" : phase.includes("throttle") ? "ended" : null;
      return at && outlived(part, [step("gone", ...gone)], at);
    }
    case "in flight: SIGKILL": {
      const during = [
        step("waits", { ...submit, answer: "nothing" }),
        step("killed", { call: "kill" }),
      ];
      if (/^child blocked in sync pread\b/.test(phase)) return outlived(part, during, "waits");
      if (/^(?:after )?SIGKILL\b/.test(phase)) return outlived(part, during, "killed");
      return phase.includes("throttle") ? outlived(part, during, "ended") : null;
    }
    default:
      return null;
  }
}
/** Requests that a FUSE server holds. */
export function parse_fuse({ op, phase }: Row, params: string): Reading | OutOfScope | null {
  const way = /^FUSE direct_io (read|write) \(held\)$/.exec(op)?.[1];
  const at = { "request held by server": "held", answered: "answered" }[phase];
  if (way === undefined || at === undefined) return null;
  const part = one_part(params);
  if ("reason" in part) return part;
  const { buffer, iov } = part;
  if (pages_of(iov.offset, iov.bytes) > FUSE_MAX_PAGES) return out("more than one FUSE request");
  const steps = [
    step("held", { call: "hold", op: op_of(way), iov }),
    step("answered", { call: "answer" }),
  ];
  return {
    scenario: { buffers: [buffer], disk: PAGE_SIZE, steps },
    step: at,
    spelling: "system call",
  };
}
export function parse_in_flight(row: Row, params: string): Reading | OutOfScope | null {
  const { op, phase } = row;
  const at = step_of(phase);
  const aio = /^AIO O_DIRECT (read|write) in flight$/.exec(op);
  const uring = /^io_uring (READ|WRITE) in flight$/.exec(op);
  if ((aio ?? uring) && at !== undefined) {
    const part = disk_part(params);
    if ("reason" in part) return part;
    const way = op_of((aio ?? uring)![1]!.toLowerCase());
    const answer = aio ? "requests" : "nothing";
    const submit: Submit = { call: "submit", op: way, iov: part.iov, each: false, answer };
    return reading(part.buffer, submit, [], { call: "complete", answer: "bytes" }, at);
  }
  if (op === "AIO vectored in flight" && at !== undefined) return vectored(phase, params, at);
  const requests = /^AIO (\d+) requests, same page$/.exec(op);
  if (requests && at !== undefined) return several(params, Number(requests[1]), at);
  if (op.startsWith("in flight: ")) return meanwhile(row, params);
  const node = /^node fs\.(read|write) in flight \((submit|done)\)$/.exec(op);
  if (node && phase === "call") {
    const part = disk_part(params.replace(/, blkio-throttled$/, ""));
    if ("reason" in part) return part;
    const way = op_of(node[1]!);
    const submit: Submit = {
      call: "submit",
      op: way,
      iov: part.iov,
      each: false,
      answer: "nothing",
    };
    const complete: Call = { call: "complete", answer: "bytes" };
    // The row for the end counts from the beginning.
    const steps =
      node[2] === "submit"
        ? [step("submitted", submit), step("completed", complete)]
        : [step("completed", submit, complete)];
    return {
      scenario: { buffers: [part.buffer], disk: part.iov.bytes, steps },
      step: node[2] === "submit" ? "submitted" : "completed",
      spelling: node[2] === "submit" ? "pending" : "node",
    };
  }
  return null;
}
