/** Requests that fail or are held back. */
import * as api from "user-page";
import { describe, expect, test } from "vitest";
import { fill_pattern, map_anon, must } from "../fixtures.js";
import { LEN, P, ends, of, world } from "./failing_world.js";

describe("fail_make_request", () => {
  test("EIO in softirq context, nothing transferred, and the next request is fine", () => {
    const w = world("fail_make_request@2");
    const disk = must(api.brd_alloc(w.machine, LEN));
    const wrote = fill_pattern(w.current, w.buf, LEN);
    const answers: unknown[] = [];
    for (let i = 0; i < 3; i++) {
      const bio = api.bio_alloc_pinned(disk, 1, "REQ_OP_WRITE", i * 8);
      const at = api.user_ptr_add(w.buf, i * P);
      const page = must(api.get_user_page(w.current, at, api.ITER_SOURCE));
      api.bio_add_user_page(bio, page, P, 0);
      api.bio_set_end_io(bio, (ended) => {
        answers.push(api.bio_error(ended)?.errno ?? null);
        api.bio_release_pages(ended, false);
        api.bio_put(ended);
      });
      api.submit_bio(bio);
      expect(answers).toEqual([]);
    }
    expect(api.run_softirqs(w.machine)).toBe(3);
    expect(answers).toEqual([null, "EIO", null]);
    expect(api.disk_stats(disk).writes).toBe(2);
    const read = map_anon(w.current, LEN);
    expect(of(api.direct_io(w.current, disk, "REQ_OP_READ", read, LEN, 0))).toBe(LEN);
    const now = new Uint8Array(3 * P);
    api.copy_from_user(w.current, now, read)._unsafeUnwrap();
    const expected = wrote.slice(0, 3 * P).fill(0, P, 2 * P);
    expect(Buffer.compare(now, expected)).toBe(0);
    expect(ends(w)).toEqual(["submit_bio()"]);
  });
  test("the call that waits tells it", () => {
    const w = world("fail_make_request@1");
    const disk = must(api.brd_alloc(w.machine, LEN));
    expect(of(api.direct_io(w.current, disk, "REQ_OP_READ", w.buf, LEN, 0))).toBe("EIO");
    expect(of(api.direct_io(w.current, disk, "REQ_OP_READ", w.buf, LEN, 0))).toBe(LEN);
    expect(ends(w)).toEqual(["submit_bio()"]);
  });
});

describe("delay_completion", () => {
  function order(inject: string, wait: (machine: api.Machine, bios: readonly Wait[]) => unknown) {
    const w = world(inject);
    const disk = must(api.brd_alloc(w.machine, LEN));
    const ended: number[] = [];
    const waits = [0, 1, 2, 3].map((nr) => () => {
      const bio = api.bio_alloc(disk, 1, "REQ_OP_READ", nr * 8);
      api.bio_add_page(bio, page, 512, 0);
      return { bio, nr };
    });
    const page = must(api.alloc_page(w.current));
    const start = (nr: number): void => {
      const { bio } = waits[nr]!();
      api.bio_set_end_io(bio, (done) => {
        ended.push(nr);
        api.bio_put(done);
      });
      api.submit_bio(bio);
    };
    const waited = (nr: number): void => {
      const { bio } = waits[nr]!();
      expect(api.submit_bio_wait(bio, w.current)).toBeNull();
      ended.push(nr);
      api.bio_put(bio);
    };
    for (const nr of [0, 1, 2]) start(nr);
    wait(w.machine, [() => waited(3)]);
    const seen = [...ended];
    api.flush_work(w.machine);
    api.put_page(page);
    expect(ended.toSorted()).toEqual(seen.includes(3) ? [0, 1, 2, 3] : [0, 1, 2]);
    expect(ends(w)).toEqual(inject === "" ? [] : ["blk_mq_start_request()"]);
    return seen;
  }
  type Wait = () => void;
  test.each([
    ["", [0, 1, 2]],
    ["delay_completion@1", [1, 2, 0]],
    ["delay_completion@1:1", [1, 2, 0]],
    ["delay_completion@1:2", [1, 2, 0]],
    ["delay_completion@2", [0, 2, 1]],
    ["delay_completion@2:99", [0, 2, 1]],
  ])("%j: run_softirqs() and flush_work() end all of them, as %j", (inject, expected) => {
    expect(order(inject, (machine) => api.run_softirqs(machine))).toEqual(expected);
    expect(order(inject, (machine) => api.flush_work(machine))).toEqual(expected);
  });
  test("a wait for another one does not end it", () => {
    const wait = (_: api.Machine, [waited]: readonly Wait[]) => waited!();
    expect(order("", wait)).toEqual([0, 1, 2, 3]);
    expect(order("delay_completion@2", wait)).toEqual([0, 2, 3]);
    expect(order("delay_completion@2:2", wait)).toEqual([0, 2, 1, 3]);
    expect(order("delay_completion@2:9", wait)).toEqual([0, 2, 3]);
  });
  test("a wait for it does", () => {
    const wait = (_: api.Machine, [waited]: readonly Wait[]) => waited!();
    expect(order("delay_completion@4", wait)).toEqual([0, 1, 2, 3]);
  });
  test("two that are held go in their order", () => {
    const w = world("delay_completion@1,delay_completion@2");
    const disk = must(api.brd_alloc(w.machine, LEN));
    const read = () => of(api.direct_io(w.current, disk, "REQ_OP_READ", w.buf, LEN, 0));
    expect([read(), read()]).toEqual([LEN, LEN]);
    expect(ends(w)).toEqual(["blk_mq_start_request()", "blk_mq_start_request()"]);
  });
});
