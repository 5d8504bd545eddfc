/** Releases that carry no handle of their own: which acquisition ends, and what a report says of handles without a record. */
import * as api from "user-page";
import { PAGE_SIZE } from "user-page";
import { describe, expect, test } from "vitest";
import { SERIAL_UNIT } from "../../src/handle/tags.js";
import { MAX_DEBUG_OWNERS } from "../../src/machine/limits.js";
import { machine_state } from "../../src/machine/machine.js";
import { forced, map_anon, must, report_of } from "../fixtures.js";

function world(level: true | "owners" = "owners") {
  const machine = api.boot({ mem: 4 << 20, CONFIG_DEBUG_USER_PAGE_REFERENCES: level });
  const current = api.create_task(machine);
  const buf = map_anon(current, 8 * PAGE_SIZE);
  const pin = (page = 0) =>
    must(api.get_user_page(current, api.user_ptr_add(buf, page * PAGE_SIZE), "dest"));
  const held = () =>
    api.leaks(machine).groups.map(({ acquired_by, count }) => [acquired_by, count]);
  return { machine, current, buf, pin, held };
}
describe("unpin_user_folio() ends", () => {
  test("a pin that has no handle before one that has, however old", () => {
    const { machine, pin, held } = world();
    const [older, page] = [pin(), pin()];
    const folio = api.page_folio(page);
    api.folio_add_pin(folio);
    api.unpin_user_folio(folio, 1);
    expect(held()).toEqual([["get_user_page()", 2]]);
    api.put_user_page(older);
    api.put_user_page(page);
    api.shutdown(machine);
  });
  test("a pin, not a plain reference to the same page", () => {
    const { machine, current, buf, held, pin } = world();
    const pages: api.Page[] = [];
    expect(api.get_user_pages_fast(current, buf, 1, api.FOLL_WRITE, pages)).toBe(1);
    const page = pin();
    expect(api.page_to_pfn(page)).toBe(api.page_to_pfn(pages[0]!));
    api.unpin_user_folio(api.page_folio(page), 1);
    expect(held()).toEqual([["get_user_pages_fast()", 1]]);
    forced(api.put_page)(pages[0]);
    expect(api.shutdown(machine)).toEqual({ leaks: [], lost_pages: 0 });
  });
  test("a pin of this folio, not an older one of the page behind it", () => {
    const { machine, pin } = world();
    const pfns = Array.from({ length: 8 }, (_, i) => {
      const page = pin(i);
      const pfn = api.page_to_pfn(page) as number;
      api.put_user_page(page);
      return pfn;
    });
    const at = pfns.findIndex((pfn) => pfns.includes(pfn + 1));
    const behind = pin(pfns.indexOf(pfns[at]! + 1));
    const page = pin(at);
    api.unpin_user_folio(api.page_folio(page), 1);
    expect(report_of(() => forced(api.put_user_page)(page)).id).toBe("double-release");
    api.put_user_page(behind);
    expect(api.shutdown(machine)).toEqual({ leaks: [], lost_pages: 0 });
  });
  test("an acquisition where it was called", () => {
    const { machine, pin } = world(true);
    const page = pin();
    const same: unknown = page;
    api.unpin_user_folio(api.page_folio(page), 1);
    const last = report_of(() => forced(api.put_user_page)(same)).history.at(-1)!;
    expect(last).toMatchObject({ what: "ended", how: "released by unpin_user_folio()" });
    expect(last.at).toMatch(/^test\/debug\/by_number\.test\.ts:\d+:\d+$/);
    api.shutdown(machine);
  });
});

test("the last acquisition is another reference to the page like any, and told once", () => {
  const { machine, pin } = world();
  const [first, last] = [pin(), pin()];
  const { others } = report_of(() => forced(api.put_page)(first));
  expect(others.map(({ acquisition }) => acquisition)).toEqual([2]);
  api.put_user_page(first);
  api.put_user_page(last);
  api.shutdown(machine);
});

describe("the handle in a report", () => {
  test("is what was acquired, not what the call takes it for", () => {
    const { machine, current, pin } = world();
    const held = pin();
    const pfn = api.page_to_pfn(held) as number;
    const wrong = report_of(() => forced(api.put_page)(held));
    expect(wrong.handle).toBe(
      `pfn ${pfn}, acquisition 1: pinned user page, put_user_page() releases it`,
    );
    const page = must(api.alloc_page(current));
    expect(report_of(() => forced(api.put_user_page)(page)).handle).toMatch(
      /^pfn \d+, acquisition 2: plain page, put_page\(\) releases it$/,
    );
    api.put_page(page);
    api.put_user_page(held);
    api.shutdown(machine);
  });
  test("without a record: nobody acquired what is lent, and an old number tells no more", () => {
    const { machine, current, buf, pin } = world();
    const [held, other] = [pin(0), pin(1)];
    const number_of = (page: unknown): number => page as number;
    const lent = number_of(held) % SERIAL_UNIT;
    const of_lent = report_of(() => forced(api.put_user_page)(lent));
    expect([of_lent.id, of_lent.others, of_lent.history]).toEqual([
      "release-lent",
      [],
      [
        {
          what: "acquired",
          how: "by nobody: the handle is lent by its owner",
          context: "",
          at: "",
        },
      ],
    ]);
    expect(of_lent.handle).toContain("acquisition 0: pinned user page");
    const old = 2 * SERIAL_UNIT + lent; // the number is the other one's now
    const of_old = report_of(() => forced(api.put_user_page)(old));
    expect([of_old.id, of_old.history[0]?.how]).toEqual(["double-release", "too long ago to tell"]);
    expect(of_old.counts?.before).toMatchObject({ refcount: 1 + 1024 });
    api.put_user_page(held);
    api.put_user_page(other);
    expect(api.leaks(machine).count).toBe(0);
    api.munmap(current, buf, PAGE_SIZE)._unsafeUnwrap();
    api.shutdown(machine);
  });
});

test("level owners: contexts are told, places are not", () => {
  const { machine, current, buf } = world();
  using disk = must(api.brd_alloc(machine, 1 << 16));
  const other = api.create_task(machine);
  const theirs = must(api.get_user_page(other, map_anon(other, PAGE_SIZE), "dest"));
  const pin = must(api.get_user_page(current, buf, "dest"));
  const more = must(api.get_user_page(other, map_anon(other, PAGE_SIZE), "dest"));
  const bio = api.bio_alloc_pinned(disk, 1, "REQ_OP_READ");
  expect(api.bio_add_user_page(bio, pin, PAGE_SIZE, 0)).toBe(true);
  api.bio_set_end_io(bio, () => undefined); // who keeps it
  api.submit_bio(bio);
  api.run_softirqs(machine);
  const { leaks } = api.shutdown(machine);
  expect([theirs, more]).not.toContain(pin);
  expect(leaks.map(({ acquired_in }) => acquired_in)).toEqual(["task 2", "task 1", "task 2"]);
  expect(leaks[1]!.history.map(({ what, context, at }) => [what, context, at])).toEqual([
    ["acquired", "task 1", ""],
    ["moved", "process", ""],
    ["submitted", "process", ""],
    ["completed", "softirq", ""],
  ]);
});
test("what happened to bios is told of the last ones", () => {
  const { machine, current, buf } = world();
  using disk = must(api.brd_alloc(machine, 1 << 16));
  const pin = must(api.get_user_page(current, buf, "dest"));
  const bio = api.bio_alloc_pinned(disk, 1, "REQ_OP_READ");
  expect(api.bio_add_user_page(bio, pin, PAGE_SIZE, 0)).toBe(true);
  api.bio_set_end_io(bio, () => undefined); // who keeps it
  api.submit_bio(bio);
  const submit_more = (nr: number): void => {
    const { probe } = machine_state(machine);
    for (let i = 0; i < nr; i++) probe!.owner_is({}, "submitted", "submit_bio()");
  };
  const life = () => api.leaks(machine).groups[0]!.first.history.map(({ what }) => what);
  submit_more(MAX_DEBUG_OWNERS - 1);
  expect(life()).toEqual(["acquired", "moved", "submitted"]);
  api.run_softirqs(machine); // now it is the last one
  submit_more(MAX_DEBUG_OWNERS - 1);
  expect(life()).toEqual(["acquired", "moved", "submitted", "completed"]);
  submit_more(1);
  expect(life()).toEqual(["acquired", "moved"]);
  api.shutdown(machine);
});
