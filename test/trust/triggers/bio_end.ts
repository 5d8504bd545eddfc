/** Misuse of bios that are walked, cloned and released, and what is right instead. */
import * as api from "user-page";
import { forced } from "../../fixtures.js";
import {
  extent,
  in_softirq,
  list,
  pinned_bio,
  plain_bio,
  type Triggers,
  type World,
} from "../world.js";

const borrowing_bio = (w: World) => {
  const bio = api.bio_alloc_borrowing(w.disk, 4, "REQ_OP_WRITE");
  const iter = api.iov_iter_bvec("source", [
    { page: api.ZERO_PAGE(w.current), offset: 0, len: 4096 },
  ]);
  api.bio_iov_bvec_set(bio, iter, w.current)._unsafeUnwrap();
  return bio;
};
/** Its end releases and puts it. */
function submit_pinned(w: World, bio: ReturnType<typeof pinned_bio>): void {
  api.bio_set_end_io(bio, (ended) => {
    api.bio_release_pages(ended, false);
    api.bio_put(ended);
  });
  forced(api.submit_bio)(bio);
  api.run_softirqs(w.machine);
}
function chained(w: World) {
  const [bio, parent] = [plain_bio(w), plain_bio(w)];
  api.bio_chain(bio, parent);
  return { bio, parent };
}
function end_both(w: World, { bio, parent }: ReturnType<typeof chained>): void {
  api.submit_bio(bio);
  api.submit_bio_wait(parent, w.current);
  api.bio_put(parent);
}
const put_emptied = (bio: unknown): void => {
  forced(api.bio_release_pages)(bio, false);
  forced(api.bio_put)(bio);
};

export const BIO_END: Triggers = {
  "a walk over a bio that was emptied": {
    id: "use-after-release",
    seen: "always",
    wrong: (w) => {
      const bio = pinned_bio(w);
      forced(api.bio_release_pages)(bio, false);
      forced(api.bio_for_each_segment_all)(bio);
    },
    right: (w) => {
      const bio = pinned_bio(w);
      forced(api.bio_for_each_segment_all)(bio);
      put_emptied(bio);
    },
  },
  "a walk over pages that somebody else keeps": {
    id: "release-lent",
    seen: "always",
    wrong: (w) => forced(api.bio_for_each_segment_all)(borrowing_bio(w)),
    right: (w) => {
      const bio = borrowing_bio(w);
      api.submit_bio_wait(bio, w.current);
      api.bio_put(bio);
    },
  },
  "a pair of completions for borrowed pages": {
    id: "mixed-bio",
    seen: "always",
    wrong: (w) =>
      forced(api.bio_set_end_io_pair)(
        borrowing_bio(w),
        api.end_io_pair(() => undefined),
      ),
    right: (w) => {
      const bio = borrowing_bio(w);
      api.bio_set_end_io(bio, (ended) => api.bio_put(ended));
      api.submit_bio(bio);
      api.run_softirqs(w.machine);
    },
  },
  "pins without an end_io": {
    id: "leak",
    seen: "tags",
    wrong: (w) => {
      forced(api.submit_bio)(pinned_bio(w));
      api.run_softirqs(w.machine);
    },
    right: (w) => {
      submit_pinned(w, pinned_bio(w));
    },
  },
  "kernel pages of an iterator in a pinned bio": {
    id: "mixed-bio",
    seen: "always",
    wrong: (w) => {
      const range = { page: api.ZERO_PAGE(w.current), offset: 0, len: 4096 };
      const iter = api.iov_iter_bvec("source", [range]);
      forced(api.bio_iov_iter_get_pages)(pinned_bio(w), iter, w.current);
    },
    right: (w) => {
      const bio = pinned_bio(w);
      const iter = api.iov_iter_ubuf("source", w.buf, 4096);
      forced(api.bio_iov_iter_get_pages)(bio, iter, w.current);
      put_emptied(bio);
    },
  },
  "an iterator for reading in a bio that writes memory": {
    id: "wrong-direction",
    seen: "always",
    wrong: (w) => {
      const iter = api.iov_iter_ubuf("source", w.buf, 4096);
      const bio = api.bio_alloc_pinned(w.disk, 4, "REQ_OP_READ");
      forced(api.bio_iov_iter_get_pages)(bio, iter, w.current);
    },
    right: (w) => {
      const iter = api.iov_iter_ubuf("dest", w.buf, 4096);
      const bio = api.bio_alloc_pinned(w.disk, 4, "REQ_OP_READ");
      forced(api.bio_iov_iter_get_pages)(bio, iter, w.current);
      put_emptied(bio);
    },
  },
  "pages added to a clone": {
    id: "bio-reused",
    seen: "always",
    wrong: (w) => {
      const clone = api.bio_alloc_clone(w.disk, plain_bio(w));
      const range = { page: api.ZERO_PAGE(w.current), offset: 0, len: 4096 };
      api.bio_iov_bvec_set(clone, api.iov_iter_bvec("source", [range]), w.current);
    },
    right: (w) => {
      const bio = plain_bio(w);
      const clone = api.bio_alloc_clone(w.disk, bio);
      api.submit_bio_wait(clone, w.current);
      api.bio_put(clone);
      api.bio_put(bio);
    },
  },
  "pins of a bio released twice": {
    id: "double-release",
    seen: "always",
    wrong: (w) => {
      const bio = pinned_bio(w);
      forced(api.bio_release_pages)(bio, false);
      forced(api.bio_release_pages)(bio, false);
    },
    right: (w) => {
      put_emptied(pinned_bio(w));
    },
  },
  "pages of a WRITE dirtied": {
    id: "wrong-direction",
    seen: "always",
    wrong: (w) => forced(api.bio_release_pages)(pinned_bio(w), true, w.current),
    right: (w) => {
      const bio = pinned_bio(w, "REQ_OP_READ");
      forced(api.bio_release_pages)(bio, true, w.current);
      forced(api.bio_put)(bio);
    },
  },
  "pages dirtied in softirq context": {
    id: "sleep-in-atomic",
    seen: "always",
    wrong: (w) => {
      const bio = pinned_bio(w, "REQ_OP_READ");
      in_softirq(w, () => forced(api.bio_release_pages)(bio, true));
    },
    right: (w) => {
      const bio = pinned_bio(w, "REQ_OP_READ");
      in_softirq(w, () => forced(api.bio_check_pages_dirty)(bio));
      api.flush_work(w.machine);
    },
  },
  "a bio put with its pins": {
    id: "bio-put-with-pins",
    seen: "always",
    wrong: (w) => forced(api.bio_put)(pinned_bio(w)),
    right: (w) => {
      put_emptied(pinned_bio(w));
    },
  },
  "an extent of another machine": {
    id: "not-a-handle",
    seen: "always",
    wrong: (w) => {
      const bio = api.bio_alloc_pinned(w.disk, 4, "REQ_OP_WRITE");
      forced(api.bio_add_user_bvec)(bio, extent(w.elsewhere(), "dest"));
    },
    right: (w) => {
      const there = w.elsewhere();
      const bio = api.bio_alloc_pinned(there.disk, 4, "REQ_OP_WRITE");
      forced(api.bio_add_user_bvec)(bio, extent(there, "dest"));
      put_emptied(bio);
    },
  },
  "pins released while a clone is under way": {
    id: "clone-in-flight",
    seen: "always",
    wrong: (w) => {
      const bio = pinned_bio(w);
      api.submit_bio(api.bio_alloc_clone(w.disk, bio));
      forced(api.bio_release_pages)(bio, false);
    },
    right: (w) => {
      const bio = pinned_bio(w);
      api.submit_bio(api.bio_alloc_clone(w.disk, bio));
      api.run_softirqs(w.machine);
      put_emptied(bio);
    },
  },
  "a clone submitted after its pages were released": {
    id: "use-after-release",
    seen: "always",
    wrong: (w) => {
      const bio = pinned_bio(w);
      const clone = api.bio_alloc_clone(w.disk, bio);
      forced(api.bio_release_pages)(bio, false);
      api.submit_bio(clone);
    },
    right: (w) => {
      const bio = pinned_bio(w);
      const clone = api.bio_alloc_clone(w.disk, bio);
      api.submit_bio_wait(clone, w.current);
      api.bio_put(clone);
      put_emptied(bio);
    },
  },
  "a wait for a bio whose part was forgotten": {
    id: "hung-task",
    seen: "always",
    wrong: (w) => {
      api.submit_bio_wait(chained(w).parent, w.current);
    },
    right: (w) => {
      end_both(w, chained(w));
    },
  },
  "a bio of a list of extents, used after its list was put": {
    id: "use-after-release",
    seen: "always",
    wrong: (w) => {
      const bvecs = list(w, "dest");
      api.put_user_bvec(bvecs);
      forced(api.bio_add_user_bvecs)(api.bio_alloc_pinned(w.disk, 4, "REQ_OP_WRITE"), bvecs);
    },
    right: (w) => {
      const bvecs = list(w, "dest");
      const bio = api.bio_alloc_pinned(w.disk, 4, "REQ_OP_WRITE");
      forced(api.bio_add_user_bvecs)(bio, bvecs);
      api.put_user_bvec(bvecs);
      put_emptied(bio);
    },
  },
  "a plug that is none": {
    id: "not-a-handle",
    seen: "always",
    wrong: () => forced(api.blk_finish_plug)({}),
    right: (w) => {
      api.blk_finish_plug(api.blk_start_plug(w.current));
    },
  },
};
