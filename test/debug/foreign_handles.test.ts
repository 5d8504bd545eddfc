/** What a report leaves alone: records of other acquisitions, and counts that the call does not change. */
import * as api from "user-page";
import { describe, expect, test } from "vitest";
import { SERIAL_UNIT } from "../../src/handle/tags.js";
import { forced, map_anon, must, report_of } from "../fixtures.js";

function bench(panic_on_warn: boolean) {
  const machine = api.boot({
    mem: 4 << 20,
    CONFIG_DEBUG_USER_PAGE_REFERENCES: true,
    panic_on_warn,
  });
  const current = api.create_task(machine);
  const buf = map_anon(current, 4 * 4096);
  const pin = (page: number, dir: api.Dir = "dest") =>
    must(api.get_user_page(current, api.user_ptr_add(buf, page * 4096), dir));
  return { machine, current, buf, pin };
}
const number_of = (page: unknown): number => page as number;
/** The page of one handle with the number of another's acquisition: an old handle, whose number was used again. */
function mixed(page: unknown, acquisition: unknown): number {
  const serial = Math.floor(number_of(acquisition) / SERIAL_UNIT);
  return serial * SERIAL_UNIT + (number_of(page) % SERIAL_UNIT);
}
const ids = (machine: api.Machine): string[] => api.misuse_reports(machine).map(({ id }) => id);
describe("a number that was used again", () => {
  test("a release with it is a second one, and does not end the other acquisition", () => {
    const { machine, pin } = bench(false);
    const [old, other] = [pin(0), pin(1)];
    forced(api.put_user_page)(mixed(old, other));
    expect(ids(machine)).toEqual(["double-release"]);
    api.put_user_page(other); // its own, and so not reported
    expect(ids(machine)).toEqual(["double-release"]);
    expect(api.shutdown(machine).leaks).toHaveLength(1); // the old one, which nobody ended
  });
  test("a move with it does not move the other acquisition", () => {
    const { machine, pin } = bench(false);
    const [old, other] = [pin(0), pin(1)];
    const disk = must(api.brd_alloc(machine, 1 << 16));
    const bio = api.bio_alloc_pinned(disk, 4, "REQ_OP_WRITE");
    forced(api.bio_add_user_page)(bio, mixed(old, other), 512, 0);
    const reported = ids(machine).length;
    expect(reported).toBeGreaterThan(0);
    api.put_user_page(other);
    expect(ids(machine)).toHaveLength(reported);
  });
});

test("a plain page that was put, added to a bio of pins: told as both, and not moved", () => {
  const { machine, current } = bench(false);
  const disk = must(api.brd_alloc(machine, 1 << 16));
  const page = must(api.alloc_page(current));
  const keep = api.get_page(page); // so that the page is not freed
  const same: unknown = page;
  api.put_page(page);
  const bio = api.bio_alloc_pinned(disk, 4, "REQ_OP_WRITE");
  forced(api.bio_add_user_page)(bio, same, 512, 0);
  expect(new Set(ids(machine))).toEqual(new Set(["use-after-release", "page-to-put_user_page"]));
  expect(api.leaks(machine).groups.map(({ acquired_by }) => acquired_by)).toEqual(["get_page()"]);
  api.put_page(keep);
});

describe("counts in a report", () => {
  test("of a release show what it would leave; a use leaves them as they are", () => {
    const { pin } = bench(true);
    const [held, other] = [pin(0), pin(0)];
    api.put_user_page(held);
    const second = report_of(() => forced(api.put_user_page)(held));
    expect(second.counts).toMatchObject({ before: { refcount: 1025 }, after: { refcount: 1 } });
    const used = report_of(() => forced(api.memcpy_to_page)(held, 0, new Uint8Array(1)));
    expect([used.id, used.counts?.after]).toEqual(["use-after-release", null]);
    api.put_user_page(other);
  });
  test("1024 that are left still look pinned", () => {
    const { current, buf, pin } = bench(true);
    const [held] = [pin(0), pin(0)];
    const third = pin(0);
    api.munmap(current, buf, 4096)._unsafeUnwrap(); // only the pins keep the page
    api.put_user_page(held);
    const { counts } = report_of(() => forced(api.put_user_page)(held));
    expect(counts?.before).toMatchObject({ refcount: 2048, maybe_pinned: true });
    expect(counts?.after).toMatchObject({ refcount: 1024, maybe_pinned: true });
    api.put_user_page(third);
  });
  test("of a write through a pin for reading, and of a move, have no after", () => {
    const { machine, pin } = bench(true);
    const held = pin(0, "source");
    const wrote = report_of(() => forced(api.memcpy_to_page)(held, 0, new Uint8Array(1)));
    expect([wrote.id, wrote.counts?.after]).toEqual(["wrong-direction", null]);
    const disk = must(api.brd_alloc(machine, 1 << 16));
    const page = must(api.alloc_page(api.create_task(machine)));
    const bio = api.bio_alloc_pinned(disk, 4, "REQ_OP_WRITE");
    const moved = report_of(() => forced(api.bio_add_user_page)(bio, page, 512, 0));
    expect([moved.id, moved.counts?.after]).toEqual(["page-to-put_user_page", null]);
  });
  test("a release by number that finds none left is reported once, with the counts", () => {
    const { machine, pin } = bench(false);
    const held = pin(0);
    api.unpin_user_folio(api.page_folio(held), 5);
    expect(ids(machine)).toEqual(["double-release"]);
    const [report] = api.misuse_reports(machine);
    expect(report?.counts?.before).toMatchObject({ refcount: 1025, maybe_pinned: true });
  });
});
