/** Making secure pages accessible: how, and who does it. */
import {
  all_or_none,
  alloc_page,
  copy_to_user,
  create_task,
  dmesg,
  filp_open,
  get_user_bvec,
  get_user_page,
  IS_ERR,
  ITER_DEST,
  kernel_write,
  make_accessible,
  MAP_SHARED,
  memfd_create,
  mkfs_cowfs,
  mmap,
  mount_cowfs,
  munmap,
  O_CREAT,
  on_preemption,
  page_mapcount,
  page_ref_count,
  page_to_user_page,
  pin_user_pages_fast,
  put_page,
  put_user_bvec,
  put_user_page,
  put_user_pages,
  uv_stat,
  vfs_fsync,
  vmstat,
  type File,
  type GupError,
  type UserAddr,
  type UvAnswer,
} from "user-page";
import { describe, expect, test } from "vitest";
import { boot_for_test, errno_of, forced, map_anon, must, pattern_of } from "../fixtures.js";
import {
  at,
  is_marked,
  lookup,
  make_world,
  pfn_at,
  read,
  RW,
  secure,
  secure_once,
  share,
  shared_page,
  type World,
} from "./uv_world.js";

/** A page of zeroes in a file system on the disk. */
function cowfs_file({ guest, disk }: World): File {
  const failed = mkfs_cowfs(guest, disk);
  if (failed) throw new Error(failed.message);
  const file = must(filp_open(guest, must(mount_cowfs(guest, disk)), "image", O_CREAT));
  kernel_write(guest, file, new Uint8Array(4096), 0)._unsafeUnwrap();
  return file;
}

describe("making a page accessible", () => {
  test("asks for a reference; clears the mark; is idempotent", () => {
    using w = make_world();
    secure(w.guest, w.buf);
    const page = lookup(w.guest, w.buf);
    expect(make_accessible(page, w.guest)).toBe(true);
    expect(is_marked(w.guest, w.buf)).toBe(false);
    expect(make_accessible(page, w.guest)).toBe(true);
    expect(uv_stat(w.machine).exports).toBe(1);
    expect(page_ref_count(page)).toBe(2);
    put_page(page);
  });
  test("of a page that is marked and not secure exports nothing", () => {
    let answer: UvAnswer | null = "error";
    using w = make_world((call) => (call === "convert to secure" ? answer : null));
    secure(w.guest, w.buf);
    answer = null;
    expect(is_marked(w.guest, w.buf)).toBe(true);
    const page = lookup(w.guest, w.buf);
    expect(make_accessible(page, w.guest)).toBe(true);
    put_page(page);
    expect(uv_stat(w.machine).exports).toBe(0);
    expect(read(w.guest, w.buf)).toEqual(w.plain);
  });
  test("tries to pin a shared page first: then the host sees what the guest wrote", () => {
    using w = make_world();
    secure(w.guest, w.buf);
    expect(share(w.guest, w.buf)).toBe("ok");
    expect(is_marked(w.guest, w.buf)).toBe(true);
    const page = lookup(w.guest, w.buf);
    expect(make_accessible(page, w.guest)).toBe(true);
    put_page(page);
    expect(uv_stat(w.machine)).toMatchObject({ pinned_shared: 1, exports: 0 });
    expect(read(w.guest, w.buf)).toEqual(w.plain);
  });
  test("only a secure page can be shared", () => {
    using w = make_world();
    expect(share(w.guest, w.buf)).toBe("EINVAL");
  });
  test("passes the error of the ultravisor on, and the mark stays", () => {
    using w = make_world((call) => (call === "convert from secure" ? "busy" : null));
    secure(w.guest, w.buf);
    const page = lookup(w.guest, w.buf);
    expect(make_accessible(page, w.guest)).toBe(false);
    expect(is_marked(w.guest, w.buf)).toBe(true);
    put_page(page);
  });
  test("by default nothing is done: every page is accessible", () => {
    using machine = boot_for_test();
    const task = create_task(machine);
    const buf = map_anon(task, 4096);
    copy_to_user(task, buf, pattern_of(4096))._unsafeUnwrap();
    const page = lookup(task, buf);
    expect(make_accessible(page, task)).toBe(true);
    put_page(page);
  });
  test("before a reference was taken is reported, whatever kind of page is given", () => {
    using w = make_world();
    const found = lookup(w.guest, w.buf);
    put_page(found);
    expect(() => forced(make_accessible)(found, w.guest)).toThrow("accessible-before-reference");
  });
  test.each(["memfd", "cowfs"] as const)(
    "the reference of the page cache is nobody's, of a page that nothing maps: %s",
    (kind) => {
      using w = make_world();
      const file = kind === "memfd" ? must(memfd_create(w.guest, 4096)) : cowfs_file(w);
      const map = (): UserAddr => mmap(w.guest, null, 4096, RW, MAP_SHARED, file)._unsafeUnwrap();
      const first = map();
      copy_to_user(w.guest, first, w.plain)._unsafeUnwrap();
      const page = lookup(w.guest, first);
      munmap(w.guest, first, 4096)._unsafeUnwrap();
      expect([page_mapcount(page), page_ref_count(page)]).toEqual([0, 2]);
      // With the reference of the look-up nobody can make it secure, whoever maps it.
      expect(make_accessible(page, w.guest)).toBe(true);
      const second = map();
      copy_to_user(w.guest, second, w.plain)._unsafeUnwrap();
      expect(secure(w.guest, second)).toBe("EAGAIN");
      munmap(w.guest, second, 4096)._unsafeUnwrap();
      put_page(page);
      expect(() => forced(make_accessible)(page, w.guest)).toThrow("accessible-before-reference");
    },
  );
  test("a page that is in no file and in no mapping is its owner's", () => {
    using w = make_world();
    const page = must(alloc_page(w.guest));
    expect([page_ref_count(page), make_accessible(page, w.guest)]).toEqual([1, true]);
    put_page(page);
  });
});

describe("who makes pages accessible", () => {
  /** Each way to pin the page of the guest, and to let it go. */
  type Pin = (w: World) => GupError | (() => void);
  const ways: Array<readonly [name: string, pin: Pin]> = [
    [
      "get_user_page()",
      (w) => {
        const page = get_user_page(w.guest, w.buf, ITER_DEST);
        return IS_ERR(page) ? page : () => put_user_page(page);
      },
    ],
    [
      "pin_user_pages_fast()",
      (w) => {
        const pages = all_or_none(pin_user_pages_fast(w.guest, w.buf, 1, ITER_DEST));
        return IS_ERR(pages) ? pages : () => put_user_pages(pages);
      },
    ],
    [
      "get_user_bvec()",
      (w) => {
        const list = get_user_bvec(w.guest, w.buf, 4096, ITER_DEST);
        return IS_ERR(list) ? list : () => put_user_bvec(list);
      },
    ],
  ];
  test.each(ways)("%s: FOLL_PIN does", (_name, pin) => {
    using w = make_world();
    secure(w.guest, w.buf);
    const { nr_foll_pin_acquired: before } = vmstat(w.machine);
    const unpin = must(pin(w));
    expect(uv_stat(w.machine)).toMatchObject({ secure_pages: 0, exports: 1, faults: 0 });
    expect(vmstat(w.machine).nr_foll_pin_acquired - before).toBe(1);
    expect(secure(w.guest, w.buf)).toBe("EAGAIN");
    unpin();
    expect(secure(w.guest, w.buf)).toBe("ok");
  });
  test("the slow walk does too", () => {
    using w = make_world();
    const { ours, file } = shared_page(w);
    secure(w.guest, ours);
    // Another task has not mapped the page yet, so its walk faults.
    const fresh = create_task(w.machine);
    const theirs = mmap(fresh, null, 4096, RW, MAP_SHARED, file)._unsafeUnwrap();
    const pin = must(get_user_page(fresh, theirs, ITER_DEST));
    expect(uv_stat(w.machine)).toMatchObject({ secure_pages: 0, exports: 1, faults: 0 });
    put_user_page(pin);
  });
  test("FOLL_GET does not", () => {
    using w = make_world();
    secure(w.guest, w.buf);
    const page = lookup(w.guest, w.buf);
    expect(uv_stat(w.machine)).toMatchObject({ secure_pages: 1, exports: 0 });
    put_page(page);
  });
  test("page_to_user_page() does: a pin is accessible from its beginning", () => {
    using w = make_world();
    secure(w.guest, w.buf);
    const page = lookup(w.guest, w.buf);
    const pin = must(page_to_user_page(page));
    expect(uv_stat(w.machine).secure_pages).toBe(0);
    put_user_page(pin);
    put_page(page);
  });
  test.each(ways)("%s passes an error on, and leaves no pin", (_name, pin) => {
    using w = make_world((call) => (call === "convert from secure" ? "error" : null));
    secure(w.guest, w.buf);
    expect(errno_of(pin(w))).toBe("EINVAL");
    const page = lookup(w.guest, w.buf);
    expect(page_ref_count(page)).toBe(2);
    expect(errno_of(page_to_user_page(page))).toBe("EINVAL");
    expect(page_ref_count(page)).toBe(2);
    put_page(page);
    const { nr_foll_pin_acquired, nr_foll_pin_released } = vmstat(w.machine);
    expect(nr_foll_pin_acquired).toBe(nr_foll_pin_released);
  });
  test("a pin of many pages stops before the one that cannot be exported", () => {
    let refused = 0;
    using w = make_world(
      (call, pfn) => (call === "convert from secure" && pfn === refused ? "error" : null),
      {},
      4,
    );
    for (let i = 0; i < 4; i++) secure(w.guest, at(w.buf, i));
    refused = pfn_at(w.guest, at(w.buf, 2));
    const short = pin_user_pages_fast(w.guest, w.buf, 4, ITER_DEST);
    if (IS_ERR(short) || Array.isArray(short)) throw new Error("not short");
    expect(short.partial.length).toBe(2);
    put_user_pages(short.partial);
  });
  test("pages that were never secure are pinned in the same walk at no cost", () => {
    using w = make_world(undefined, {}, 8);
    secure(w.guest, at(w.buf, 3));
    const list = must(get_user_bvec(w.guest, w.buf, 8 * 4096, ITER_DEST));
    expect(uv_stat(w.machine)).toMatchObject({ exports: 1 });
    put_user_bvec(list);
  });
});

describe("writeback", () => {
  function file_world(plan?: Parameters<typeof make_world>[0]) {
    const w = make_world(plan);
    const file = cowfs_file(w);
    const ours = mmap(w.guest, null, 4096, RW, MAP_SHARED, file)._unsafeUnwrap();
    copy_to_user(w.guest, ours, w.plain)._unsafeUnwrap();
    return { w, file, ours };
  }
  test("its start makes the page accessible: the disk gets encrypted bytes, in agreement with their checksum", () => {
    const { w, file, ours } = file_world();
    using _machine = w.machine;
    expect(secure(w.guest, ours)).toBe("ok");
    expect(vfs_fsync(w.guest, file)).toBeNull();
    expect(uv_stat(w.machine)).toMatchObject({ secure_pages: 0, exports: 1, access_exceptions: 0 });
    expect(dmesg(w.machine).join()).not.toContain("BUG");
  });
  test("its flag keeps the page from becoming secure", () => {
    const { w, file, ours } = file_world();
    using _machine = w.machine;
    const seen: string[] = [];
    using _cpu = on_preemption(w.machine, (point) => {
      if (point !== "writeback: checksum taken") return;
      seen.push(secure_once(w.guest, ours));
    });
    expect(vfs_fsync(w.guest, file)).toBeNull();
    // The entry is read-only while it is under way: that is looked at first.
    expect(seen).toEqual(["ENXIO"]);
  });
  test("a failure at its start is a bug of the kernel, and the device gets the exception", () => {
    const { w, file, ours } = file_world((call) =>
      call === "convert from secure" ? "error" : null,
    );
    using _machine = w.machine;
    secure(w.guest, ours);
    expect(() => vfs_fsync(w.guest, file)).toThrow("inaccessible-page");
    expect(dmesg(w.machine).join("\n")).toContain("kernel BUG: __folio_start_writeback()");
  });
});
