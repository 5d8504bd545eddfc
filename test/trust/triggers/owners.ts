/** Misuse of what is lent, of directions, owners and counts, and what is right instead. */
import * as api from "user-page";
import { forced, must } from "../../fixtures.js";
import { extent, list, page, pin, type Triggers, type World } from "../world.js";

const owned = (w: World, owner: api.VaddrPin) =>
  must(api.all_or_none(api.vaddr_pin_pages(w.current, w.buf, 2, "dest", owner)));

export const OWNERS: Triggers = {
  // --- what is lent ---------------------------------------------------------------------------------------
  "the folio of a pin put as a reference": {
    id: "release-lent",
    seen: "owners",
    wrong: (w) => forced(api.folio_put)(api.page_folio(page(w))),
    right: (w) => {
      const held = page(w);
      api.folio_put(api.folio_get(api.page_folio(held)));
      api.put_page(held);
    },
  },
  "the page of an extent put by itself": {
    id: "release-lent",
    seen: "owners",
    wrong: (w) => forced(api.put_user_page)(extent(w, "dest").page),
    right: (w) => {
      const held = extent(w, "dest");
      api.page_to_pfn(held.page);
      api.put_user_bvec(held);
    },
  },
  "an extent put while its list has it": {
    id: "release-lent",
    seen: "always",
    wrong: (w) => {
      const [lent] = list(w, "dest");
      forced(api.put_user_bvec)(lent);
    },
    right: (w) => {
      using bvecs = list(w, "dest");
      api.put_user_bvec(api.pop_user_bvec(bvecs)!);
    },
  },
  "an extent divided while its list has it": {
    id: "release-lent",
    seen: "always",
    wrong: (w) => {
      const [lent] = list(w, "dest");
      forced(api.split_user_bvec)(lent, 512);
    },
    right: (w) => {
      const front = extent(w, "dest");
      const rest = must(api.split_user_bvec(front, 512));
      api.put_user_bvec(rest);
      api.put_user_bvec(front);
    },
  },
  // --- direction ------------------------------------------------------------------------------------------
  "bytes written to an extent for reading": {
    id: "wrong-direction",
    seen: "always",
    wrong: (w) => forced(api.memcpy_to_bvec)(extent(w, "source"), new Uint8Array(8)),
    right: (w) => {
      const held = extent(w, "dest");
      api.memcpy_to_bvec(held, new Uint8Array(8))._unsafeUnwrap();
      api.put_user_bvec(held);
    },
  },
  "extents for reading dirtied": {
    id: "wrong-direction",
    seen: "always",
    wrong: (w) => forced(api.put_user_bvec_dirty_lock)(list(w, "source"), w.current),
    right: (w) => {
      api.put_user_bvec_dirty_lock(list(w, "dest"), w.current);
    },
  },
  "bytes written to a page for reading": {
    id: "wrong-direction",
    seen: "owners",
    wrong: (w) => forced(api.memcpy_to_page)(pin(w, "source"), 0, new Uint8Array(8)),
    right: (w) => {
      const held = pin(w, "source");
      api.memcpy_from_page(new Uint8Array(8), held, 0)._unsafeUnwrap();
      api.put_user_page(held);
    },
  },
  // --- owners ---------------------------------------------------------------------------------------------
  "pages of a token put without it": {
    id: "wrong-owner",
    seen: "always",
    wrong: (w) => forced(api.put_user_pages)(owned(w, new api.VaddrPin("a file"))),
    right: (w) => {
      const owner = new api.VaddrPin("a file");
      api.vaddr_unpin_pages(owned(w, owner), owner);
    },
  },
  "pages of one token put with another": {
    id: "wrong-owner",
    seen: "always",
    wrong: (w) => {
      api.vaddr_unpin_pages(owned(w, new api.VaddrPin("a file")), new api.VaddrPin("another"));
    },
    right: (w) => {
      const owner = new api.VaddrPin("a file");
      api.vaddr_unpin_pages_dirty_lock(owned(w, owner), owner, true, w.current);
    },
  },
  "one page of a token put by itself": {
    id: "wrong-owner",
    seen: "owners",
    wrong: (w) => forced(api.put_user_page)(owned(w, new api.VaddrPin("a file"))[0]),
    right: (w) => {
      const owner = new api.VaddrPin("a file");
      api.vaddr_unpin_pages(owned(w, owner), owner);
    },
  },
};
