/**
 * Requests: what a disk serves at once.  A request chains bios whose sectors follow each other; their segments are never
 * joined, and each bio ends by itself.  Models block/blk-mq.c and block/blk-merge.c.
 */

import type { Op } from "../handle/bio.js";
import type { SoftirqContext } from "../handle/context.js";
import { ERR_PTR, type BlkError } from "../handle/errno.js";
import { raise_softirq } from "../machine/context.js";
import { fail_after, type FaultPlan } from "../machine/fault-inject.js";
import { SECTOR_SIZE } from "../machine/limits.js";
import { device_access } from "../mm/accessible.js";
import { bytes_to_read, bytes_to_write } from "../mm/page_alloc.js";
import type { BlockDeviceState } from "./bdev.js";
import { bio_endio } from "./bio_end_io.js";
import type { BioState } from "./bio_state.js";
import { trace_bio_in_request, trace_rq_complete, trace_rq_issue } from "./blktrace.js";
import { for_each_run } from "./bvec.js";

/** Models struct request. */
export class Request {
  readonly bdev: BlockDeviceState;
  readonly op: Op;
  /** in the order of their sectors */
  readonly bios: BioState[];
  /** bytes that are left */
  bytes: number;
  /** of all its bios, as they were submitted */
  #segments: number;
  constructor(bio: BioState) {
    this.bdev = bio.bdev;
    this.op = bio.op;
    this.bios = [bio];
    this.bytes = bio.size;
    this.#segments = bio.vecs.length;
  }
  get sector(): number {
    return this.bios[0]!.sector;
  }
  /** Takes a bio before or behind those it has, if it follows and ends the same way: its pages are of the same kind. */
  merge(bio: BioState): boolean {
    const { bios, bdev, bytes } = this;
    const { max_sectors, max_segments } = bdev.limits;
    const segments = this.#segments + bio.vecs.length;
    const fits = bytes + bio.size <= max_sectors * SECTOR_SIZE && segments <= max_segments;
    const alike = bio.op === this.op && bio.origin.holds === bios[0]!.origin.holds;
    if (bio.bdev !== bdev || !fits || !alike || bio.size === 0 || bytes === 0) return false;
    const behind = this.sector + bytes / SECTOR_SIZE === bio.sector;
    if (behind) bios.push(bio);
    else if (bio.sector + bio.size / SECTOR_SIZE === this.sector) bios.unshift(bio);
    else return false;
    if (bdev.machine.tracers !== null) {
      const name = behind ? "block_bio_backmerge" : "block_bio_frontmerge";
      trace_bio_in_request(name, bio, this);
    }
    this.bytes += bio.size;
    this.#segments = segments;
    return true;
  }
}

/** Hands a request to its driver. */
export function blk_mq_start_request(request: Request): void {
  const { bdev, bios, op } = request;
  const { stats } = bdev;
  const merged = bios.length - 1;
  stats.in_flight++;
  if (op === "REQ_OP_READ") stats.reads++;
  else stats.writes++;
  if (op === "REQ_OP_READ") stats.reads_merged += merged;
  else stats.writes_merged += merged;
  if (bdev.machine.tracers !== null) trace_rq_issue(request);
  if (bdev.machine.faults !== null && is_held_back(request, bdev.machine.faults)) return;
  queue_rq(request);
}
/** A request that is made to wait comes to its driver later. */
function is_held_back(request: Request, faults: FaultPlan): boolean {
  const { machine } = request.bdev;
  const called = "blk_mq_start_request()";
  const others = fail_after(machine, "delay_completion", called, [1, Infinity, Infinity]);
  if (others < 0) return false;
  faults.hold(() => {
    queue_rq(request);
  }, others);
  return true;
}
function queue_rq(request: Request): void {
  const { bdev } = request;
  if (bdev.queue_rq) bdev.queue_rq(request);
  else {
    raise_softirq(bdev.machine, (softirq) => {
      blk_mq_serve(request, request.bytes, null, softirq);
    });
  }
}
/** Transfers part of one bio, by physical address, whoever holds the pages by now. */
function transfer(bio: BioState, bdev: BlockDeviceState, len: number): BlkError | null {
  const { machine, backing } = bdev;
  if (!bdev.open) return ERR_PTR("EIO", `${bdev.name} was closed`);
  let position = bio.sector * SECTOR_SIZE;
  const failed: string[] = [];
  for_each_run(bio.vecs, machine.base, bio.skip, len, (pfn, offset, here) => {
    if (failed.length > 0) return;
    const refused = machine.arch === null ? null : device_access(machine, pfn, offset, here);
    const why =
      refused ??
      (bio.op === "REQ_OP_READ"
        ? backing.read(position, bytes_to_write(machine, pfn, offset, here))
        : backing.write(position, bytes_to_read(machine, pfn, offset, here)));
    if (why !== null) failed.push(why);
    position += here;
  });
  return failed.length === 0 ? null : ERR_PTR("EIO", `${bdev.name}: ${failed.join()}`);
}
/**
 * Transfers the first `bytes` of what is left.  With an error the request ends there, whole, and what was not through fails,
 * the last bio in any case; without one, bios that are through end, and whether something is left is returned.  Each bio ends
 * whatever the end_io of another throws; the first such error is thrown then.  Models blk_update_request().
 */
export function blk_mq_serve(
  request: Request,
  bytes: number,
  error: BlkError | null,
  softirq: SoftirqContext,
): boolean {
  const { bios, bdev, op } = request;
  const { stats } = bdev;
  const thrown: unknown[] = [];
  if (bdev.machine.tracers !== null) trace_rq_complete(request, bytes, error);
  let budget = bytes;
  const account = (done: number): void => {
    budget -= done;
    request.bytes -= done;
    if (op === "REQ_OP_READ") stats.sectors_read += done / SECTOR_SIZE;
    else stats.sectors_written += done / SECTOR_SIZE;
  };
  // What ends with an error may never have been transferred at all, or have no bytes to transfer.
  for (let bio = bios[0]; bio; bio = bios[0]) {
    const here = Math.min(bio.size, budget);
    if (here < bio.size && !error) break;
    const failed = here > 0 ? transfer(bio, bdev, here) : null;
    advance(bio, here);
    account(here);
    request.bytes -= bio.size;
    bios.shift();
    bio.error ??= failed ?? (bio.size > 0 || bios.length === 0 ? error : null);
    if (bios.length === 0) {
      stats.in_flight--;
      bdev.machine.faults?.other_ended();
    }
    try {
      bio_endio(bio, softirq);
    } catch (reason) {
      thrown.push(reason);
    }
  }
  const [next] = bios;
  if (next && budget > 0) {
    next.error ??= transfer(next, bdev, budget);
    advance(next, budget);
    account(budget);
  }
  if (thrown.length > 0) throw thrown[0];
  return bios.length > 0;
}
/** Bytes of the front are done.  Models bio_advance(). */
function advance(bio: BioState, bytes: number): void {
  bio.sector += bytes / SECTOR_SIZE;
  bio.skip += bytes;
  bio.size -= bytes;
}

/**
 * Sectors of the front that the disk takes at once; 0 if it takes the whole bio.  Models bio_split_rw().
 */
export function sectors_to_split(bio: BioState): number {
  const { max_sectors, max_segments, logical_block_size } = bio.bdev.limits;
  const block = logical_block_size / SECTOR_SIZE;
  let bytes = Math.min(bio.size, max_sectors * SECTOR_SIZE);
  if (bio.vecs.length > max_segments) {
    let [past, segments, fits] = [bio.skip, 0, 0];
    for (const { len } of bio.vecs) {
      const here = len - Math.min(past, len);
      past -= len - here;
      if (here > 0 && ++segments > max_segments) break;
      fits += here;
    }
    bytes = Math.min(bytes, fits);
  }
  if (bytes >= bio.size) return 0;
  // A segment need not end with a block; at least one block goes, though it has more segments then.
  return Math.max(block, Math.floor(bytes / SECTOR_SIZE / block) * block);
}
