/** Drivers with one mistake each, and their right twins: what is found, and where. */
import { ok, type Result } from "neverthrow";
import * as api from "user-page";
import {
  format_injection,
  inject_each,
  type Driver,
  type DriverWorld,
  type InjectionOptions,
} from "user-page";
import { describe, expect, test } from "vitest";
import { forced } from "../fixtures.js";
import { PAGE_FAULTS, ALL_FINE, FILE, LEN, P, arrived, found, reads, world } from "./mistakes.js";

describe("one mistake", () => {
  test("none: everything is fine", () => {
    const report = inject_each(reads("none"), { world, verify: arrived });
    expect(format_injection(report)).toMatch(ALL_FINE);
    expect(report.repeated).toBe(0);
    expect(report.asked).toMatchObject({ fail_page_alloc: 9, kill_wait: 8, short_pin: 1 });
    const outcomes = report.runs.map(({ spec, outcome, errno }) => [spec, outcome, errno]);
    expect(outcomes).toContainEqual(["fail_page_alloc@1", "error", "ENOMEM"]);
    expect(outcomes).toContainEqual(["short_pin@1:4", "error", null]);
    expect(outcomes).toContainEqual(["fail_make_request@1", "error", "EIO"]);
    expect(outcomes).toContainEqual(["kill_wait@1", "error", "EAGAIN"]);
    expect(outcomes).toContainEqual(["delay_completion@1", "success", null]);
  });
  test("a short pin that is forgotten", () => {
    const leaks = found(reads("short pin"), { verify: arrived });
    const expected = [
      // The first page and its table are an error; the others are a short pin.
      ...PAGE_FAULTS.slice(2).map((nth) => `fail_page_alloc@${nth}`),
      ...["short_pin@1:1", "short_pin@1:4", "fault_in_pin@1:1", "fault_in_pin@1:3"],
      ...PAGE_FAULTS.slice(1, 8).map((nth) => `kill_wait@${nth}`),
    ];
    expect(Object.keys(leaks).sort()).toEqual(expected.sort());
    for (const kinds of Object.values(leaks)) expect(kinds).toEqual(["leak"]);
  });
  test("a double release where the disk fails", () => {
    const kinds = found(reads("double release"), { verify: arrived });
    expect(Object.keys(kinds)).toEqual(["fail_make_request@1"]);
    expect(kinds["fail_make_request@1"]![0]).toMatch(/misuse|double release/);
  });
  test("success that is none", () => {
    expect(found(reads("data lost"), { verify: arrived })).toEqual({
      "fail_make_request@1": ["data lost"],
    });
    // Nobody knows without verify().
    expect(found(reads("data lost"))).toEqual({});
  });
  test("an exception", () => {
    expect(Object.entries(found(reads("throws")))).toEqual(
      ["fail_page_alloc@1", "fail_page_alloc@2", "fault_in_pin@1:0", "kill_wait@1"].map((spec) => [
        spec,
        ["threw"],
      ]),
    );
  });
  test("a wait for what was never sent: it would hang", () => {
    const driver =
      (right: boolean): Driver =>
      ({ current, disk }) => {
        const page = api.alloc_page(current);
        const front = api.bio_alloc(disk, 1, "REQ_OP_READ");
        const bio = api.bio_alloc(disk, 1, "REQ_OP_READ", 8);
        api.bio_chain(front, bio);
        if (!api.IS_ERR(page)) api.bio_add_page(front, page, P, 0);
        if (!api.IS_ERR(page) || right) api.submit_bio(front);
        const error = api.submit_bio_wait(bio, current);
        api.bio_put(bio);
        if (api.IS_ERR(page)) return page;
        api.put_page(page);
        return error ?? true;
      };
    expect(found(driver(true))).toEqual({});
    expect(found(driver(false))).toMatchObject({ "fail_page_alloc@1": ["hung"] });
  });
  test("pages that nobody knows of", () => {
    const driver =
      (right: boolean): Driver =>
      ({ machine, current }) => {
        const fragments = api.fragment_memory(machine, (index) => index % 2 === 1);
        const page = api.alloc_page(current);
        if (api.IS_ERR(page)) {
          if (right) fragments[Symbol.dispose]();
          return page;
        }
        api.put_page(page);
        fragments[Symbol.dispose]();
        return true;
      };
    expect(found(driver(true))).toEqual({});
    expect(found(driver(false))).toEqual({ "fail_page_alloc@1": ["lost pages"] });
  });
  test("a result that is looked at before the device has finished", () => {
    const driver =
      (right: boolean): Driver =>
      ({ machine, current, disk, buf }) => {
        let told: Result<number, unknown> | null = null;
        const iter = api.iov_iter_ubuf(api.ITER_DEST, buf, LEN);
        const ki_complete = (result: Result<number, unknown>): void => void (told = result);
        const now = api.blkdev_direct_IO(current, { ki_pos: 0, ki_complete }, iter, disk);
        if (now.isErr()) return now;
        // A later request of the same disk ends after it: or so one thinks.
        const page = api.alloc_page(current);
        if (api.IS_ERR(page)) return page;
        const bio = api.bio_alloc(disk, 1, "REQ_OP_READ");
        api.bio_add_page(bio, page, P, 0);
        api.submit_bio_wait(bio, current);
        api.bio_put(bio);
        api.put_page(page);
        if (right) api.run_softirqs(machine);
        const bytes = new Uint8Array(LEN);
        const copied = api.copy_from_user(current, bytes, buf);
        return copied.isErr() ? copied : (told ?? ok(0)).map(() => bytes);
      };
    const verify = (_: DriverWorld, result: unknown): boolean =>
      Buffer.compare((result as Result<Uint8Array, never>)._unsafeUnwrap(), FILE) === 0;
    expect(found(driver(true), { verify })).toEqual({});
    expect(found(driver(false), { verify })).toEqual({
      "delay_completion@1": ["data lost"],
    });
  });
  test("what is held by design goes in cleanup()", () => {
    const registered = new WeakMap<DriverWorld, api.OwnedBvecList<"dest">>();
    const register: Driver = (w) => {
      const bvecs = api.get_user_bvec(w.current, w.buf, w.len, api.ITER_DEST);
      if (api.IS_ERR(bvecs)) return bvecs;
      registered.set(w, bvecs);
    };
    const cleanup = (w: DriverWorld): void => registered.get(w)?.[Symbol.dispose]();
    expect(found(register, { cleanup })).toEqual({});
    const report = inject_each(register, { world });
    expect(report.clean.findings.map(({ kind }) => kind)).toEqual(["leak"]);
  });
  test("misuse that is recorded and not thrown", () => {
    const driver: Driver = ({ current }) => {
      const page = api.alloc_page(current);
      const other = api.alloc_page(current);
      if (api.IS_ERR(page)) {
        if (!api.IS_ERR(other)) api.put_page(other);
        return page;
      }
      api.put_page(page);
      if (!api.IS_ERR(other)) {
        api.put_page(other);
        return true;
      }
      forced(api.put_page)(page);
      return other;
    };
    const machine = { panic_on_warn: false };
    const kinds = found(driver, { world: { machine } })["fail_page_alloc@2"];
    expect(kinds).toContain("double release");
  });
  test("misuse that is thrown and caught by the driver, once", () => {
    const driver =
      (again: boolean): Driver =>
      ({ current }) => {
        const page = api.alloc_page(current);
        if (api.IS_ERR(page)) return page;
        api.put_page(page);
        try {
          forced(api.put_page)(page);
        } catch (reason) {
          if (again) throw reason;
        }
        return true;
      };
    for (const again of [false, true]) {
      const { clean } = inject_each(driver(again), { world });
      expect(clean.findings.map(({ kind }) => kind)).toEqual(["double release"]);
      expect(clean.findings[0]!.places[0]).toMatch(/inject_each\.test\.ts/);
    }
  });
  test("misuse in verify() and in what is under way is told once", () => {
    const twice: Driver = ({ current }) => {
      const page = api.alloc_page(current);
      if (api.IS_ERR(page)) return page;
      api.put_page(page);
      forced(api.put_page)(page);
    };
    const verified = inject_each(() => true, { world, verify: (w) => twice(w) });
    expect(verified.clean.findings.map(({ kind }) => kind)).toEqual(["data lost"]);
    const later = inject_each((w) => api.schedule_work(w.current, () => void twice(w)), { world });
    expect(later.clean.findings.map(({ kind }) => kind)).toEqual(["double release"]);
  });
  const ends = ({ machine }: DriverWorld): unknown => api.shutdown(machine);
  test.each<[string, Driver, InjectionOptions]>([
    ["the driver", ends, {}],
    ["verify()", () => true, { verify: ends }],
    ["cleanup()", () => true, { cleanup: ends }],
  ])("%s shuts the machine down: that is the finding", (who, driver, options) => {
    const { clean, runs } = inject_each(driver, { world, ...options });
    expect(clean.findings.map(({ sentence }) => sentence)).toEqual([
      `${who} shut the machine down, which is inject_each()'s: what was held then is not known`,
    ]);
    expect(runs).toEqual([]);
  });
});
