/** Pages that are not there, copies that stop, folios that do not move. */
import * as api from "user-page";
import { describe, expect, test } from "vitest";
import { fill_pattern, map_anon, must, pattern_of } from "../fixtures.js";
import { LEN, P, type World, ends, errno, of, world } from "./failing_world.js";

describe("fail_page_alloc", () => {
  const RW = api.PROT_READ | api.PROT_WRITE;
  type Case = readonly [called: string, seen: unknown, call: (w: World) => unknown];
  const cases: readonly Case[] = [
    ["alloc_page()", "ENOMEM", ({ current }) => errno(api.alloc_page(current))],
    ["folio_alloc()", "ENOMEM", ({ current }) => errno(api.folio_alloc(current, 3))],
    ["vmalloc()", "ENOMEM", ({ current }) => errno(api.vmalloc(current, 3 * P))],
    ["dax_file()", "ENOMEM", ({ current }) => errno(api.dax_file(current, 3 * P))],
    [
      "pte_alloc_one()",
      "ENOMEM",
      ({ current, buf }) => errno(api.get_user_page(current, buf, api.ITER_SOURCE)),
    ],
    [
      "pte_alloc_one()",
      "EFAULT",
      ({ current, buf }) => of(api.copy_to_user(current, buf, new Uint8Array(1))),
    ],
    [
      "mkfs",
      "ENOMEM",
      ({ machine, current }) =>
        errno(api.mkfs_cowfs(current, must(api.brd_alloc(machine, 64 * P)))),
    ],
    [
      "copy_to_iter()",
      "EFAULT",
      ({ current }) => {
        using pipe = api.alloc_pipe_info(current);
        const iter = api.iov_iter_pipe(api.ITER_DEST, must(pipe), 100);
        return of(api.copy_to_iter(new Uint8Array(100), iter, current));
      },
    ],
  ];
  test.each(cases)("@1 in %s: %s", (called, seen, call) => {
    const w = world("fail_page_alloc@1");
    expect(call(w)).toBe(seen);
    const name = called === "mkfs" ? "cowfs: commit" : called;
    expect(ends(w)).toEqual([name]);
    // Without, and at another time, it does not fail.
    for (const other of ["", "fail_page_alloc@100"]) {
      const fine = world(other);
      expect(call(fine)).not.toBe(seen);
      expect(api.injection(fine.machine).injected).toEqual([]);
      fine.machine[Symbol.dispose]();
    }
  });
  test("@2: the table is there, the page is not", () => {
    const w = world("fail_page_alloc@2");
    expect(errno(api.get_user_bvec(w.current, w.buf, LEN, api.ITER_DEST))).toBe("ENOMEM");
    expect(ends(w)).toEqual(["do_anonymous_page()"]);
  });
  test.each([1, 2, 3, 4, 5, 6, 7, 8, 9])("@%d of the nine pages of a range of eight", (nth) => {
    const w = world(`fail_page_alloc@${nth}`);
    const pinned = api.pin_user_pages_fast(w.current, w.buf, 8, api.ITER_DEST);
    expect(errno(pinned)).toBe(nth <= 2 ? "ENOMEM" : `${nth - 2} of 8`);
    if (api.IS_SHORT(pinned)) api.put_user_pages(pinned.partial);
    expect(ends(w)).toEqual([nth === 1 ? "pte_alloc_one()" : "do_anonymous_page()"]);
  });
  test("a huge page: small ones", () => {
    const w = world("fail_page_alloc@2");
    const at = map_anon(w.current, api.PMD_SIZE);
    api.madvise(w.current, at, api.PMD_SIZE, api.MADV_HUGEPAGE)._unsafeUnwrap();
    expect(of(api.copy_to_user(w.current, at, new Uint8Array(1)))).toBe(1);
    const { thp_fault_alloc, thp_fault_fallback } = api.vmstat(w.machine);
    expect([thp_fault_alloc, thp_fault_fallback]).toEqual([0, 1]);
    expect(ends(w)).toEqual(["do_huge_pmd_anonymous_page()"]);
  });
  test("fork(): ENOMEM, and nothing of the child is left", () => {
    for (const [nth, called] of [
      [1, "pte_alloc_one()"],
      [2, "copy_present_page()"],
      [5, "copy_present_page()"],
    ] as const) {
      // The table of the parent and its four pages come first.
      const w = world(`fail_page_alloc@${nth + 5}`);
      fill_pattern(w.current, w.buf, LEN / 2);
      const bvecs = must(api.get_user_bvec(w.current, w.buf, LEN / 2, api.ITER_DEST));
      const before = api.vmstat(w.machine).nr_free_pages;
      expect(errno(api.fork(w.current))).toBe("ENOMEM");
      expect(api.vmstat(w.machine).nr_free_pages).toBe(before);
      api.put_user_bvec(bvecs);
      expect(ends(w)).toEqual([called]);
    }
  });
  test("a copy for a private mapping, and a page of a memfd", () => {
    for (const [nth, called] of [
      [2, "shmem_alloc_folio()"],
      [3, "wp_page_copy()"],
    ] as const) {
      const w = world(`fail_page_alloc@${nth}`);
      const memfd = must(api.memfd_create(w.current, P, 0));
      const at = api.mmap(w.current, null, P, RW, api.MAP_PRIVATE, memfd)._unsafeUnwrap();
      expect(errno(api.get_user_page(w.current, at, api.ITER_DEST))).toBe("ENOMEM");
      expect(ends(w)).toEqual([called]);
    }
  });
});

describe("fail_usercopy", () => {
  test.each([
    ["fail_usercopy@2", 0],
    ["fail_usercopy@2:0", 0],
    ["fail_usercopy@2:5000", 5000],
    ["fail_usercopy@2:99999", 2 * P - 1],
  ])("%s: EFAULT after %d bytes, which are there", (inject, bytes) => {
    const w = world(inject);
    const old = fill_pattern(w.current, w.buf, 2 * P);
    const text = pattern_of(2 * P, 9);
    const copied = api.copy_to_user(w.current, w.buf, text);
    expect(copied._unsafeUnwrapErr().message).toContain(`${bytes} bytes were`);
    const now = new Uint8Array(2 * P);
    expect(of(api.copy_from_user(w.current, now, w.buf))).toBe(2 * P);
    expect([...now]).toEqual([...text.subarray(0, bytes), ...old.subarray(bytes)]);
    const [struck] = api.injection(w.machine).injected;
    expect(struck).toMatchObject({ nth: 2, value: bytes });
    expect(ends(w)).toEqual(["copy_to_user()"]);
  });
  test("from user memory, and by an iterator", () => {
    const w = world("fail_usercopy@1,fail_usercopy@4");
    const bytes = new Uint8Array(3 * P);
    expect(of(api.copy_from_user(w.current, bytes, w.buf))).toBe("EFAULT");
    const iter = api.iov_iter_ubuf(api.ITER_DEST, w.buf, 3 * P);
    expect(of(api.copy_to_iter(bytes, iter, w.current))).toBe(2 * P);
    expect(iter.count).toBe(P);
    expect(ends(w)).toEqual(["copy_from_user()", "copy_to_user()"]);
  });
  test("nothing is asked of no bytes", () => {
    const w = world("fail_usercopy@1");
    expect(of(api.copy_to_user(w.current, w.buf, new Uint8Array(0)))).toBe(0);
    expect(ends(w)).toEqual([]);
  });
});

describe("fail_migrate", () => {
  test("a long-term pin: ENOMEM, nothing is pinned, nothing moved; the next one succeeds", () => {
    const w = world("fail_migrate@3", { movable: 1 << 20 });
    const text = fill_pattern(w.current, w.buf, LEN);
    const pin = () => api.get_user_bvec(w.current, w.buf, LEN, "dest", api.FOLL_LONGTERM);
    expect(errno(pin())).toBe("ENOMEM");
    const { nr_foll_pin_acquired: taken, nr_foll_pin_released: put } = api.vmstat(w.machine);
    expect(put).toBe(taken);
    api.put_user_bvec(must(pin()));
    const now = new Uint8Array(LEN);
    api.copy_from_user(w.current, now, w.buf)._unsafeUnwrap();
    expect(Buffer.compare(now, text)).toBe(0);
    expect(ends(w)).toEqual(["migrate_pages()"]);
  });
  test("cma_alloc(): EBUSY", () => {
    const w = world("fail_migrate@1", { cma: LEN });
    fill_pattern(w.current, w.buf, LEN);
    expect(errno(api.cma_alloc(w.current, 8))).toBe("EBUSY");
    api.cma_release(must(api.cma_alloc(w.current, 8)));
    expect(ends(w)).toEqual(["migrate_pages()"]);
  });
  test("nowhere to go: the same", () => {
    // The table and eight pages come first.
    const w = world("fail_page_alloc@10", { cma: LEN });
    fill_pattern(w.current, w.buf, LEN);
    expect(errno(api.cma_alloc(w.current, 8))).toBe("EBUSY");
    expect(ends(w)).toEqual(["alloc_migration_target()"]);
  });
});
