/** What a report says: typed, as JSON and as text, and that its numbers are those which the call would leave. */
import * as api from "user-page";
import { MisuseError, PAGE_SIZE, PMD_SIZE, type MisuseReport } from "user-page";
import { describe, expect, test } from "vitest";
import { machine_state, type MachineState } from "../../src/machine/machine.js";
import { ended_with, make_report } from "../../src/machine/misuse.js";
import { forced, map_anon, must, report_of } from "../fixtures.js";

const HERE = /^test\/debug\/report\.test\.ts:\d+:\d+$/;

function world(options: api.MachineOptions = {}) {
  const machine = api.boot({
    mem: 16 << 20,
    CONFIG_DEBUG_USER_PAGE_REFERENCES: true,
    ...options,
  });
  const current = api.create_task(machine);
  return { machine, current, buf: map_anon(current, 8 * PAGE_SIZE) };
}
/** A pin that went through a bio and was released by its completion. */
function through_a_bio({ machine, current, buf }: ReturnType<typeof world>): unknown {
  using disk = must(api.brd_alloc(machine, 1 << 16));
  const pin = must(api.get_user_page(current, buf, "dest"));
  const alias: unknown = pin;
  const bio = api.bio_alloc_pinned(disk, 1, "REQ_OP_READ");
  if (!api.bio_add_user_page(bio, pin, PAGE_SIZE, 0)) throw new Error("full");
  api.bio_set_end_io(bio, (ended) => {
    api.bio_release_pages(ended, false);
    api.bio_put(ended);
  });
  api.submit_bio(bio);
  api.run_softirqs(machine);
  return alias;
}

test("the whole life of a reference: acquired, moved, submitted, completed, released, each with context and place", () => {
  const at = world();
  using _machine = at.machine;
  const alias = through_a_bio(at);
  const report = report_of(() => forced(api.put_user_page)(alias));
  const life = report.history.map(({ what, how, context }) => [what, how, context]);
  expect(life).toEqual([
    ["acquired", "by get_user_page()", "task 1"],
    ["moved", "moved into bio by bio_add_user_page()", "process"],
    ["submitted", "by submit_bio()", "process"],
    ["completed", "by bio_endio()", "softirq"],
    ["ended", "released by bio_release_pages()", "softirq"],
  ]);
  const places = report.history.filter(({ what }) => what !== "completed").map((step) => step.at);
  expect(places).toEqual(places.map(() => expect.stringMatching(HERE) as string));
  expect(new Set(places).size).toBe(4);
  expect(report).toMatchObject({
    id: "double-release",
    called: "put_user_page()",
    context: "process",
  });
  expect(report.called_at).toMatch(HERE);
});
test("as JSON it is the same, and the text says all of it", () => {
  const at = world();
  using _machine = at.machine;
  const alias = through_a_bio(at);
  const report = report_of(() => forced(api.put_user_page)(alias));
  expect(JSON.parse(JSON.stringify(report))).toEqual(report);
  const text = api.format_report(report);
  const [headline] = text.split("\n");
  expect(headline).toMatch(
    /^\[double-release\] put_user_page\(\): a handle was released a second time \(pfn \d+, acquisition 1: pinned user page\)$/,
  );
  for (const { context, at: place } of report.history) {
    expect(text).toContain(` in ${context}`);
    expect(text).toContain(place);
  }
  expect(text).toContain(`instead   ${report.instead}`);
  expect(text).toMatch(/reproduce the same calls on boot\(\{ mem: 16777216, /);
});
test("who released the page wrongly is found in the life of another reference to it", () => {
  const { machine, current, buf } = world({ panic_on_warn: false });
  const first = must(api.get_user_page(current, buf, "dest"));
  const second = must(api.get_user_page(current, buf, "dest"));
  forced(api.put_page)(first);
  const same: unknown = second;
  api.put_user_page(second);
  forced(api.put_user_page)(same);
  const report = api.misuse_reports(machine)[1]!;
  expect(report.id).toBe("double-release");
  expect(report.others).toHaveLength(1);
  const [{ acquisition, history }] = report.others as [api.OtherReference];
  expect(acquisition).toBe(1);
  expect(history.at(-1)).toMatchObject({ what: "ended", how: "released by put_page()" });
  expect(api.format_report(report)).toMatch(/also +acquisition 1: pinned user page, by get_user/);
  api.shutdown(machine);
});
test("whoever runs the machine says how to run it again", () => {
  const { machine, current } = world({ reproduce: "npm run the-driver" });
  using _machine = machine;
  const page = must(api.alloc_page(current));
  const report = report_of(() => forced(api.put_user_page)(page));
  expect(report.reproduce).toBe("npm run the-driver");
  expect(api.format_report(report).split("\n").at(-1)).toBe("  reproduce npm run the-driver");
  api.put_page(page);
});

describe("counts after the call are those that Linux would leave", () => {
  const small = (at: ReturnType<typeof world>) => at.buf;
  const huge = ({ current }: ReturnType<typeof world>) => {
    const buf = map_anon(current, PMD_SIZE);
    api.madvise(current, buf, PMD_SIZE, api.MADV_HUGEPAGE)._unsafeUnwrap();
    return buf;
  };
  type Take = (current: api.Task, at: api.UserAddr) => unknown;
  const pin: Take = (current, at) => must(api.get_user_page(current, at, "dest"));
  const get: Take = (current, at) => {
    const pages: api.Page[] = [];
    expect(api.get_user_pages_fast(current, at, 1, 0, pages)).toBe(1);
    return pages[0];
  };
  test.each([
    ["put_page() of a pin, small", small, pin, api.put_page],
    ["put_page() of a pin, huge", huge, pin, api.put_page],
    ["put_user_page() of a page, small", small, get, api.put_user_page],
    ["put_user_page() of a page, huge", huge, get, api.put_user_page],
  ] as const)("%s", (_name, where, take, put) => {
    const at = world({ panic_on_warn: false });
    const buf = where(at);
    const kept = must(api.get_user_page(at.current, buf, "dest"));
    forced(put)(take(at.current, buf));
    const [report] = api.misuse_reports(at.machine);
    const folio = api.page_folio(kept);
    const { before, after } = report!.counts!;
    expect(after!.refcount).not.toBe(before.refcount);
    expect(api.folio_ref_count(folio)).toBe(after!.refcount);
    expect(api.folio_maybe_dma_pinned(folio)).toBe(after!.maybe_pinned);
    api.shutdown(at.machine);
  });
});
test("the caller's line is known however deep in the library a reference is taken", () => {
  const { machine, current, buf } = world();
  using _machine = machine;
  using disk = must(api.brd_alloc(machine, 1 << 16));
  const places: string[] = [];
  using _tracing = api.trace_machine(machine, ({ name, at }) => {
    if (name === "pin_user_page" || name === "get_user_bvec") places.push(at);
  });
  api.direct_io_pages(current, disk, "REQ_OP_READ", buf, 2 * PAGE_SIZE, 0)._unsafeUnwrap();
  api.direct_io(current, disk, "REQ_OP_READ", buf, 2 * PAGE_SIZE, 0)._unsafeUnwrap();
  expect(places.length).toBeGreaterThan(2);
  for (const place of places) expect(place).toMatch(HERE);
});

describe("as text, from the data alone", () => {
  const step = (what: api.Step["what"], how: string, context = "", at = ""): api.Step => ({
    what,
    how,
    context,
    at,
  });
  const bare: MisuseReport = {
    ...{ id: "double-release", sentence: "a sentence", called: "put_page()", called_at: "" },
    ...{ context: "", handle: "a handle", history: [], others: [], counts: null, facts: [] },
    ...{ instead: "that", otherwise: "", docs: "", reproduce: "" },
  };
  const text = (more: Partial<MisuseReport>): string[] =>
    api.format_report({ ...bare, ...more }).split("\n");

  test("nothing is said of what is not known", () => {
    expect(text({})).toEqual([
      "[double-release] put_page(): a sentence (a handle)",
      "  handle    a handle",
      "  instead   that",
    ]);
  });
  test("all that is known has its line, in this order", () => {
    const before: api.PageCounts = {
      refcount: 1025,
      pincount: null,
      maybe_pinned: true,
      is_zero: false,
      pages: 1,
    };
    const huge: api.PageCounts = {
      refcount: 3,
      pincount: 2,
      maybe_pinned: true,
      is_zero: false,
      pages: 512,
    };
    const lines = text({
      handle: "pfn 7: plain page, put_page() releases it",
      history: [
        step("acquired", "by alloc_page()", "task 1", "a.ts:1:1"),
        step("moved", "moved into bio by bio_add_user_page()", "", "a.ts:2:1"),
        step("ended", "endedby()", "softirq"),
      ],
      ...{ called_at: "a.ts:3:1", context: "process" },
      counts: { before, after: { ...before, refcount: 1, maybe_pinned: false } },
      others: [
        {
          acquisition: 2,
          is: "pinned user page, put_user_page() releases it",
          history: [step("acquired", "by x()", "task 2"), step("ended", "released by y()")],
        },
      ],
      facts: [{ what: "owner", text: "file 3" }],
      reproduce: "npm test",
    });
    expect(lines).toEqual([
      "[double-release] put_page(): a sentence (pfn 7: plain page)",
      "  handle    pfn 7: plain page, put_page() releases it",
      "  acquired  by alloc_page() in task 1 at a.ts:1:1",
      "  moved     into bio by bio_add_user_page() at a.ts:2:1",
      "  ended     endedby() in softirq",
      "  called    in process at a.ts:3:1",
      "  counts    refcount 1025, maybe pinned; the call would leave refcount 1",
      "  also      acquisition 2: pinned user page, by x() in task 2, then released by y()",
      "  owner     file 3",
      "  instead   that",
      "  reproduce npm test",
    ]);
    expect(text({ counts: { before: huge, after: null } })[2]).toBe(
      "  counts    refcount 3, pincount 2, folio of 512 pages",
    );
  });
  test("a call is told by its place where its context is not known", () => {
    expect(text({ called_at: "a.ts:3:1" })[2]).toBe("  called    at a.ts:3:1");
    expect(text({ context: "softirq" })[2]).toBe("  called    in softirq");
  });
});
test("where nobody recorded anything, a report says what it is told and who called", () => {
  const report = make_report("not-a-handle", "put_page()", "no handle");
  expect(report).toMatchObject({ context: "", others: [], counts: null, reproduce: "" });
  expect(report).toMatchObject({ history: [], facts: [], docs: "docs/misuse.md#not-a-handle" });
  expect(report.called_at).toMatch(HERE);
  expect(make_report("leak", "", "", { called_at: "a.ts:1:1" }).called_at).toBe("a.ts:1:1");
  const error = new MisuseError(report);
  expect(error).toMatchObject({ name: "MisuseError", id: "not-a-handle" });
  expect(error.message).toBe(api.format_report(report));
});
test("how something ended is told by debug mode, else by who ended it", () => {
  const { machine, current } = world();
  using _machine = machine;
  const page = must(api.alloc_page(current));
  const known = (state: MachineState | undefined, handle: unknown) =>
    ended_with(state, handle as number | undefined, "released").history!.map(({ how }) => how);
  expect(known(machine_state(machine), page)).toEqual(["by alloc_page()"]);
  expect(known(machine_state(machine), undefined)).toEqual(["released"]);
  expect(known(undefined, page)).toEqual(["released"]);
  api.put_page(page);
});
test("what is no handle, where it is passed again, and how an extent ended are in the history", () => {
  const { machine, current, buf } = world({ CONFIG_DEBUG_USER_PAGE_REFERENCES: false });
  const list = must(api.get_user_bvec(current, buf, PAGE_SIZE, "source"));
  const same: unknown = list;
  api.put_user_bvec(list);
  expect(report_of(() => forced(api.put_user_bvec)(same)).history).toEqual([
    { what: "ended", how: "released by put_user_bvec()", context: "", at: "" },
  ]);
  const held = must(api.get_user_bvec(current, buf, PAGE_SIZE, "source"));
  const [lent] = [...held];
  expect(report_of(() => forced(api.put_user_bvec)(lent)).facts).toEqual([
    { what: "owner", text: "list of 1 extents, 4096 bytes" },
  ]);
  const wrong = report_of(() => forced(api.put_user_bvec_dirty_lock)(held, current));
  expect([wrong.id, wrong.history]).toEqual(["wrong-direction", []]);
  api.shutdown(machine);
  const late = report_of(() => forced(api.put_user_bvec)(held));
  expect([late.id, late.history.map(({ how }) => how)]).toEqual([
    "use-after-release",
    ["its machine was shut down"],
  ]);
});
