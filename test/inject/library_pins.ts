/** Pins of every kind, and memory that faults, moves and is copied. */
import * as api from "user-page";
import type { Subject } from "./all_fine.js";
import { memory, same } from "./call_sites_world.js";
import { FILE, FILLED, LEN, P, RW, filled, subject } from "./library_world.js";

export const PINS: readonly Subject[] = [
  ...([api.ITER_SOURCE, api.ITER_DEST] as const).map((dir) =>
    subject(`pin_user_pages, ${dir}`, ({ current, buf }) => {
      using lock = api.mmap_read_lock(current, current.mm);
      using pages = api.all_or_none(api.pin_user_pages(lock, buf, 8, dir));
      return api.IS_ERR(pages) ? pages : pages.length === 8;
    }),
  ),
  subject("pin_user_pages_fast, short or not", ({ current, buf }) => {
    const pages = api.pin_user_pages_fast(current, buf, 8, api.ITER_DEST, api.FOLL_LONGTERM);
    if (api.IS_ERR(pages)) return pages;
    const short = api.IS_SHORT(pages);
    if (short) api.put_user_pages(pages.partial);
    else api.put_user_pages_dirty_lock(pages, current);
    return !short;
  }),
  subject("get_user_pages, plain", ({ current, buf }) => {
    const pages: api.Page[] = [];
    const got = api.get_user_pages_fast(current, buf, 8, api.FOLL_WRITE, pages);
    for (let page = pages.pop(); page; page = pages.pop()) api.put_page(page);
    return got === 8;
  }),
  subject("get_user_pages that only faults in", ({ current, buf }) => {
    using lock = api.mmap_read_lock(current, current.mm);
    return api.get_user_pages(lock, buf, 8, 0, null);
  }),
  subject("get_user_page, one by one", ({ current, buf }) => {
    for (let i = 0; i < 8; i++) {
      const page = api.get_user_page(current, api.user_ptr_add(buf, i * P), api.ITER_DEST);
      if (api.IS_ERR(page)) return page;
      api.put_user_page(page);
    }
    return true;
  }),
  subject("get_user_bvec_remote in a kworker", ({ machine, current, buf }) => {
    const results: unknown[] = [];
    const { mm } = current;
    api.schedule_work(current, (kworker) => {
      using bvecs = api.get_user_bvec_remote(kworker, mm, buf, LEN, api.ITER_DEST);
      results.push(api.IS_ERR(bvecs) ? bvecs : true);
    });
    api.flush_work(machine);
    return results[0];
  }),
  subject("vaddr_pin_pages", ({ current, buf }) => {
    const owner = new api.VaddrPin("file 3");
    const pages = api.all_or_none(api.vaddr_pin_pages(current, buf, 8, api.ITER_DEST, owner));
    if (api.IS_ERR(pages)) return pages;
    api.vaddr_unpin_pages(pages, owner);
    return owner.outstanding === 0;
  }),
  subject("a fixed buffer that is charged", ({ current, buf }) => {
    const all = api.pin_user_pages_fast(current, buf, 8, api.ITER_DEST, api.FOLL_LONGTERM);
    using pages = api.all_or_none(all);
    if (api.IS_ERR(pages)) return pages;
    using charge = api.io_buffer_account_pin(current, pages, new Set());
    return api.IS_ERR(charge) ? charge : charge.nr_pages === 8;
  }),
  subject(
    "long-term pins of memory that must move",
    ({ current, buf }) => {
      using bvecs = api.get_user_bvec(current, buf, LEN, api.ITER_DEST, api.FOLL_LONGTERM);
      if (api.IS_ERR(bvecs)) return bvecs;
      const flags = api.gup_flags(api.FOLL_LONGTERM);
      using pages = api.all_or_none(
        api.pin_user_pages_fast(current, buf, 8, api.ITER_SOURCE, flags),
      );
      return api.IS_ERR(pages) ? pages : true;
    },
    {
      world: { machine: { movable: 4 << 20 } },
      prepare: filled,
      verify: (w) => same(memory(w, 0, LEN), FILLED),
    },
  ),
  subject(
    "long-term pins by page of memory that must move",
    ({ current, buf }) => {
      using lock = api.mmap_read_lock(current, current.mm);
      using pages = api.all_or_none(
        api.pin_user_pages(lock, buf, 8, api.ITER_DEST, api.FOLL_LONGTERM),
      );
      return api.IS_ERR(pages) ? pages : true;
    },
    {
      world: { machine: { movable: 4 << 20 } },
      prepare: filled,
      verify: (w) => same(memory(w, 0, LEN), FILLED),
    },
  ),
  subject(
    "cma_alloc() of memory in use",
    ({ current }) => {
      using pages = api.cma_alloc(current, 16);
      return api.IS_ERR(pages) ? pages : pages.nr_pages === 16;
    },
    {
      world: { machine: { cma: 64 << 10 } },
      prepare: filled,
      verify: (w) => same(memory(w, 0, LEN), FILLED),
    },
  ),
];
export const MEMORY: readonly Subject[] = [
  subject("pages and folios", ({ current }) => {
    const page = api.alloc_page(current);
    if (api.IS_ERR(page)) return page;
    const folio = api.folio_alloc(current, 3);
    if (api.IS_ERR(folio)) {
      api.put_page(page);
      return folio;
    }
    api.put_page(page);
    api.folio_put(folio);
    return true;
  }),
  subject("stores and loads", ({ current, buf }) => {
    const stored = api.copy_to_user(current, buf, FILE);
    if (stored.isErr()) return stored;
    const bytes = new Uint8Array(LEN);
    const loaded = api.copy_from_user(current, bytes, buf);
    return loaded.isErr() ? loaded : same(bytes, FILE);
  }),
  ...(["huge", "mixed"] as const).map((pages) =>
    subject(
      `stores and pins of ${pages} pages`,
      ({ current, buf }) => {
        const stored = api.copy_to_user(current, buf, FILE);
        if (stored.isErr()) return stored;
        using bvecs = api.get_user_bvec(current, buf, LEN, api.ITER_DEST);
        return api.IS_ERR(bvecs) ? bvecs : true;
      },
      { world: { pages }, prepare: (w) => w, verify: (w) => same(memory(w, 0, LEN), FILE) },
    ),
  ),
  ...([0, api.MFD_HUGE] as const).map((flags) =>
    subject(`a memfd, flags ${flags}`, ({ current }) => {
      using memfd = api.memfd_create(current, api.PMD_SIZE, flags);
      if (api.IS_ERR(memfd)) return memfd;
      const at = api.mmap(current, null, api.PMD_SIZE, RW, api.MAP_SHARED, memfd);
      if (at.isErr()) return at;
      using bvecs = api.get_user_bvec(current, at.value, LEN, api.ITER_DEST);
      if (api.IS_ERR(bvecs)) return bvecs;
      return api.copy_to_user(current, at.value, FILE);
    }),
  ),
  subject(
    "fork() while pages are pinned",
    ({ current, buf }) => {
      using bvecs = api.get_user_bvec(current, buf, LEN / 2, api.ITER_DEST);
      if (api.IS_ERR(bvecs)) return bvecs;
      using child = api.fork(current);
      if (api.IS_ERR(child)) return child;
      const theirs = api.copy_to_user(child, buf, FILE);
      if (theirs.isErr()) return theirs;
      return api.copy_to_user(current, buf, FILLED);
    },
    { verify: (w) => same(memory(w, 0, LEN), FILLED) },
  ),
  subject(
    "out to the swap area and back",
    ({ current, buf }) => {
      const out = api.madvise(current, buf, LEN, api.MADV_PAGEOUT);
      if (out.isErr()) return out;
      using pages = api.all_or_none(api.pin_user_pages_fast(current, buf, 8, api.ITER_DEST));
      return api.IS_ERR(pages) ? pages : true;
    },
    { prepare: filled, verify: (w) => same(memory(w, 0, LEN), FILLED) },
  ),
  subject("populate", ({ current, buf }) => {
    const read = api.madvise(current, buf, LEN, api.MADV_POPULATE_READ);
    return read.isErr() ? read : api.madvise(current, buf, LEN, api.MADV_POPULATE_WRITE);
  }),
  subject("a device's memory, and kernel memory", ({ current, disk }) => {
    using file = api.dax_file(current, 2 * P);
    if (api.IS_ERR(file)) return file;
    const at = api.mmap(current, null, 2 * P, RW, api.MAP_SHARED, file);
    if (at.isErr()) return at;
    using area = api.vmalloc(current, 2 * P);
    if (api.IS_ERR(area)) return area;
    const kvec = [{ iov_base: area, iov_offset: 0, iov_len: 2 * P }];
    const iter = api.iov_iter_kvec(api.ITER_DEST, kvec);
    const read = api.blkdev_direct_IO(current, { ki_pos: 0 }, iter, disk);
    return read.isErr() ? read : api.direct_io(current, disk, "REQ_OP_READ", at.value, 2 * P, 0);
  }),
  subject("secure pages", ({ machine, current, buf, disk }) => {
    api.setup_uv(machine);
    {
      using lock = api.mmap_read_lock(current, current.mm);
      for (let i = 0; i < 4; i++) {
        const page = api.user_ptr_add(buf, 2 * i * P);
        const made = api.gmap_convert_to_secure(lock, page);
        if (made.isErr()) return made;
        const shared = i % 2 === 1 ? api.uv_set_shared(lock, page) : null;
        if (shared?.isErr()) return shared;
      }
    }
    return api.direct_io(current, disk, "REQ_OP_WRITE", buf, LEN, 0);
  }),
];
