/** Copying to and from every type of iterator: byte for byte, and nothing beside it. */
import fc from "fast-check";
import * as api from "user-page";
import { ITER_DEST, ITER_SOURCE, PAGE_SIZE, type IovIter } from "user-page";
import { expect, test } from "vitest";
import { boot_for_test, forced, map_anon, must, pattern_of } from "../fixtures.js";
import { by_pages, cut, make_world, plan, total, type Range, type World } from "./iter_world.js";

/** The bytes of every page that the iterator touches and that can be read, by address. */
function contents(w: World): Map<number, Uint8Array> {
  const found = new Map<number, Uint8Array>();
  for (const { addr, ok } of w.ranges) {
    const page = addr - (addr % PAGE_SIZE);
    if (ok && !found.has(page)) found.set(page, w.load({ addr: page, len: 4096, segment: 0, ok }));
  }
  return found;
}
/** What can be copied in one go. */
function reachable(ranges: readonly Range[]): Range[] {
  const bad = ranges.findIndex(({ ok }) => !ok);
  return bad < 0 ? [...ranges] : ranges.slice(0, bad);
}
const same = (a: Uint8Array, b: Uint8Array): boolean => Buffer.compare(a, b) === 0;
const steps = fc.array(
  fc.tuple(fc.constantFrom("skip", "copy", "zero", "back"), fc.nat(3 * PAGE_SIZE)),
  { minLength: 1, maxLength: 8 },
);

test("what is copied is where it belongs, and the iterator behind it", () => {
  fc.assert(
    fc.property(plan, steps, (p, todo) => {
      using w = make_world(p);
      const nowhere = w.iter.iter_type === "ITER_DISCARD";
      const dest = api.iov_iter_rw(w.iter) === ITER_DEST;
      const memory = nowhere ? new Map<number, Uint8Array>() : contents(w);
      const all = total(w.ranges);
      let at = 0;
      todo.forEach(([what, n], i) => {
        if (what === "skip") {
          api.iov_iter_advance(w.iter, n);
          at = Math.min(at + n, all);
          return;
        }
        if (what === "back") {
          api.iov_iter_revert(w.iter, Math.min(n, at));
          at -= Math.min(n, at);
          return;
        }
        const asked = cut(w.ranges, at, n);
        const want = reachable(asked);
        const bytes = what === "zero" ? new Uint8Array(n) : pattern_of(n, i + 2);
        const copied = !dest
          ? api.copy_from_iter(bytes, w.iter as IovIter<"source">, w.current)
          : what === "zero"
            ? api.iov_iter_zero(n, w.iter as IovIter<"dest">, w.current)
            : api.copy_to_iter(bytes, w.iter as IovIter<"dest">, w.current);
        const done = total(want);
        if (done === 0 && asked.length > 0) expect(copied.isErr()).toBe(true);
        else expect(copied._unsafeUnwrap()).toBe(done);
        let from = 0;
        for (const { addr, len } of nowhere ? [] : want) {
          const page = memory.get(addr - (addr % PAGE_SIZE))!;
          const part = bytes.subarray(from, from + len);
          const offset = addr % PAGE_SIZE;
          if (dest) page.set(part, offset);
          else expect(same(part, page.subarray(offset, offset + len))).toBe(true);
          from += len;
        }
        at += done;
        expect(w.iter.count).toBe(all - at);
      });
      if (nowhere) return;
      const now = contents(w);
      expect([...memory].filter(([page, bytes]) => !same(bytes, now.get(page)!))).toEqual([]);
    }),
    { numRuns: 200 },
  );
}, 120_000);

test("a fault in the middle of a copy leaves what is before it", () => {
  using machine = boot_for_test({ mem: 4 << 20 });
  const current = api.create_task(machine);
  const buf = map_anon(current, 3 * PAGE_SIZE);
  api.munmap(current, api.user_ptr_add(buf, PAGE_SIZE), PAGE_SIZE)._unsafeUnwrap();
  const iter = api.iov_iter_ubuf(ITER_DEST, api.user_ptr_add(buf, 4000), 1000);
  expect(api.copy_to_iter(pattern_of(1000), iter, current)._unsafeUnwrap()).toBe(96);
  expect(api.copy_to_iter(pattern_of(1000), iter, current)._unsafeUnwrapErr().errno).toBe("EFAULT");
  expect([iter.count, api.copy_to_iter(new Uint8Array(0), iter, current)._unsafeUnwrap()]).toEqual([
    904, 0,
  ]);
  expect(by_pages(4000, 1000, 0, () => true).map(({ len }) => len)).toEqual([96, 904]);
});
test("the direction is asked for at run time too", () => {
  using machine = boot_for_test({ mem: 4 << 20 });
  const current = api.create_task(machine);
  const buf = map_anon(current, PAGE_SIZE);
  const bytes = new Uint8Array(10).fill(9);
  const source = api.iov_iter_ubuf(ITER_SOURCE, buf, 100);
  expect(() => forced(api.copy_to_iter)(bytes, source, current)).toThrow(/wrong-direction/);
  expect(() => forced(api.iov_iter_zero)(10, source, current)).toThrow(/wrong-direction/);
  const dest = api.iov_iter_ubuf(ITER_DEST, buf, 100);
  expect(() => forced(api.copy_from_iter)(bytes, dest, current)).toThrow(RangeError);
  expect([source.count, dest.count, bytes[0]]).toEqual([100, 100, 9]);
  expect(() => forced(api.iov_iter_discard)(ITER_SOURCE, 5)).toThrow(RangeError);
  using pipe = must(api.alloc_pipe_info(current));
  expect(() => forced(api.iov_iter_pipe)(ITER_SOURCE, pipe, 5)).toThrow(RangeError);
});
