// Rows about process_vm_readv() and its twin, and about calls that pin nothing.
import { PAGE_SIZE } from "user-page";
import type { Row } from "../rows.js";
import { type Buffer, type Call, type Iov, type OutOfScope, type Reading } from "../scenario.js";
import { whole } from "./transfer.js";
import { buffer_for, buffer_of, memory_of, parse_range, with_tail } from "./words.js";

function process_vm(write: boolean, params: string): Reading | OutOfScope {
  const read = (
    remote: Buffer,
    iov: Iov,
    local = buffer_for(0, iov.count * iov.bytes, memory_of("anon")),
  ): Reading => {
    const call: Call = { call: "process_vm", write, remote: iov, local: 1 };
    const steps = [{ name: "call", calls: [call], answer: "last" as const }];
    return {
      scenario: { buffers: [remote, local], disk: PAGE_SIZE, steps },
      step: "call",
      spelling: "system call",
    };
  };
  const local = /^(\d+) pages, local (all|half) unmapped$/.exec(params);
  if (local) {
    const pages = Number(local[1]);
    const remote = buffer_of({ pages, memory: memory_of("anon") });
    const good = local[2] === "all" ? 0 : Math.floor(pages / 2);
    return read(remote, whole(remote), with_tail(good, "unmapped", pages)!);
  }
  const half = /^(\d+) pages half unmapped$/.exec(params);
  if (half) {
    const pages = Number(half[1]);
    const remote = with_tail(Math.floor(pages / 2), "unmapped", pages)!;
    return read(remote, whole(remote));
  }
  const bytewise = /^(\d+) pages 1 byte per page iovecs$/.exec(params);
  if (bytewise) {
    const count = Number(bytewise[1]);
    const remote = buffer_of({ pages: count, memory: memory_of("anon") });
    return read(remote, { buffer: 0, offset: 0, count, bytes: 1, stride: PAGE_SIZE });
  }
  const range = parse_range(params.replace(/ remote$/, ""));
  if ("reason" in range) return range;
  const { bytes, offset, memory } = range;
  const remote = buffer_for(offset, bytes, memory ?? memory_of("anon"));
  return read(remote, { buffer: 0, offset, count: 1, bytes, stride: 0 });
}
function populate(phase: string, params: string): Reading | OutOfScope | null {
  const found = /^(?:MADV_)?POPULATE_(READ|WRITE)( touched)?$/.exec(phase);
  if (!found) return null;
  const range = parse_range(params);
  if ("reason" in range) return range;
  const memory = memory_of(found[2] === undefined ? "untouched" : "touched");
  const advice = found[1] === "READ" ? "MADV_POPULATE_READ" : "MADV_POPULATE_WRITE";
  const call: Call = { call: "madvise", buffer: 0, advice, touch: false };
  return {
    scenario: {
      buffers: [buffer_for(0, range.bytes, memory)],
      disk: PAGE_SIZE,
      steps: [{ name: "call", calls: [call], answer: "last" }],
    },
    step: "call",
    spelling: "system call",
  };
}
export function parse_others({ op, phase }: Row, params: string): Reading | OutOfScope | null {
  if ((op === "process_vm_readv" || op === "process_vm_writev") && phase === op) {
    return process_vm(op === "process_vm_writev", params);
  }
  return op === "mm syscalls" ? populate(phase, params) : null;
}
