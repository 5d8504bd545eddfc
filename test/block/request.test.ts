/** What disks do with bios: limits, plugs, failures and delays; whatever it is, each bio ends once and lets go once. */
import fc from "fast-check";
import * as api from "user-page";
import { PAGE_SIZE } from "user-page";
import { expect, test } from "vitest";
import { debug_mode, errno_of, must } from "../fixtures.js";
import { BioWorld, bytes_of, filled, HUGE_PAGES, LIMITS, same } from "./bio_world.js";

test("random bios on a failing disk: each ends once, its pins go once, and what is said to be written is", () => {
  const io = fc.record({
    pages: fc.integer({ min: 1, max: 8 }),
    run: fc.boolean(),
    plug: fc.boolean(),
  });
  fc.assert(
    fc.property(
      fc.array(io, { minLength: 1, maxLength: 10 }),
      fc.integer(),
      LIMITS,
      (ios, seed, limits) => {
        using world = new BioWorld();
        const { machine, current, disk } = world;
        const drawn = api.flakey_seed(seed, { error: 0.2, partial: 0.3, delay: 0.5 });
        let [asked, held] = [0, 0];
        const flakey = api.dm_flakey(disk, (request) => {
          expect(request.nr).toBe(asked++);
          const hold = (asked * 7 + seed) % 5 === 0;
          if (hold) held++;
          return { ...drawn(request), hold };
        });
        api.queue_limits_set(flakey, limits);
        const memory = world.memory();
        const done: number[] = [];
        let sector = 0;
        const expected = world.on_disk.slice();
        const unsure: Array<[number, number]> = [];
        ios.forEach(({ pages, run, plug }, nr) => {
          using _ = plug ? api.blk_start_plug(current) : null;
          const bio = filled(world, flakey, "REQ_OP_WRITE", pages, sector, nr * 8);
          const [from, bytes] = [sector * 512, bytes_of(pages)];
          const data = new Uint8Array(bytes);
          for (let i = 0, to = 0; i < pages; i++) {
            const [len, offset] = i % 3 === 2 ? [PAGE_SIZE, 0] : [PAGE_SIZE / 2, (i % 2) * 1024];
            const source = (nr * 8 + i) * PAGE_SIZE + offset;
            data.set(memory.subarray(source, source + len), to);
            to += len;
          }
          api.bio_set_end_io(bio, (ended) => {
            done.push(nr);
            if (api.bio_error(ended)) {
              unsure.push([from, bytes]);
            } else expected.set(data, from);
            api.bio_release_pages(ended, false);
            api.bio_put(ended);
          });
          api.submit_bio(bio);
          sector += bytes / 512;
          if (run) api.run_softirqs(machine);
        });
        api.run_softirqs(machine);
        expect(flakey.in_flight.length).toBe(held);
        for (let i = flakey.in_flight.length; i > 0; i--) {
          const { nr } = flakey.in_flight[(seed >>> 3) % flakey.in_flight.length]!;
          expect([flakey.complete(nr), flakey.complete(nr)]).toEqual([true, false]);
          api.run_softirqs(machine);
        }
        expect(done.sort((a, b) => a - b)).toEqual(ios.map((_, nr) => nr));
        expect([world.live, api.disk_stats(flakey).in_flight]).toEqual([0, 0]);
        const now = world.read_disk();
        for (const [from, bytes] of unsure) expected.set(now.subarray(from, from + bytes), from);
        expect(same(now, expected)).toBe(true);
        world.end();
      },
    ),
    { numRuns: 60 },
  );
}, 60_000);

test("the same seed draws the same plan", () => {
  const plan_of = (seed: number): string => {
    const plan = api.flakey_seed(seed);
    return JSON.stringify(
      Array.from({ length: 50 }, (_, nr) =>
        plan({ nr, op: "REQ_OP_READ", sector: 0, bytes_left: 65536 }),
      ),
    );
  };
  expect(plan_of(7)).toBe(plan_of(7));
  expect(plan_of(7)).not.toBe(plan_of(8));
});
test("limits count: requests of a bio that is too large, in sectors and in segments", () => {
  using world = new BioWorld();
  const { disk, current } = world;
  const requests = (limits: Partial<api.QueueLimits>): number => {
    const flakey = api.dm_flakey(disk, () => null);
    api.queue_limits_set(flakey, limits);
    using bio = filled(world, flakey, "REQ_OP_READ", 6, 0); // four halves and two wholes, in five runs
    expect(api.submit_bio_wait(bio, current)).toBe(null);
    return api.disk_stats(flakey).reads;
  };
  expect(requests({})).toBe(1);
  expect(requests({ max_sectors: 8 })).toBe(4);
  expect(requests({ max_sectors: 7 })).toBe(5);
  expect(requests({ max_segments: 1 })).toBe(6);
  expect(requests({ max_segments: 2 })).toBe(3);
});
test("a bio that the disk cannot take whole is refused before anything of it is transferred", () => {
  using world = new BioWorld();
  const { disk, current } = world;
  api.queue_limits_set(disk, { max_sectors: 4 });
  const before = world.read_disk();
  for (const [sector, pages] of [
    [2044, 3],
    [2048, 1],
  ] as const) {
    using bio = filled(world, disk, "REQ_OP_WRITE", pages, sector);
    expect(errno_of(api.submit_bio_wait(bio, current))).toBe("EIO");
  }
  api.queue_limits_set(disk, { max_sectors: Infinity, logical_block_size: 4096 });
  using unaligned = filled(world, disk, "REQ_OP_WRITE", 2, 4);
  expect(errno_of(api.submit_bio_wait(unaligned, current))).toBe("EIO");
  using half = filled(world, disk, "REQ_OP_WRITE", 1, 8);
  expect(errno_of(api.submit_bio_wait(half, current))).toBe("EIO");
  expect(same(world.read_disk(), before)).toBe(true);
});
test("a plug joins what follows, of one kind and op; each ends by its own end_io, with its own error", () => {
  using world = new BioWorld();
  const { machine, current, disk } = world;
  const flakey = api.dm_flakey(disk, ({ nr }) => (nr === 0 ? { error: "EIO", bytes: 2048 } : null));
  const page = must(api.alloc_page(current));
  const ends: string[] = [];
  const submit = (
    name: string,
    sector: number,
    plain = false,
    op: api.Op = "REQ_OP_WRITE",
  ): void => {
    const note = (bio: api.BioBackFromDevice): void => {
      ends.push(`${name} ${api.bio_error(bio)?.errno ?? "ok"}`);
    };
    if (plain) {
      const bio = api.bio_alloc(flakey, 1, op, sector);
      api.bio_add_page(bio, page, 2048, 0);
      api.bio_set_end_io(bio, (b) => {
        note(b);
        api.bio_put(b);
      });
      api.submit_bio(bio);
      return;
    }
    const bio = filled(world, flakey, op, 1, sector);
    api.bio_set_end_io(bio, (b) => {
      note(b);
      api.bio_release_pages(b, false);
      api.bio_put(b);
    });
    api.submit_bio(bio);
  };
  const plug = api.blk_start_plug(current);
  submit("second", 4);
  submit("first", 0); // before it
  submit("third", 8);
  submit("plain", 12, true); // of the other kind
  submit("read", 12, false, "REQ_OP_READ");
  submit("far", 100);
  {
    using _inner = api.blk_start_plug(current);
  }
  expect([api.run_softirqs(machine), ends]).toEqual([0, []]);
  api.blk_finish_plug(plug);
  api.run_softirqs(machine);
  expect(ends).toEqual(["first ok", "second EIO", "third EIO", "plain ok", "read ok", "far ok"]);
  expect(api.disk_stats(flakey)).toMatchObject({
    writes: 3,
    writes_merged: 2,
    reads: 1,
    reads_merged: 0,
    in_flight: 0,
  });
  using again = api.blk_start_plug(current);
  submit("collected", 0);
  using waited = filled(world, flakey, "REQ_OP_READ", 1, 4);
  expect(api.submit_bio_wait(waited, current)).toBe(null);
  expect(ends.at(-1)).toBe("collected ok");
  api.put_page(page);
  expect(world.live).toBe(1);
  api.blk_finish_plug(again);
});
test("what an end_io throws ends no other bio of its request, and comes out", () => {
  using world = new BioWorld();
  const { machine, current, disk } = world;
  let ended = 0;
  {
    using _ = api.blk_start_plug(current);
    for (const sector of [0, 4, 8]) {
      const bio = filled(world, disk, "REQ_OP_READ", 1, sector);
      api.bio_set_end_io(bio, (back) => {
        ended++;
        api.bio_release_pages(back, false);
        api.bio_put(back);
        if (sector < 8) throw new RangeError(`at ${sector}`);
      });
      api.submit_bio(bio);
    }
  }
  expect(() => api.run_softirqs(machine)).toThrow(/at 0/);
  expect([ended, world.live, api.disk_stats(disk).in_flight]).toEqual([3, 0, 0]);
});

test("what the plan says happens: order, errors with and without bytes, steps, holding", () => {
  using world = new BioWorld();
  const { machine, disk } = world;
  const fates: Array<api.FlakeyOutcome | null> = [
    { delay: 2 },
    { error: "EIO" },
    { bytes: 1024 },
    { error: "ENOSPC", bytes: 2048 },
    { hold: true },
    null,
  ];
  const flakey = api.dm_flakey(disk, ({ nr }) => fates[nr]!);
  const ends: string[] = [];
  fates.forEach((_, nr) => {
    const bio = filled(world, flakey, "REQ_OP_READ", 1, nr * 8, nr);
    api.bio_set_end_io(bio, (back) => {
      ends.push(`${nr} ${api.bio_error(back)?.errno ?? "ok"}`);
      api.bio_release_pages(back, false);
      api.bio_put(back);
    });
    api.submit_bio(bio);
  });
  const before = world.memory();
  expect(flakey.in_flight.map(({ nr, bytes_left }) => [nr, bytes_left])).toEqual(
    fates.map((_, nr) => [nr, 2048]),
  );
  api.run_softirqs(machine);
  expect(ends).toEqual(["1 EIO", "2 ok", "0 ok", "3 ENOSPC", "5 ok"]);
  const after = world.memory();
  const page = (of: Uint8Array, n: number): Uint8Array => of.subarray(n * 4096, n * 4096 + 2048);
  expect(same(page(after, 1), page(before, 1))).toBe(true);
  expect(same(page(after, 3), world.on_disk.subarray(3 * 4096, 3 * 4096 + 2048))).toBe(true);
  expect(flakey.in_flight).toEqual([{ nr: 4, op: "REQ_OP_READ", sector: 32, bytes_left: 2048 }]);
  expect([flakey.complete(5), flakey.complete(4), world.live]).toEqual([false, true, 1]);
  api.run_softirqs(machine);
  expect([ends.at(-1), world.live]).toEqual(["4 ok", 0]);
});
test("a plan that cannot be followed fails its request and no other, and is told", () => {
  using world = new BioWorld();
  const { machine, current, disk } = world;
  const fates = [{ bytes: 100 }, { delay: NaN }, { delay: -1 }, "throws", null] as const;
  const flakey = api.dm_flakey(disk, ({ nr }) => {
    const fate = fates[nr];
    if (fate === "throws") throw new TypeError("own");
    return fate!;
  });
  const ends: unknown[] = [];
  const plug = api.blk_start_plug(current);
  fates.forEach((_, nr) => {
    const bio = filled(world, flakey, "REQ_OP_READ", 1, nr * 8, nr);
    api.bio_set_end_io(bio, (back) => {
      ends[nr] = api.bio_error(back)?.errno ?? "ok";
      api.bio_release_pages(back, false);
      api.bio_put(back);
    });
    api.submit_bio(bio);
  });
  api.blk_finish_plug(plug);
  expect(() => api.run_softirqs(machine)).toThrow(/transfers 100 bytes/);
  expect([ends, world.live]).toEqual([["EIO", "EIO", "EIO", "EIO", "ok"], 0]);
});
test("the disk below closes: what comes after fails; a flakey disk that closes fails what it held", () => {
  using world = new BioWorld();
  const { current, disk, machine } = world;
  const flakey = api.dm_flakey(disk, () => ({ hold: true }));
  using one = filled(world, flakey, "REQ_OP_READ", 1, 0);
  expect(api.submit_bio_wait(one, current)).toBe(null);
  const errors: unknown[] = [];
  for (const close of [disk, flakey]) {
    const bio = filled(world, flakey, "REQ_OP_READ", 1, 0);
    api.bio_set_end_io(bio, (back) => {
      errors.push(api.bio_error(back)?.errno);
      api.bio_release_pages(back, false);
      api.bio_put(back);
    });
    api.submit_bio(bio);
    close[Symbol.dispose]();
    expect(flakey.complete(flakey.in_flight[0]!.nr)).toBe(true);
    api.run_softirqs(machine);
  }
  expect([errors, world.live]).toEqual([["EIO", "EIO"], 1]); // that of the first
});
test("what is held at the end of the machine is a leak, which debug mode lists", () => {
  const world = new BioWorld();
  const flakey = api.dm_flakey(world.disk, () => ({ hold: true }));
  api.submit_bio(filled(world, flakey, "REQ_OP_READ", 4, 0, HUGE_PAGES));
  const { leaks, lost_pages } = api.shutdown(world.machine);
  expect(leaks.map(({ kind }) => kind)).toEqual(debug_mode ? Array(4).fill("user_page") : []);
  expect(lost_pages).toBe(4);
});
