/** Pins of all kinds, stores, contiguous allocations and what moves for them, in any order. */
import * as fc from "fast-check";
import * as api from "user-page";
import { expect, test } from "vitest";
import { debug_mode, map_anon, must, pattern_of } from "../fixtures.js";
import { hold, PAGE, pfn_at, same, world, type World } from "./longterm_world.js";

const read = (task: api.Task, buf: api.UserAddr, bytes: number): Uint8Array => {
  const to = new Uint8Array(bytes);
  api.copy_from_user(task, to, buf)._unsafeUnwrap();
  return to;
};

const RANGES = 6;
const RANGE_PAGES = 8;
interface Held {
  readonly what: "short" | "longterm" | "plain" | "cma";
  readonly range: number;
  release(): void;
}
/** A program of pins, allocations and stores beside what memory must hold. */
class Program {
  readonly w: World = world({ mem: 1 << 20, cma: 128 << 10, movable: 128 << 10 });
  readonly free: number = api.vmstat(this.w.machine).nr_free_pages;
  readonly bufs: api.UserAddr[] = [];
  readonly bytes: Uint8Array[] = [];
  readonly held: Held[] = [];
  readonly memfd: api.Memfd = must(api.memfd_create(this.w.current, RANGE_PAGES * PAGE));

  constructor() {
    for (let i = 0; i < RANGES; i++) {
      const { current } = this.w;
      const flags = api.MAP_SHARED;
      this.bufs.push(
        i < RANGES - 1
          ? map_anon(current, RANGE_PAGES * PAGE)
          : api.mmap(current, null, RANGE_PAGES * PAGE, 3, flags, this.memfd)._unsafeUnwrap(),
      );
      this.bytes.push(new Uint8Array(RANGE_PAGES * PAGE));
    }
  }
  store(range: number, seed: number): void {
    const pattern = pattern_of(RANGE_PAGES * PAGE, seed);
    api.copy_to_user(this.w.current, this.bufs[range]!, pattern)._unsafeUnwrap();
    this.bytes[range] = pattern;
  }
  pin(range: number, seed: number): void {
    const { current } = this.w;
    const longterm = seed % 2 === 0;
    const flags = longterm ? ([api.FOLL_LONGTERM] as const) : ([] as const);
    const buf = this.bufs[range]!;
    if (seed % 3 === 0) {
      const bvecs = api.get_user_bvec(current, buf, RANGE_PAGES * PAGE, "dest", ...flags);
      if (api.IS_ERR(bvecs)) return;
      const release = (): void => bvecs[Symbol.dispose]();
      this.held.push({ what: longterm ? "longterm" : "short", range, release });
    } else {
      const pages = api.all_or_none(
        api.pin_user_pages_fast(current, buf, RANGE_PAGES, "dest", ...flags),
      );
      if (api.IS_ERR(pages)) return;
      // What a device stores reaches the program, wherever the page is.
      api.memcpy_to_page(pages[seed % RANGE_PAGES]!, seed % 4000, new Uint8Array([seed & 255]));
      this.bytes[range]![(seed % RANGE_PAGES) * PAGE + (seed % 4000)] = seed & 255;
      const release = (): void => pages[Symbol.dispose]();
      this.held.push({ what: longterm ? "longterm" : "short", range, release });
    }
  }
  hold(range: number): void {
    const plain = hold(this.w, this.bufs[range]!);
    this.held.push({ what: "plain", range, release: () => plain[Symbol.dispose]() });
  }
  cma(count: number): void {
    const pages = api.cma_alloc(this.w.current, count);
    const held = this.held.some(({ what }) => what !== "longterm");
    // Only what is held short, or no room, is in the way.
    if (api.IS_ERR(pages)) {
      expect(pages.errno).toBe("EBUSY");
      if (!held) expect(api.vmstat(this.w.machine).nr_free_pages).toBeLessThan(100);
      return;
    }
    for (let i = 0; i < count; i++) {
      api.memcpy_to_page(api.cma_page(pages, i), 0, new Uint8Array(PAGE).fill(0xee));
    }
    this.held.push({ what: "cma", range: -1, release: () => pages[Symbol.dispose]() });
  }
  drop(at: number): void {
    const [gone] = this.held.splice(at % Math.max(this.held.length, 1), 1);
    gone?.release();
  }
  discard(range: number): void {
    if (range === RANGES - 1 || this.held.some((held) => held.range === range)) return;
    api.madvise(this.w.current, this.bufs[range]!, RANGE_PAGES * PAGE, api.MADV_DONTNEED);
    this.bytes[range] = new Uint8Array(RANGE_PAGES * PAGE);
  }
  check(): void {
    for (const [i, buf] of this.bufs.entries()) {
      expect(same(read(this.w.current, buf, RANGE_PAGES * PAGE), this.bytes[i]!)).toBe(true);
    }
    for (const { what, range } of this.held) {
      if (what !== "longterm") continue;
      for (let i = 0; i < RANGE_PAGES; i++) {
        const pfn = pfn_at(this.w.current, this.bufs[range]! + i * PAGE);
        expect(pfn).toBeLessThan(this.w.state.unpinnable_from);
      }
    }
  }
  end(): void {
    while (this.held.length > 0) this.drop(0);
    this.check();
    for (const buf of this.bufs) {
      api.munmap(this.w.current, buf, RANGE_PAGES * PAGE)._unsafeUnwrap();
    }
    this.memfd[Symbol.dispose]();
    const stat = api.vmstat(this.w.machine);
    expect(stat.nr_foll_pin_acquired).toBe(stat.nr_foll_pin_released);
    expect(stat.nr_free_pages).toBe(this.free);
    expect(api.shutdown(this.w.machine)).toEqual({ leaks: [], lost_pages: 0 });
  }
}
const range = fc.nat(RANGES - 1);
const step = fc.oneof(
  fc.tuple(fc.constant("store"), range, fc.nat(1000)),
  fc.tuple(fc.constant("pin"), range, fc.nat(10_000)),
  fc.tuple(fc.constant("hold"), range, fc.constant(0)),
  fc.tuple(fc.constant("cma"), fc.integer({ min: 1, max: 32 }), fc.constant(0)),
  fc.tuple(fc.constant("drop"), fc.nat(20), fc.constant(0)),
  fc.tuple(fc.constant("discard"), range, fc.constant(0)),
);
test("random pins, stores and contiguous allocations: bytes and counts are right, and nothing leaks", () => {
  fc.assert(
    fc.property(fc.array(step, { minLength: 5, maxLength: 40 }), (steps) => {
      const program = new Program();
      for (const [what, a, b] of steps) {
        if (what === "store") program.store(a, b);
        else if (what === "pin") program.pin(a, b);
        else if (what === "hold") program.hold(a);
        else if (what === "cma") program.cma(a);
        else if (what === "drop") program.drop(a);
        else program.discard(a);
        program.check();
      }
      program.end();
    }),
    { numRuns: debug_mode ? 40 : 120 },
  );
}, 60_000);
