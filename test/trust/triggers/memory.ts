/** Misuse of iterators, pipes and kernel memory, and what is right instead. */
import * as api from "user-page";
import { forced, must } from "../../fixtures.js";
import { extent, page, type Triggers, type World } from "../world.js";

const area = (w: World) => must(api.vmalloc(w.current, 8192));
const pipe = (w: World) => must(api.alloc_pipe_info(w.current));
const user_iter = (w: World) => api.iov_iter_ubuf("dest", w.buf, 8192);
const iter_pages = (w: World) => must(api.iov_iter_get_pages2(user_iter(w), 8192, 2, w.current));
const range = (held: api.BorrowedPage) => ({ page: held, offset: 0, len: 4096 });

export const MEMORY: Triggers = {
  "bytes written through an iterator for reading": {
    id: "wrong-direction",
    seen: "always",
    wrong: (w) =>
      forced(api.copy_to_iter)(new Uint8Array(8), api.iov_iter_ubuf("source", w.buf, 8), w.current),
    right: (w) => {
      api.copy_to_iter(new Uint8Array(8), user_iter(w), w.current);
    },
  },
  "an iterator over pages of two machines": {
    id: "not-a-handle",
    seen: "always",
    wrong: (w) => {
      const there = api.ZERO_PAGE(w.elsewhere().current);
      api.iov_iter_bvec("source", [range(api.ZERO_PAGE(w.current)), range(there)]);
    },
    right: (w) => {
      const zero = api.ZERO_PAGE(w.current);
      api.iov_iter_bvec("source", [range(zero), range(zero)]);
    },
  },
  "an iterator for writing over an extent for reading": {
    id: "wrong-direction",
    seen: "always",
    wrong: (w) => forced(api.iov_iter_bvec)("dest", [extent(w, "source")]),
    right: (w) => {
      const held = extent(w, "dest");
      api.copy_to_iter(new Uint8Array(8), api.iov_iter_bvec("dest", [held]), w.current);
      api.put_user_bvec(held);
    },
  },
  "an iterator over an extent that was put": {
    id: "use-after-release",
    seen: "always",
    wrong: (w) => {
      const held = extent(w, "dest");
      const iter = api.iov_iter_bvec("dest", [held]);
      api.put_user_bvec(held);
      api.copy_to_iter(new Uint8Array(8), iter, w.current);
    },
    right: (w) => {
      const held = extent(w, "dest");
      api.copy_to_iter(new Uint8Array(8), api.iov_iter_bvec("dest", [held]), w.current);
      api.put_user_bvec(held);
    },
  },
  "references of an iterator on a page that is frozen": {
    id: "page-is-free",
    seen: "always",
    wrong: (w) => {
      const held = page(w);
      const iter = api.iov_iter_bvec("source", [range(held)]);
      api.page_ref_freeze(held, 1);
      forced(api.iov_iter_get_pages2)(iter, 4096, 1, w.current);
    },
    right: (w) => {
      const held = page(w);
      const iter = api.iov_iter_bvec("source", [range(held)]);
      const pages = must(forced(api.iov_iter_get_pages2)(iter, 4096, 1, w.current));
      forced(api.iov_iter_put_pages)(pages);
      api.put_page(held);
    },
  },
  "references of an iterator used after they were put": {
    id: "use-after-release",
    seen: "always",
    wrong: (w) => {
      const pages = iter_pages(w);
      api.iov_iter_put_pages(pages);
      forced(api.pop_iter_page)(pages);
    },
    right: (w) => {
      const pages = iter_pages(w);
      for (const held of pages) api.page_to_pfn(held);
      api.iov_iter_put_pages(pages);
    },
  },
  "references of an iterator put twice": {
    id: "double-release",
    seen: "always",
    wrong: (w) => {
      const pages = iter_pages(w);
      api.iov_iter_put_pages(pages);
      forced(api.iov_iter_put_pages)(pages);
    },
    right: (w) => {
      const pages = iter_pages(w);
      api.iov_iter_put_pages(pages);
      pages[Symbol.dispose](); // the end of the block after an explicit release
    },
  },
  "one reference of an iterator put twice": {
    id: "double-release",
    seen: "owners",
    wrong: (w) => {
      const pages = iter_pages(w);
      const one = api.pop_iter_page(pages)!;
      api.put_page(one);
      forced(api.put_page)(one);
    },
    right: (w) => {
      const pages = iter_pages(w);
      api.put_page(api.pop_iter_page(pages)!);
      api.iov_iter_put_pages(pages);
    },
  },
  "kernel memory for an iterator, for a task of another machine": {
    id: "not-a-handle",
    seen: "always",
    wrong: (w) => {
      const iter = api.iov_iter_bvec("source", [range(api.ZERO_PAGE(w.current))]);
      api.copy_from_iter(new Uint8Array(8), iter, w.elsewhere().current);
    },
    right: (w) => {
      const iter = api.iov_iter_bvec("source", [range(api.ZERO_PAGE(w.current))]);
      api.copy_from_iter(new Uint8Array(8), iter, w.current);
    },
  },
  "a pipe used after it was freed": {
    id: "use-after-release",
    seen: "always",
    wrong: (w) => {
      const it = pipe(w);
      api.free_pipe_info(it);
      forced(api.pipe_read)(it, new Uint8Array(4));
    },
    right: (w) => {
      const it = pipe(w);
      api.pipe_read(it, new Uint8Array(4));
      api.free_pipe_info(it);
    },
  },
  "a pipe freed twice": {
    id: "double-release",
    seen: "always",
    wrong: (w) => {
      const it = pipe(w);
      api.free_pipe_info(it);
      forced(api.free_pipe_info)(it);
    },
    right: (w) => {
      const it = pipe(w);
      api.free_pipe_info(it);
      it[Symbol.dispose]();
    },
  },
  "tee() between two machines": {
    id: "not-a-handle",
    seen: "always",
    wrong: (w) => api.tee(pipe(w), pipe(w.elsewhere()), 4),
    right: (w) => {
      using from = pipe(w);
      using to = pipe(w);
      const iter = api.iov_iter_pipe("dest", from, 100);
      api.copy_to_iter(new Uint8Array(100), iter, w.current);
      api.tee(from, to, 100)._unsafeUnwrap();
    },
  },
  "kernel memory used after vfree()": {
    id: "use-after-release",
    seen: "always",
    wrong: (w) => {
      const it = area(w);
      api.vfree(it);
      forced(api.vmalloc_to_page)(it, 0);
    },
    right: (w) => {
      const it = area(w);
      api.vmalloc_to_page(it, 0);
      api.vfree(it);
    },
  },
  "kernel memory freed twice": {
    id: "double-release",
    seen: "always",
    wrong: (w) => {
      const it = area(w);
      api.vfree(it);
      forced(api.vfree)(it);
    },
    right: (w) => {
      const it = area(w);
      api.vfree(it);
      it[Symbol.dispose]();
    },
  },
  "a page of kernel memory put by itself": {
    id: "release-lent",
    seen: "owners",
    wrong: (w) => forced(api.put_page)(api.vmalloc_to_page(area(w), 0)),
    right: (w) => {
      using it = area(w);
      api.put_page(api.get_page(api.vmalloc_to_page(it, 0)));
    },
  },
};
