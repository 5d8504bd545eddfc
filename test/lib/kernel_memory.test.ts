/** What KVEC and PIPE iterators stand on: memory of single pages, and a ring of them. */
import * as api from "user-page";
import { ITER_DEST, ITER_SOURCE, PAGE_SIZE } from "user-page";
import { expect, test } from "vitest";
import { boot_for_test, errno_of, forced, must, pattern_of } from "../fixtures.js";

const free = (machine: api.Machine): number => api.vmstat(machine).nr_free_pages;

test("vmalloc: zeroed single pages, that come back once", () => {
  using machine = boot_for_test({ mem: 1 << 20 });
  const current = api.create_task(machine);
  const before = free(machine);
  const dirty = must(api.alloc_page(current));
  api.memcpy_to_page(dirty, 0, new Uint8Array(PAGE_SIZE).fill(1));
  api.put_page(dirty);
  const area = must(api.vmalloc(current, 3 * PAGE_SIZE + 1));
  expect(free(machine)).toBe(before - 4);
  const kvec = [{ iov_base: area, iov_offset: 0, iov_len: area.size }];
  const bytes = new Uint8Array(area.size).fill(7);
  api.copy_from_iter(bytes, api.iov_iter_kvec(ITER_SOURCE, kvec), current)._unsafeUnwrap();
  expect(bytes.every((byte) => byte === 0)).toBe(true);
  const pages = [0, 1, 2, 3].map((n) => api.vmalloc_to_page(area, n * PAGE_SIZE));
  expect(pages.map((page) => api.folio_order(api.page_folio(page)))).toEqual([0, 0, 0, 0]);
  expect(new Set(pages.map((page) => api.page_to_pfn(page))).size).toBe(4);
  expect(() => api.vmalloc_to_page(area, area.size)).toThrow(RangeError);
  const iter = api.iov_iter_kvec(ITER_DEST, kvec);
  api.vfree(area);
  expect(free(machine)).toBe(before);
  expect(() => forced(api.vfree)(area)).toThrow(/double-release/);
  expect(() => api.copy_to_iter(bytes, iter, current)).toThrow(/use-after-release/);
  expect(() => api.iov_iter_extract_pages(iter, 10, 1, current)).toThrow(/use-after-release/);
  expect(() => forced(api.iov_iter_kvec)(ITER_DEST, kvec)).toThrow(/use-after-release/);
  (area as Disposable)[Symbol.dispose]();
  expect(errno_of(api.vmalloc(current, 1 << 20))).toBe("ENOMEM");
  expect(errno_of(api.vmalloc(current, 0))).toBe("EINVAL");
  expect(free(machine)).toBe(before);
});

test("a pipe takes what fits and gives it back in order", () => {
  using machine = boot_for_test({ mem: 1 << 20 });
  const current = api.create_task(machine);
  const before = free(machine);
  {
    using pipe = must(api.alloc_pipe_info(current, 3));
    const iter = api.iov_iter_pipe(ITER_DEST, pipe, 20_000);
    expect([api.iov_iter_npages(iter, 64), pipe.max_usage]).toEqual([3, 3]);
    const bytes = pattern_of(20_000);
    expect(api.copy_to_iter(bytes.subarray(0, 1000), iter, current)._unsafeUnwrap()).toBe(1000);
    expect([pipe.occupancy, pipe.bytes, api.iov_iter_npages(iter, 64)]).toEqual([1, 1000, 3]);
    expect(api.iov_iter_alignment(iter)).toBe(19_000 | 1000);
    // Fills the page it began, then two more.
    const more = api.copy_to_iter(bytes.subarray(1000), iter, current)._unsafeUnwrap();
    expect([more, iter.count, pipe.occupancy]).toEqual([3 * 4096 - 1000, 20_000 - 3 * 4096, 3]);
    expect(api.copy_to_iter(bytes, iter, current).isErr()).toBe(true);
    expect(errno_of(api.iov_iter_get_pages2(iter, 1, 1, current))).toBe("EFAULT");
    api.iov_iter_revert(iter, 5000);
    expect([pipe.occupancy, pipe.bytes]).toEqual([2, 3 * 4096 - 5000]);
    expect(free(machine)).toBe(before - 2);
    const read = new Uint8Array(20_000);
    expect(api.pipe_read(pipe, read.subarray(0, 100))).toBe(100);
    expect(api.pipe_read(pipe, read.subarray(100))).toBe(3 * 4096 - 5100);
    expect(read.subarray(0, 3 * 4096 - 5000)).toEqual(bytes.subarray(0, 3 * 4096 - 5000));
    expect([api.pipe_read(pipe, read), pipe.occupancy]).toEqual([0, 0]);
    expect(() => api.iov_iter_revert(iter, 1)).toThrow(RangeError); // read already
    expect(() => api.iov_iter_advance(iter, 1)).toThrow(RangeError);
    expect(() => api.dup_iter(iter)).toThrow(RangeError);
    expect(api.iov_iter_zero(10, iter, current)._unsafeUnwrap()).toBe(10);
  }
  expect(free(machine)).toBe(before);
});
test("pages of a pipe are fresh, in the ring and ours; they are not extracted", () => {
  using machine = boot_for_test({ mem: 1 << 20 });
  const current = api.create_task(machine);
  const before = free(machine);
  const pipe = must(api.alloc_pipe_info(current, 4));
  const iter = api.iov_iter_pipe(ITER_DEST, pipe, 10_000);
  expect(errno_of(api.iov_iter_extract_pages(iter, 100, 1, current))).toBe("EFAULT");
  expect(errno_of(api.iov_iter_extract_bvecs(iter, 100, current))).toBe("EFAULT");
  expect([pipe.occupancy, iter.count]).toEqual([0, 10_000]);
  api.copy_to_iter(new Uint8Array(96), iter, current)._unsafeUnwrap();
  const got = must(api.iov_iter_get_pages2(iter, 8100, 16, current));
  expect([got.nr_pages, got.offset, got.bytes]).toEqual([3, 96, 8100]);
  expect([pipe.occupancy, pipe.bytes, iter.count]).toEqual([3, 8196, 10_000 - 8196]);
  const bytes = pattern_of(8100);
  let done = 0;
  for (const page of got) {
    expect(api.page_ref_count(page)).toBe(2);
    const offset = done === 0 ? 96 : 0;
    const part = bytes.subarray(done, done + PAGE_SIZE - offset);
    api.memcpy_to_page(page, offset, part)._unsafeUnwrap();
    done += part.length;
  }
  const read = new Uint8Array(8196);
  expect(api.pipe_read(pipe, read)).toBe(8196);
  expect(read.subarray(96)).toEqual(bytes);
  expect([pipe.occupancy, free(machine)]).toEqual([0, before - 3]); // ours still
  api.iov_iter_put_pages(got);
  expect(free(machine)).toBe(before);
  api.copy_to_iter(new Uint8Array(96), iter, current)._unsafeUnwrap();
  api.free_pipe_info(pipe);
  expect(free(machine)).toBe(before);
  expect(() => api.copy_to_iter(new Uint8Array(1), iter, current)).toThrow(/use-after-release/);
  expect(() => api.iov_iter_get_pages2(iter, 1, 1, current)).toThrow(/use-after-release/);
  expect(() => forced(api.free_pipe_info)(pipe)).toThrow(/double-release/);
  expect(errno_of(api.alloc_pipe_info(current, 0))).toBe("EINVAL");
});
