/** Pages and tasks of two machines in one call, counts of 0, and what is right instead. */
import * as api from "user-page";
import { forced, must } from "../../fixtures.js";
import { list, page, pin, pins, type Triggers, type World } from "../world.js";

const lock = (w: World) => api.mmap_read_lock(w.current, w.current.mm);

export const MACHINES: Triggers = {
  // --- two machines ---------------------------------------------------------------------------------------
  "extents dirtied by a task of another machine": {
    id: "not-a-handle",
    seen: "always",
    wrong: (w) => {
      api.put_user_bvec_dirty_lock(list(w, "dest"), w.elsewhere().current);
    },
    right: (w) => {
      api.put_user_bvec_dirty_lock(list(w, "dest"), w.current);
    },
  },
  "pages merged across machines": {
    id: "not-a-handle",
    seen: "always",
    wrong: (w) => {
      const there = w.elsewhere();
      api.try_to_merge_one_page(w.current, w.buf, there.current, there.buf);
    },
    right: (w) => {
      const next = api.user_ptr_add(w.buf, 4096);
      api.try_to_merge_one_page(w.current, w.buf, w.current, next)._unsafeUnwrap();
    },
  },
  "memory charged to an address space of another machine": {
    id: "not-a-handle",
    seen: "always",
    wrong: (w) => api.account_locked_vm(w.elsewhere().current.mm, 1, true, w.current),
    right: (w) => {
      api.account_locked_vm(w.current.mm, 1, true, w.current)._unsafeUnwrap();
      api.account_locked_vm(w.current.mm, 1, false, w.current)._unsafeUnwrap();
    },
  },
  "an address space of another machine locked": {
    id: "not-a-handle",
    seen: "always",
    wrong: (w) => api.mmap_read_lock(w.elsewhere().current, w.current.mm),
    right: (w) => {
      api.mmap_read_unlock(lock(w));
    },
  },
  "pins of another machine charged": {
    id: "not-a-handle",
    seen: "always",
    wrong: (w) => api.io_buffer_account_pin(w.elsewhere().current, pins(w, 2, "source"), new Set()),
    right: (w) => {
      using pages = pins(w, 2, "source");
      using _charge = must(api.io_buffer_account_pin(w.current, pages, new Set()));
    },
  },
  "a folio split by a task of another machine": {
    id: "not-a-handle",
    seen: "always",
    wrong: (w) => {
      api.split_folio(must(api.folio_alloc(w.current, 1)), w.elsewhere().current);
    },
    right: (w) => {
      const folio = must(api.folio_alloc(w.current, 1));
      api.split_folio(folio, w.current); // EBUSY: no page of a program
      api.folio_put(folio);
    },
  },
  "pins of two machines in one array, dirtied": {
    id: "not-a-handle",
    seen: "always",
    wrong: (w) => {
      const both = [pin(w, "dest"), pin(w.elsewhere(), "dest")];
      forced(api.put_user_pages_dirty_lock)(both, w.current);
    },
    right: (w) => {
      api.put_user_pages_dirty_lock(pins(w, 2, "dest"), w.current);
    },
  },
  "pages of an owner dirtied by a task of another machine": {
    id: "not-a-handle",
    seen: "always",
    wrong: (w) => {
      const owner = new api.VaddrPin("a file");
      const pages = must(api.all_or_none(api.vaddr_pin_pages(w.current, w.buf, 1, "dest", owner)));
      api.vaddr_unpin_pages_dirty_lock(pages, owner, true, w.elsewhere().current);
    },
    right: (w) => {
      const owner = new api.VaddrPin("a file");
      const pages = must(api.all_or_none(api.vaddr_pin_pages(w.current, w.buf, 1, "dest", owner)));
      api.vaddr_unpin_pages_dirty_lock(pages, owner, true, w.current);
    },
  },
  // --- counts ---------------------------------------------------------------------------------------------
  "a reference on a page that is frozen": {
    id: "page-is-free",
    seen: "always",
    wrong: (w) => {
      const held = page(w);
      api.page_ref_freeze(held, 1);
      api.get_page(held);
    },
    right: (w) => {
      const held = page(w);
      api.page_ref_freeze(held, 1);
      api.page_ref_unfreeze(held, 1);
      api.put_page(held);
    },
  },
  "a folio reference on a page that is frozen": {
    id: "page-is-free",
    seen: "always",
    wrong: (w) => {
      const held = page(w);
      api.page_ref_freeze(held, 1);
      api.folio_get(api.page_folio(held));
    },
    right: (w) => {
      const held = page(w);
      api.folio_put(api.folio_get(api.page_folio(held)));
      api.put_page(held);
    },
  },
  "another pin on a page that is frozen": {
    id: "page-is-free",
    seen: "always",
    wrong: (w) => {
      const held = page(w);
      api.page_ref_freeze(held, 1);
      api.folio_add_pin(api.page_folio(held));
    },
    right: (w) => {
      const folio = api.page_folio(pin(w, "dest"));
      api.folio_add_pin(folio);
      api.unpin_user_folio(folio, 2);
    },
    pins_added: 1,
  },
  "the count of a page that is not frozen": {
    id: "page-is-free",
    seen: "always",
    wrong: (w) => {
      api.page_ref_unfreeze(page(w), 1);
    },
    right: (w) => {
      const held = page(w);
      api.page_ref_freeze(held, 1);
      api.page_ref_unfreeze(held, 1);
      api.put_page(held);
    },
  },
  "a page that nobody has pinned taken for a pin": {
    id: "page-is-free",
    seen: "always",
    wrong: (w) => forced(api.assert_held)(page(w)),
    right: (w) => {
      const held = pin(w, "dest");
      forced(api.assert_held)(held);
      api.put_user_page(held);
    },
  },
};
