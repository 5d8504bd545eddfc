/** What debug mode says, and what it does not change. */
import * as api from "user-page";
import { PAGE_SIZE, type MachineOptions } from "user-page";
import { describe, expect, test } from "vitest";
import { MAX_ENDED_SITES, MAX_RECORDS } from "../../src/machine/limits.js";
import { boot_plain, forced, map_anon, must, report_of } from "../fixtures.js";

const HERE = String.raw`test/debug/ledger\.test\.ts:\d+:\d+`;
function bench(level: boolean | api.DebugLevel = true, options: MachineOptions = {}) {
  const machine = api.boot({ mem: 8 << 20, ...options, CONFIG_DEBUG_USER_PAGE_REFERENCES: level });
  const current = api.create_task(machine);
  return { machine, current, buf: map_anon(current, 8 * PAGE_SIZE) };
}
test("a report names the handle, who acquired and ended it where, the counts, and what to call", () => {
  const { machine, current, buf } = bench();
  const pin = must(api.get_user_page(current, buf, "dest"));
  const report = report_of(() => forced(api.put_page)(pin));
  expect(report.id).toBe("pin-to-put_page");
  expect(api.format_report(report)).toMatch(
    new RegExp(
      `put_page\\(\\)[^]*acquired +by get_user_page\\(\\) in task \\d+ at ${HERE}[^]*called +in process at ${HERE}` +
        "[^]*refcount 1025[^]*instead +put_user_page",
    ),
  );
  expect(api.page_ref_count(pin)).toBe(1025);
  const same: unknown = pin;
  api.put_user_page(pin);
  const twice = api.format_report(report_of(() => forced(api.put_user_page)(same)));
  expect(twice).toMatch(new RegExp(`ended +released by put_user_page\\(\\) in process at ${HERE}`));
  machine[Symbol.dispose]();
});
test("a second release is noticed though somebody else has pinned the page since", () => {
  const { machine, current, buf } = bench();
  const pin = must(api.get_user_page(current, buf, "dest"));
  const same: unknown = pin;
  api.put_user_page(pin);
  const other = must(api.get_user_page(current, buf, "dest"));
  expect(report_of(() => forced(api.put_user_page)(same)).id).toBe("double-release");
  expect(report_of(() => forced(api.page_ref_count)(same)).id).toBe("use-after-release");
  expect(report_of(() => forced(api.put_user_pages)([same])).id).toBe("double-release");
  expect(api.page_ref_count(other)).toBe(1025);
  api.put_user_page(other);
  expect(api.shutdown(machine)).toEqual({ leaks: [], lost_pages: 0 });
});
test("owners: pages of vaddr_pin_pages() go with their token only", () => {
  const { machine, current, buf } = bench();
  const [mine, yours] = [new api.VaddrPin("file 1"), new api.VaddrPin("file 2")];
  const pages = must(api.all_or_none(api.vaddr_pin_pages(current, buf, 3, "dest", mine)));
  expect(report_of(() => forced(api.vaddr_unpin_pages)(pages, yours)).id).toBe("wrong-owner");
  expect(report_of(() => forced(api.put_user_pages)(pages)).id).toBe("wrong-owner");
  expect(report_of(() => forced(api.put_user_page)(pages[0])).id).toBe("wrong-owner");
  expect([mine.outstanding, yours.outstanding]).toEqual([3, 0]);
  api.vaddr_unpin_pages(pages, mine);
  expect([mine.outstanding, api.shutdown(machine).leaks.length]).toEqual([0, 0]);
});
test("directions: writing through a pin for reading", () => {
  const { machine, current, buf } = bench();
  const pin = must(api.get_user_page(current, buf, "source"));
  const id = report_of(() => forced(api.memcpy_to_page)(pin, 0, new Uint8Array(1))).id;
  expect(id).toBe("wrong-direction");
  api.put_user_page(pin);
  machine[Symbol.dispose]();
});
test("leaks are listed at shutdown, with the place", () => {
  const { machine, current, buf } = bench();
  must(api.get_user_page(current, buf, "dest"));
  must(api.get_user_bvec(current, api.user_ptr_add(buf, PAGE_SIZE), 8192, "dest"));
  must(api.alloc_page(current));
  const { leaks, lost_pages } = api.shutdown(machine);
  expect(leaks.map(({ kind, acquired_by }) => `${kind} ${acquired_by}`)).toEqual([
    "user_page get_user_page()",
    "bvec get_user_bvec()",
    "bvec get_user_bvec()",
    "page alloc_page()",
  ]);
  for (const leak of leaks) expect(leak.acquired_at).toMatch(new RegExp(`^${HERE}$`));
  expect(lost_pages).toBe(4);
});
test("panic_on_warn: false goes on as Linux would, and records", () => {
  const { machine, current, buf } = bench(true, { panic_on_warn: false });
  const plain = boot_plain({ mem: 8 << 20 });
  const task = api.create_task(plain);
  const counts = [
    [current, buf],
    [task, map_anon(task, PAGE_SIZE)],
  ].map(([context, at]) => {
    const t = context as api.Task;
    const pin = must(api.get_user_page(t, at as api.UserAddr, "dest"));
    const keep = must(api.get_user_page(t, at as api.UserAddr, "dest"));
    forced(api.put_page)(pin);
    return api.page_ref_count(keep);
  });
  expect(counts).toEqual([2048, 2048]);
  expect(api.misuse_reports(machine).map(({ id }) => id)).toEqual(["pin-to-put_page"]);
  expect(api.dmesg(machine).join()).toContain("pin-to-put_page");
  expect(api.misuse_reports(plain)).toEqual([]);
});
describe("levels", () => {
  test.each([
    ["tags", false, false],
    ["owners", true, false],
    [true, true, true],
  ] as const)("%s: identity %s, places %s", (level, identity, places) => {
    const { machine, current, buf } = bench(level);
    const pin = must(api.get_user_page(current, buf, "dest"));
    const keep = must(api.get_user_page(current, buf, "dest"));
    const wrong = report_of(() => forced(api.put_page)(pin));
    expect(wrong.history.map(({ at }) => new RegExp(HERE).test(at))).toEqual(
      identity ? [places] : [],
    );
    expect(wrong.called_at).toMatch(new RegExp(HERE)); // known at every level
    const same: unknown = pin;
    api.put_user_page(pin);
    const again = (): unknown => forced(api.put_user_page)(same);
    if (identity) expect(report_of(again).id).toBe("double-release");
    else again(); // the other pin is gone now
    expect(api.page_ref_count(keep)).toBe(identity ? 1025 : 1);
    machine[Symbol.dispose]();
  });
});
describe("numbers of acquisitions are used again", () => {
  test("what ended long ago is still known to have ended, without its place", () => {
    const { machine, current, buf } = bench();
    const first = must(api.get_user_page(current, buf, "dest"));
    const same: unknown = first;
    api.put_user_page(first);
    for (let i = 0; i <= MAX_ENDED_SITES; i++) {
      api.put_user_page(must(api.get_user_page(current, buf, "dest")));
    }
    const report = report_of(() => forced(api.put_user_page)(same));
    expect(report.id).toBe("double-release");
    expect(report.history.map(({ what, at }) => [what, at])).toEqual([
      ["acquired", ""],
      ["ended", ""],
    ]);
    machine[Symbol.dispose]();
  }, 60_000);
  test("held and moved ones keep theirs through a whole turn; too many at once are refused", () => {
    const { machine, current, buf } = bench("owners");
    using disk = must(api.brd_alloc(machine, 4096));
    const held = must(api.all_or_none(api.pin_user_pages_fast(current, buf, 2, "dest")));
    const bio = api.bio_alloc_pinned(disk, 1, "REQ_OP_READ");
    using list = must(api.get_user_bvec(current, buf, 4096, "dest"));
    api.bio_add_user_bvecs(bio, list);
    const page = must(api.alloc_page(current));
    for (let i = 0; i < MAX_RECORDS; i++) api.put_page(api.get_page(page));
    api.unpin_user_folio(api.page_folio(held[0]!), 1);
    expect(report_of(() => forced(api.put_user_page)(held[0])).id).toBe("double-release");
    api.bio_release_pages(bio, false);
    api.bio_put(bio);
    forced(api.put_user_page)(held[1]);
    expect(() => {
      for (let i = 0; i < MAX_RECORDS; i++) api.get_page(page);
    }).toThrow(RangeError);
    machine[Symbol.dispose]();
  }, 60_000);
});
test("a loop that unpins the folio of each pin ends them in order", () => {
  const { machine, current } = bench(true, { mem: 16 << 20 });
  const buf = map_anon(current, 2 << 20);
  expect(api.madvise(current, buf, 2 << 20, api.MADV_HUGEPAGE).isOk()).toBe(true);
  const pages = must(api.all_or_none(api.pin_user_pages_fast(current, buf, 8, "dest")));
  // Each page is looked at before its turn: none is ended early.
  for (const page of pages) api.unpin_user_folio(api.page_folio(page), 1);
  pages.length = 0;
  expect(api.shutdown(machine)).toEqual({ leaks: [], lost_pages: 0 });
});
