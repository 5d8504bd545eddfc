// Rows of Node programs and their children: the same calls as those of C programs, spelled differently.
import { PAGE_SIZE } from "user-page";
import type { Row } from "../rows.js";
import { type Iov, type OutOfScope, type Reading } from "../scenario.js";
import { one_range, op_of, read_short_file, transfer, vectored } from "./transfer.js";
import { buffer_for, memory_of } from "./words.js";

/** Node and its children: the same calls, spelled differently. */
export function parse_node({ op, phase }: Row, params: string): Reading | OutOfScope | null {
  if (phase !== "call") return null;
  const dd = op === "node child: dd iflag=direct" && /^bs=(\d+)([kM]) count=(\d+)$/.exec(params);
  if (dd) {
    // dd reads block after block into one buffer that begins at a page.
    const bytes = Number(dd[1]) * (dd[2] === "k" ? 1024 : 1024 ** 2);
    const iov: Iov = { buffer: 0, offset: 0, count: Number(dd[3]), bytes, stride: 0 };
    const buffer = buffer_for(0, bytes, memory_of("anon"));
    return transfer("REQ_OP_READ", [buffer], iov, { spelling: "exit status", each: true });
  }
  if (op === "node fs.promises read O_DIRECT") {
    return one_range("REQ_OP_READ", params.replace(/ \(thread pool\)$/, ""), {
      spelling: "node promise",
    });
  }
  const stream = /^(\d+ KiB) chunks$/.exec(params);
  if (op === "node fs.createReadStream flag O_DIRECT" && stream) {
    // Its buffers come from malloc(), which puts large ones 16 bytes behind the beginning of a page.
    return one_range("REQ_OP_READ", `${stream[1]} @+16`, { spelling: "node" });
  }
  const again = /^(\d+ pages), 2nd write after spawnSync$/.exec(params);
  if (op === "node fs.writeSync O_DIRECT" && again) {
    const first = one_range("REQ_OP_WRITE", again[1]!, { spelling: "node" });
    if ("reason" in first) return first;
    const before = first.scenario.steps[0]!.calls;
    return one_range("REQ_OP_WRITE", again[1]!, { spelling: "node", before });
  }
  const call = /^node fs\.(read|write)(v?)Sync O_DIRECT$/.exec(op);
  if (!call) return null;
  const way = op_of(call[1]!);
  if (call[2] === "v") return vectored(way, params, "node");
  const short = /^file of (\d+) bytes, read (\d+) MiB$/.exec(params);
  if (short && way === "REQ_OP_READ") {
    return read_short_file(Number(short[1]), Number(short[2]) * 1024 ** 2, 0, "node");
  }
  const beyond = /^(\d+) pages past EOF$/.exec(params);
  if (beyond && way === "REQ_OP_READ") {
    return read_short_file(PAGE_SIZE, Number(beyond[1]) * PAGE_SIZE, PAGE_SIZE, "node");
  }
  // spawnSync() lets the child run in the memory of its parent until it starts another program: nothing is copied or shared.
  const range = params.replace(/; spawnSync\("\w+"\) just before \(fork\)$/, "");
  const moved = /^(.+), file position (\d+)(?: \(misaligned\))?$/.exec(range);
  return one_range(way, moved?.[1] ?? range, {
    position: Number(moved?.[2] ?? 0),
    spelling: "node",
  });
}
