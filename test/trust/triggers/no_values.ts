/** Wrong values, numbers and pages at each place that looks; the twin passes what an acquirer returned. */
import * as api from "user-page";
import { forced, must } from "../../fixtures.js";
import { page, pin, pins, type Trigger, type Triggers, type World } from "../world.js";

const none = (wrong: Trigger["wrong"], right: Trigger["right"]): Trigger => ({
  id: "not-a-handle",
  seen: "always",
  wrong,
  right,
});
const with_page = (w: World, body: (held: api.OwnedPage) => void): void => {
  const held = page(w);
  body(held);
  forced(api.put_page)(held);
};
/** A page of a guest, as a legacy driver gets it. */
function secure_page(w: World): api.Page {
  api.setup_uv(w.machine);
  const pages: api.Page[] = [];
  using held = api.mmap_read_lock(w.current, w.current.mm);
  api.gmap_convert_to_secure(held, w.buf)._unsafeUnwrap();
  api.get_user_pages(held, w.buf, 1, 0, pages);
  return pages.pop()!;
}
function to_disk(w: World, held: api.Page): void {
  if (!api.make_accessible(held, w.current)) throw new Error("not exported");
  api.secure_rw_page(w.disk, "REQ_OP_WRITE", 0, held, w.current);
  forced(api.put_page)(held);
}
const owned = (w: World, owner: api.VaddrPin) =>
  must(api.all_or_none(api.vaddr_pin_pages(w.current, w.buf, 2, "dest", owner)));

export const NO_VALUES: Triggers = {
  "contiguous pages that are none, given back": none(
    () => forced(api.cma_release)({}),
    (w) => {
      api.cma_release(must(api.cma_alloc(w.current, 4)));
    },
  ),
  "contiguous pages that are none, looked at": none(
    () => forced(api.cma_page)({}, 0),
    (w) => {
      using pages = must(api.cma_alloc(w.current, 4));
      api.cma_page(pages, 3);
    },
  ),
  "a page that a folio does not have": none(
    (w) => api.folio_page(must(api.folio_alloc(w.current, 1)), 2),
    (w) => {
      const folio = must(api.folio_alloc(w.current, 1));
      api.folio_page(folio, 1);
      api.folio_put(folio);
    },
  ),
  "a charge that is none": none(
    () => forced(api.unaccount_mem)({}),
    (w) => {
      api.unaccount_mem(must(api.account_pinned_vm(w.current, 1)));
    },
  ),
  "an address space that is none": none(
    (w) => forced(api.mmap_read_lock)(w.current, {}),
    (w) => {
      api.mmap_read_unlock(api.mmap_read_lock(w.current, w.current.mm));
    },
  ),
  "a lock that is none": none(
    () => forced(api.mmap_read_unlock)({}),
    (w) => {
      api.mmap_read_unlock(api.mmap_read_lock(w.current, w.current.mm));
    },
  ),
  "pins to charge that are no array": none(
    (w) => forced(api.io_buffer_account_pin)(w.current, {}, new Set()),
    (w) => {
      using pages = pins(w, 2, "source");
      using _charge = must(api.io_buffer_account_pin(w.current, pages, new Set()));
    },
  ),
  "pins that are no array": none(
    () => forced(api.put_user_pages)({}),
    (w) => {
      api.put_user_pages(pins(w, 2, "source"));
    },
  ),
  "pins to dirty that are no array": none(
    (w) => forced(api.put_user_pages_dirty_lock)({}, w.current),
    (w) => {
      api.put_user_pages_dirty_lock(pins(w, 2, "dest"), w.current);
    },
  ),
  "pins of a folio, fewer than one": none(
    (w) => {
      api.unpin_user_folio(api.page_folio(pin(w, "dest")), 0);
    },
    (w) => {
      api.unpin_user_folio(api.page_folio(pin(w, "dest")), 1);
    },
  ),
  "a range of pins that leaves the machine": none(
    (w) => forced(api.unpin_user_page_range_dirty_lock)(pin(w, "dest"), 1 << 20, false, w.current),
    (w) => {
      api.unpin_user_page_range_dirty_lock(pin(w, "dest"), 1, false, w.current);
    },
  ),
  "a range of pins dirtied by a task of another machine": none(
    (w) => {
      api.unpin_user_page_range_dirty_lock(pin(w, "dest"), 1, true, w.elsewhere().current);
    },
    (w) => {
      api.unpin_user_page_range_dirty_lock(pin(w, "dest"), 1, true, w.current);
    },
  ),
  "a result that no pinning call gave": none(
    () => forced(api.all_or_none)({}),
    (w) => {
      api.put_user_pages(pins(w, 2, "source"));
    },
  ),
  "a token that is none": none(
    (w) => forced(api.vaddr_pin_pages)(w.current, w.buf, 2, "dest", {}),
    (w) => {
      const owner = new api.VaddrPin("a file");
      api.vaddr_unpin_pages(owned(w, owner), owner);
    },
  ),
  "pins of a token that are no array": none(
    (w) =>
      forced(api.vaddr_unpin_pages_dirty_lock)({}, new api.VaddrPin("a file"), true, w.current),
    (w) => {
      const owner = new api.VaddrPin("a file");
      api.vaddr_unpin_pages_dirty_lock(owned(w, owner), owner, true, w.current);
    },
  ),
  "a reference dropped from a page that is frozen": {
    id: "page-is-free",
    seen: "always",
    wrong: (w) => {
      const held = page(w);
      api.page_ref_freeze(held, 1);
      forced(api.put_page)(held);
    },
    right: (w) => {
      with_page(w, (held) => {
        api.page_ref_freeze(held, 1);
        api.page_ref_unfreeze(held, 1);
      });
    },
  },
  // --- secure pages ---------------------------------------------------------------------------------------
  "a secure page that nobody made accessible": {
    id: "inaccessible-page",
    seen: "always",
    wrong: (w) => {
      forced(api.secure_rw_page)(w.disk, "REQ_OP_WRITE", 0, secure_page(w), w.current);
    },
    right: (w) => {
      to_disk(w, secure_page(w));
    },
  },
  "a frozen page given to a device": {
    id: "page-is-free",
    seen: "always",
    wrong: (w) => {
      api.setup_uv(w.machine);
      const held = page(w);
      if (!api.make_accessible(held, w.current)) throw new Error("not exported");
      api.page_ref_freeze(held, 1);
      api.secure_rw_page(w.disk, "REQ_OP_WRITE", 0, held, w.current);
    },
    right: (w) => {
      api.setup_uv(w.machine);
      to_disk(w, page(w));
    },
  },
  "a page made accessible without a reference": {
    id: "accessible-before-reference",
    seen: "always",
    wrong: (w) => {
      api.setup_uv(w.machine);
      const held = pin(w, "source");
      const found = must(api.pfn_to_page(w.machine, api.page_to_pfn(held)));
      api.put_user_page(held);
      forced(api.make_accessible)(found, w.current);
    },
    right: (w) => {
      to_disk(w, secure_page(w));
    },
  },
};
