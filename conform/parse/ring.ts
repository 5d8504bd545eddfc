// What rows about rings of io_uring have in common.
import { PAGE_SIZE } from "user-page";
import type { Buffer, Call, Iov, Memory, OutOfScope, Reading, Step } from "../scenario.js";
import { buffer_for, memory_of, parse_range } from "./words.js";

export const step = (name: string, ...calls: Call[]): Step => ({ name, calls, answer: "last" });
export const register = (...iovs: Iov[]): Step =>
  step("register", { call: "register", ring: "A", iovs });
export const unregister = step("unregister", { call: "unregister", ring: "A" });

/** Long-term pins look at the file: no memfd can stand for what a file system writes back. */
function longterm_memory(memory: Memory): Memory {
  return memory.file_system && memory.shared ? { ...memory, backing: "file" } : memory;
}
/** A buffer in one part, anonymous memory that was written where the row does not say. */
export function one_part(
  text: string,
  otherwise = "anon",
): { buffer: Buffer; iov: Iov } | OutOfScope {
  const range = parse_range(text);
  if ("reason" in range) return range;
  const { bytes, offset, memory = null } = range;
  return {
    buffer: buffer_for(offset, bytes, longterm_memory(memory ?? memory_of(otherwise))),
    iov: { buffer: 0, offset, count: 1, bytes, stride: 0 },
  };
}
export const program = (
  buffer: Buffer,
  steps: readonly Step[],
  at: string,
  disk = PAGE_SIZE,
): Reading | null =>
  steps.some(({ name }) => name === at)
    ? { scenario: { buffers: [buffer], disk, steps }, step: at, spelling: "system call" }
    : null;
export function registration(buffer: Buffer, iov: Iov, phase: string): Reading | null {
  return program(buffer, [register(iov), unregister], phase);
}
