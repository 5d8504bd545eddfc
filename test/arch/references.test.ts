/** Pipes hold references of their own; the ways to take one, and what each says to a count of 0 or below. */
import {
  alloc_pipe_info,
  dmesg,
  get_page_unless_zero,
  page_ref_count,
  page_to_pfn,
  pfn_to_page,
  pipe_read,
  put_page,
  splice_folio_into_pipe,
  tee,
  try_get_folio,
  try_get_page,
  uv_stat,
  type BorrowedPage,
} from "user-page";
import { describe, expect, test } from "vitest";
import { raw } from "../../src/handle/cast.js";
import { PAGE_HANDLE_SHIFT } from "../../src/handle/tags.js";
import { folio_table, page_ref } from "../../src/machine/arena.js";
import { count_carefully } from "../../src/mm/page_ref.js";
import { must } from "../fixtures.js";
import { dma, lookup, make_world, secure, secure_once } from "./uv_world.js";

describe("pipes", () => {
  test("tee() cannot see a frozen page: the pipe holds a reference of its own, so the freeze fails", () => {
    using w = make_world();
    const page = lookup(w.guest, w.buf);
    using pipe = must(alloc_pipe_info(w.guest));
    using copy = must(alloc_pipe_info(w.guest));
    expect(splice_folio_into_pipe(pipe, page, 4096, 0)).toBe(4096);
    put_page(page);
    expect(secure_once(w.guest, w.buf)).toBe("EBUSY");
    expect(tee(pipe, copy, 4096)._unsafeUnwrap()).toBe(4096);
    expect([pipe.bytes, copy.bytes]).toEqual([4096, 4096]);
    expect(dmesg(w.machine)).toEqual([]);
    pipe_read(pipe, new Uint8Array(4096));
    expect(secure_once(w.guest, w.buf)).toBe("EBUSY");
    pipe_read(copy, new Uint8Array(4096));
    expect(secure_once(w.guest, w.buf)).toBe("ok");
  });
  test("a pipe does not make its pages accessible", () => {
    using w = make_world();
    secure(w.guest, w.buf);
    const page = lookup(w.guest, w.buf);
    using pipe = must(alloc_pipe_info(w.guest));
    splice_folio_into_pipe(pipe, page, 4096, 0);
    expect(uv_stat(w.machine).secure_pages).toBe(1);
    expect(dma(w, page)).toBe("EIO");
    put_page(page);
    // A CPU that reads it does.
    pipe_read(pipe, new Uint8Array(4096));
    expect(uv_stat(w.machine)).toMatchObject({ secure_pages: 0, faults: 1 });
  });
  test("tee() copies what fits, and refuses a pipe given twice", () => {
    using w = make_world();
    const page = lookup(w.guest, w.buf);
    using pipe = must(alloc_pipe_info(w.guest, 2));
    using small = must(alloc_pipe_info(w.guest, 1));
    splice_folio_into_pipe(pipe, page, 100, 0);
    splice_folio_into_pipe(pipe, page, 200, 100);
    expect(splice_folio_into_pipe(pipe, page, 100, 0)).toBe(0);
    expect(page_ref_count(page)).toBe(4);
    expect(tee(pipe, small, 1000)._unsafeUnwrap()).toBe(100);
    expect(tee(pipe, pipe, 10)._unsafeUnwrapErr().errno).toBe("EINVAL");
    put_page(page);
  });
});

describe("the ways to take a reference", () => {
  /** Frozen, or what 2^21 pins or a wrong release leave. */
  function set_count(page: BorrowedPage, count: number): void {
    const pfn = raw(page) >>> PAGE_HANDLE_SHIFT;
    count_carefully(pfn);
    folio_table[~page_ref[pfn]! << 2] = count;
  }
  test.each([0, -1, -1000])("count %i: try_get_page() warns and refuses", (count) => {
    using w = make_world();
    const page = lookup(w.guest, w.buf);
    const before = page_ref_count(page);
    set_count(page, count);
    expect(try_get_page(page)).toBeNull();
    expect(dmesg(w.machine).at(-1)).toMatch(`try_get_page(): refcount ${count}`);
    set_count(page, before);
    put_page(page);
  });
  test("try_get_folio() warns below 0 only, get_page_unless_zero() takes one there", () => {
    using w = make_world();
    const page = lookup(w.guest, w.buf);
    const found = must(pfn_to_page(w.machine, page_to_pfn(page)));
    set_count(page, 0);
    expect(try_get_folio(found)).toBeNull();
    expect(dmesg(w.machine)).toEqual([]);
    set_count(page, -5);
    expect(try_get_folio(found)).toBeNull();
    expect(dmesg(w.machine).length).toBe(1);
    const wrong = get_page_unless_zero(found);
    expect(page_ref_count(page)).toBe(-4);
    if (wrong) put_page(wrong);
    set_count(page, 2);
    put_page(page);
  });
});
