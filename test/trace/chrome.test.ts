/** What Perfetto is given: well-formed, complete, the same in each run, and bounded. */
import * as api from "user-page";
import { PAGE_SIZE as P, type ChromeEvent, type ChromeTrace } from "user-page";
import { describe, expect, test, vi } from "vitest";
import { Tracks } from "../../src/trace/tracks.js";
import { boot_for_test, map_anon, must } from "../fixtures.js";
import { boot_traced, everything } from "./everything.js";
import { violations } from "./format.js";

const spans = ({ traceEvents }: ChromeTrace, cat: string): ChromeEvent[] =>
  traceEvents.filter((event) => event.ph === "b" && event.cat === cat);
const end_of = ({ traceEvents }: ChromeTrace, { cat, id }: ChromeEvent): ChromeEvent =>
  traceEvents.find((event) => event.ph === "e" && event.cat === cat && event.id === id)!;
/** A machine with a page of user memory and a disk. */
function world(options: api.MachineOptions = {}) {
  const machine = boot_traced(options);
  const current = api.create_task(machine);
  const buf = map_anon(current, 4 * P);
  api.copy_to_user(current, buf, new Uint8Array(4 * P))._unsafeUnwrap();
  return { machine, current, buf, disk: must(api.brd_alloc(machine, 1 << 20)) };
}

describe("everything that can happen", () => {
  using machine = boot_traced({ cma: 1 << 20 });
  using tracing = api.start_trace(machine);
  everything(machine);
  const trace = tracing.to_chrome();
  test("is well-formed", () => {
    expect(violations(trace)).toEqual([]);
  });
  test("as text is the same, an event a line", () => {
    const text = tracing.to_json();
    expect(JSON.parse(text)).toEqual(JSON.parse(JSON.stringify(trace)));
    expect(text.split("\n").length).toBe(trace.traceEvents.length + 3);
  });
  test("has a track for each context, page, disk and file", () => {
    const names = trace.traceEvents.flatMap(({ ph, args }) => (ph === "M" ? [args!["name"]] : []));
    for (const name of ["contexts", "pages", "disks", "files"]) expect(names).toContain(name);
    for (const name of ["task 1", "softirq", "kworker", "ram0", "file 1"]) {
      expect(names.filter((n) => n === name).length).toBeGreaterThan(0);
    }
  });
  test("every pin is a span from the call that took it to the call that released it", () => {
    const taken = tracing.events.filter(({ name }) => /^(pin_|get_user_b|split_)/.test(name));
    const pins = spans(trace, "pin");
    expect(pins).toHaveLength(taken.length);
    expect(pins.map(({ ts }) => ts)).toEqual(taken.map(({ ts }) => ts));
    // folio_add_pin() is the one that is never released.
    const leaked = pins.filter(({ args }) => args!["end"] === "leaked");
    expect(leaked.map(({ args }) => args!["acquired_by"])).toEqual(["folio_add_pin()"]);
    for (const pin of pins) {
      if (leaked.includes(pin)) continue;
      expect(pin.args!["ended_by"]).toMatch(/\(\)$/);
      expect(end_of(trace, pin).ts).toBeGreaterThan(pin.ts!);
    }
  });
  test("every bio ends where it completed", () => {
    const completed = tracing.events.filter(({ name }) => name === "block_bio_complete");
    const bios = spans(trace, "bio");
    expect(bios.filter(({ args }) => args!["error"] === 0)).toHaveLength(completed.length);
    expect(bios.filter(({ args }) => "part_of" in args!).length).toBeGreaterThan(0);
  });
  test("a writeback begins and ends on the track of its file", () => {
    const written = spans(trace, "writeback");
    expect(written.length).toBeGreaterThan(1);
    for (const span of written) expect(span.args!["end"]).toBeUndefined();
  });
});

describe("what is open at the end", () => {
  test("a pin is leaked, a bio is open, and both say where they began", () => {
    const { machine, current, buf, disk } = world();
    const tracing = api.start_trace(machine);
    const pin = must(api.get_user_page(current, buf, api.ITER_SOURCE));
    const bio = api.bio_alloc(disk, 1, "REQ_OP_READ");
    api.bio_add_page(bio, api.ZERO_PAGE(current), 512, 0);
    api.bio_set_end_io(bio, (ended) => api.bio_put(ended));
    api.submit_bio(bio);
    tracing[Symbol.dispose]();
    const trace = tracing.to_chrome();
    expect(violations(trace)).toEqual([]);
    const [leaked] = spans(trace, "pin");
    expect(leaked!.args).toMatchObject({ end: "leaked", acquired_by: "get_user_page()" });
    expect(leaked!.args!["acquired_at"]).toMatch(/^test\/trace\/chrome\.test\.ts:/);
    expect(spans(trace, "bio")[0]!.args).toMatchObject({ end: "open", sector: 0, nr_sector: 1 });
    api.put_user_page(pin);
    api.run_softirqs(machine);
    // What came after the end is not in it.
    expect(tracing.to_chrome()).toEqual(trace);
    api.shutdown(machine);
  });
  test("what began before the trace begins with it", () => {
    const { machine, current, buf } = world();
    const pin = must(api.get_user_page(current, buf, api.ITER_SOURCE));
    const page = must(api.alloc_page(current));
    let tracing: api.Tracing | null = null;
    api.schedule_work(current, () => {
      tracing = api.start_trace(machine);
      api.put_user_page(pin);
      api.put_page(page);
    });
    api.flush_work(machine);
    const trace = tracing!.to_chrome();
    expect(violations(trace)).toEqual([]);
    expect(spans(trace, "pin")[0]).toMatchObject({ ts: 1, args: { began: "before the trace" } });
    const work = trace.traceEvents.find(({ ph, name }) => ph === "B" && name === "work");
    expect(work).toMatchObject({ ts: 1, args: { began: "before the trace" } });
    tracing![Symbol.dispose]();
    api.shutdown(machine);
  });
});

describe("requests", () => {
  const requests = (fate: api.FlakeyOutcome) => {
    const { machine, current, buf, disk } = world();
    using flakey = api.dm_flakey(disk, ({ bytes_left }) => (bytes_left > P ? fate : null));
    using tracing = api.start_trace(machine);
    void api.direct_io(current, flakey, "REQ_OP_WRITE", buf, 2 * P, 0);
    const trace = tracing.to_chrome();
    expect(violations(trace)).toEqual([]);
    const [request, ...more] = spans(trace, "request");
    expect(more).toEqual([]);
    const steps = trace.traceEvents.filter(({ ph, cat }) => ph === "n" && cat === "request");
    api.shutdown(machine);
    return [request!.args, steps.map(({ args }) => args!["step"])];
  };
  test("that end in two steps are one span", () => {
    expect(requests({ bytes: P })).toEqual([
      { dev: "flakey:ram0", sector: 0, error: 0 },
      ["block_rq_issue", "block_rq_complete"],
    ]);
  });
  test("end whole with an error, whatever is left", () => {
    expect(requests({ bytes: P, error: "EIO" })).toEqual([
      { dev: "flakey:ram0", sector: 0, error: -5 },
      ["block_rq_issue"],
    ]);
  });
});
test("spans that began before the trace are nested as they end: the last one is the outermost", () => {
  const tracks = new Tracks(5);
  const track = tracks.name({ pid: 1, tid: 1 }, "contexts", "task 1");
  tracks.ts = 6;
  tracks.end(track, "inner", "test");
  tracks.ts = 7;
  tracks.end(track, "outer", "test");
  const events = tracks.finish();
  expect(events.map(({ ph, name, ts }) => [ph, name, ts]).slice(2)).toEqual([
    ["B", "outer", 5],
    ["B", "inner", 5],
    ["E", "inner", 6],
    ["E", "outer", 7],
  ]);
});

describe("misuse", () => {
  test("a second release is an instant: the span ended with the first", () => {
    const { machine, current } = world();
    using tracing = api.start_trace(machine);
    const page = must(api.alloc_page(current));
    const kept = api.get_page(page);
    api.put_page(page);
    api.put_page(page as unknown as api.Page);
    const trace = tracing.to_chrome();
    expect(violations(trace)).toEqual([]);
    expect(spans(trace, "reference")).toHaveLength(2);
    const again = trace.traceEvents.filter(({ name }) => name.endsWith("ended again"));
    expect(again).toMatchObject([{ ph: "i", args: { ended_by: "put_page()" } }]);
    void kept;
    api.shutdown(machine);
  });
  const alarms = ({ traceEvents }: ChromeTrace): ChromeEvent[] =>
    traceEvents.filter(({ s }) => s === "g");
  test("is an instant on all tracks, once, though it is thrown, caught and added", () => {
    const { machine, current } = world({ panic_on_warn: true });
    using tracing = api.start_trace(machine);
    const page = must(api.alloc_page(current));
    const kept = api.get_page(page);
    const handle = page as unknown as api.Page;
    api.put_page(page);
    try {
      api.put_page(handle);
    } catch (error) {
      tracing.misuse((error as api.MisuseError).report);
    }
    const trace = tracing.to_chrome();
    expect(alarms(trace)).toMatchObject([
      { ph: "i", name: "double-release", cname: "terrible", args: { called: "put_page()" } },
    ]);
    expect(violations(trace)).toEqual([]);
    void kept;
    api.shutdown(machine);
  });
  test("that the machine did not tell stands where it was added", () => {
    const { machine, current } = world();
    using other = boot_for_test();
    using tracing = api.start_trace(machine);
    api.put_page(must(api.alloc_page(current)));
    const { ts } = tracing.events.at(-1)!;
    try {
      api.put_page(0 as unknown as api.Page);
    } catch (error) {
      tracing.misuse((error as api.MisuseError).report);
    }
    api.put_page(must(api.alloc_page(current)));
    const trace = tracing.to_chrome();
    expect(alarms(trace)).toMatchObject([{ name: "not-a-handle", ts }]);
    expect(violations(trace)).toEqual([]);
    void other;
    api.shutdown(machine);
  });
  test("several that the machine told, and added later: each stands once, where it was", () => {
    const { machine, current } = world({ panic_on_warn: true });
    using tracing = api.start_trace(machine);
    const reports = [0, 1].map(() => {
      const page = must(api.alloc_page(current));
      api.put_page(page);
      try {
        api.put_page(page as unknown as api.Page);
      } catch (error) {
        return (error as api.MisuseError).report;
      }
      throw new Error("no misuse");
    });
    for (const report of [...reports, ...reports]) tracing.misuse(report);
    expect(alarms(tracing.to_chrome())).toHaveLength(2);
    api.shutdown(machine);
  });
  test("that the machine did not tell is added once, also when another was told meanwhile", () => {
    const { machine } = world();
    using other = boot_for_test();
    using tracing = api.start_trace(machine);
    let report: api.MisuseReport | null = null;
    try {
      api.put_page(0 as unknown as api.Page);
    } catch (error) {
      ({ report } = error as api.MisuseError);
    }
    tracing.misuse(report!);
    tracing.misuse(report!);
    expect(alarms(tracing.to_chrome())).toHaveLength(1);
    void other;
    api.shutdown(machine);
  });
  test("that the machine told and that was dropped since is added again", () => {
    const { machine, current } = world({ panic_on_warn: true });
    using tracing = api.start_trace(machine, { limit: 2 });
    const page = must(api.alloc_page(current));
    api.put_page(page);
    let report: api.MisuseReport | null = null;
    try {
      api.put_page(page as unknown as api.Page);
    } catch (error) {
      ({ report } = error as api.MisuseError);
    }
    for (let i = 0; i < 4; i++) api.put_page(must(api.alloc_page(current)));
    expect(alarms(tracing.to_chrome())).toHaveLength(0);
    tracing.misuse(report!);
    expect(alarms(tracing.to_chrome())).toHaveLength(1);
    api.shutdown(machine);
  });
  test.each([null, undefined, 5, "text", {}])("that is none is refused: %s", (report) => {
    using machine = boot_for_test();
    using tracing = api.start_trace(machine);
    expect(() => tracing.misuse(report as never)).toThrow(RangeError);
  });
});

describe("memory is bounded", () => {
  test.each([1, 2, 7, 40, 100])("the last %d events are kept, and the rest is counted", (limit) => {
    const { machine, current, buf, disk } = world();
    using all = api.start_trace(machine);
    using last = api.start_trace(machine, { limit });
    api.direct_io_pages(current, disk, "REQ_OP_READ", buf, 4 * P, 0)._unsafeUnwrap();
    api.direct_io(current, disk, "REQ_OP_WRITE", buf, 4 * P, 0)._unsafeUnwrap();
    expect(all.events.length).toBeGreaterThan(40);
    expect(last.events).toEqual(all.events.slice(-limit));
    expect(last.dropped).toBe(Math.max(0, all.events.length - limit));
    const trace = last.to_chrome();
    expect(trace.otherData["dropped"]).toBe(last.dropped);
    expect(violations(trace)).toEqual([]);
    api.shutdown(machine);
  });
  test.each([0, -1, 1.5, NaN, Infinity, "8", null])("a limit of %s is refused", (limit) => {
    using machine = boot_for_test();
    expect(() => api.start_trace(machine, { limit: limit as never })).toThrow(RangeError);
  });
  test("an empty trace is one", () => {
    using machine = boot_for_test();
    using tracing = api.start_trace(machine);
    expect(tracing.to_chrome().traceEvents).toEqual([]);
    expect(JSON.parse(tracing.to_json())).toMatchObject({ traceEvents: [], displayTimeUnit: "ns" });
  });
});

test("a machine that does not know its references says so", () => {
  const said = (level: boolean | api.DebugLevel): unknown => {
    using machine = boot_traced({ CONFIG_DEBUG_USER_PAGE_REFERENCES: level });
    using tracing = api.start_trace(machine);
    return tracing.to_chrome().otherData["references"];
  };
  expect([true, "owners" as const].map(said)).toEqual(["traced", "traced"]);
  for (const level of [false, "tags"] as const) {
    expect(said(level)).toContain("CONFIG_DEBUG_USER_PAGE_REFERENCES");
  }
});
test("two runs of a program give the same bytes", async () => {
  const run = async (): Promise<string> => {
    // Another copy of the library: memory of its machines begins at the same address again.
    vi.resetModules();
    const fresh = await import("user-page");
    const copy: typeof import("./everything.js") = await import("./everything.js");
    using machine = copy.boot_traced({ cma: 1 << 20 });
    using tracing = fresh.start_trace(machine);
    copy.everything(machine);
    return tracing.to_json();
  };
  const [first, second] = [await run(), await run()];
  expect(second).toBe(first);
});
