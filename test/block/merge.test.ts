/** Segments against a model of byte ranges: what merges, what a bio holds of it, what a walk shows, what a release drops. */
import fc from "fast-check";
import * as api from "user-page";
import { PAGE_SIZE } from "user-page";
import { expect, test } from "vitest";
import { BioState } from "../../src/block/bio_state.js";
import { errno_of, forced, id_of, must } from "../fixtures.js";
import { ALL_PAGES, BioWorld, head, HUGE_PAGES, same } from "./bio_world.js";

/** Addresses of physical bytes: page frame number times 4096. */
interface Range {
  readonly kind: string;
  readonly start: number;
  end: number;
  /** where the references of extents are */
  readonly heads: number[];
}
/** The bio as a list of ranges. */
class Model {
  readonly ranges: Range[] = [];
  bytes = 0;
  readonly max: number;
  constructor(max: number) {
    this.max = max;
  }
  add(kind: string, pfn: number, offset: number, len: number, joins = true): boolean {
    const start = pfn * PAGE_SIZE + offset;
    const last = this.ranges.at(-1);
    if (joins && last?.kind === kind && last.end === start) {
      last.end += len;
      last.heads.push(head(pfn));
    } else if (this.ranges.length === this.max) return false;
    else this.ranges.push({ kind, start, end: start + len, heads: [head(pfn)] });
    this.bytes += len;
    return true;
  }
  pieces(): number[][] {
    return this.ranges.flatMap(({ start, end }) => {
      const cut: number[][] = [];
      for (let at = start; at < end;) {
        const next = Math.min(end, (Math.floor(at / PAGE_SIZE) + 1) * PAGE_SIZE);
        cut.push([Math.floor(at / PAGE_SIZE), at % PAGE_SIZE, next - at]);
        at = next;
      }
      return cut;
    });
  }
  /** Each page of each range once; each extent once. */
  pins(): Map<number, number> {
    const pins = new Map<number, number>();
    const count = (pfn: number): unknown => pins.set(pfn, (pins.get(pfn) ?? 0) + 1);
    for (const { kind, start, end, heads } of this.ranges) {
      if (kind === "extent") heads.forEach(count);
      if (kind !== "pin") continue;
      const touched = new Set<number>();
      for (let at = start; at < end; at += 512) touched.add(Math.floor(at / PAGE_SIZE));
      for (const pfn of touched) count(head(pfn));
    }
    return pins;
  }
}
interface Add {
  readonly as: "pin" | "extent";
  /** where the one before it ended, in user memory; else at `page` and `offset` */
  readonly follow: boolean;
  readonly page: number;
  readonly offset: number;
  readonly sectors: number;
}
// Around the border of huge and single pages, where what follows is in another folio.
const page = fc.integer({ min: HUGE_PAGES - 6, max: HUGE_PAGES + 10 });
const add: fc.Arbitrary<Add> = fc.record({
  as: fc.constantFrom("pin" as const, "pin" as const, "extent" as const),
  follow: fc.boolean(),
  page,
  offset: fc.integer({ min: 0, max: 7 }),
  sectors: fc.integer({ min: 1, max: 8 }),
});
/** Where each addition lies; inside one page for a pin, at most 4 KiB for an extent. */
function* places(
  adds: readonly Add[],
): Generator<[as: Add["as"], page: number, offset: number, len: number]> {
  let at = (HUGE_PAGES - 2) * PAGE_SIZE;
  for (const { as, follow, page: p, offset, sectors } of adds) {
    if (!follow || at >= (ALL_PAGES - 4) * PAGE_SIZE) at = p * PAGE_SIZE + offset * 512;
    const inside = at % PAGE_SIZE;
    const len = as === "pin" ? Math.min(sectors * 512, PAGE_SIZE - inside) : sectors * 512;
    yield [as, Math.floor(at / PAGE_SIZE), inside, len];
    at += len;
  }
}
const shown = (walk: Iterable<api.Segment<"pinned user pages"> | api.Segment<"plain pages">>) =>
  Array.from(walk, (s) => [api.page_to_pfn(s.page), s.offset, s.len]);

test("pins and extents: segments, pieces and counts are the model's, and a READ fills what they cover", () => {
  fc.assert(
    fc.property(
      fc.array(add, { maxLength: 24 }),
      fc.integer({ min: 1, max: 8 }),
      fc.option(fc.nat(), { nil: undefined }),
      fc.boolean(),
      (adds, max, shuffle, wait) => {
        using world = new BioWorld(shuffle);
        const { current, disk } = world;
        const model = new Model(max);
        const bio = api.bio_alloc_pinned(disk, max, "REQ_OP_READ");
        const memory = world.memory();
        for (const [as, p, offset, len] of places(adds)) {
          const from = model.bytes;
          if (as === "pin") {
            const pin = world.pin(p);
            const pfn = api.page_to_pfn(pin);
            const moved = api.bio_add_user_page(bio, pin, len, offset);
            expect(moved).toBe(model.add("pin", pfn, offset, len));
            if (!moved) forced(api.put_user_page)(pin);
            else memory.set(world.on_disk.subarray(from, from + len), p * PAGE_SIZE + offset);
          } else {
            const extent = world.extent(p, offset, len);
            const [pfn, got] = [api.page_to_pfn(extent.page), extent.len];
            const moved = api.bio_add_user_bvec(bio, extent);
            expect(moved).toBe(model.add("extent", pfn, offset, got));
            if (!moved) forced(api.put_user_bvec)(extent);
            else memory.set(world.on_disk.subarray(from, from + got), p * PAGE_SIZE + offset);
          }
          expect(world.pins()).toEqual(model.pins());
        }
        const segments = model.ranges.map(({ start, end }) => [
          Math.floor(start / PAGE_SIZE),
          start % PAGE_SIZE,
          end - start,
        ]);
        const look = (): void => {
          expect(shown(api.bio_for_each_bvec_all(bio))).toEqual(segments);
          expect(shown(api.bio_for_each_segment_all(bio))).toEqual(model.pieces());
        };
        look();
        if (wait) {
          expect(api.submit_bio_wait(bio, current)).toBe(null);
          look();
          expect(same(world.memory(), memory)).toBe(true);
        }
        api.bio_release_pages(bio, wait, current);
        api.bio_put(bio);
        expect([world.live, world.pins().size]).toEqual([0, 0]);
        world.end();
      },
    ),
    { numRuns: 120 },
  );
}, 120_000);

test("plain pages: the same merging and walks, one segment each with __bio_add_page(), and no count moves", () => {
  const plain = fc.tuple(add, fc.boolean());
  fc.assert(
    fc.property(fc.array(plain, { maxLength: 20 }), fc.integer({ min: 1, max: 6 }), (adds, max) => {
      using world = new BioWorld();
      const { current, disk } = world;
      const folio = must(api.folio_alloc(current, 2));
      const single = Array.from({ length: 4 }, () => must(api.alloc_page(current)));
      const pages = [0, 1, 2, 3].map((n) => api.folio_page(folio, n));
      pages.push(...single);
      const before = world.pins();
      const model = new Model(max);
      const bio = api.bio_alloc(disk, max, "REQ_OP_WRITE");
      let at = 0;
      for (const [{ follow, page: p, offset, sectors }, joins] of adds) {
        if (!follow) at = (p % pages.length) * PAGE_SIZE + offset * 512;
        const [index, inside] = [Math.floor(at / PAGE_SIZE) % pages.length, at % PAGE_SIZE];
        const len = Math.min(sectors * 512, PAGE_SIZE - inside);
        const to = pages[index]!;
        const pfn = api.page_to_pfn(to);
        if (joins) {
          const added = api.bio_add_page(bio, to, len, inside);
          expect(added).toBe(model.add("plain", pfn, inside, len) ? len : 0);
        } else {
          const call = (): void => api.__bio_add_page(bio, to, len, inside);
          const room = model.add("plain", pfn, inside, len, false);
          expect(id_of(call)).toBe(room ? "nothing" : "bio-full");
        }
        at += len;
      }
      expect(shown(api.bio_for_each_segment_all(bio))).toEqual(model.pieces());
      expect(api.bio_for_each_bvec_all(bio)).toHaveLength(model.ranges.length);
      expect(api.submit_bio_wait(bio, current)).toBe(null);
      expect(world.pins()).toEqual(before);
      api.bio_put(bio);
      single.forEach((s) => forced(api.put_page)(s));
      api.folio_put(folio);
      world.end();
    }),
    { numRuns: 80 },
  );
}, 120_000);

test("the zero page counts nothing, merged or not", () => {
  using world = new BioWorld();
  const bio = api.bio_alloc_pinned(world.disk, 4, "REQ_OP_WRITE");
  for (const offset of [0, 512, 2048]) {
    const zero = must(api.page_to_user_page(api.ZERO_PAGE(world.current)));
    expect(api.bio_add_user_page(bio, zero, 512, offset)).toBe(true);
  }
  expect(api.bio_for_each_bvec_all(bio)).toHaveLength(2);
  api.bio_release_pages(bio, false);
  api.bio_put(bio);
  expect([world.live, world.pins().size]).toEqual([0, 0]);
  world.end();
});
test("extents that follow each other are one segment with the reference of each", () => {
  using world = new BioWorld();
  const { machine, disk } = world;
  const bio = api.bio_alloc_pinned(disk, 1, "REQ_OP_READ");
  using whole = must(api.get_user_bvec(world.current, world.buf, 64 * PAGE_SIZE, "dest"));
  const one = api.pop_user_bvec(whole)!;
  const two = must(api.split_user_bvec(one, PAGE_SIZE + 512));
  expect([api.bio_add_user_bvec(bio, one), api.bio_add_user_bvec(bio, two)]).toEqual([true, true]);
  expect(Array.from(api.bio_for_each_bvec_all(bio), ({ len }) => len)).toEqual([64 * PAGE_SIZE]);
  expect(world.live).toBe(2);
  api.bio_release_pages(bio, false);
  const { nr_user_bvec_acquired, nr_user_bvec_released } = api.vmstat(machine);
  expect([world.live, nr_user_bvec_acquired - nr_user_bvec_released]).toEqual([0, 0]);
  api.bio_put(bio);
  world.end();
});
test("the bytes of a bio have 32 bits: what would pass them is not added", () => {
  using world = new BioWorld();
  const bio = api.bio_alloc_pinned(world.disk, 256, "REQ_OP_READ");
  const state = bio as unknown as BioState;
  expect(state).toBeInstanceOf(BioState);
  const first = world.pin(0);
  expect(api.bio_add_user_page(bio, first, PAGE_SIZE, 0)).toBe(true);
  state.size = 2 ** 32 - 512; // as many as would take a million pages
  for (const [len, room] of [
    [512, false],
    [511, true],
    [1, false],
  ] as const) {
    const pin = world.pin(1);
    expect(api.bio_add_user_page(bio, pin, len, 0)).toBe(room);
    if (!room) forced(api.put_user_page)(pin);
  }
  const extent = world.extent(2, 0, 512);
  expect(api.bio_add_user_bvec(bio, extent)).toBe(false);
  forced(api.put_user_bvec)(extent);
  state.size = PAGE_SIZE + 511;
  expect(errno_of(api.submit_bio_wait(bio, world.current))).toBe("EIO"); // no whole blocks
  api.bio_release_pages(bio, false);
  api.bio_put(bio);
  world.end();
});
