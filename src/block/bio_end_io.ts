/** What runs when a bio ends, and what it can see of the bio.  Models bi_end_io and the walks of linux/bio.h. */

import type { Borrowed } from "../handle/affine.js";
import type {
  BioBackFromDevice,
  BioOf,
  EndIo,
  EndIoPair,
  FreshBio,
  Holds,
  OwnPages,
  OwnBioFor,
  PinnedOf,
  Segment,
} from "../handle/bio.js";
import { segment_page, to_ended_bio } from "../handle/cast.js";
import type { SoftirqContext } from "../handle/context.js";
import type { BlkError } from "../handle/errno.js";
import type { Dir, Page } from "../handle/page.js";
import { PAGE_HANDLE_SHIFT } from "../handle/tags.js";
import { throw_misuse, warn_misuse } from "../machine/machine.js";
import { bio_check_pages_dirty, bio_put, bio_release_pages } from "./bio_pages.js";
import { bio_state, type BioState } from "./bio_state.js";
import { trace_bio_complete } from "./blktrace.js";
import { for_each_page } from "./bvec.js";

/**
 * Whether the bio holds pinned pages, for code that gets either kind (ours; C asks for BIO_PAGE_PINNED).  Of one that holds
 * nothing yet this decides: it is for plain pages from now on.
 */
export function bio_is_pinned<T extends Borrowed<object>>(bio: T): bio is PinnedOf<T> {
  const state = bio_state(bio, "bio_is_pinned()");
  state.holds ??= "plain pages";
  return state.holds === "pinned user pages";
}
/** Why the transfer failed, or null.  Models bio->bi_status. */
export function bio_error(bio: BioBackFromDevice): BlkError | null {
  return bio_state(bio, "bio_error()").error;
}

// --- walking ----------------------------------------------------------------------------------------------
function to_walk(bio: object, called: string): BioState {
  const state = bio_state(bio, called);
  state.assert_phase(called, "fresh", "ended");
  if (state.emptied)
    throw_misuse("use-after-release", called, state.describe(), state.evidence(), state.machine);
  if (state.holds === "borrowed pages") throw_misuse("release-lent", called, state.describe());
  return state;
}
/**
 * The bytes of the bio, page by page.  Models bio_for_each_segment_all().  Pages of a pinned bio are lent; of a plain
 * bio each comes once for each segment it is in, as it was added.
 */
export function bio_for_each_segment_all<H extends OwnPages>(bio: BioOf<H>): Iterable<Segment<H>> {
  const { vecs, refs, machine } = to_walk(bio, "bio_for_each_segment_all()");
  const segments: Array<Segment<H>> = [];
  for (const vec of vecs) {
    for_each_page(vec, (pfn, offset, len, page) => {
      const lent = vec.kind !== "page";
      const addr = (pfn << PAGE_HANDLE_SHIFT) | machine.user_tags;
      const handle = vec.kind === "bvec" ? addr : refs[vec.first + page]!;
      segments.push({ page: segment_page<H>(handle, lent), offset, len });
    });
  }
  return segments;
}
/** The segments as they were merged, each from its first page on.  Models bio_for_each_bvec_all(). */
export function bio_for_each_bvec_all<H extends OwnPages>(bio: BioOf<H>): Iterable<Segment<H>> {
  const { vecs, refs } = to_walk(bio, "bio_for_each_bvec_all()");
  return vecs.map(({ kind, first, offset, len }) => ({
    page: segment_page<H>(refs[first]!, kind !== "page"),
    offset,
    len,
  }));
}

// --- end_io -----------------------------------------------------------------------------------------------
/** What runs in softirq context when the device is done.  Models bio->bi_end_io. */
export function bio_set_end_io<H extends Holds>(bio: FreshBio<H>, end_io: EndIo<NoInfer<H>>): void {
  const state = bio_state(bio, "bio_set_end_io()");
  state.assert_phase("bio_set_end_io()", "fresh");
  if (typeof end_io !== "function") throw new RangeError("bio_set_end_io(): no function");
  if (state.parent) throw_misuse("bio-reused", "bio_set_end_io()", `${state.describe()}, chained`);
  state.end_io = end_io;
}
/**
 * Two completions over a common body (ours: the pattern Jérôme Glisse drew on the list in 2019): both run `common`, then
 * release what their kind of bio carries, and put the bio.
 *
 * @param common - looks at the bio, for instance at bio_error(); it does not release
 * @param put_plain - what becomes of each page of a plain bio: put_page() if a reference went with it; nothing by default
 * @example
 * const pair = end_io_pair((bio) => console.log(bio_error(bio)), put_page);
 * const bio = bio_alloc_any(disk, 4, "REQ_OP_READ");
 * bio_set_end_io_pair(bio, pair);
 * const pin = get_user_page(current, buf, ITER_DEST);
 * if (IS_ERR(pin)) return pin;
 * if (!bio_try_add_user_page(bio, pin, 512, 0)) put_user_page(pin);
 * submit_bio(bio);
 * run_softirqs(machine); // -> null
 */
export function end_io_pair(
  common: (bio: BioBackFromDevice, softirq: SoftirqContext) => void,
  put_plain?: (page: Page) => void,
): EndIoPair {
  return {
    normal: (bio, softirq) => {
      common(bio, softirq);
      if (put_plain) for (const { page } of bio_for_each_segment_all(bio)) put_plain(page);
      bio_put(bio);
    },
    user_page: (bio, softirq) => {
      common(bio, softirq);
      if (bio_state(bio, "end_io_pair()").dir === "dest") {
        bio_check_pages_dirty(bio);
        return;
      }
      bio_release_pages(bio, false);
      bio_put(bio);
    },
  };
}
/** Takes that one of two completions which fits what the bio holds when it ends (ours). */
export function bio_set_end_io_pair(bio: OwnBioFor<Dir>, pair: EndIoPair): void {
  const called = "bio_set_end_io_pair()";
  const state = bio_state(bio, called);
  state.assert_phase(called, "fresh");
  if (typeof pair?.normal !== "function" || typeof pair.user_page !== "function") {
    throw new RangeError(`${called}: no pair of functions`);
  }
  if (state.holds === "borrowed pages") {
    throw_misuse("mixed-bio", called, state.describe(), state.evidence(), state.machine);
  }
  if (state.parent) throw_misuse("bio-reused", called, `${state.describe()}, chained`);
  state.end_io = (ended: never, softirq) => {
    if (state.holds === "pinned user pages") pair.user_page(ended, softirq);
    else pair.normal(ended, softirq);
  };
}
/** Nobody can release the pins of a bio that was given away and had no end_io.  Linux does not notice, nor does plain mode. */
function warn_of_leak(bio: BioState): void {
  if (bio.holds !== "pinned user pages" || bio.refs.length === 0) return;
  const what = `${bio.describe()}, submitted without an end_io`;
  warn_misuse(bio.machine, "leak", "submit_bio()", what, bio.evidence());
}
/**
 * A bio is done, or a bio that was chained to it.  When all are, its end_io runs; a chained bio is put and ends its parent
 * instead.  Models bio_endio().
 */
export function bio_endio(bio: BioState, softirq: SoftirqContext): void {
  let early: BioState | null = null;
  for (let at: BioState | null = bio; at && --at.remaining === 0;) {
    at.phase = "ended";
    if (at.refs.length > 0) at.machine.probe?.owner_is(at, "completed", "bio_endio()");
    if (at.machine.tracers !== null) trace_bio_complete(at);
    if (at.is_clone) at.origin.clones_in_flight--;
    const { parent }: BioState = at;
    if (parent) {
      parent.error ??= at.error;
      if (at.clones_in_flight > 0) early ??= at;
      at.hand_over("bio_put", "gone");
    } else if (at.end_io && !at.waited_for) {
      at.end_io(to_ended_bio<never>(at) as never, softirq);
    } else if (at.given_away && at.machine.probe) warn_of_leak(at);
    at = parent;
  }
  early?.assert_no_clone_in_flight("bio_chain()"); // it was put, and they use its table of segments
}
