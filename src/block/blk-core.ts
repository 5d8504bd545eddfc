/// <reference lib="esnext.disposable" preserve="true" />
/** Handing a bio to its device, and getting it back.  Models block/blk-core.c. */

import type { Narrows } from "../handle/affine.js";
import type { HeldBio, SpentBio } from "../handle/bio.js";
import type { ProcessContext } from "../handle/context.js";
import { ERR_PTR, type BlkError } from "../handle/errno.js";
import type { By } from "../handle/kinds.js";
import {
  might_sleep,
  raise_softirq,
  run_softirq,
  wait_for_completion,
} from "../machine/context.js";
import { should_fail } from "../machine/fault-inject.js";
import { PAGE_SIZE, SECTOR_SIZE } from "../machine/limits.js";
import { throw_misuse, type MachineState } from "../machine/machine.js";
import { fact } from "../machine/misuse.js";
import { trace } from "../machine/tracepoint.js";
import { chain, split_front } from "./bio_clone.js";
import { bio_endio } from "./bio_end_io.js";
import { bio_state, type BioState } from "./bio_state.js";
import { blk_mq_start_request, Request, sectors_to_split } from "./blk-mq.js";
import { trace_bio_in_request, trace_bio_queue } from "./blktrace.js";
import { for_each_run } from "./bvec.js";

function new_request(bio: BioState): Request {
  const request = new Request(bio);
  if (bio.machine.tracers !== null) trace_bio_in_request("block_getrq", bio, request);
  return request;
}

// --- plugging ---------------------------------------------------------------------------------------------
/** Requests wait here for bios that follow them.  Models struct blk_plug. */
class PlugState {
  readonly machine: MachineState;
  readonly requests: Request[] = [];
  /** whose it is: 0 a task, 1 and more a kworker */
  readonly runs_in: number;
  constructor(machine: MachineState) {
    this.machine = machine;
    this.runs_in = machine.in_kworker;
  }
  add(bio: BioState): void {
    if (this.requests.some((request) => request.merge(bio))) return;
    if (this.machine.tracers !== null && this.requests.length === 0) {
      trace(this.machine, "block_plug", {});
    }
    this.requests.push(new_request(bio));
  }
  flush(): void {
    const nr_rq = this.requests.length;
    if (this.machine.tracers !== null && nr_rq > 0) trace(this.machine, "block_unplug", { nr_rq });
    for (const request of this.requests.splice(0)) blk_mq_start_request(request);
  }
  [Symbol.dispose](): void {
    const here = plugs.get(this.machine);
    if (here?.get(this.runs_in) !== this) return;
    here.delete(this.runs_in);
    if (this.machine.alive) this.flush();
  }
}
/** Of the task that runs, there is one at a time, and of the kworkers that run while it waits. */
const plugs = new WeakMap<MachineState, Map<number, PlugState>>();
const plug_of = (machine: MachineState): PlugState | undefined =>
  plugs.get(machine)?.get(machine.in_kworker);
/** What was submitted since blk_start_plug(); the end of a `using` block is blk_finish_plug(). */
export type Plug = Disposable;
/**
 * From here on bios are collected, and those whose sectors follow each other go to the disk as one request.  Models
 * blk_start_plug().  The caller owns the plug: blk_finish_plug(), or the end of a `using` block.  Whoever waits sends what
 * was collected before.  Inside another plug it does nothing.
 *
 * @param current - may sleep
 * @example
 * using plug = blk_start_plug(current);
 * const bio = bio_alloc(disk, 1, "REQ_OP_WRITE");
 * bio_set_end_io(bio, (ended) => bio_put(ended));
 * submit_bio(bio); // the disk gets it at the end of the block
 */
export function blk_start_plug(current: ProcessContext): Plug {
  const plug = new PlugState(might_sleep(current, "blk_start_plug()"));
  const here = plugs.get(plug.machine) ?? new Map<number, PlugState>();
  plugs.set(plug.machine, here);
  if (!here.has(plug.runs_in)) here.set(plug.runs_in, plug);
  return plug;
}
/** Sends what was collected to the disks.  Models blk_finish_plug(). */
export function blk_finish_plug(plug: Plug): void {
  if (!(plug instanceof PlugState)) throw_misuse("not-a-handle", "blk_finish_plug()", "no plug");
  plug[Symbol.dispose]();
}

// --- submitting -------------------------------------------------------------------------------------------
/** What is refused at once ends in the call that submits it, where nothing may sleep either. */
function end_at_once(bio: BioState, error: BlkError): void {
  bio.error ??= error;
  run_softirq(bio.machine, (softirq) => {
    bio_endio(bio, softirq);
  });
}
/** The disk takes memory at aligned addresses, but for what lies inside one page.  Models the check of bio_split_io_at(). */
function is_misaligned({ vecs, bdev, machine, skip, size }: BioState): boolean {
  const { dma_alignment } = bdev.limits;
  // Almost always all of it is aligned, wherever it is cut.
  const odd = (bytes: number): boolean => bytes % dma_alignment !== 0;
  if (!odd(skip) && !odd(size) && !vecs.some((vec) => odd(vec.offset) || odd(vec.len)))
    return false;
  let [runs, bad, crosses] = [0, 0, false];
  for_each_run(vecs, machine.base, skip, size, (_pfn, offset, len) => {
    runs++;
    if (offset % dma_alignment !== 0 || len % dma_alignment !== 0) bad++;
    crosses ||= offset + len > PAGE_SIZE;
  });
  return bad > 0 && (runs > 1 || crosses);
}
/** Why the disk takes nothing of the bio, or null.  Models bio_check_eod() and the checks of its neighbours. */
function refusal(bio: BioState): BlkError | null {
  const { bdev, sector, size } = bio;
  const { logical_block_size, dma_alignment } = bdev.limits;
  const start = sector * SECTOR_SIZE;
  const where = `${size} bytes at ${start}`;
  if (size > 0 && start + size > bdev.size) {
    return ERR_PTR("EIO", `${where} are beyond the end of ${bdev.name}`);
  }
  if (start % logical_block_size !== 0 || size % logical_block_size !== 0) {
    const blocks = `blocks of ${logical_block_size} bytes`;
    return ERR_PTR("EIO", `${where} are no ${blocks} of ${bdev.name}`);
  }
  if (!is_misaligned(bio)) return null;
  const alignment = `${dma_alignment} bytes, as ${bdev.name} wants it`;
  return ERR_PTR("EINVAL", `the memory is not aligned to ${alignment}`);
}
/** One bio that the disk can take whole. */
function issue(bio: BioState): void {
  const { machine } = bio;
  const plug = machine.in_softirq > 0 ? undefined : plug_of(machine);
  if (plug) plug.add(bio);
  else blk_mq_start_request(new_request(bio));
}
/** As if the device had lost it: it ends in softirq context, and nothing was transferred.  Models should_fail_request(). */
function fails_to_submit(bio: BioState): boolean {
  const { machine, bdev } = bio;
  if (!should_fail(machine, "fail_make_request", "submit_bio()")) return false;
  raise_softirq(machine, (softirq) => {
    bio.error ??= ERR_PTR("EIO", `${bdev.name}: fail_make_request`);
    bio_endio(bio, softirq);
  });
  return true;
}
function submit(bio: BioState): void {
  const { origin } = bio;
  bio.hand_over("submit_bio", "submitted");
  if (bio.is_clone) origin.clones_in_flight++;
  if (bio.machine.tracers !== null) trace_bio_queue(bio);
  if (bio.refs.length > 0) bio.machine.probe?.owner_is(bio, "submitted", "submit_bio()");
  const error = refusal(bio);
  if (error) {
    end_at_once(bio, error);
    return;
  }
  if (bio.machine.faults !== null && fails_to_submit(bio)) return;
  for (let front = sectors_to_split(bio); front > 0; front = sectors_to_split(bio)) {
    const part = split_front(bio, front);
    chain(part, bio);
    part.hand_over("submit_bio", "submitted");
    origin.clones_in_flight++;
    issue(part);
  }
  issue(bio);
}
/** A clone whose original was released has no pages any more. */
function to_submit(bio: HeldBio, called: string): BioState {
  const state = bio_state(bio, called);
  state.assert_phase(called, "fresh");
  const { origin } = state;
  if (state.is_clone && (origin.emptied || origin.phase === "gone")) {
    const evidence = { ...origin.evidence(), ...fact("pages", `of a ${origin.describe()}`) };
    throw_misuse("use-after-release", called, state.describe(), evidence);
  }
  return state;
}
/**
 * Hands a bio to its device, which transfers and ends it in softirq context: run_softirqs().  Models submit_bio().  The
 * bio is spent; what it carries is its end_io's to release.
 */
export const submit_bio: Narrows<HeldBio, { is: SpentBio<By<"submit_bio">> }> = (bio) => {
  const state = to_submit(bio, "submit_bio()");
  state.given_away = true;
  submit(state);
};
/**
 * Hands a bio to its device and waits.  Models submit_bio_wait().  The bio is the caller's again, its pages still pinned:
 * bio_release_pages(), then bio_put().
 *
 * @param current - may sleep
 * @returns EIO as the device says, or null
 */
export function submit_bio_wait(bio: HeldBio, current: ProcessContext): BlkError | null {
  const called = "submit_bio_wait()";
  const machine = might_sleep(current, called);
  const state = to_submit(bio, called);
  state.assert_machine(machine, called);
  if (state.parent) throw_misuse("bio-reused", called, `${state.describe()}, chained`);
  state.waited_for = true;
  submit(state);
  plug_of(machine)?.flush();
  wait_for_completion(machine, () => state.phase !== "submitted", called, state);
  return state.error;
}
/** Sends what the running task collected, since it is going to sleep. */
export function blk_flush_plug(machine: MachineState): void {
  plug_of(machine)?.flush();
}
