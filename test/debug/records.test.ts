/** The records of acquisitions: what each column keeps, what a turn of the numbers forgets, and when there is no room. */
import * as api from "user-page";
import { beforeEach, describe, expect, test } from "vitest";
import { DEST, ENDED, HELD, MOVED, Records } from "../../src/debug/records.js";
import { MAX_ENDED_SITES, MAX_RECORDS } from "../../src/machine/limits.js";
import { machine_state } from "../../src/machine/machine.js";
import { map_anon, must } from "../fixtures.js";

test("an acquisition without room for its record counts nothing", () => {
  using machine = api.boot({ mem: 4 << 20, CONFIG_DEBUG_USER_PAGE_REFERENCES: "owners" });
  const current = api.create_task(machine);
  const buf = map_anon(current, 4096);
  const first = must(api.get_user_page(current, buf, "dest"));
  const { probe } = machine_state(machine);
  const room = MAX_RECORDS - 2;
  for (let i = 0; i < room; i++) probe!.acquired("page", 0, "test", {});
  const count = api.page_ref_count(first);
  expect(() => api.get_user_page(current, buf, "dest")).toThrow(RangeError);
  expect(() => api.pin_user_pages_fast(current, buf, 1, "dest")).toThrow(RangeError);
  expect(() => api.get_user_bvec(current, buf, 4096, "dest")).toThrow(RangeError);
  expect(() => api.get_user_pages_fast(current, buf, 1, 0, [])).toThrow(RangeError);
  expect(api.page_ref_count(first)).toBe(count);
  expect(api.vmstat(machine).nr_foll_pin_acquired).toBe(1);
});

describe("records", () => {
  let records: Records;
  beforeEach(() => {
    records = new Records();
  });
  const context = (name: string): number => records.contexts.id(name);
  const take = (addr = 64, by = "get_page()"): number =>
    records.add("page", addr, by, false, context("task 1"));
  /** Takes and ends that many. */
  function pass(nr: number): void {
    for (let i = 0; i < nr; i++) records.end(take(), "put_page()", 0);
  }
  /** How many more may be held. */
  function room(): number {
    let [fits, not] = [0, MAX_RECORDS];
    while (not - fits > 1) {
      const nr = (fits + not) >> 1;
      try {
        records.reserve(nr);
        fits = nr;
      } catch (error) {
        if (!(error instanceof RangeError)) throw error;
        not = nr;
      }
    }
    return fits;
  }
  const life = (serial: number) => ({
    ...{ state: records.state(serial), kind: records.kind(serial), addr: records.addr[serial] },
    by: [records.acquired_by(serial), records.moved_by(serial), records.ended_by(serial)],
    in: [records.acquired_in(serial), records.moved_in(serial), records.ended_in(serial)],
    ...{ owner: records.owner(serial), holder: records.object_of(serial) },
    ...{ pages: records.nr_pages(serial), dest: (records.meta[serial]! & DEST) !== 0 },
  });

  test("held, moved, ended: each step leaves what was known", () => {
    const other = take(128);
    const serial = records.add("bvec", 640, "get_user_bvec()", true, context("task 7"));
    const held = {
      ...{ state: HELD, kind: "bvec", addr: 640, by: ["get_user_bvec()", "", ""] },
      ...{ in: ["task 7", "", ""], owner: 0, holder: 0, pages: 1, dest: true },
    };
    expect(life(serial)).toEqual(held);
    records.set_pages(serial, 512);
    records.set_holder(serial, 9);
    records.move(serial, "bio_add_user_bvec()", context("process"), 33);
    const moved = {
      ...{ ...held, state: MOVED, by: ["get_user_bvec()", "bio_add_user_bvec()", ""] },
      ...{ in: ["task 7", "process", ""], owner: 33, holder: 33, pages: 512 },
    };
    expect(life(serial)).toEqual(moved);
    records.end(serial, "bio_release_pages()", context("softirq"));
    const ended = {
      ...{ ...moved, state: ENDED, holder: 0 },
      by: ["get_user_bvec()", "bio_add_user_bvec()", "bio_release_pages()"],
      in: ["task 7", "process", "softirq"],
    };
    expect(life(serial)).toEqual(ended);
    expect(life(other)).toMatchObject({ state: HELD, addr: 128, by: ["get_page()", "", ""] });
  });
  test("calls and kinds one after another are told apart, whatever the last one was", () => {
    const all = [
      records.add("page", 64, "a()", false, 0),
      records.add("page", 64, "b()", false, 0),
      records.add("folio", 64, "b()", true, 0),
      records.add("folio", 64, "b()", false, 0),
      records.add("user_page", 64, "a()", true, 0),
    ];
    const told = all.map(life).map(({ kind, by, dest }) => [kind, by[0], dest]);
    expect(told).toEqual([
      ["page", "a()", false],
      ["page", "b()", false],
      ["folio", "b()", true],
      ["folio", "b()", false],
      ["user_page", "a()", true],
    ]);
  });
  test("columns that grow keep what they had", () => {
    const nr = 5000;
    for (let i = 1; i <= nr; i++) {
      const serial = records.add("user_page", i * 64, `call ${i % 5}`, i % 2 === 0, i % 11);
      records.set_owner(serial, i + 1);
      records.set_holder(serial, i + 2);
      records.set_pages(serial, i + 3);
      if (i % 3 === 0) records.move(serial, "move", i % 7, i + 4);
    }
    expect([records.last, records.size]).toEqual([nr, 8192]);
    for (let i = 1; i <= nr; i++) {
      expect(records.is_of(i, i * 64 + 5)).toBe(true);
      const moved = i % 3 === 0;
      const { state, by, owner, holder, pages, dest } = life(i);
      expect([state, by[0], by[1]]).toEqual([
        moved ? MOVED : HELD,
        `call ${i % 5}`,
        moved ? "move" : "",
      ]);
      expect([owner, holder, pages, dest]).toEqual([
        moved ? i + 4 : i + 1,
        moved ? i + 4 : i + 2,
        i + 3,
        i % 2 === 0,
      ]);
    }
  });
  test("a handle is of a record by number and page: not of another, and of none that there is not", () => {
    const serial = take(640);
    expect(records.is_of(serial, 640 + 7)).toBe(true);
    expect(records.is_of(serial, 704)).toBe(false);
    for (const none of [0, -1, serial + 1, records.size]) {
      expect(records.is_of(none, none === serial + 1 ? 640 : 0)).toBe(false);
    }
  });
  test("room: what is held or moved takes it, and its end gives it back once", () => {
    expect(room()).toBe(MAX_RECORDS - 1);
    const [a, b] = [take(), take()];
    expect(room()).toBe(MAX_RECORDS - 3);
    records.move(a, "move", 0, 1);
    expect(room()).toBe(MAX_RECORDS - 3);
    records.end(a, "put", 0);
    records.end(a, "put", 0);
    expect(room()).toBe(MAX_RECORDS - 2);
    records.end(b, "put", 0);
    expect(room()).toBe(MAX_RECORDS - 1);
    expect(() => records.reserve(MAX_RECORDS)).toThrow(`more than ${MAX_RECORDS - 1} references`);
  });
  test("a turn passes over what has not ended, and what it comes to again begins anew", () => {
    const [held, moved, ended] = [take(), take(), take(640)];
    records.move(moved, "move", 0, 5);
    records.move(ended, "move", context("process"), 6);
    records.set_holder(ended, 7);
    records.set_pages(ended, 8);
    records.set_site(ended, { stack: "acquired" });
    records.set_site(held, { stack: "held" });
    records.end(ended, "end", context("softirq"));
    records.set_ended_site(ended, { stack: "ended" });
    pass(MAX_RECORDS - 1 - ended);
    expect([records.last, records.size]).toEqual([MAX_RECORDS - 1, MAX_RECORDS]);
    expect([held, moved, MAX_RECORDS - 1].map((serial) => records.age(serial))).toEqual([
      MAX_RECORDS - 2,
      MAX_RECORDS - 3,
      0,
    ]);
    const again = take(128, "again()");
    expect(again).toBe(ended);
    expect(life(again)).toEqual({
      ...{ state: HELD, kind: "page", addr: 128, by: ["again()", "", ""], in: ["task 1", "", ""] },
      ...{ owner: 0, holder: 0, pages: 1, dest: false },
    });
    expect([records.site(again), records.ended_site(again)]).toEqual([undefined, undefined]);
    expect([life(held).state, life(moved).state, life(moved).owner]).toEqual([HELD, MOVED, 5]);
    expect(records.site(held)).toEqual({ stack: "held" });
    expect([records.age(again), records.age(MAX_RECORDS - 1)]).toEqual([0, again]);
  });
  test("places of a move are forgotten when the number is used again", () => {
    const moved = take();
    records.move(moved, "move", 0, 1, { stack: "moved" });
    expect(records.moved_site(moved)).toEqual({ stack: "moved" });
    records.end(moved, "end", 0);
    expect(records.moved_site(moved)).toEqual({ stack: "moved" });
    pass(MAX_RECORDS - 1 - moved);
    expect(take()).toBe(moved);
    expect(records.moved_site(moved)).toBe(undefined);
  });
  test("places of the last ended ones are kept, those of older ones are not", () => {
    const [first, second] = [take(), take()];
    for (const serial of [first, second]) {
      records.set_site(serial, { stack: "acquired" });
      records.move(serial, "move", 0, 1, { stack: "moved" });
      records.end(serial, "end", 0);
      records.set_ended_site(serial, { stack: "ended" });
    }
    const places = (serial: number) =>
      [records.site(serial), records.moved_site(serial), records.ended_site(serial)].map(
        (site) => site?.stack,
      );
    const known = ["acquired", "moved", "ended"];
    const end_more = (nr: number): void => {
      for (let i = 0; i < nr; i++) {
        const serial = take();
        records.end(serial, "end", 0);
        records.set_ended_site(serial, { stack: "more" });
      }
    };
    end_more(MAX_ENDED_SITES - 2);
    expect([first, second].map(places)).toEqual([known, known]);
    end_more(1);
    expect([first, second].map(places)).toEqual([[undefined, undefined, undefined], known]);
    end_more(1);
    expect(places(second)).toEqual([undefined, undefined, undefined]);
    expect(places(records.last)[2]).toBe("more");
  });
  test("an old place goes, that of the acquisition which has the number since stays", () => {
    const serial = take();
    records.end(serial, "end", 0);
    records.set_ended_site(serial, { stack: "ended" });
    pass(MAX_RECORDS - 1 - serial);
    expect(take()).toBe(serial);
    records.set_site(serial, { stack: "again" });
    for (let i = 1; i <= MAX_ENDED_SITES; i++) records.set_ended_site(serial + i, { stack: "x" });
    expect(records.site(serial)).toEqual({ stack: "again" });
    // One that ends a second time is in the ring twice, and keeps its place while it is there.
    for (let i = 0; i < MAX_ENDED_SITES; i++) records.set_ended_site(2, { stack: "y" });
    records.set_ended_site(2, { stack: "z" });
    expect(records.ended_site(2)).toEqual({ stack: "z" });
  });
});
