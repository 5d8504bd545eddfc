/** dm_flakey(): plans that cannot be followed, the order in which delayed requests end, and many of them at once. */
import fc from "fast-check";
import * as api from "user-page";
import { expect, test } from "vitest";
import { errno_of, forced, must } from "../fixtures.js";
import { BioWorld } from "./bio_world.js";

/** A bio of the zero page that tells when it ended. */
function submit(world: BioWorld, disk: api.BlockDevice, ended: (error: string) => void): void {
  const bio = api.bio_alloc(disk, 1, "REQ_OP_WRITE");
  api.bio_add_page(bio, api.ZERO_PAGE(world.current), 4096, 0);
  api.bio_set_end_io(bio, (done) => {
    ended(api.bio_error(done)?.errno ?? "ok");
    api.bio_put(done);
  });
  api.submit_bio(bio);
}
test.each([
  ["an error that is none", () => ({ error: "FOO" })],
  ["null for an error", () => ({ error: null })],
  [
    "a getter that throws",
    () => ({
      get delay(): number {
        throw new RangeError("thrown");
      },
    }),
  ],
  [
    "another getter that throws",
    () => ({
      get hold(): boolean {
        throw new RangeError("thrown");
      },
    }),
  ],
  ["half a byte", () => ({ bytes: 0.5 })],
])("%s: the request fails once, and the RangeError is thrown where it ends", (_what, plan) => {
  using world = new BioWorld();
  const flakey = forced<api.FlakeyDisk>(api.dm_flakey)(world.disk, plan);
  const ended: string[] = [];
  submit(world, flakey, (error) => ended.push(error));
  expect(() => api.run_softirqs(world.machine)).toThrow(RangeError);
  expect([ended, flakey.in_flight, api.disk_stats(flakey).in_flight]).toEqual([["EIO"], [], 0]);
});
test("an outcome whose getters answer differently each time is asked once", () => {
  using world = new BioWorld();
  let asked = 0;
  const outcome = {
    get error(): "EIO" | undefined {
      return asked++ === 0 ? undefined : "EIO";
    },
  };
  const flakey = forced<api.FlakeyDisk>(api.dm_flakey)(world.disk, () => outcome);
  const ended: string[] = [];
  submit(world, flakey, (error) => ended.push(error));
  api.run_softirqs(world.machine);
  expect([ended, asked]).toEqual([["ok"], 1]);
});
interface Fate {
  readonly delay: number;
  readonly hold: boolean;
  /** requests that are submitted when this one ends */
  readonly more: number;
}
/** The rule in its simplest form: among those not held the first of the least delay ends, and the others wait for one less. */
function order_of(first: number, fates: readonly Fate[]): number[] {
  let flying: Array<{ nr: number; delay: number; held: boolean }> = [];
  let next = 0;
  const arrive = (n: number): void => {
    for (let i = 0; i < n && next < fates.length; i++, next++) {
      const { delay, hold } = fates[next]!;
      flying.push({ nr: next, delay, held: hold });
    }
  };
  const ended: number[] = [];
  arrive(first);
  while (flying.length > 0) {
    const ready = flying.filter(({ held }) => !held);
    const least = Math.min(...ready.map(({ delay }) => delay));
    const io = ready.find(({ delay }) => delay === least);
    if (!io) {
      Object.assign(flying[0]!, { held: false, delay: 0 });
      continue;
    }
    flying = flying.filter((other) => other !== io);
    for (const other of ready) other.delay = Math.max(0, other.delay - 1);
    ended.push(io.nr);
    arrive(fates[io.nr]!.more);
  }
  return ended;
}
test("requests end in the order that their delays say, also those that come while another ends", () => {
  const fate = fc.record({
    delay: fc.integer({ min: 0, max: 6 }),
    hold: fc.oneof(fc.constant(false), fc.constant(false), fc.boolean()),
    more: fc.integer({ min: 0, max: 3 }),
  });
  fc.assert(
    fc.property(
      fc.integer({ min: 1, max: 8 }),
      fc.array(fate, { minLength: 8, maxLength: 40 }),
      (first, fates) => {
        using world = new BioWorld();
        const flakey = api.dm_flakey(world.disk, ({ nr }) => {
          const { delay, hold } = fates[nr]!;
          return { delay, hold };
        });
        const ended: number[] = [];
        let next = 0;
        const arrive = (n: number): void => {
          for (let i = 0; i < n && next < fates.length; i++) {
            const nr = next++;
            submit(world, flakey, () => {
              ended.push(nr);
              arrive(fates[nr]!.more);
            });
          }
        };
        arrive(first);
        api.run_softirqs(world.machine);
        while (flakey.in_flight.length > 0) {
          expect(flakey.complete(flakey.in_flight[0]!.nr)).toBe(true);
          api.run_softirqs(world.machine);
        }
        expect(ended).toEqual(order_of(first, fates));
      },
    ),
    { numRuns: 60 },
  );
}, 60_000);
test("twenty thousand requests in flight: no step looks at all the others", () => {
  using world = new BioWorld();
  const n = 20_000;
  const flakey = api.dm_flakey(world.disk, ({ nr }) => ({
    delay: n - Math.min(nr, n),
    hold: nr === n || nr % 2 === 0,
  }));
  let ended = 0;
  for (let i = 0; i < n; i++) submit(world, flakey, () => ended++);
  const start = performance.now();
  api.run_softirqs(world.machine);
  expect([ended, flakey.in_flight.length]).toEqual([n / 2, n / 2]);
  for (let nr = n - 2; nr > 0; nr -= 4) flakey.complete(nr);
  expect(flakey.complete(n - 2)).toBe(false);
  api.run_softirqs(world.machine);
  expect([ended, flakey.in_flight.length]).toEqual([(n * 3) / 4, n / 4]);
  // Who waits gets the others first, one by one.
  const bio = api.bio_alloc(flakey, 1, "REQ_OP_WRITE");
  api.bio_add_page(bio, api.ZERO_PAGE(world.current), 512, 0);
  expect(api.submit_bio_wait(bio, world.current)).toBe(null);
  api.bio_put(bio);
  // A small part of a second; more than ten of them where each completion looks at all others.
  expect(performance.now() - start).toBeLessThan(5000);
  expect([ended, flakey.in_flight.length]).toEqual([n, 0]);
});
test("ten times as many completions in one run cost ten times as much", () => {
  const cost_of = (completions: number): number => {
    using world = new BioWorld();
    let ended = 0;
    for (let i = 0; i < completions; i++) submit(world, world.disk, () => ended++);
    const before = process.cpuUsage().user;
    expect(api.run_softirqs(world.machine)).toBe(completions);
    expect(ended).toBe(completions);
    return process.cpuUsage().user - before;
  };
  cost_of(1000);
  const few = cost_of(4000);
  // A hundred times, if each looked at all that wait; the rest is for other tests and the garbage collector.
  expect(cost_of(40_000) / few).toBeLessThan(50);
});
test("queue_limits_set() takes whole powers of 2 only", () => {
  using world = new BioWorld();
  const set = forced(api.queue_limits_set);
  for (const dma_alignment of [0.5, 0.25, "512", -4, 0, 3]) {
    expect(errno_of(set(world.disk, { dma_alignment }))).toBe("EINVAL");
  }
  for (const logical_block_size of ["512", "4096", 512.5, null]) {
    expect(errno_of(set(world.disk, { logical_block_size }))).toBe("EINVAL");
  }
  expect(must(set(world.disk, { dma_alignment: 1, logical_block_size: 4096 }))).toBe(null);
});
