/** How it is told, and that it can be run again. */
import * as api from "user-page";
import { driver_world, format_injection, inject_each, injection, type Driver } from "user-page";
import { describe, expect, test } from "vitest";
import { machine_state } from "../../src/machine/machine.js";
import { reproduce_of } from "../../src/machine/reproduce.js";
import { forced } from "../fixtures.js";
import { FILE, faulty, reads, world } from "./mistakes.js";

describe("the report", () => {
  test("a line for each faulty point with its place, its specification, and a summary", () => {
    const report = inject_each(reads("short pin"), { world });
    const lines = format_injection(report).split("\n");
    const bad = faulty(report.runs);
    expect(lines).toHaveLength(bad.length + 1);
    for (const [i, { spec }] of bad.entries()) {
      expect(lines[i]).toMatch(
        new RegExp(
          `^${spec} in \\S+: leak: \\d user_page of pin_user_pages_fast\\(\\) w\\S+ not released, ` +
            `at test/inject/mistakes\\.ts:\\d+:\\d+; reproduce: driver_world\\({ file, machine: { inject: "${spec}" } }\\)$`,
        ),
      );
    }
    const { length } = report.runs;
    expect(lines.at(-1)).toBe(
      `${length} failures injected, one in each run: ${length - bad.length} fine; leak in ${bad.length} runs`,
    );
    expect(report.repeated).toBe(bad.length);
    const [line] = bad.map(({ findings }) => findings[0]!);
    expect(line).toMatchObject({ kind: "leak", count: 1, report: null });
    expect(JSON.parse(JSON.stringify(report))).toEqual(report);
  });
  test("a double release names three places", () => {
    const driver: Driver = ({ current, buf }) => {
      const page = api.get_user_page(current, buf, api.ITER_DEST);
      if (api.IS_ERR(page)) return page;
      const stored = api.copy_to_user(current, buf, FILE);
      if (stored.isErr()) api.put_user_page(page);
      forced(api.put_user_page)(page);
      return stored;
    };
    const report = inject_each(driver, { world, capabilities: ["fail_usercopy"] });
    const [finding] = faulty(report.runs)[0]!.findings;
    expect(finding).toMatchObject({ kind: "double release", report: { id: "double-release" } });
    expect(finding!.places.filter((place) => place.includes("report.test.ts"))).toHaveLength(3);
  });
  test("the specification of a finding does it again, on a machine of one's own", () => {
    const report = inject_each(reads("short pin"), { world });
    for (const { spec, findings, injected } of faulty(report.runs)) {
      const again = driver_world({
        ...world,
        machine: { inject: spec, CONFIG_DEBUG_USER_PAGE_REFERENCES: true },
      });
      reads("short pin")(again);
      expect(injection(again.machine)).toMatchObject({ spec, injected });
      expect(reproduce_of(machine_state(again.machine))).toContain(
        `inject: "${injection(again.machine).line}"`,
      );
      expect(api.shutdown(again.machine).leaks).toHaveLength(findings[0]!.count);
    }
  });
  test("what to run says which options were given, and no others", () => {
    const said = (options: object): string =>
      format_injection(inject_each(reads("short pin"), { capabilities: ["short_pin"], ...options }))
        .split("\n")[0]!
        .replace(/^.*; reproduce: /, "");
    const inject = 'inject: "short_pin@1:1"';
    expect(said({})).toBe(`driver_world({ machine: { ${inject} } })`);
    expect(said({ world: { pages: undefined, machine: {} } })).toBe(said({}));
    const machine = { panic_on_warn: false, CONFIG_DEBUG_USER_PAGE_REFERENCES: "tags", inject: "" };
    expect(said({ world: { file: 4 * 4096, pages: "small", machine } })).toBe(
      `driver_world({ file: 16384, pages: "small", machine: { panic_on_warn: false, ${inject} } })`,
    );
    expect(said({ prepare: (w: unknown) => w })).toBe(
      `${said({})}, and prepare() of it in without_faults()`,
    );
  });
  test.each([
    null,
    undefined,
    "text",
    5,
    {},
    { clean: {}, runs: [], skipped: [] },
    { clean: { findings: [], injected: [] }, runs: [5], skipped: [] },
    { clean: { findings: [], injected: [] }, runs: [] },
  ])("%j is no report", (value) => {
    expect(() => forced(format_injection)(value)).toThrow(RangeError);
    expect(() => forced(format_injection)(value)).toThrow(
      "format_injection(): no report of inject_each()",
    );
  });
  test("wrong without a failure: that is the finding, and nothing else is tried", () => {
    const leak: Driver = ({ current }) => void api.alloc_page(current);
    const report = inject_each(leak, { world });
    expect(report.runs).toEqual([]);
    expect(report.clean.findings.map(({ kind }) => kind)).toEqual(["leak"]);
    expect(format_injection(report)).toMatch(
      /^nothing failed: leak: 1 page of alloc_page\(\) was not released, at \S+\nwrong without a failure: nothing else was tried$/,
    );
    const fails = inject_each(() => false, { world });
    expect(fails.clean.findings.map(({ kind }) => kind)).toEqual(["failed"]);
  });
  test("wrong without a failure, and it goes on all the same: what is wrong then is found too", () => {
    const both: Driver = ({ current }) => {
      api.alloc_page(current); // never released
      const [page, more] = [api.alloc_page(current), api.alloc_page(current)];
      if (api.IS_ERR(page) || api.IS_ERR(more)) return false; // the other one is forgotten
      api.put_page(page);
      api.put_page(more);
    };
    const report = inject_each(both, { world, anyway: true });
    expect(report.clean.findings.map(({ kind }) => kind)).toEqual(["leak"]);
    const leaks = report.runs.map(({ spec, findings }) => [spec, findings.length]);
    expect(leaks).toEqual([
      ["fail_page_alloc@1", 0],
      ["fail_page_alloc@2", 2],
      ["fail_page_alloc@3", 2],
    ]);
    const { leak } = report.runs[1]!.findings[0]!;
    expect(leak).toMatchObject({ kind: "page", acquired_by: "alloc_page()", count: 1 });
    expect(report.runs[0]!.injected[0]!.at).toMatch(/^test\/inject\/report\.test\.ts:\d+:\d+$/);
    expect(format_injection(report).split("\n").at(-1)).toBe(
      "wrong without a failure; 3 failures injected, one in each run: 1 fine; leak in 2 runs",
    );
  });
  test("what stops a driver, in it or in what it left under way, is said: a leak may follow from it", () => {
    const in_flight: Driver = ({ current, disk, buf }) => {
      const pin = api.get_user_page(current, buf, api.ITER_DEST);
      if (api.IS_ERR(pin)) return pin;
      const bio = api.bio_alloc_pinned(disk, 1, "REQ_OP_READ");
      api.bio_add_user_page(bio, pin, 512, 0);
      api.bio_set_end_io(bio, () => {
        throw new Error("its own");
      });
      api.submit_bio(bio);
    };
    const { clean } = inject_each(in_flight, { world });
    expect([clean.outcome, clean.stopped]).toEqual(["success", true]);
    expect(clean.findings.map(({ kind }) => kind).sort()).toEqual(["leak", "threw"]);
    const throws: Driver = () => {
      throw new Error("its own");
    };
    expect(inject_each(throws, { world }).clean.stopped).toBe(true);
    expect(inject_each(() => undefined, { world }).clean.stopped).toBe(false);
  });
  test("a misuse that the end of a block hides is the finding", () => {
    const hides: Driver = ({ current }) => {
      using _end = {
        [Symbol.dispose](): void {
          throw new Error("at the end of the block");
        },
      };
      const page = api.alloc_page(current);
      if (api.IS_ERR(page)) return page;
      api.put_page(page);
      forced(api.put_page)(page);
    };
    const { findings } = inject_each(hides, { world }).clean;
    expect(findings.map(({ kind, places }) => [kind, places[0]?.split(":")[0]])).toEqual([
      ["double release", "test/inject/report.test.ts"],
    ]);
  });
  test("a driver that does something else each time", () => {
    let runs = 0;
    const moody: Driver = ({ current }) => {
      for (let i = 0; i < 2 - Math.min(runs, 1); i++) {
        const page = api.alloc_page(current);
        if (!api.IS_ERR(page)) api.put_page(page);
      }
      runs++;
    };
    const report = inject_each(moody, { world });
    expect(faulty(report.runs).map(({ spec, findings }) => [spec, findings[0]!.kind])).toEqual([
      ["fail_page_alloc@2", "not reached"],
    ]);
  });
  test("what counts as success", () => {
    const outcome = (result: unknown) => {
      const report = inject_each(() => result, { world, max_runs: 1 });
      return [report.clean.outcome, report.clean.errno];
    };
    for (const good of [undefined, null, true, 0, 5, "text", {}, api.PTR_ERR]) {
      expect(outcome(good)).toEqual(["success", null]);
    }
    for (const [bad, errno] of [
      [false, null],
      [-14, "EFAULT"],
      [-1e6, null],
      [api.ERR_PTR("ENOMEM", "no"), "ENOMEM"],
      [api.PTR_ERR(api.ERR_PTR("EIO", "no")), "EIO"],
      [new Error("no"), null],
    ] as const) {
      expect(outcome(bad)).toEqual(["error", errno]);
    }
  });
});
