/** Handing a bio to its device, and getting it back.  Models block/blk-core.c. */

import type { Narrows } from "../handle/affine.js";
import type { HeldBio, SpentBio } from "../handle/bio.js";
import { to_ended_bio } from "../handle/cast.js";
import type { ProcessContext } from "../handle/context.js";
import type { SoftirqContext } from "../handle/context.js";
import { ERR_PTR, type BlkError } from "../handle/errno.js";
import type { By } from "../handle/kinds.js";
import { might_sleep, raise_softirq, run_softirqs_of } from "../machine/context.js";
import { SECTOR_SIZE } from "../machine/limits.js";
import { bytes_to_read, bytes_to_write } from "../mm/page_alloc.js";
import { bio_state, pfn_of, type BioState } from "./bio_state.js";

/** The transfer itself, when the device gets to it: by physical address, whoever holds the pages by now. */
function transfer(bio: BioState): BlkError | null {
  const { machine, bdev, op, size } = bio;
  let position = bio.sector * SECTOR_SIZE;
  if (!bdev.open) return ERR_PTR("EIO", `${bdev.name} was closed`);
  if (position + size > bdev.size) {
    return ERR_PTR("EIO", `${size} bytes at ${position} are beyond the end of ${bdev.name}`);
  }
  for (const { handle, offset, len } of bio.vecs) {
    const failed =
      op === "REQ_OP_READ"
        ? bdev.backing.read(position, bytes_to_write(machine, pfn_of(handle), offset, len))
        : bdev.backing.write(position, bytes_to_read(machine, pfn_of(handle), offset, len));
    if (failed !== null) return ERR_PTR("EIO", `${bdev.name}: ${failed}`);
    position += len;
  }
  return null;
}
function submit(bio: BioState, done: (bio: BioState, softirq: SoftirqContext) => void): void {
  bio.hand_over("submit_bio", "submitted");
  raise_softirq(bio.machine, (softirq) => {
    bio.error = transfer(bio);
    bio.phase = "ended";
    done(bio, softirq);
  });
}
/**
 * Hands a bio to its device, which transfers and ends it in softirq context: run_softirqs().  Models submit_bio().  The
 * bio is spent; what it carries is its end_io's to release.
 */
export const submit_bio: Narrows<HeldBio, { is: SpentBio<By<"submit_bio">> }> = (bio) => {
  const state = bio_state(bio, "submit_bio()");
  state.assert_phase("submit_bio()", "fresh");
  state.given_away = true;
  submit(state, ({ end_io }, softirq) => end_io?.(to_ended_bio<never>(state), softirq));
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
  const state = bio_state(bio, called);
  state.assert_machine(machine, called);
  state.assert_phase(called, "fresh");
  submit(state, () => undefined);
  run_softirqs_of(state.machine);
  return state.error;
}
