/** Releasing what a bio carried, and the bio.  Models the end of block/bio.c. */

import type { Narrows } from "../handle/affine.js";
import type {
  BioWithoutPins,
  BioWithPins,
  EmptiedBio,
  PinnedBioFor,
  SpentBio,
} from "../handle/bio.js";
import type { ProcessContext } from "../handle/context.js";
import type { By } from "../handle/kinds.js";
import { might_sleep, schedule_work_on } from "../machine/context.js";
import { throw_misuse } from "../machine/machine.js";
import { filling } from "./bio.js";
import { bio_state, type BioState } from "./bio_state.js";

function with_pins(bio: object, called: string): BioState {
  const state = bio_state(bio, called);
  state.assert_phase(called, "fresh", "ended");
  state.assert_holds("pinned user pages", called);
  if (state.emptied)
    throw_misuse("double-release", called, state.describe(), state.evidence(), state.machine);
  state.assert_no_clone_in_flight(called);
  return state;
}
/** Only a READ wrote into its pages. */
function assert_written(state: BioState, called: string): void {
  if (state.dir !== "dest") {
    throw_misuse("wrong-direction", called, state.describe(), state.evidence(), state.machine);
  }
}
/**
 * Dirties the pages of a READ before it is submitted.  Models bio_set_pages_dirty().
 *
 * @param current - locks each folio: may sleep
 */
export function bio_set_pages_dirty(bio: PinnedBioFor<"dest">, current: ProcessContext): void {
  const called = "bio_set_pages_dirty()";
  const machine = might_sleep(current, called);
  const state = filling(bio, "pinned user pages", called);
  state.assert_machine(machine, called);
  state.set_dirty();
}
/**
 * Unpins the pages of a bio.  Models bio_release_pages().  The bio is empty afterwards: bio_put() it.
 *
 * @param mark_dirty - whether they were written, as those of a READ are; locks each folio, so it takes a context that may sleep
 */
export const bio_release_pages: Narrows<
  BioWithPins,
  { is: EmptiedBio },
  [mark_dirty: false] | [mark_dirty: boolean, current: ProcessContext]
> = (bio, mark_dirty, current?: ProcessContext) => {
  const state = with_pins(bio, "bio_release_pages()");
  if (mark_dirty) {
    assert_written(state, "bio_release_pages()");
    if (!current) throw_misuse("sleep-in-atomic", "bio_release_pages()", "no context");
    state.assert_machine(might_sleep(current, "bio_release_pages()"), "bio_release_pages()");
    state.set_dirty();
  }
  state.release("bio_release_pages");
};
/**
 * Ends a READ whose pages were dirtied before: unpins them now or, if one was cleaned meanwhile, dirties and unpins in a
 * kworker.  Puts the bio either way.  Models bio_check_pages_dirty().  The bio is spent.  Any context.
 */
export const bio_check_pages_dirty: Narrows<
  BioWithPins,
  { is: SpentBio<By<"bio_check_pages_dirty">> }
> = (bio) => {
  const by = "bio_check_pages_dirty";
  const state = with_pins(bio, `${by}()`);
  assert_written(state, `${by}()`);
  const finish = (): void => {
    state.release(by);
    state.hand_over(by, "gone");
  };
  if (state.all_dirty()) {
    finish();
    return;
  }
  state.hand_over(by, "submitted");
  state.emptied = true; // what was cloned from it has no pages any more
  schedule_work_on(state.machine, () => {
    state.set_dirty();
    finish();
  });
};
/** Ends a bio.  Models bio_put().  One with pinned pages must have been emptied by bio_release_pages().  Any context. */
export const bio_put: Narrows<BioWithoutPins, { is: SpentBio<By<"bio_put">> }> = (bio) => {
  const state = bio_state(bio, "bio_put()");
  state.assert_phase("bio_put()", "fresh", "ended");
  state.assert_not_chained("bio_put()");
  if (state.holds === "pinned user pages" && !state.emptied && state.vecs.length > 0) {
    throw_misuse(
      "bio-put-with-pins",
      "bio_put()",
      state.describe(),
      state.evidence(),
      state.machine,
    );
  }
  state.assert_no_clone_in_flight("bio_put()");
  state.hand_over("bio_put", "gone");
};
