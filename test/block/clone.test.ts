/** Trees of clones and parts: each byte once, each bio ended once and after its parts, one release. */
import fc from "fast-check";
import * as api from "user-page";
import { PAGE_SIZE } from "user-page";
import { expect, test } from "vitest";
import { errno_of, forced, id_of, must } from "../fixtures.js";
import { BioWorld, bytes_of, filled, HUGE_PAGES, LIMITS, same } from "./bio_world.js";

test("cut and chained at random: every byte comes once, and the bio ends once, after all its parts", () => {
  const step = fc.record({ who: fc.nat(), at: fc.nat(), on: fc.nat() });
  fc.assert(
    fc.property(
      fc.array(step, { maxLength: 10 }),
      fc.array(fc.nat(), { maxLength: 12 }),
      fc.integer({ min: 1, max: 12 }),
      LIMITS,
      fc.integer(),
      fc.boolean(),
      (cuts, order, pages, limits, seed, plugged) => {
        using world = new BioWorld();
        const { machine, current, disk } = world;
        const flakey = api.dm_flakey(disk, api.flakey_seed(seed, { error: 0 }));
        expect(api.queue_limits_set(flakey, limits)).toBe(null);
        const bio = filled(world, flakey, "REQ_OP_READ", pages, 16, HUGE_PAGES - 4);
        const memory = world.memory();
        let at = 16 * 512;
        for (const { page, offset, len } of api.bio_for_each_segment_all(bio)) {
          for (let p = 0; p < pages; p++) {
            const pin = world.pin(HUGE_PAGES - 4 + p);
            if (api.page_to_pfn(pin) === api.page_to_pfn(page)) {
              memory.set(
                world.on_disk.subarray(at, at + len),
                (HUGE_PAGES - 4 + p) * PAGE_SIZE + offset,
              );
            }
            api.put_user_page(pin);
          }
          at += len;
        }
        // Each part remembers whom it is chained to: only what it came from, or the bio itself.
        const parts: api.OwnedBorrowingBio[] = [];
        for (const { who, at: where, on } of cuts) {
          const whole = who % 2 ? parts[who % (parts.length || 1)] : undefined;
          const front = api.bio_split(whole ?? bio, 1 + (where % 24));
          if (api.IS_ERR(front)) continue;
          api.bio_chain(front, on % 2 ? (whole ?? bio) : bio);
          parts.push(front);
        }
        let [ended, open] = [0, parts.length];
        api.bio_set_end_io(bio, (back) => {
          ended++;
          expect([open, api.bio_error(back)]).toEqual([0, null]);
          api.bio_release_pages(back, false);
          api.bio_put(back);
        });
        const all: api.HeldBio[] = [...parts, bio];
        const plug = plugged ? api.blk_start_plug(current) : null;
        for (const n of [...order, ...all.keys()]) {
          const [next] = all.splice(n % (all.length || 1), 1);
          if (!next) break;
          if (next !== bio) open--;
          api.submit_bio(next);
          if (!plugged && n % 3 === 0) api.run_softirqs(machine);
        }
        expect(ended).toBe(plugged ? 0 : ended);
        if (plug) api.blk_finish_plug(plug);
        api.run_softirqs(machine);
        expect([ended, world.live]).toEqual([1, 0]);
        expect(same(world.memory(), memory)).toBe(true);
        expect(api.disk_stats(flakey)).toMatchObject({
          in_flight: 0,
          sectors_read: bytes_of(pages) / 512,
        });
        world.end();
      },
    ),
    { numRuns: 60 },
  );
}, 60_000);

test("the first error of a tree wins, whoever ends first", () => {
  using world = new BioWorld();
  const flakey = api.dm_flakey(
    world.disk,
    ({ nr }) => [{ error: "ENOSPC", delay: 2 }, { error: "EIO" }, null][nr]! as api.FlakeyOutcome,
  );
  using bio = filled(world, flakey, "REQ_OP_READ", 3, 0);
  const [a, b] = [must(api.bio_split(bio, 2)), must(api.bio_split(bio, 2))];
  api.bio_chain(a, bio);
  api.bio_chain(b, bio);
  api.submit_bio(a);
  api.submit_bio(b);
  expect(errno_of(api.submit_bio_wait(bio, world.current))).toBe("EIO");
});
test("clones: what they are refused, and what is refused while one is under way", () => {
  using world = new BioWorld();
  using other = new BioWorld();
  const { machine, current, disk } = world;
  const bio = filled(world, disk, "REQ_OP_READ", 2, 0);
  const clone = api.bio_alloc_clone(disk, bio);
  const pin = world.pin(9);
  const page = must(api.alloc_page(current));
  expect(id_of(() => forced(api.bio_add_page)(clone, page, 512, 0))).toBe("mixed-bio");
  expect(id_of(() => forced(api.bio_add_user_page)(clone, pin, 512, 0))).toBe("mixed-bio");
  expect(forced(api.bio_try_add_page)(clone, page, 512, 0)).toBe(0);
  expect(forced(api.bio_try_add_user_page)(clone, pin, 512, 0)).toBe(false);
  expect(id_of(() => forced(api.bio_release_pages)(clone, false))).toBe("mixed-bio");
  expect(id_of(() => forced(api.bio_check_pages_dirty)(clone))).toBe("mixed-bio");
  expect(id_of(() => forced(api.bio_for_each_segment_all)(clone))).toBe("release-lent");
  expect(
    id_of(() =>
      forced(api.bio_set_end_io_pair)(
        clone,
        api.end_io_pair(() => undefined),
      ),
    ),
  ).toBe("mixed-bio");
  expect(id_of(() => api.bio_alloc_clone(other.disk, bio))).toBe("not-a-handle");
  const foreign = filled(other, other.disk, "REQ_OP_READ", 1, 0);
  expect(id_of(() => api.bio_chain(clone, foreign))).toBe("not-a-handle");
  expect(id_of(() => api.submit_bio_wait(clone, other.current))).toBe("not-a-handle");
  expect(id_of(() => api.bio_chain(clone, clone))).toBe("bio-reused");
  const second = api.bio_alloc_clone(disk, clone);
  api.bio_chain(second, clone);
  expect(id_of(() => api.bio_chain(clone, second))).toBe("bio-reused"); // each would wait for the other
  expect(id_of(() => api.bio_chain(second, bio))).toBe("bio-reused");
  expect(id_of(() => api.bio_set_end_io(second, () => undefined))).toBe("bio-reused");
  expect(id_of(() => api.submit_bio_wait(second, current))).toBe("bio-reused");
  api.submit_bio(second);
  for (const release of [
    () => forced(api.bio_release_pages)(bio, false),
    () => forced(api.bio_check_pages_dirty)(bio),
    () => forced(api.bio_put)(bio),
    () => bio[Symbol.dispose](),
  ]) {
    expect(["clone-in-flight", "bio-put-with-pins"]).toContain(id_of(release));
  }
  expect(world.live).toBe(3);
  expect(api.submit_bio_wait(clone, current)).toBe(null);
  api.bio_put(clone);
  const late = api.bio_alloc_clone(disk, bio);
  api.bio_release_pages(bio, false);
  expect(id_of(() => api.submit_bio(late))).toBe("use-after-release");
  expect(id_of(() => forced(api.bio_for_each_segment_all)(bio))).toBe("use-after-release");
  api.bio_put(bio);
  forced(api.put_user_page)(pin);
  api.put_page(page);
  expect([world.live, api.run_softirqs(machine)]).toEqual([0, 0]);
  foreign[Symbol.dispose]();
});
test("a plain bio is not put while a clone uses its table of segments", () => {
  using world = new BioWorld();
  const bio = api.bio_alloc(world.disk, 1, "REQ_OP_WRITE");
  api.bio_add_page(bio, api.ZERO_PAGE(world.current), 512, 0);
  api.submit_bio(api.bio_alloc_clone(world.disk, bio));
  expect(id_of(() => api.bio_put(bio))).toBe("clone-in-flight");
  api.run_softirqs(world.machine);
  forced(api.bio_put)(bio);
});
test("who waits for what a kworker submits gets it; what nobody submits is a hung task", () => {
  using world = new BioWorld();
  const bio = filled(world, world.disk, "REQ_OP_READ", 2, 0);
  const front = must(api.bio_split(bio, 1));
  api.bio_chain(front, bio);
  api.schedule_work(world.current, () => api.submit_bio(front));
  expect(api.submit_bio_wait(bio, world.current)).toBe(null);
  api.bio_release_pages(bio, false);
  const next = filled(world, world.disk, "REQ_OP_READ", 2, 0);
  const left = must(api.bio_split(next, 1));
  api.bio_chain(left, next);
  expect(id_of(() => api.submit_bio_wait(next, world.current))).toBe("hung-task");
  api.submit_bio(left);
  api.run_softirqs(world.machine);
  forced(api.bio_release_pages)(next, false);
  expect(world.live).toBe(0);
});
test("bio_split() answers EINVAL for what is no front, and changes nothing", () => {
  using world = new BioWorld();
  using bio = filled(world, world.disk, "REQ_OP_READ", 1, 0);
  for (const sectors of [0, -1, 4, 5, 1.5, NaN, Infinity]) {
    expect(errno_of(api.bio_split(bio, sectors))).toBe("EINVAL");
  }
  expect(api.submit_bio_wait(bio, world.current)).toBe(null);
});
