/** When the pages of a bio may be let go of, and how: later in a kworker, dirtied, or by nobody. */
import * as api from "user-page";
import { PAGE_SIZE } from "user-page";
import { expect, test } from "vitest";
import { page_flags, PG_dirty } from "../../src/machine/arena.js";
import { boot_for_test, debug_mode, forced, id_of, map_anon, must } from "../fixtures.js";
import { BioWorld, filled, head, SMALL_PAGES, HUGE_PAGES } from "./bio_world.js";

test("pages that wait for a kworker to release them are released as far as clones are concerned", () => {
  using world = new BioWorld();
  const flakey = api.dm_flakey(world.disk, () => ({ hold: true }));
  const pin = world.pin(HUGE_PAGES);
  const at = head(api.page_to_pfn(pin));
  page_flags[at] = page_flags[at]! & ~PG_dirty;
  const bio = api.bio_alloc_pinned(world.disk, 1, "REQ_OP_READ");
  expect(api.bio_add_user_page(bio, pin, PAGE_SIZE, 0)).toBe(true);
  const clone = api.bio_alloc_clone(flakey, bio);
  expect(api.submit_bio_wait(bio, world.current)).toBe(null);
  forced(api.bio_check_pages_dirty)(bio);
  expect(world.live).toBe(1); // a kworker is going to dirty and unpin it
  expect(id_of(() => forced(api.submit_bio)(clone))).toBe("use-after-release");
  expect(flakey.in_flight).toEqual([]);
  expect(api.flush_work(world.machine)).toBe(1);
  expect([world.live, page_flags[at] & PG_dirty]).toEqual([0, PG_dirty]);
  api.bio_put(clone);
  world.end();
});
test("pages that a WRITE read from are not marked as written", () => {
  using world = new BioWorld();
  using bio = filled(world, world.disk, "REQ_OP_WRITE", 1, 0);
  expect(api.submit_bio_wait(bio, world.current)).toBe(null);
  expect(id_of(() => forced(api.bio_release_pages)(bio, true, world.current))).toBe(
    "wrong-direction",
  );
  expect(id_of(() => forced(api.bio_check_pages_dirty)(bio))).toBe("wrong-direction");
  expect(world.live).toBe(1);
  api.bio_release_pages(bio, false);
  expect(world.live).toBe(0);
});
test("debug mode: the end of a pinned bio that has no end_io is a leak; without debug mode nobody says so", () => {
  using world = new BioWorld();
  const { machine } = world;
  const plain = api.bio_alloc(world.disk, 1, "REQ_OP_READ", 64);
  const empty = api.bio_alloc_pinned(world.disk, 1, "REQ_OP_READ");
  api.submit_bio(filled(world, world.disk, "REQ_OP_READ", 2, 0));
  api.submit_bio(plain); // nothing to release
  api.submit_bio(empty);
  expect(id_of(() => api.run_softirqs(machine))).toBe(debug_mode ? "leak" : "nothing");
  expect(world.live).toBe(2);
  // Who waits has the bio back, and no end_io is asked for.
  using bio = filled(world, world.disk, "REQ_OP_READ", 1, 0, SMALL_PAGES);
  expect(api.submit_bio_wait(bio, world.current)).toBe(null);
});
test("debug mode: a machine that goes on records that leak, with the place of the pin", () => {
  using machine = boot_for_test({ mem: 8 << 20, panic_on_warn: false });
  const current = api.create_task(machine);
  const buf = map_anon(current, PAGE_SIZE);
  using disk = must(api.brd_alloc(machine, 1 << 16));
  const bio = api.bio_alloc_pinned(disk, 1, "REQ_OP_READ");
  const pin = must(api.get_user_page(current, buf, "dest"));
  if (!api.bio_add_user_page(bio, pin, 512, 0)) expect.fail("full");
  api.submit_bio(bio);
  expect(api.run_softirqs(machine)).toBe(1);
  const [report] = api.misuse_reports(machine);
  if (!debug_mode) {
    expect(report).toBe(undefined);
    return;
  }
  expect(report).toMatchObject({ id: "leak", called: "submit_bio()" });
  expect(report!.history.map(({ what }) => what)).toEqual([
    "acquired",
    "moved",
    "submitted",
    "completed",
  ]);
  expect(report!.history[0]!.at).toMatch(/release\.test\.ts:60/);
});
