/** Every type of iterator against a list of what it goes over: walking, getting, extracting, and the counts. */
import fc from "fast-check";
import * as api from "user-page";
import { expect, test } from "vitest";
import { errno_of } from "../fixtures.js";
import { cut, make_world, next_pages, plan, total, type World } from "./iter_world.js";

type Op = readonly [
  "advance" | "revert" | "truncate" | "reexpand" | "dup" | "get" | "extract" | "bvecs" | "ask",
  number,
  number,
];
const op: fc.Arbitrary<Op> = fc.tuple(
  fc.constantFrom(
    "advance",
    "revert",
    "truncate",
    "reexpand",
    "dup",
    "get",
    "get",
    "extract",
    "extract",
    "bvecs",
    "bvecs",
    "ask",
  ),
  fc.oneof(fc.nat(40), fc.nat(1 << 16)),
  fc.oneof(fc.nat(3), fc.constant(64)),
);
/** Where the iterator must be. */
interface Position {
  iter: api.IovIter;
  at: number;
  count: number;
}
const pins = (w: World): number[] => {
  const s = api.vmstat(w.machine);
  return [s.nr_foll_pin_acquired, s.nr_foll_pin_acquired - s.nr_foll_pin_released];
};
const pfns = (pages: Iterable<api.BorrowedPage | api.BorrowedUserPage>): number[] =>
  Array.from(pages, (page) => api.page_to_pfn(page));

function step(w: World, p: Position, [name, n, maxpages]: Op): void {
  const { iter } = p;
  const all = total(w.ranges);
  const left = cut(w.ranges, p.at, p.count);
  const moved = (bytes: number): void => {
    p.at += bytes;
    p.count -= bytes;
  };
  switch (name) {
    case "advance":
      api.iov_iter_advance(iter, n);
      moved(Math.min(n, p.count));
      break;
    case "revert":
      if (n > p.at) expect(() => api.iov_iter_revert(iter, n)).toThrow(RangeError);
      else {
        api.iov_iter_revert(iter, n);
        moved(-n);
      }
      break;
    case "truncate":
      api.iov_iter_truncate(iter, n);
      p.count = Math.min(p.count, n);
      break;
    case "reexpand":
      if (n > all - p.at) expect(() => api.iov_iter_reexpand(iter, n)).toThrow(RangeError);
      else {
        api.iov_iter_reexpand(iter, n);
        p.count = n;
      }
      break;
    case "dup":
      p.iter = api.dup_iter(iter);
      api.iov_iter_advance(iter, n); // the old one goes its own way
      break;
    case "ask": {
      const segments = new Set(left.map(({ segment }) => segment));
      const npages = iter.iter_type === "ITER_DISCARD" ? 0 : left.length;
      expect(api.iov_iter_npages(iter, 1 << 20)).toBe(npages);
      expect(api.iov_iter_npages(iter, maxpages)).toBe(Math.min(npages, maxpages));
      const [first] = segments;
      const here = left.filter(({ segment }) => segment === first);
      expect(api.iov_iter_single_seg_count(iter)).toBe(total(here));
      if (iter.iter_type !== "ITER_DISCARD") {
        // What matters of the mask is its lowest bit, of addresses and lengths of whole segments.
        const aligned = (bits: number): boolean => api.iov_iter_alignment(iter) % 2 ** bits === 0;
        for (const bits of [1, 4, 9, 12]) {
          const whole = [...segments].every((s) => {
            const mine = left.filter(({ segment }) => segment === s);
            return (mine[0]!.addr | total(mine)) % 2 ** bits === 0;
          });
          expect(aligned(bits)).toBe(left.every(({ addr }) => addr % 2 ** bits === 0) && whole);
        }
      }
      break;
    }
    case "get":
      moved(get(w, iter, n, maxpages, left));
      break;
    case "extract":
      moved(extract(w, iter, n, maxpages, left));
      break;
    case "bvecs":
      moved(bvecs(w, iter, n, left));
      break;
  }
  expect([api.iov_iter_count(p.iter), p.iter.count]).toEqual([p.count, p.count]);
}
/** Gets, checks, releases; the bytes that must have been consumed. */
function get(
  w: World,
  iter: api.IovIter,
  n: number,
  maxpages: number,
  left: ReturnType<typeof cut>,
): number {
  const before = pins(w);
  const got = api.iov_iter_get_pages2(iter, n, maxpages, w.current);
  expect(pins(w)).toEqual(before);
  const asked = cut(left, 0, n);
  const type = iter.iter_type;
  const want = next_pages(asked, type, maxpages);
  if (asked.length > 0 && maxpages > 0) {
    const none = type === "ITER_KVEC" || type === "ITER_DISCARD";
    if (none || (want.length === 0 && api.user_backed_iter(iter))) {
      expect(errno_of(got)).toBe("EFAULT");
      return 0;
    }
  }
  if (api.IS_ERR(got)) throw new Error(got.message);
  expect(pfns(got)).toEqual(want.map((range) => w.pfn(range)));
  expect([got.bytes, got.nr_pages]).toEqual([total(want), want.length]);
  if (want[0]) expect(got.offset).toBe(want[0].addr % 4096);
  const counts = [...got].map((page) => api.page_ref_count(page));
  const pages = [...got];
  const same = pages.map((page) => pages.filter((other) => folio(other) === folio(page)).length);
  if (n % 2) api.iov_iter_put_pages(got);
  else {
    for (let page = api.pop_iter_page(got); page; page = api.pop_iter_page(got)) {
      api.put_page(page);
    }
    api.iov_iter_put_pages(got);
  }
  // What was put came from the folio it was taken on: one for each of its pages.
  expect(pages.map((page) => api.page_ref_count(page))).toEqual(counts.map((c, i) => c - same[i]!));
  return total(want);
}
const folio = (page: api.BorrowedPage): number => Number(api.page_folio(page)) & ~63;

function extract(
  w: World,
  iter: api.IovIter,
  n: number,
  maxpages: number,
  left: ReturnType<typeof cut>,
): number {
  const [acquired] = pins(w);
  const got = api.iov_iter_extract_pages(iter, n, maxpages, w.current);
  const asked = cut(left, 0, n);
  const type = iter.iter_type;
  const want = next_pages(asked, type, maxpages);
  if (asked.length > 0 && maxpages > 0) {
    if (type === "ITER_DISCARD" || (want.length === 0 && api.user_backed_iter(iter))) {
      expect(errno_of(got)).toBe("EFAULT");
      expect(pins(w)[0]).toBe(acquired);
      return 0;
    }
  }
  if (api.IS_ERR(got)) throw new Error(got.message);
  expect(api.is_pinned(got)).toBe(api.iov_iter_extract_will_pin(iter));
  const taken = api.is_pinned(got) ? want.length : 0;
  expect(pins(w)).toEqual([acquired! + taken, taken]);
  expect(pfns(api.is_pinned(got) ? got : got.kernel)).toEqual(want.map((range) => w.pfn(range)));
  expect(got.bytes).toBe(total(want));
  if (want[0]) {
    expect(got.offset).toBe(want[0].addr % 4096);
    const nr = api.is_pinned(got) ? got.length : got.kernel.length;
    expect(nr).toBe(Math.ceil((got.offset + got.bytes) / 4096));
  }
  if (api.is_pinned(got)) api.put_user_pages(got);
  expect(pins(w)[1]).toBe(0);
  return total(want);
}
function bvecs(w: World, iter: api.IovIter, n: number, left: ReturnType<typeof cut>): number {
  const before = pins(w);
  const got = api.iov_iter_extract_bvecs(iter, n, w.current);
  const asked = cut(left, 0, n);
  const no_pages = iter.iter_type === "ITER_DISCARD" && asked.length > 0;
  if (no_pages || asked.some(({ ok }) => !ok)) {
    expect(errno_of(got)).toBe("EFAULT");
    expect(pins(w)[1]).toBe(0);
    return 0;
  }
  if (api.IS_ERR(got)) throw new Error(got.message);
  const found = Array.from<api.BorrowedBvec | api.KernelBvec<api.Dir>>(
    api.is_pinned(got) ? got : got.kernel,
  ).map(({ page, offset, len }) => ({ pfn: api.page_to_pfn(page), offset, len }));
  // Piece by piece the same memory in the same order, and no extent that could have been part of the one before.
  expect(
    found.flatMap(({ pfn, offset, len }) => {
      const pieces = [];
      for (let done = 0; done < len;) {
        const at = pfn * 4096 + offset + done;
        const room = Math.min(4096 - (at % 4096), len - done);
        pieces.push([at, room]);
        done += room;
      }
      return pieces;
    }),
  ).toEqual(asked.map((range) => [w.pfn(range) * 4096 + (range.addr % 4096), range.len]));
  expect(found.every(({ offset }) => offset < 4096)).toBe(true);
  if (api.is_pinned(got)) {
    expect(got.count).toBe(total(asked));
    expect(got.nr_segs).toBe(asked.length); // single pages: nothing to merge
    expect(pins(w)[1]).toBe(asked.length);
    api.put_user_bvec(got);
  } else expect(pins(w)).toEqual(before);
  expect(pins(w)[1]).toBe(0);
  return total(asked);
}

test("every type goes over what it was made of, gives its pages, and takes what it must", () => {
  fc.assert(
    fc.property(plan, fc.array(op, { minLength: 1, maxLength: 12 }), (p, ops) => {
      using w = make_world(p);
      const { nr_free_pages } = api.vmstat(w.machine);
      const position = { iter: w.iter, at: 0, count: total(w.ranges) };
      expect(w.iter.count).toBe(position.count);
      for (const one of ops) step(w, position, one);
      expect(pins(w)[1]).toBe(0);
      expect(api.vmstat(w.machine).nr_free_pages).toBe(nr_free_pages);
      expect(api.misuse_reports(w.machine)).toEqual([]);
    }),
    { numRuns: 400 },
  );
}, 120_000);
