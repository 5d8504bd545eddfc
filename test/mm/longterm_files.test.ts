/** FOLL_LONGTERM of files: who refuses, who moves its pages, and what the fast walk counts. */
import * as api from "user-page";
import { describe, expect, test } from "vitest";
import { errno_of, must, pattern_of } from "../fixtures.js";
import {
  counted,
  hold,
  is_pinnable,
  PAGE,
  pfn_at,
  same,
  scoped,
  touch,
  world,
  type World,
} from "./longterm_world.js";

const { FOLL_LONGTERM } = api;
const RW = api.PROT_READ | api.PROT_WRITE;
function cowfs(w: World, policy: api.PolicyName) {
  const disk = must(api.brd_alloc(w.machine, 1 << 20));
  expect(api.mkfs_cowfs(w.current, disk)).toBeNull();
  const fs = must(api.mount_cowfs(w.current, disk, { policy }));
  const file = must(api.filp_open(w.current, fs, "data", api.O_CREAT));
  return { fs, file };
}
const map = (w: World, file: api.MappableFile, flags: number, pages = 2, prot = RW) =>
  api.mmap(w.current, null, pages * PAGE, prot, flags, file)._unsafeUnwrap();
const longterm = (w: World, buf: api.UserAddr, nr = 2) =>
  api.all_or_none(api.pin_user_pages_fast(w.current, buf, nr, "dest", FOLL_LONGTERM));

describe("a file that tracks what becomes dirty, by the policy of Linux", () => {
  test("refuses a pin to write its shared mapping: 1/1 fast, 0/0 with the lock, and extents", () => {
    using w = world();
    const { file } = cowfs(w, "linux");
    expect(api.kernel_write(w.current, file, pattern_of(2 * PAGE), 0)._unsafeUnwrap()).toBe(
      2 * PAGE,
    );
    const buf = map(w, file, api.MAP_SHARED);
    // Not present: the fast walk has nothing to take.
    expect(counted(w, () => expect(errno_of(longterm(w, buf))).toBe("EFAULT"))).toEqual([0, 0]);
    touch(w.current, buf);
    expect(counted(w, () => expect(errno_of(longterm(w, buf))).toBe("EFAULT"))).toEqual([1, 1]);
    expect(
      counted(w, () => {
        using lock = api.mmap_read_lock(w.current, w.current.mm);
        const pages = api.pin_user_pages(lock, buf, 2, "dest", FOLL_LONGTERM);
        expect(errno_of(pages)).toBe("EFAULT");
      }),
    ).toEqual([0, 0]);
    const bvecs = api.get_user_bvec(w.current, buf, PAGE, "dest", FOLL_LONGTERM);
    expect(errno_of(bvecs)).toBe("EFAULT");
    using short = scoped(api.get_user_page(w.current, buf, "dest"));
    expect(api.page_mapcount(short.page)).toBe(1);
  });
  test("pages before it are pinned, and the call is short", () => {
    using w = world();
    const { file } = cowfs(w, "linux");
    expect(api.vfs_truncate(w.current, file, PAGE)).toBeNull();
    const anon = api
      .mmap(w.current, null, 3 * PAGE, RW, api.MAP_PRIVATE | api.MAP_ANONYMOUS)
      ._unsafeUnwrap();
    const last = api.user_ptr_add(anon, 2 * PAGE);
    api.mmap(w.current, last, PAGE, RW, api.MAP_SHARED | api.MAP_FIXED, file)._unsafeUnwrap();
    for (let i = 0; i < 3; i++) touch(w.current, api.user_ptr_add(anon, i * PAGE));
    const counts = counted(w, () => {
      using short = api.pin_user_pages_fast(w.current, anon, 3, "dest", FOLL_LONGTERM);
      expect(api.IS_SHORT(short) && short.partial.length).toBe(2);
    });
    expect(counts).toEqual([3, 3]);
    const all = api.get_user_bvec(w.current, anon, 3 * PAGE, "dest", FOLL_LONGTERM);
    expect(errno_of(all)).toBe("EFAULT");
  });
  test("allows a private mapping, and a pin to read", () => {
    using w = world({ cma: 1 << 20 });
    const { file } = cowfs(w, "linux");
    api.kernel_write(w.current, file, pattern_of(2 * PAGE), 0)._unsafeUnwrap();
    const secret = map(w, file, api.MAP_PRIVATE);
    {
      using pages = must(longterm(w, secret));
      expect(pages.length).toBe(2);
    }
    const shared = map(w, file, api.MAP_SHARED);
    using page = scoped(api.get_user_page(w.current, shared, "source", FOLL_LONGTERM));
    expect(api.folio_is_longterm_pinnable(api.page_folio(page.page))).toBe(true);
    const got = new Uint8Array(PAGE);
    api.memcpy_from_page(got, page.page, 0);
    expect(got).toEqual(pattern_of(PAGE));
  });
});
test("a policy that does not refuse: the page of the file moves, and the disk gets what is stored then", () => {
  using w = world({ cma: 1 << 20 });
  const { file } = cowfs(w, "hold");
  api.kernel_write(w.current, file, pattern_of(2 * PAGE), 0)._unsafeUnwrap();
  const buf = map(w, file, api.MAP_SHARED);
  const again = map(w, file, api.MAP_SHARED);
  touch(w.current, buf, 1);
  touch(w.current, again, 2);
  expect(is_pinnable(w, buf)).toBe(false);
  const pin = must(api.get_user_page(w.current, buf, "dest", FOLL_LONGTERM));
  expect(is_pinnable(w, buf)).toBe(true);
  expect(pfn_at(w.current, again)).toBe(pfn_at(w.current, buf));
  expect(api.page_mapcount(pin)).toBe(2);
  api.memcpy_to_page(pin, 5, new Uint8Array([42]));
  api.put_user_page(pin);
  // The page knows its file where it is now: cutting the file takes it out of both mappings.
  expect(api.vfs_fsync(w.current, file)).toBeNull();
  const events: Array<readonly [string, number]> = [];
  {
    using _watching = api.observe(w.machine, ({ name, index }) => events.push([name, index]));
    touch(w.current, again, 2);
  }
  // Its entries were found and made read-only, so that this store asks the file again.
  expect(events).toContainEqual(["page_mkwrite", 0]);
  expect(api.vfs_fsync(w.current, file)).toBeNull();
  const now = pfn_at(w.current, buf);
  expect(api.vfs_truncate(w.current, file, PAGE)).toBeNull();
  expect(pfn_at(w.current, buf)).toBe(now);
  const got = new Uint8Array(PAGE);
  api.kernel_read(w.current, file, got, 0)._unsafeUnwrap();
  expect([got[0], got[5], got[6]]).toEqual([2, 42, pattern_of(PAGE)[6]]);
  expect(api.vfs_truncate(w.current, file, 0)).toBeNull();
  expect([pfn_at(w.current, buf), pfn_at(w.current, again)]).toEqual([0, 0]);
});

describe("shared memory", () => {
  test.each([0, api.MFD_HUGE])(
    "is pinned long-term, moved for all who map it: flags %s",
    (flags) => {
      using w = world({ mem: 32 << 20, movable: 4 << 20 });
      const other = api.create_task(w.machine);
      using memfd = must(api.memfd_create(w.current, 2 << 20, flags));
      const buf = map(w, memfd, api.MAP_SHARED, 512);
      const theirs = api.mmap(other, null, 2 << 20, RW, api.MAP_SHARED, memfd)._unsafeUnwrap();
      const bytes = pattern_of(2 << 20);
      api.copy_to_user(w.current, buf, bytes)._unsafeUnwrap();
      touch(other, theirs, bytes[0]);
      expect(is_pinnable(w, buf)).toBe(false);
      using pages = must(longterm(w, buf, 512));
      expect(pages.length).toBe(512);
      expect(pfn_at(other, theirs)).toBe(pfn_at(w.current, buf));
      const got = new Uint8Array(2 << 20);
      api.copy_from_user(other, got, theirs)._unsafeUnwrap();
      expect(same(got, bytes)).toBe(true);
    },
  );
  test("whose file was cut off stays with who holds it", () => {
    using w = world({ cma: 1 << 20 });
    const memfd = must(api.memfd_create(w.current, PAGE));
    const buf = map(w, memfd, api.MAP_SHARED, 1);
    touch(w.current, buf);
    using _held = hold(w, buf);
    const pfn = pfn_at(w.current, buf);
    api.munmap(w.current, buf, PAGE)._unsafeUnwrap();
    memfd[Symbol.dispose]();
    // One reference is left, as the file had one: nobody may take it for the file's.
    expect(errno_of(api.cma_alloc(w.current, 256))).toBe("EBUSY");
    expect(pfn).toBeGreaterThanOrEqual(w.state.unpinnable_from);
  });
});

describe("memory of a device", () => {
  test("is pinned for a call only: EOPNOTSUPP, and nothing is counted", () => {
    using w = world({ cma: 1 << 20 });
    using file = must(api.dax_file(w.current, 2 * PAGE));
    for (const flags of [api.MAP_SHARED, api.MAP_PRIVATE]) {
      const buf = map(w, file, flags);
      touch(w.current, buf);
      const counts = counted(w, () => {
        expect(errno_of(longterm(w, buf))).toBe("EOPNOTSUPP");
        const page = api.get_user_page(w.current, buf, "source", FOLL_LONGTERM);
        expect(errno_of(page)).toBe("EOPNOTSUPP");
        const bvecs = api.get_user_bvec(w.current, buf, PAGE, "dest", FOLL_LONGTERM);
        expect(errno_of(bvecs)).toBe("EOPNOTSUPP");
      });
      expect(counts).toEqual([0, 0]);
      using short = scoped(api.get_user_page(w.current, buf, "dest"));
      // The copy of a private mapping is memory like any other.
      const pinnable = api.folio_is_longterm_pinnable(api.page_folio(short.page));
      expect(pinnable).toBe(flags === api.MAP_SHARED);
    }
  });
  test("is what all its mappings show, and goes with the last of them", () => {
    const w = world();
    const free = api.vmstat(w.machine).nr_free_pages;
    {
      using file = must(api.dax_file(w.current, 3 * PAGE - 1));
      const buf = map(w, file, api.MAP_SHARED, 3);
      const again = map(w, file, api.MAP_SHARED, 3);
      touch(w.current, api.user_ptr_add(buf, 2 * PAGE), 8);
      const got = new Uint8Array(2);
      api.copy_from_user(w.current, got, api.user_ptr_add(again, 2 * PAGE))._unsafeUnwrap();
      expect([...got]).toEqual([8, 0]);
      api.munmap(w.current, buf, 3 * PAGE)._unsafeUnwrap();
      api.munmap(w.current, again, 3 * PAGE)._unsafeUnwrap();
      expect(api.vmstat(w.machine).nr_free_pages).toBe(free - 3);
    }
    expect(api.vmstat(w.machine).nr_free_pages).toBe(free);
    expect(errno_of(api.dax_file(w.current, 1 << 30))).toBe("ENOMEM");
    expect(api.shutdown(w.machine).lost_pages).toBe(0);
  });
});
