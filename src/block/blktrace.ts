/** What the trace events of the block layer say of a bio and of a request.  Models kernel/trace/blktrace.c. */

import type { Op } from "../handle/bio.js";
import { errno_code, type BlkError } from "../handle/errno.js";
import { SECTOR_SIZE } from "../machine/limits.js";
import type { TraceFields } from "../machine/trace_events.js";
import { trace, trace_id } from "../machine/tracepoint.js";
import type { BioState } from "./bio_state.js";
import type { Request } from "./blk-mq.js";

/** Models blk_fill_rwbs(). */
export const rwbs_of = (op: Op): string => (op === "REQ_OP_READ" ? "R" : "W");
const code_of = (error: BlkError | null): number => (error ? errno_code(error) : 0);

function bio_fields(bio: BioState): TraceFields<"block_bio_queue"> {
  const { bdev, sector, size, op } = bio;
  return {
    dev: bdev.name,
    sector,
    nr_sector: size / SECTOR_SIZE,
    rwbs: rwbs_of(op),
    bio: trace_id(bio.machine, "bio", bio),
  };
}
// Each is called as `if (machine.tracers !== null) …`.
export function trace_bio_queue(bio: BioState): void {
  trace(bio.machine, "block_bio_queue", bio_fields(bio));
}
/** `sector` and `nr_sector` are what is left, as in Linux: nothing, unless it failed. */
export function trace_bio_complete(bio: BioState): void {
  const { machine } = bio;
  trace(machine, "block_bio_complete", { ...bio_fields(bio), error: code_of(bio.error) });
}
/** After the division: the bio begins behind its front. */
export function trace_split(bio: BioState, front: BioState): void {
  const { machine } = bio;
  const { dev, sector, rwbs, bio: part } = bio_fields(front);
  const whole = trace_id(machine, "bio", bio);
  const fields = { dev, sector, new_sector: bio.sector, rwbs, bio: whole, part };
  trace(machine, "block_split", fields);
}
export function trace_bio_in_request(
  name: "block_getrq" | "block_bio_backmerge" | "block_bio_frontmerge",
  bio: BioState,
  request: Request,
): void {
  const { machine } = bio;
  trace(machine, name, { ...bio_fields(bio), request: trace_id(machine, "request", request) });
}
function request_fields(request: Request): TraceFields<"block_rq_issue"> {
  const { bdev, bios, bytes, op } = request;
  return {
    dev: bdev.name,
    sector: bios[0]?.sector ?? 0,
    nr_sector: bytes / SECTOR_SIZE,
    bytes,
    rwbs: rwbs_of(op),
    nr_bios: bios.length,
    request: trace_id(bdev.machine, "request", request),
  };
}
export function trace_rq_issue(request: Request): void {
  trace(request.bdev.machine, "block_rq_issue", request_fields(request));
}
/** `bytes` are those that are done now. */
export function trace_rq_complete(request: Request, bytes: number, error: BlkError | null): void {
  const { machine } = request.bdev;
  const fields = { ...request_fields(request), bytes, nr_sector: bytes / SECTOR_SIZE };
  trace(machine, "block_rq_complete", { ...fields, error: code_of(error) });
}
