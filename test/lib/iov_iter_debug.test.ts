/** What debug mode sees of iterators, and what happens without it. */
import * as api from "user-page";
import { ITER_DEST, PAGE_SIZE, type IterType } from "user-page";
import { expect, test } from "vitest";
import { boot_for_test, boot_plain, debug_mode, forced, map_anon, must } from "../fixtures.js";

const MEM = { mem: 8 << 20 };
function start() {
  const machine = boot_for_test(MEM);
  const current = api.create_task(machine);
  return { machine, current, [Symbol.dispose]: () => machine[Symbol.dispose]() };
}

test.runIf(debug_mode)("a leak report names the function that took the reference", () => {
  const { machine, current } = start();
  const buf = map_anon(current, 4 * PAGE_SIZE);
  const iter = api.iov_iter_ubuf(ITER_DEST, buf, 4 * PAGE_SIZE);
  must(api.iov_iter_extract_pages(iter, PAGE_SIZE, 1, current));
  must(api.iov_iter_get_pages2(iter, PAGE_SIZE, 1, current));
  must(api.iov_iter_extract_bvecs(iter, PAGE_SIZE, current));
  const { leaks } = api.shutdown(machine);
  expect(leaks.map(({ kind, acquired_by }) => [kind, acquired_by])).toEqual([
    ["user_page", "iov_iter_extract_pages()"],
    ["page", "iov_iter_get_pages2()"],
    ["bvec", "iov_iter_extract_bvecs()"],
  ]);
  for (const { acquired_at } of leaks) expect(acquired_at).toContain("iov_iter_debug.test.ts");
});
test.runIf(debug_mode)("what is lent is not put, whoever lends it", () => {
  using w = start();
  const buf = map_anon(w.current, PAGE_SIZE);
  using page = must(api.__free(api.put_page, api.alloc_page(w.current)));
  using area = must(api.vmalloc(w.current, 100));
  const kvec = [{ iov_base: area, iov_offset: 0, iov_len: 100 }];
  for (const iter of [
    api.iov_iter_bvec(ITER_DEST, [{ page: page.page, offset: 0, len: 100 }]),
    api.iov_iter_kvec(ITER_DEST, kvec),
  ]) {
    const got = must(api.iov_iter_extract_pages(iter, 50, 1, w.current));
    expect(() => forced(api.put_page)(got.kernel[0])).toThrow(/release-lent/);
    expect(() => forced(api.put_user_page)(got.kernel[0])).toThrow(/page-to-put_user_page/);
    const bvecs = must(api.iov_iter_extract_bvecs(iter, 50, w.current));
    expect(() => forced(api.put_page)(bvecs.kernel[0]!.page)).toThrow(/release-lent/);
  }
  const user = api.iov_iter_ubuf(ITER_DEST, buf, 100);
  using got = must(api.iov_iter_get_pages2(user, 100, 1, w.current));
  expect(() => forced(api.put_page)([...got][0])).toThrow(/release-lent/);
});
test.runIf(debug_mode)("an iterator whose page was put is noticed when it is used", () => {
  using w = start();
  const page = must(api.alloc_page(w.current));
  const iter = api.iov_iter_bvec(ITER_DEST, [{ page, offset: 0, len: 100 }]);
  api.put_page(page);
  expect(() => api.iov_iter_extract_pages(iter, 100, 1, w.current)).toThrow(/use-after-release/);
  expect(() => api.copy_to_iter(new Uint8Array(1), iter, w.current)).toThrow(/use-after-release/);
});
test("without debug mode the page of a kernel iterator that is put is gone", () => {
  using machine = boot_plain(MEM);
  const current = api.create_task(machine);
  const page = must(api.alloc_page(current));
  const iter = api.iov_iter_bvec(ITER_DEST, [{ page, offset: 0, len: 100 }]);
  const got = must(api.iov_iter_extract_pages(iter, 100, 1, current));
  forced(api.put_page)(got.kernel[0]);
  expect(() => forced(api.put_page)(page)).toThrow(/page-is-free/);
});
test("an iterator is asked what it is", () => {
  using w = start();
  using area = must(api.vmalloc(w.current, 10));
  using page = must(api.__free(api.put_page, api.alloc_page(w.current)));
  const base = map_anon(w.current, PAGE_SIZE);
  const iters = [
    api.iov_iter_ubuf(ITER_DEST, base, 10),
    api.iov_iter_init("source", [{ iov_base: base, iov_len: 10 }]),
    api.iov_iter_bvec(ITER_DEST, [{ page: page.page, offset: 0, len: 10 }]),
    api.iov_iter_kvec("source", [{ iov_base: area, iov_offset: 0, iov_len: 10 }]),
    api.iov_iter_discard(ITER_DEST, 10),
  ];
  const types: IterType[] = ["ITER_UBUF", "ITER_IOVEC", "ITER_BVEC", "ITER_KVEC", "ITER_DISCARD"];
  expect(iters.map((iter) => iter.iter_type)).toEqual(types);
  const asked = [
    api.iter_is_ubuf,
    api.iter_is_iovec,
    api.iov_iter_is_bvec,
    api.iov_iter_is_kvec,
    api.user_backed_iter,
    api.iov_iter_is_kernel,
    api.iov_iter_extract_will_pin,
    api.iov_iter_is_dest,
    api.iov_iter_is_source,
  ].map((ask) => iters.map((iter) => Number(ask(iter))).join(""));
  expect(asked).toEqual([
    "10000",
    "01000",
    "00100",
    "00010",
    "11000",
    "00111",
    "11000",
    "10101",
    "01010",
  ]);
  expect(iters.map((iter) => api.iov_iter_rw(iter)[0]).join("")).toBe("dsdsd");
});
