/** The life of a reference in a report and in a list of leaks: its steps, and the other references to its pages. */
import * as api from "user-page";
import { PAGE_SIZE, PMD_SIZE } from "user-page";
import { expect, test } from "vitest";
import { forced, map_anon, must, report_of } from "../fixtures.js";

function world(level: true | "owners" = "owners") {
  const machine = api.boot({
    mem: 16 << 20,
    CONFIG_DEBUG_USER_PAGE_REFERENCES: level,
    panic_on_warn: false,
  });
  const current = api.create_task(machine);
  const buf = map_anon(current, PMD_SIZE);
  api.madvise(current, buf, PMD_SIZE, api.MADV_HUGEPAGE)._unsafeUnwrap();
  const at = (page: number) => api.user_ptr_add(buf, page * PAGE_SIZE);
  const pin = (page: number) => must(api.get_user_page(current, at(page), "dest"));
  const extent = (page: number, nr: number) => {
    using list = must(api.get_user_bvec(current, at(page), nr * PAGE_SIZE, "dest"));
    return api.pop_user_bvec(list)!;
  };
  /** The others in the report of a release by the wrong call. */
  const others_of = (held: unknown): number[] => {
    forced(api.put_page)(held);
    return api
      .misuse_reports(machine)
      .at(-1)!
      .others.map(({ acquisition }) => acquisition);
  };
  return { machine, current, buf, pin, extent, others_of };
}

test("others are references to the same pages: an extent has several, and ends before the next", () => {
  const { pin, extent, others_of, machine } = world();
  const around = [1, 2, 5, 6].map(pin); // acquisitions 1 to 4
  extent(2, 4); // acquisition 5: pages 2 to 5
  const inside = pin(4); // acquisition 6
  expect(others_of(inside)).toEqual([5]);
  expect(others_of(around[0])).toEqual([3, 4, 5, 6]); // of the folio, as nothing else is of the page
  expect(others_of(around[1])).toEqual([5]);
  expect(others_of(around[2])).toEqual([5]);
  expect(others_of(around[3])).toEqual([2, 3, 5, 6]);
  api.shutdown(machine);
});
test("others of an extent, from its first page to its last", () => {
  const { machine, pin, extent } = world(true);
  for (const page of [1, 2, 5, 6]) pin(page);
  const held: unknown = extent(2, 4);
  forced(api.put_user_bvec)(held);
  const { others, history } = report_of(() => forced(api.put_user_bvec)(held));
  expect(others.map(({ acquisition }) => acquisition)).toEqual([2, 3]);
  expect(history.map(({ how }) => how)).toEqual([
    "by get_user_bvec()",
    "released by put_user_bvec()",
  ]);
  api.shutdown(machine);
});
test("of many others the last four are told, oldest first, held and ended ones", () => {
  const { machine, pin, others_of } = world();
  const held = pin(0);
  const more = Array.from({ length: 6 }, () => pin(0)); // acquisitions 2 to 7
  api.put_user_page(more[4]!);
  expect(others_of(held)).toEqual([4, 5, 6, 7]);
  const [report] = api.misuse_reports(machine);
  expect(report!.others.map(({ is, history }) => [is, history.length])).toEqual([
    ["pinned user page, put_user_page() releases it", 1],
    ["pinned user page, put_user_page() releases it", 1],
    ["pinned user page, put_user_page() releases it", 2],
    ["pinned user page, put_user_page() releases it", 1],
  ]);
  api.shutdown(machine);
});
test("a call that the table does not name ends a reference by its own name", () => {
  const { machine, current, buf } = world();
  const owner = new api.VaddrPin("file 1");
  const pages = must(api.all_or_none(api.vaddr_pin_pages(current, buf, 1, "dest", owner)));
  const again: unknown = pages[0];
  api.vaddr_unpin_pages_dirty_lock(pages, owner, true, current);
  forced(api.put_user_page)(again);
  const [report] = api.misuse_reports(machine);
  expect(report!.history).toEqual([
    { what: "acquired", how: "by vaddr_pin_pages()", context: "task 1", at: "" },
    { what: "ended", how: "by vaddr_unpin_pages_dirty_lock()", context: "process", at: "" },
  ]);
  api.shutdown(machine);
});
test("what is held, oldest first, with all that is known of each", () => {
  const { machine, current, pin, extent } = world(true);
  using disk = must(api.brd_alloc(machine, 1 << 16));
  const gone = pin(0);
  const moved = pin(1);
  extent(2, 3);
  must(api.folio_alloc(current, 2));
  api.put_user_page(gone);
  const bio = api.bio_alloc_pinned(disk, 1, "REQ_OP_READ");
  expect(api.bio_add_user_page(bio, moved, PAGE_SIZE, 0)).toBe(true);
  api.submit_bio(bio);
  api.run_softirqs(machine);
  const { leaks } = api.shutdown(machine);
  expect(
    leaks.map(({ kind, acquisition, acquired_by, acquired_in, bytes, age, dropped, history }) => [
      ...[kind, acquisition, acquired_by, acquired_in, bytes / PAGE_SIZE, age, dropped],
      history.map(({ what }) => what).join(),
    ]),
  ).toEqual([
    ...[["user_page", 2, "get_user_page()", "task 1", 1, 2, false]].map((row) => [
      ...row,
      "acquired,moved,submitted,completed",
    ]),
    ["bvec", 3, "get_user_bvec()", "task 1", 3, 1, false, "acquired"],
    ["folio", 4, "folio_alloc()", "task 1", 4, 0, false, "acquired"],
  ]);
  const places = leaks.flatMap(({ history }) => history.map(({ what, at }) => [what, at]));
  for (const [what, at] of places) {
    if (what === "completed") expect(at).toBe("");
    else expect(at).toMatch(/^test\/debug\/history\.test\.ts:\d+:\d+$/);
  }
  for (const { handle, pfn } of leaks) expect((handle % 2 ** 32) >>> 6).toBe(pfn);
});
