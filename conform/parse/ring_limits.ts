// Rows about what may not be registered: limits of io_uring, and those on locked memory.
import { out, type OutOfScope, type Reading } from "../scenario.js";
import { one_part, program, register, registration, step, unregister } from "./ring.js";

/** What is refused by its length is never looked at: memory that the row does not name need not be touched. */
export function limits(phase: string, params: string): Reading | OutOfScope | null {
  const found = /^one iovec of (.+)$/.exec(params);
  const part = one_part(found?.[1] ?? params, "untouched");
  if (!found || "reason" in part) return out(`"${params}" is not understood`);
  return registration(part.buffer, part.iov, phase);
}
/** Without CAP_IPC_LOCK: what a ring of one entry and one buffer are charged. */
export function locked(phase: string, params: string): Reading | OutOfScope | null {
  const found = /^limit (\d+) pages, (\d+) (anon|thp) pages(?: of one THP)?, no CAP_IPC_LOCK$/.exec(
    params,
  );
  const part = found && one_part(`${found[2]!} pages ${found[3]!}`);
  if (!part || "reason" in part) return out(`"${params}" is not understood`);
  const limit = step("limit", { call: "limit locked memory", pages: Number(found[1]) });
  return program(part.buffer, [limit, register(part.iov), unregister], phase);
}
export function smallest_limit(phase: string, params: string): Reading | OutOfScope | null {
  if (phase !== "min RLIMIT_MEMLOCK in pages") return null;
  const found = /^(\d+) (?:(anon|thp) pages?|pages? of one (thp))$/i.exec(params);
  const part = found && one_part(`${found[1]!} pages ${(found[2] ?? found[3]!).toLowerCase()}`);
  if (!part || "reason" in part) return out("the row does not say which bytes are registered");
  return program(part.buffer, [step(phase, { call: "smallest limit", iov: part.iov })], phase);
}
