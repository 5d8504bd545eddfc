/** Reports say what is so: programs of which they once said something else. */
import * as api from "user-page";
import { PAGE_SIZE, PMD_SIZE } from "user-page";
import { describe, expect, test } from "vitest";
import { place_of } from "../../src/machine/site.js";
import { forced, map_anon, must, report_of } from "../fixtures.js";

function world(options: api.MachineOptions = {}) {
  const machine = api.boot({ mem: 16 << 20, CONFIG_DEBUG_USER_PAGE_REFERENCES: true, ...options });
  const current = api.create_task(machine);
  return { machine, current, buf: map_anon(current, 8 * PAGE_SIZE) };
}
test("a call that is refused leaves what is held: a right release after it is right", () => {
  const { machine, current, buf } = world();
  const pin = must(api.get_user_page(current, buf, "dest"));
  const report = report_of(() => api.unpin_user_folio(api.page_folio(pin), 3));
  expect(report.counts!.after!.refcount).toBe(1025 - 3 * 1024);
  expect(report.others).toHaveLength(1);
  expect(api.leaks(machine).count).toBe(1);
  api.put_user_page(pin);
  expect(api.shutdown(machine)).toEqual({ leaks: [], lost_pages: 0 });
});
test("every report stays with its machine, also one that the program caught", () => {
  const { machine, current } = world();
  const page = must(api.alloc_page(current));
  const same: unknown = page;
  api.put_page(page);
  const report = report_of(() => forced(api.put_page)(same));
  expect(api.misuse_reports(machine)).toEqual([report]);
  api.shutdown(machine);
});
test("contexts are right after thousands of tasks", () => {
  const { machine, current } = world({ CONFIG_DEBUG_USER_PAGE_REFERENCES: "owners" });
  for (let i = 0; i < 5000; i++) api.put_page(must(api.alloc_page(api.create_task(machine))));
  const page = must(api.alloc_page(current));
  const same: unknown = page;
  api.schedule_work(current, () => api.put_page(page));
  api.flush_work(machine);
  const { history } = report_of(() => forced(api.put_page)(same));
  expect(history.map(({ context }) => context)).toEqual(["task 1", "kworker"]);
  api.shutdown(machine);
});
test("a pin that its bio dropped at once did not live with it", () => {
  const { machine, current, buf } = world();
  using disk = must(api.brd_alloc(machine, 1 << 16));
  const [first, second] = [0, 0].map(() => must(api.get_user_page(current, buf, "dest")));
  const same: unknown = second;
  const bio = api.bio_alloc_pinned(disk, 2, "REQ_OP_READ");
  expect(api.bio_add_user_page(bio, first!, 512, 0)).toBe(true);
  expect(api.bio_add_user_page(bio, second!, 512, 512)).toBe(true);
  api.bio_set_end_io(bio, (ended) => {
    api.bio_release_pages(ended, false);
    api.bio_put(ended);
  });
  api.submit_bio(bio);
  api.run_softirqs(machine);
  const { history } = report_of(() => forced(api.put_user_page)(same));
  expect(history.map(({ what }) => what)).toEqual(["acquired", "moved", "ended"]);
  expect(history.at(-1)!.how).toMatch(/^dropped by bio_add_user_page\(\)/);
  api.shutdown(machine);
});
test("what is reported of one machine is not said of another", () => {
  const gone = world({ reproduce: "run A" });
  const list: unknown = must(api.get_user_bvec(gone.current, gone.buf, PAGE_SIZE, "dest"));
  const page = must(api.alloc_page(gone.current));
  api.shutdown(gone.machine);
  const other = world({ reproduce: "run B" });
  expect(report_of(() => api.get_page(page)).reproduce).toBe("");
  expect(report_of(() => forced(api.put_user_bvec)(list)).reproduce).toBe("run A");
  expect(api.misuse_reports(other.machine)).toEqual([]);
  const third = world({ reproduce: "run C" });
  const twice: unknown = must(api.get_user_bvec(other.current, other.buf, 1, "dest"));
  forced(api.put_user_bvec)(twice);
  expect(report_of(() => forced(api.put_user_bvec)(twice)).reproduce).toBe("run B");
  api.shutdown(other.machine);
  api.shutdown(third.machine);
});
describe("what is released twice as a whole has the life of its first page", () => {
  type World = ReturnType<typeof world>;
  const twice: Record<string, (at: World) => unknown> = {
    "an array of pins": ({ current, buf }) => {
      const pages = must(api.all_or_none(api.pin_user_pages_fast(current, buf, 2, "dest")));
      const same: unknown = pages;
      api.put_user_pages(pages);
      return () => forced(api.put_user_pages)(same);
    },
    "kernel memory": ({ current }) => {
      const area = must(api.vmalloc(current, 1));
      const same: unknown = area;
      api.vfree(area);
      return () => forced(api.vfree)(same);
    },
    "pages of an iterator": ({ current, buf }) => {
      const iter = api.iov_iter_ubuf("source", buf, 1);
      const pages = must(api.iov_iter_get_pages2(iter, 1, 1, current));
      const same: unknown = pages;
      api.iov_iter_put_pages(pages);
      return () => forced(api.iov_iter_put_pages)(same);
    },
  };
  test.each(Object.entries(twice))("%s", (_name, prepare) => {
    const at = world();
    const report = report_of(prepare(at) as () => unknown);
    expect(report.id).toBe("double-release");
    expect(report.history.map(({ what }) => what)).toEqual(["acquired", "ended"]);
    for (const step of report.history) expect(step.at).toMatch(/^test\/debug\/right\.test\.ts:/);
    api.shutdown(at.machine);
  });
});
test("of the zero page pins are not counted, and a report does not say so", () => {
  const { machine, current } = world();
  const page = must(api.page_to_user_page(api.ZERO_PAGE(current)));
  const same: unknown = page;
  api.put_user_page(page);
  const { before, after } = report_of(() => forced(api.put_user_page)(same)).counts!;
  expect(after).toEqual(before);
  api.shutdown(machine);
});
test("the first end is the end, and what has ended moves nowhere", () => {
  const { machine, current, buf } = world({ panic_on_warn: false });
  using disk = must(api.brd_alloc(machine, 1 << 16));
  const keep = must(api.get_user_page(current, buf, "dest"));
  const pin = must(api.get_user_page(current, buf, "dest"));
  const same: unknown = pin;
  api.put_user_page(pin);
  const at = (): string => api.misuse_reports(machine).at(-1)!.history.at(-1)!.at;
  forced(api.put_page)(same); // wrong twice over
  const first = at();
  forced(api.put_page)(same);
  expect(at()).toBe(first);
  const reports = api.misuse_reports(machine).length;
  const bio = api.bio_alloc_pinned(disk, 1, "REQ_OP_READ");
  forced(api.bio_add_user_page)(bio, same, 512, 0);
  expect(api.misuse_reports(machine).slice(reports)).toMatchObject([{ id: "use-after-release" }]);
  expect(api.leaks(machine).groups.map(({ count }) => count)).toEqual([1]);
  void keep;
  api.shutdown(machine);
});
test("the counts of a huge page are told with the references that they are of", () => {
  const { machine, current } = world({ panic_on_warn: false });
  const buf = map_anon(current, PMD_SIZE);
  api.madvise(current, buf, PMD_SIZE, api.MADV_HUGEPAGE)._unsafeUnwrap();
  const head = must(api.get_user_page(current, buf, "dest"));
  const tail = must(api.get_user_page(current, api.user_ptr_add(buf, 5 * PAGE_SIZE), "dest"));
  const same: unknown = tail;
  api.put_user_page(tail);
  forced(api.put_user_page)(same);
  const [report] = api.misuse_reports(machine);
  expect(report!.others.map(({ acquisition }) => acquisition)).toEqual([1]);
  void head;
  api.shutdown(machine);
});
describe("places", () => {
  const at = (frame: string): string => place_of({ stack: `Error\n    ${frame}\n` });
  test.each([
    ["at f (/a b/(app)/x/y.mjs:2:15)", "/a b/(app)/x/y.mjs:2:15"],
    ["at file:///a%20b/%C3%A9.ts:1:2", "/a b/é.ts:1:2"],
    ["at async f (file:///a/b.ts:10:20)", "/a/b.ts:10:20"],
    ["at node:internal/timers:583:11", ""],
    ["at listOnTimeout (node:internal/timers:583:11)", ""],
    ["at <anonymous>", ""],
  ])("%s", (frame, place) => {
    expect(at(frame)).toBe(place);
  });
  test("a program that makes something else of its stacks gets reports without places", () => {
    const { machine, current } = world();
    const before = Object.getOwnPropertyDescriptor(Error, "prepareStackTrace");
    Error.prepareStackTrace = (_error, sites) => sites;
    try {
      const page = must(api.alloc_page(current));
      const report = report_of(() => forced(api.put_user_page)(page));
      expect([report.id, report.called_at]).toEqual(["page-to-put_user_page", ""]);
    } finally {
      if (before) Object.defineProperty(Error, "prepareStackTrace", before);
      else delete (Error as Partial<ErrorConstructor>).prepareStackTrace;
    }
    api.shutdown(machine);
  });
});
test.each(["owner", "true", 1, 0, null] as const)("%s is no level of debug mode", (level) => {
  const boot = () => api.boot({ CONFIG_DEBUG_USER_PAGE_REFERENCES: level as never });
  expect(boot).toThrow(RangeError);
});
