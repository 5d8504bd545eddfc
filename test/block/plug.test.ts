/** Plugs: whose they are. */
import * as api from "user-page";
import { expect, test } from "vitest";
import { must } from "../fixtures.js";
import { BioWorld, filled } from "./bio_world.js";

test("a plug belongs to the task: what a kworker submits meanwhile goes to the disk", () => {
  using world = new BioWorld();
  using plug = api.blk_start_plug(world.current);
  using bio = filled(world, world.disk, "REQ_OP_READ", 2, 0);
  const front = must(api.bio_split(bio, 1));
  api.bio_chain(front, bio);
  api.schedule_work(world.current, () => api.submit_bio(front));
  expect(api.submit_bio_wait(bio, world.current)).toBe(null);
  void plug;
});
test("a kworker has a plug of its own: its bios are merged, the task's are left alone", () => {
  using world = new BioWorld();
  const { machine, current, disk } = world;
  const before = api.disk_stats(disk);
  const read = (sector: number): void => {
    const bio = filled(world, disk, "REQ_OP_READ", 1, sector, sector);
    api.bio_set_end_io(bio, (ended) => {
      api.bio_release_pages(ended, false);
      api.bio_put(ended);
    });
    api.submit_bio(bio);
  };
  const reads = (): number[] => {
    const { reads, reads_merged } = api.disk_stats(disk);
    return [reads - before.reads, reads_merged - before.reads_merged];
  };
  const plug = api.blk_start_plug(current);
  read(0);
  api.schedule_work(current, (kworker) => {
    const own = api.blk_start_plug(kworker);
    read(4);
    read(8);
    expect(reads()).toEqual([0, 0]);
    api.blk_finish_plug(own);
    expect(reads()).toEqual([1, 1]); // not sector 0, which they would follow
  });
  expect(api.flush_work(machine)).toBe(1);
  read(4);
  expect([...reads(), world.live]).toEqual([1, 1, 2]);
  api.blk_finish_plug(plug);
  api.run_softirqs(machine);
  expect([...reads(), world.live]).toEqual([2, 2, 0]);
});
