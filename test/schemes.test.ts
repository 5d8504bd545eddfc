/** Four ways to count pins: what docs/accounting.md claims of each.  Its tables are in compilers/schemes.test.ts. */
import {
  folio_maybe_dma_pinned,
  get_page,
  page_folio,
  page_ref_count,
  put_page,
  shutdown,
  vmstat,
  type Page,
} from "user-page";
import { beforeAll, describe, expect, test } from "vitest";
import { cost_of, cost_of_another, overflow_of, release_by_page } from "../schemes/cost.js";
import { BIAS, EXTENTS, MAPCOUNT, SCHEMES, SEPARATE } from "../schemes/index.js";
import { replay, type Replay } from "../schemes/run.js";
import { Counters, no_cost, type Scheme, type SchemeOf } from "../schemes/scheme.js";
import { all_do_io, workload } from "../schemes/workload.js";
import { head_of, World, type Area, type Folio } from "../schemes/world.js";

const MIB = 1 << 20;
interface Bench {
  readonly world: World;
  readonly scheme: Scheme;
  readonly area: Area;
  readonly folio: Folio;
}
/** One folio, and nothing left of it behind. */
function on(of: SchemeOf, size: 1 | 512, run: (bench: Bench) => void): void {
  const world = new World(32 << 20);
  const area = world.open(size, size);
  run({ world, scheme: of.over(world), area, folio: { area, first: 0 } });
  world.close(area);
  expect(shutdown(world.machine).lost_pages).toBe(0);
}
const names = (schemes: readonly SchemeOf[]): string[] => schemes.map(({ name }) => name);

describe.each([1, 2])("workload %i", (seed) => {
  const events = workload(seed, 600);
  const all = new Map<SchemeOf, Replay>();
  const io = new Map<SchemeOf, Replay>();
  beforeAll(() => {
    for (const of of SCHEMES) {
      all.set(of, replay(of, events));
      io.set(of, replay(of, all_do_io(events)));
    }
  });
  test("has every kind of event", () => {
    expect(new Set(events.map(({ op }) => op)).size).toBe(12);
  });
  test.each(SCHEMES)("$name: nothing is refused, and every page comes back", (of) => {
    expect(all.get(of)).toMatchObject({ refused: 0, lost_pages: 0 });
  });
  test.each(SCHEMES)("$name overlooks no pin while nothing changes", (of) => {
    const { pinned, page } = all.get(of)!.score;
    expect([pinned.false_no, page.false_no]).toEqual([0, 0]);
    expect(pinned.asked).toBeGreaterThan(500);
  });
  test("only the mapcount overlooks pins while entries change", () => {
    const wrong = SCHEMES.filter((of) => io.get(of)!.score.raced.false_no > 0);
    expect(names(wrong)).toEqual(["mapcount"]);
  });
  test("only those with a counter of their own are right of every folio", () => {
    const right = SCHEMES.filter((of) => io.get(of)!.score.pinned.false_yes === 0);
    expect(names(right)).toEqual(["separate counter", "mapcount"]);
  });
  test("they take callers that do no I/O for pins, the others do not", () => {
    for (const of of SCHEMES) {
      const more = all.get(of)!.score.pinned.false_yes - io.get(of)!.score.pinned.false_yes;
      expect(more > 0, of.name).toBe(!of.on_the_machine);
    }
  });
  test("only the mapcount knows which page of a folio, and only it freezes what is pinned", () => {
    const which = SCHEMES.filter((of) => io.get(of)!.score.page.false_yes === 0);
    expect(names(which)).toEqual(["mapcount"]);
    const freezes = SCHEMES.filter((of) => io.get(of)!.score.frozen.false_yes > 0);
    expect(names(freezes)).toEqual(["mapcount"]);
    for (const of of SCHEMES) expect(io.get(of)!.score.frozen.false_no).toBe(0);
  });
  test("pages and holders of a huge page: each counts one of them", () => {
    for (const of of SCHEMES) {
      const { pages, holders } = io.get(of)!.score;
      expect([of.name, pages.none > 0, holders.none > 0]).toEqual([
        of.name,
        of === EXTENTS,
        of !== EXTENTS,
      ]);
    }
  });
  test("nobody tells writers from readers", () => {
    for (const of of SCHEMES) {
      const { written, pinned } = io.get(of)!.score;
      expect(written.false_yes).toBeGreaterThan(pinned.false_yes);
    }
  });
});
test("a workload is decided by its seed", () => {
  expect(workload(7, 300)).toEqual(workload(7, 300));
  expect(workload(7, 300)).not.toEqual(workload(8, 300));
});

describe("wrong answers are counted", () => {
  const lying = (answer: boolean): SchemeOf => ({
    ...BIAS,
    over: (world) => {
      const scheme = BIAS.over(world);
      scheme.is_pinned = () => answer;
      return scheme;
    },
  });
  const events = workload(4, 300);
  test("a scheme that always says no overlooks pins", () => {
    const { pinned } = replay(lying(false), events).score;
    expect(pinned.false_no).toBeGreaterThan(0);
    expect(pinned.false_yes).toBe(0);
  });
  test("one that always says yes does not, and is wrong for all others", () => {
    const { pinned } = replay(lying(true), events).score;
    const honest = replay(lying(false), events).score.pinned;
    expect(pinned.false_no).toBe(0);
    expect(pinned.false_yes + honest.false_no).toBe(pinned.asked);
  });
});

describe("the bias", () => {
  test.each([BIAS, EXTENTS])(
    "$name: 1024 plain references look like a pin, on a small page",
    (of) => {
      on(of, 1, ({ scheme, folio }) => {
        const page = head_of(folio);
        const more: Page[] = [];
        while (page_ref_count(page) < 1023) more.push(get_page(page));
        expect(scheme.is_pinned(folio)).toBe(false);
        more.push(get_page(page));
        expect(scheme.is_pinned(folio)).toBe(true);
        expect(scheme.counted(folio)).toEqual({ pages: 1, holders: 1 });
        for (const one of more) put_page(one);
      });
    },
  );
  test.each(SCHEMES)("$name: not on a huge one", (of) => {
    on(of, 512, ({ scheme, folio }) => {
      const more = Array.from({ length: 5000 }, () => get_page(head_of(folio)));
      expect(scheme.is_pinned(folio)).toBe(false);
      for (const one of more) put_page(one);
    });
  });
  test("2^21 pins of a small page are accepted, whoever counts pages or extents; the sign keeps them pins", () => {
    for (const of of [BIAS, EXTENTS]) {
      const overflow = { accepted: 2 ** 21, refused: true, still_pinned: true, recovers: true };
      expect(overflow_of(of)).toEqual(overflow);
    }
  });
  test("a counter of 32 bits holds a thousand times as many", () => {
    for (const of of [SEPARATE, MAPCOUNT]) {
      const { accepted, ...rest } = overflow_of(of);
      expect(accepted).toBeGreaterThan(2 ** 31 - 8);
      expect(rest).toEqual({ refused: true, still_pinned: true, recovers: true });
    }
  });
});

describe("the separate counter", () => {
  test("the first user takes one reference, the last drops it", () => {
    on(SEPARATE, 512, ({ scheme, area, folio }) => {
      const before = page_ref_count(head_of(folio));
      const count = (): number => page_ref_count(head_of(folio)) - before;
      scheme.pin(1, { area, first: 0, nr: 512 }, "dest", false);
      scheme.pin(2, { area, first: 100, nr: 7 }, "source", false);
      expect(count()).toBe(1);
      expect(scheme.counted(folio)).toEqual({ pages: 519, holders: null });
      scheme.unpin(1);
      expect([count(), scheme.is_pinned(folio)]).toEqual([1, true]);
      scheme.unpin(2);
      expect([count(), scheme.is_pinned(folio)]).toEqual([0, false]);
    });
  });
  test("a second user costs one atomic more than the first", () => {
    expect(cost_of_another(SEPARATE)).toEqual({ acquire: 3, release: 1 });
    expect(cost_of_another(BIAS)).toEqual({ acquire: 2, release: 2 });
  });
  test("its counters wrap as the kernel's do", () => {
    const counters = new Counters(10, 2, no_cost());
    counters.fetch_add(11, 0x7fffffff);
    expect(counters.fetch_add(11, 1)).toBe(0x7fffffff);
    expect(counters.at(11)).toBe(-(2 ** 31));
    expect(() => counters.at(12)).toThrow(RangeError);
  });
});

describe("the mapcount", () => {
  const pin = { first: 0, nr: 1 };
  test.each([0, 1, 2])(
    "a mapping that goes after the walk passed %i hides a pin iff it was counted",
    (at) => {
      on(MAPCOUNT, 1, ({ world, scheme, area, folio }) => {
        world.map(area);
        scheme.pin(1, { area, ...pin }, "dest", false);
        const run = (): void => world.unmap(area, 1);
        expect(scheme.is_pinned(folio, { at, run })).toBe(at < 2);
        expect(scheme.is_pinned(folio)).toBe(true);
        scheme.unpin(1);
      });
    },
  );
  test("a mapping that comes behind the walk looks like a pin", () => {
    on(MAPCOUNT, 1, ({ world, scheme, area, folio }) => {
      expect(scheme.is_pinned(folio, { at: 1, run: () => world.map(area) })).toBe(true);
      expect(scheme.is_pinned(folio)).toBe(false);
    });
  });
  test.each(SCHEMES)("$name: whether the count of a pinned page can be frozen", (of) => {
    on(of, 1, ({ world, scheme, area, folio }) => {
      const may_freeze = (): boolean => world.may_freeze(folio, scheme.mapcount(folio));
      expect(may_freeze()).toBe(true);
      scheme.pin(1, { area, ...pin }, "dest", false);
      expect(may_freeze()).toBe(of === MAPCOUNT);
      scheme.unpin(1);
      expect(may_freeze()).toBe(true);
    });
  });
  test("to ask it reads every entry", () => {
    expect(cost_of(MAPCOUNT, 2 * MIB, 512, 4).loads).toBe(512 * (4 + 1));
    expect(cost_of(MAPCOUNT, 2 * MIB, 512, 1).loads).toBe(512 * (1 + 1));
    for (const of of [BIAS, SEPARATE, EXTENTS]) expect(cost_of(of, 2 * MIB, 512, 4).loads).toBe(1);
  });
});

describe("extents", () => {
  test("one reference for an extent, however many pages", () => {
    for (const nr of [1, 2, 100, 512]) {
      on(EXTENTS, 512, ({ world, scheme, area, folio }) => {
        const before = page_ref_count(head_of(folio));
        const { nr_foll_pin_acquired } = vmstat(world.machine);
        scheme.pin(1, { area, first: 0, nr }, "dest", false);
        expect(page_ref_count(head_of(folio)) - before).toBe(1);
        expect(vmstat(world.machine).nr_foll_pin_acquired - nr_foll_pin_acquired).toBe(1);
        expect(scheme.cost).toMatchObject({ handles: 1, atomics: 2 });
        expect(scheme.counted(folio)).toEqual({ pages: null, holders: 1 });
        scheme.unpin(1);
        expect(folio_maybe_dma_pinned(page_folio(head_of(folio)))).toBe(false);
      });
    }
  });
  test("of small pages there are as many as pages, and they cost what pages cost", () => {
    expect(cost_of(EXTENTS, 2 * MIB, 1)).toEqual(cost_of(BIAS, 2 * MIB, 1));
  });
  test("the atomics of whole ranges are those of the bias; the handles are not", () => {
    const [bias, extents] = [BIAS, EXTENTS].map((of) => cost_of(of, 4 * MIB, 512));
    expect([extents!.acquire, extents!.release]).toEqual([bias!.acquire, bias!.release]);
    expect([bias!.handles, extents!.handles]).toEqual([1024, 2]);
    expect([bias!.added, extents!.added]).toEqual([512, 1]);
  });
  test("released page by page each must be cut off first, which costs as much again", () => {
    expect([BIAS, EXTENTS].map(release_by_page)).toEqual([2 * 512, 4 * 512 - 2]);
  });
  test("a part is released by a cut, and the rest stays pinned", () => {
    on(EXTENTS, 512, ({ scheme, area, folio }) => {
      const before = page_ref_count(head_of(folio));
      scheme.pin(1, { area, first: 3, nr: 50 }, "dest", true);
      scheme.unpin_front(1, 20);
      expect(page_ref_count(head_of(folio)) - before).toBe(1);
      scheme.unpin(1);
      expect(page_ref_count(head_of(folio))).toBe(before);
    });
  });
});
