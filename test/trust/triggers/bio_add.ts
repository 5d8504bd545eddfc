/** Misuse of bios that are filled, chained and submitted, and what is right instead. */
import * as api from "user-page";
import { forced, must } from "../../fixtures.js";
import { extent, page, pin, pinned_bio, plain_bio, type Triggers, type World } from "../world.js";

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

export const BIO_ADD: Triggers = {
  "a pinned page in a bio of plain pages": {
    id: "mixed-bio",
    seen: "tags",
    wrong: (w) => {
      forced(api.bio_add_page)(api.bio_alloc(w.disk, 4, "REQ_OP_READ"), pin(w, "dest"), 512, 0);
    },
    right: (w) => {
      const held = page(w);
      const bio = api.bio_alloc(w.disk, 4, "REQ_OP_READ");
      api.bio_add_page(bio, held, 512, 0);
      api.bio_put(bio);
      api.put_page(held);
    },
  },
  "a plain page in a pinned bio": {
    id: "mixed-bio",
    seen: "always",
    wrong: (w) => {
      const bio = api.bio_alloc_pinned(w.disk, 4, "REQ_OP_READ");
      forced(api.bio_add_page)(bio, page(w), 512, 0);
    },
    right: (w) => {
      submit_pinned(w, pinned_bio(w));
    },
  },
  "a plain page moved in as a pinned one": {
    id: "page-to-put_user_page",
    seen: "tags",
    wrong: (w) => {
      const bio = api.bio_alloc_pinned(w.disk, 4, "REQ_OP_WRITE");
      forced(api.bio_add_user_page)(bio, page(w), 512, 0);
    },
    right: (w) => {
      const bio = api.bio_alloc_pinned(w.disk, 4, "REQ_OP_WRITE");
      const zero = must(api.page_to_user_page(api.ZERO_PAGE(w.current)));
      forced(api.bio_add_user_page)(bio, zero, 512, 0);
      put_emptied(bio);
    },
  },
  "an extent for reading in a bio that writes memory": {
    id: "wrong-direction",
    seen: "always",
    wrong: (w) => {
      const bio = api.bio_alloc_pinned(w.disk, 4, "REQ_OP_READ");
      forced(api.bio_add_user_bvec)(bio, extent(w, "source"));
    },
    right: (w) => {
      const bio = api.bio_alloc_pinned(w.disk, 4, "REQ_OP_READ");
      forced(api.bio_add_user_bvec)(bio, extent(w, "dest"));
      put_emptied(bio);
    },
  },
  "a page for reading in a bio that writes memory": {
    id: "wrong-direction",
    seen: "owners",
    wrong: (w) => {
      const bio = api.bio_alloc_pinned(w.disk, 4, "REQ_OP_READ");
      forced(api.bio_add_user_page)(bio, pin(w, "source"), 512, 0);
    },
    right: (w) => {
      const bio = api.bio_alloc_pinned(w.disk, 4, "REQ_OP_READ");
      forced(api.bio_add_user_page)(bio, pin(w, "dest"), 512, 0);
      put_emptied(bio);
    },
  },
  "a page released after it was moved into a bio": {
    id: "double-release",
    seen: "owners",
    wrong: (w) => {
      const bio = api.bio_alloc_pinned(w.disk, 4, "REQ_OP_WRITE");
      const moved = pin(w, "source");
      forced(api.bio_add_user_page)(bio, moved, 512, 0);
      forced(api.put_user_page)(moved);
    },
    right: (w) => {
      const bio = api.bio_alloc_pinned(w.disk, 1, "REQ_OP_WRITE");
      forced(api.bio_add_user_page)(bio, pin(w, "source"), 512, 0);
      const kept = pin(w, "source");
      if (forced<boolean>(api.bio_add_user_page)(bio, kept, 512, 2048)) throw new Error("no room");
      api.put_user_page(kept); // there was no room: it is not moved
      put_emptied(bio);
    },
  },
  "a page of a bio that has no room": {
    id: "bio-full",
    seen: "always",
    wrong: (w) => {
      const bio = api.bio_alloc(w.disk, 1, "REQ_OP_READ");
      const held = page(w);
      api.__bio_add_page(bio, held, 512, 0);
      api.__bio_add_page(bio, held, 512, 1024);
    },
    right: (w) => {
      const bio = api.bio_alloc(w.disk, 1, "REQ_OP_READ");
      const held = page(w);
      api.__bio_add_page(bio, held, 512, 0);
      if (api.bio_add_page(bio, held, 512, 1024) !== 0) throw new Error("there is room");
      api.bio_put(bio);
      api.put_page(held);
    },
  },
  "a chained bio that has pins": {
    id: "bio-put-with-pins",
    seen: "always",
    wrong: (w) => {
      forced(api.bio_chain)(pinned_bio(w), plain_bio(w));
    },
    right: (w) => {
      end_both(w, chained(w));
    },
  },
  "a bio chained to itself": {
    id: "bio-reused",
    seen: "always",
    wrong: (w) => {
      const bio = plain_bio(w);
      api.bio_chain(bio, bio);
    },
    right: (w) => {
      end_both(w, chained(w));
    },
  },
  "bios chained in a circle": {
    id: "bio-reused",
    seen: "always",
    wrong: (w) => {
      const { bio, parent } = chained(w);
      api.bio_chain(parent, bio);
    },
    right: (w) => {
      end_both(w, chained(w));
    },
  },
  "a chained bio that has an end_io": {
    id: "bio-reused",
    seen: "always",
    wrong: (w) => {
      const bio = plain_bio(w);
      api.bio_set_end_io(bio, api.bio_put);
      api.bio_chain(bio, plain_bio(w));
    },
    right: (w) => {
      const { bio, parent } = chained(w);
      api.bio_set_end_io(parent, (ended) => api.bio_put(ended));
      api.submit_bio(bio);
      api.submit_bio(parent);
      api.run_softirqs(w.machine);
    },
  },
  "a bio chained twice": {
    id: "bio-reused",
    seen: "always",
    wrong: (w) => {
      const { bio } = chained(w);
      api.bio_chain(bio, plain_bio(w));
    },
    right: (w) => {
      end_both(w, chained(w));
    },
  },
  "an end_io for a chained bio": {
    id: "bio-reused",
    seen: "always",
    wrong: (w) => {
      const { bio } = chained(w);
      api.bio_set_end_io(bio, () => undefined);
    },
    right: (w) => {
      end_both(w, chained(w));
    },
  },
  "a pair of completions for a chained bio": {
    id: "bio-reused",
    seen: "always",
    wrong: (w) => {
      const { bio } = chained(w);
      api.bio_set_end_io_pair(
        bio,
        api.end_io_pair(() => undefined),
      );
    },
    right: (w) => {
      const bio = plain_bio(w);
      api.bio_set_end_io_pair(
        bio,
        api.end_io_pair(() => undefined),
      );
      api.submit_bio(bio);
      api.run_softirqs(w.machine);
    },
  },
  "a wait for a chained bio": {
    id: "bio-reused",
    seen: "always",
    wrong: (w) => {
      api.submit_bio_wait(chained(w).bio, w.current);
    },
    right: (w) => {
      end_both(w, chained(w));
    },
  },
  "a chained bio that is put and not submitted": {
    id: "bio-reused",
    seen: "always",
    wrong: (w) => {
      api.bio_put(chained(w).bio);
    },
    right: (w) => {
      end_both(w, chained(w));
    },
  },
  "a chained bio that its block ends": {
    id: "bio-reused",
    seen: "always",
    wrong: (w) => {
      chained(w).bio[Symbol.dispose]();
    },
    right: (w) => {
      const both = chained(w);
      end_both(w, both);
      both.bio[Symbol.dispose](); // submitted: not the block's any more
    },
  },
  "a bio that is submitted twice": {
    id: "bio-reused",
    seen: "always",
    wrong: (w) => {
      const bio = plain_bio(w);
      api.submit_bio(bio);
      forced(api.submit_bio)(bio);
    },
    right: (w) => {
      api.submit_bio(plain_bio(w));
      api.run_softirqs(w.machine);
    },
  },
};
