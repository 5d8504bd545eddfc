// Rows about memory that a parent and its child share after fork().
import type { Op } from "user-page";
import type { Row } from "../rows.js";
import {
  out,
  type Buffer,
  type Call,
  type Iov,
  type Memory,
  type OutOfScope,
  type Reading,
  type Step,
} from "../scenario.js";
import { op_of, whole } from "./transfer.js";
import { buffer_of, memory_of } from "./words.js";

type Fork = Extract<Call, { call: "fork" }>;

const step = (name: string, ...calls: Call[]): Step => ({ name, calls, answer: "last" });
const program = (buffers: readonly Buffer[], steps: readonly Step[], at: string): Reading => ({
  scenario: { buffers, disk: whole(buffers[0]!).bytes, steps },
  step: at,
  spelling: "system call",
});
const direct = (op: Op, iov: Iov): Call => ({
  call: "direct io",
  op,
  iov,
  position: 0,
  target: "file",
  each: false,
});
/** "8 pages COW-shared with live child": how many pages, and what became of the two. */
function parse_sharing(params: string): { pages: number; memory: Memory; fork: Fork } | null {
  const found =
    /^(\d+) pages(?: COW-shared with (live child|parent)|, child already (exited)| of a THP, fork, child (exited|alive))$/.exec(
      params,
    );
  if (!found) return null;
  const [, pages, shared, already, of_thp] = found;
  const fork: Fork = {
    call: "fork",
    of: "current",
    child: (already ?? of_thp) === "exited" ? "exits" : "lives",
    goes_on: shared === "parent" ? "child" : "parent",
  };
  return { pages: Number(pages), memory: memory_of(of_thp ? "thp" : "anon"), fork };
}
/** One transfer after the fork, or the same once more. */
function transfers(phase: string, params: string, again: Op): Reading | OutOfScope {
  const sharing = parse_sharing(params);
  const way = /^(pread|pwrite)(?: by (parent|child))?$/.exec(phase);
  if (!sharing || (!way && phase !== "again")) return out(`"${params}" is not understood`);
  const { pages, memory, fork } = sharing;
  if (way?.[2] !== undefined && way[2] !== fork.goes_on) return out("it is not said who transfers");
  const buffer = buffer_of({ pages, memory });
  const io = direct(way ? op_of(way[1]!) : again, whole(buffer));
  const steps = [step("fork", fork), step("first", io), step("again", io)];
  return program([buffer], steps, way ? "first" : "again");
}
function registration(phase: string, params: string): Reading | OutOfScope {
  const found = /^(\d+) pages (anon|THP) COW-shared$/.exec(params);
  if (!found || !/^(?:un)?register$/.test(phase)) return out(`"${params}" is not understood`);
  const memory = memory_of(found[2]!.toLowerCase());
  const buffer = buffer_of({ pages: Number(found[1]), memory });
  const fork: Fork = { call: "fork", of: "current", child: "lives", goes_on: "parent" };
  const steps = [
    step("fork", fork),
    step("register", { call: "register", ring: "A", iovs: [whole(buffer)] }),
    step("unregister", { call: "unregister", ring: "A" }),
  ];
  return program([buffer], steps, phase);
}
function process_vm(write: boolean, params: string): Reading | OutOfScope {
  const found = /^(\d+) pages( THP)?$/.exec(params);
  if (!found) return out(`"${params}" is not understood`);
  const pages = Number(found[1]);
  const remote = buffer_of({ pages, memory: memory_of(found[2] ? "thp" : "anon") });
  const local = buffer_of({ pages, memory: memory_of("anon") });
  const fork: Fork = { call: "fork", of: "remote", child: "lives", goes_on: "parent" };
  const copy: Call = { call: "process_vm", write, remote: whole(remote), local: 1 };
  return program([remote, local], [step("fork", fork), step("copy", copy)], "copy");
}
/** A page is pinned, or not, when the child is made; what is pinned is seen in the counters alone. */
function control(): Reading {
  const buffer = buffer_of({ pages: 1, memory: memory_of("anon") });
  const fork: Fork = { call: "fork", of: "current", child: "lives", goes_on: "parent" };
  const steps = [step("fork; parent writes", fork, { call: "touch", buffer: 0 })];
  return program([buffer], steps, "fork; parent writes");
}
export function parse_fork({ op, phase }: Row, params: string): Reading | OutOfScope | null {
  const remote = /^process_vm_(read|write)v COW-shared remote$/.exec(op)?.[1];
  if (remote !== undefined) {
    return phase === `process_vm_${remote}v` ? process_vm(remote === "write", params) : null;
  }
  switch (op) {
    case "O_DIRECT after fork":
      // The row does not say what came first; of a write the second one is the one that might differ.
      return transfers(phase, params, "REQ_OP_WRITE");
    case "O_DIRECT read into COW THP":
      return transfers(phase, params, "REQ_OP_READ");
    case "O_DIRECT write from COW THP":
      return transfers(phase, params, "REQ_OP_WRITE");
    case "io_uring REGISTER after fork":
      return registration(phase, params);
    case "fork vs pinned page":
      return params === "control: not pinned" && phase === "fork; parent writes" ? control() : null;
    default:
      return null;
  }
}
