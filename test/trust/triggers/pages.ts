/** Misuse of pages, pins and extents: the wrong release, a second one, a use after the last, and what is right instead. */
import * as api from "user-page";
import { forced, must } from "../../fixtures.js";
import { extent, list, page, pin, pins, type Triggers } from "../world.js";

export const PAGES: Triggers = {
  // --- kinds ------------------------------------------------------------------------------------------------
  "a pin put as a page": {
    id: "pin-to-put_page",
    seen: "tags",
    wrong: (w) => forced(api.put_page)(pin(w, "dest")),
    right: (w) => {
      api.put_user_page(pin(w, "dest"));
    },
  },
  "a pin put as a folio": {
    id: "pin-to-put_page",
    seen: "tags",
    wrong: (w) => forced(api.folio_put)(pin(w, "dest")),
    right: (w) => {
      api.folio_put(must(api.folio_alloc(w.current, 1)));
    },
  },
  "a page put as a pin": {
    id: "page-to-put_user_page",
    seen: "tags",
    wrong: (w) => forced(api.put_user_page)(page(w)),
    right: (w) => {
      api.put_page(page(w));
    },
  },
  "pages put as pins, in an array": {
    id: "page-to-put_user_page",
    seen: "tags",
    wrong: (w) => forced(api.put_user_pages)([page(w)]),
    right: (w) => {
      api.put_user_pages(pins(w, 2, "source"));
    },
  },
  "the first page of a range put as a pin": {
    id: "page-to-put_user_page",
    seen: "tags",
    wrong: (w) => forced(api.unpin_user_page_range_dirty_lock)(page(w), 1, false, w.current),
    right: (w) => {
      api.unpin_user_page_range_dirty_lock(pin(w, "dest"), 1, true, w.current);
    },
  },
  // --- a second release, a use after the last -------------------------------------------------------------
  "a pin put twice": {
    id: "double-release",
    seen: "owners",
    wrong: (w) => {
      const held = pin(w, "dest");
      const other = pin(w, "dest"); // whose reference the second one would drop
      api.put_user_page(held);
      forced(api.put_user_page)(held);
      api.put_user_page(other);
    },
    right: (w) => {
      const [held, other] = [pin(w, "dest"), pin(w, "dest")];
      api.put_user_page(held);
      api.put_user_page(other);
    },
  },
  "a page put twice": {
    id: "double-release",
    seen: "owners",
    wrong: (w) => {
      const held = page(w);
      api.get_page(held);
      api.put_page(held);
      forced(api.put_page)(held);
    },
    right: (w) => {
      const held = page(w);
      const second = api.get_page(held);
      api.put_page(held);
      api.put_page(second);
    },
  },
  "a folio put twice": {
    id: "double-release",
    seen: "owners",
    wrong: (w) => {
      const held = must(api.folio_alloc(w.current, 1));
      api.folio_get(held);
      api.folio_put(held);
      forced(api.folio_put)(held);
    },
    right: (w) => {
      const held = must(api.folio_alloc(w.current, 1));
      const second = api.folio_get(held);
      api.folio_put(held);
      api.folio_put(second);
    },
  },
  "more pins of a folio put than were taken": {
    id: "double-release",
    seen: "owners",
    wrong: (w) => {
      const other = pin(w, "dest");
      api.unpin_user_folio(api.page_folio(other), 2);
    },
    right: (w) => {
      const folio = api.page_folio(pin(w, "dest"));
      api.folio_add_pin(folio);
      api.unpin_user_folio(folio, 2);
    },
    pins_added: 1,
  },
  "an array of pins put twice": {
    id: "double-release",
    seen: "always",
    wrong: (w) => {
      const pages = pins(w, 2, "source");
      api.put_user_pages(pages);
      forced(api.put_user_pages)(pages);
    },
    right: (w) => {
      const pages = pins(w, 2, "source");
      api.put_user_pages(pages);
      pages[Symbol.dispose]();
    },
  },
  "an array of pins moved after it was put": {
    id: "use-after-release",
    seen: "always",
    wrong: (w) => {
      const pages = pins(w, 2, "source");
      api.put_user_pages(pages);
      forced(api.no_free_ptr)(pages);
    },
    right: (w) => {
      using pages = pins(w, 2, "source");
      api.put_user_pages(api.no_free_ptr(pages));
    },
  },
  "a pin used after it was put": {
    id: "use-after-release",
    seen: "owners",
    wrong: (w) => {
      const held = pin(w, "dest");
      api.put_user_page(held);
      forced(api.memcpy_to_page)(held, 0, new Uint8Array(8));
    },
    right: (w) => {
      const held = pin(w, "dest");
      api.memcpy_to_page(held, 0, new Uint8Array(8))._unsafeUnwrap();
      api.put_user_page(held);
    },
  },
  "a page used after it was put": {
    id: "use-after-release",
    seen: "owners",
    wrong: (w) => {
      const held = page(w);
      const second = api.get_page(held);
      api.put_page(held);
      forced(api.get_page)(held);
      api.put_page(second);
    },
    right: (w) => {
      const held = page(w);
      const second = api.get_page(held);
      api.put_page(held);
      api.put_page(api.get_page(second));
      api.put_page(second);
    },
  },
  "an extent put twice": {
    id: "double-release",
    seen: "always",
    wrong: (w) => {
      const held = extent(w, "dest");
      api.put_user_bvec(held);
      forced(api.put_user_bvec)(held);
    },
    right: (w) => {
      const held = extent(w, "dest");
      api.put_user_bvec(held);
      held[Symbol.dispose]();
    },
  },
  "a list of extents put twice": {
    id: "double-release",
    seen: "always",
    wrong: (w) => {
      const bvecs = list(w, "dest");
      api.put_user_bvec(bvecs);
      forced(api.put_user_bvec_dirty_lock)(bvecs, w.current);
    },
    right: (w) => {
      const bvecs = list(w, "dest");
      api.put_user_bvec_dirty_lock(bvecs, w.current);
      bvecs[Symbol.dispose]();
    },
  },
  "an extent used after it was put": {
    id: "use-after-release",
    seen: "always",
    wrong: (w) => {
      const held = extent(w, "dest");
      api.put_user_bvec(held);
      forced(api.memcpy_from_bvec)(new Uint8Array(8), held);
    },
    right: (w) => {
      const held = extent(w, "dest");
      api.memcpy_from_bvec(new Uint8Array(8), held)._unsafeUnwrap();
      api.put_user_bvec(held);
    },
  },
  "an extent of a list used after it was moved out": {
    id: "use-after-release",
    seen: "always",
    wrong: (w) => {
      const bvecs = list(w, "dest");
      const [lent] = bvecs;
      api.pop_user_bvec(bvecs);
      api.memcpy_from_bvec(new Uint8Array(8), lent!);
    },
    right: (w) => {
      const bvecs = list(w, "dest");
      const [, lent] = bvecs;
      api.put_user_bvec(api.pop_user_bvec(bvecs)!);
      api.memcpy_from_bvec(new Uint8Array(8), lent!)._unsafeUnwrap();
      api.put_user_bvec(bvecs);
    },
  },
  "a scope whose page was moved out": {
    id: "use-after-release",
    seen: "always",
    wrong: (w) => {
      const scope = must(api.__free(api.put_page, api.alloc_page(w.current)));
      api.no_free_ptr(scope);
      api.page_to_pfn(scope.page);
    },
    right: (w) => {
      using scope = must(api.__free(api.put_page, api.alloc_page(w.current)));
      api.page_to_pfn(scope.page);
      api.put_page(api.no_free_ptr(scope));
    },
  },
  "contiguous pages used after cma_release()": {
    id: "use-after-release",
    seen: "always",
    wrong: (w) => {
      const pages = must(api.cma_alloc(w.current, 4));
      api.cma_release(pages);
      forced(api.cma_page)(pages, 0);
    },
    right: (w) => {
      const pages = must(api.cma_alloc(w.current, 4));
      api.cma_page(pages, 0);
      api.cma_release(pages);
    },
  },
  "contiguous pages given back twice": {
    id: "double-release",
    seen: "always",
    wrong: (w) => {
      const pages = must(api.cma_alloc(w.current, 4));
      api.cma_release(pages);
      forced(api.cma_release)(pages);
    },
    right: (w) => {
      const pages = must(api.cma_alloc(w.current, 4));
      api.cma_release(pages);
      pages[Symbol.dispose]();
    },
  },
};
