/** Misuse of the mmap_lock and of contexts, secure pages, and what is right instead. */
import * as api from "user-page";
import { forced, map_anon, must } from "../../fixtures.js";
import { in_softirq, interrupting, pins, type Triggers, type World } from "../world.js";

const lock = (w: World) => api.mmap_read_lock(w.current, w.current.mm);
const put_one = (w: World): void => {
  api.put_user_page(must(api.get_user_page(w.current, w.buf, "source")));
};
/** A page of a guest that cannot be exported, or, later, can. */
function secure_page(w: World, exportable: boolean) {
  const refuse = !exportable;
  api.setup_uv(w.machine, (call) => (refuse && call === "convert from secure" ? "error" : null));
  const pages: api.Page[] = [];
  {
    using held = lock(w);
    api.gmap_convert_to_secure(held, w.buf)._unsafeUnwrap();
    api.get_user_pages(held, w.buf, 1, 0, pages);
  }
  return pages.pop();
}
const fresh = (w: World): api.UserAddr => {
  const there = map_anon(w.current, 4096);
  api.copy_to_user(w.current, there, new Uint8Array(8))._unsafeUnwrap();
  return there;
};
function secured(w: World, there: api.UserAddr): void {
  api.setup_uv(w.machine);
  using held = lock(w);
  api.gmap_convert_to_secure(held, there)._unsafeUnwrap();
}

export const LOCKS: Triggers = {
  // --- locks ----------------------------------------------------------------------------------------------
  "a mapping changed by who holds the lock": {
    id: "lock-recursion",
    seen: "always",
    wrong: (w) => {
      using _held = lock(w);
      api.munmap(w.current, w.buf, 4096);
    },
    right: (w) => {
      api.mmap_read_unlock(lock(w));
      api.munmap(w.current, w.buf, 4096)._unsafeUnwrap();
    },
  },
  "a lock taken twice": {
    id: "lock-recursion",
    seen: "always",
    wrong: (w) => {
      using _held = lock(w);
      lock(w);
    },
    right: (w) => {
      api.mmap_read_unlock(lock(w));
      api.mmap_read_unlock(lock(w));
    },
  },
  "a lock used after it was given back": {
    id: "lock-not-held",
    seen: "always",
    wrong: (w) => {
      const held = lock(w);
      api.mmap_read_unlock(held);
      forced(api.pin_user_pages)(held, w.buf, 1, "source");
    },
    right: (w) => {
      using held = lock(w);
      const pages = must(api.all_or_none(api.pin_user_pages(held, w.buf, 1, "source")));
      api.put_user_pages(pages);
    },
  },
  "a mapping changed in the middle of a fault": {
    id: "lock-recursion",
    seen: "always",
    wrong: (w) => {
      const there = fresh(w);
      secured(w, there);
      interrupting(
        w,
        "make_accessible: exported",
        () => api.munmap(w.current, there, 4096),
        () => api.copy_from_user(w.current, new Uint8Array(8), there),
      );
    },
    right: (w) => {
      const there = fresh(w);
      secured(w, there);
      interrupting(
        w,
        "make_accessible: exported",
        () => undefined,
        () => api.copy_from_user(w.current, new Uint8Array(8), there),
      );
      api.munmap(w.current, there, 4096)._unsafeUnwrap();
    },
  },
  "a task ended in the middle of a walk": {
    id: "lock-recursion",
    seen: "always",
    wrong: (w) => {
      interrupting(
        w,
        "gup_fast: entry read",
        () => api.exit_task(w.current),
        () => {
          put_one(w);
        },
      );
    },
    right: (w) => {
      interrupting(
        w,
        "gup_fast: entry read",
        () => undefined,
        () => {
          put_one(w);
        },
      );
    },
  },
  "a fault in the middle of fork()": {
    id: "lock-recursion",
    seen: "always",
    wrong: (w) => {
      interrupting(
        w,
        "fork: entry copied",
        () => lock(w),
        () => api.fork(w.current),
      );
    },
    right: (w) => {
      using _child = must(api.fork(w.current));
      api.mmap_read_unlock(lock(w));
    },
  },
  "pins taken in softirq context": {
    id: "sleep-in-atomic",
    seen: "always",
    wrong: (w) => {
      const pages = pins(w, 2, "dest");
      in_softirq(w, (softirq) => void forced(api.put_user_pages_dirty_lock)(pages, softirq));
    },
    right: (w) => {
      const pages = pins(w, 2, "dest");
      in_softirq(w, () => {
        api.put_user_pages(pages);
      });
    },
  },
  // --- secure pages ---------------------------------------------------------------------------------------
  "the kernel reads a page that cannot be exported": {
    id: "inaccessible-page",
    seen: "always",
    wrong: (w) => {
      const held = secure_page(w, false)!;
      api.memcpy_from_page(new Uint8Array(8), held, 0);
    },
    right: (w) => {
      const held = secure_page(w, true)!;
      api.memcpy_from_page(new Uint8Array(8), held, 0)._unsafeUnwrap();
      forced(api.put_page)(held);
    },
  },
};
