/** What is still held: at shutdown, on demand, when a task exits, and when its owner was collected. */
import { setFlagsFromString } from "node:v8";
import { runInNewContext } from "node:vm";
import * as api from "user-page";
import { PAGE_SIZE, type LeakReport } from "user-page";
import { describe, expect, test } from "vitest";
import { machine_state } from "../../src/machine/machine.js";
import { map_anon, must } from "../fixtures.js";

const HERE = /^test\/debug\/leaks\.test\.ts:\d+:\d+$/;
function world(level: boolean | api.DebugLevel = true) {
  const machine = api.boot({ mem: 16 << 20, CONFIG_DEBUG_USER_PAGE_REFERENCES: level });
  const current = api.create_task(machine);
  return { machine, current, buf: map_anon(current, 16 * PAGE_SIZE) };
}
const brief = ({ groups }: LeakReport) =>
  groups.map(({ kind, acquired_by, acquired_in, count, bytes }) => [
    kind,
    acquired_by,
    acquired_in,
    count,
    bytes / PAGE_SIZE,
  ]);

test("on demand: grouped by the place of acquisition, with count, bytes and age", () => {
  const { machine, current, buf } = world();
  expect(api.leaks(machine)).toEqual({ count: 0, bytes: 0, groups: [] });
  expect(api.format_leaks(api.leaks(machine))).toBe("nothing is held");
  for (let i = 0; i < 3; i++) must(api.get_user_page(current, buf, "dest"));
  const folio = must(api.folio_alloc(current, 3));
  const page = must(api.alloc_page(current));
  const report = api.leaks(machine);
  expect(brief(report)).toEqual([
    ["folio", "folio_alloc()", "task 1", 1, 8],
    ["user_page", "get_user_page()", "task 1", 3, 3],
    ["page", "alloc_page()", "task 1", 1, 1],
  ]);
  expect(report).toMatchObject({ count: 5, bytes: 12 * PAGE_SIZE });
  expect(report.groups.map(({ age }) => age)).toEqual([
    [1, 1],
    [4, 2],
    [0, 0],
  ]);
  for (const { acquired_at } of report.groups) expect(acquired_at).toMatch(HERE);
  expect(JSON.parse(JSON.stringify(report))).toEqual(report);
  const text = api.format_leaks(report);
  expect(text).toMatch(/^5 references are held, 12 pages, from 3 places$/m);
  expect(text).toMatch(/ {2}3 x pinned user page, 12288 bytes, 2 to 4 acquisitions ago/);
  expect(text).toContain("put_user_page() releases it");
  const [, ...places] = text.split("\n");
  const each = report.groups.flatMap((group) => api.format_leak(group).split("\n"));
  expect(places).toEqual(each.map((line) => `  ${line}`));
  api.folio_put(folio);
  api.put_page(page);
  expect(api.leaks(machine).count).toBe(3);
  expect(brief(api.group_leaks(api.shutdown(machine).leaks))).toEqual([
    ["user_page", "get_user_page()", "task 1", 3, 3],
  ]);
});
test("an extent counts the pages that it spans, after a split too", () => {
  const { machine, current } = world();
  const buf = map_anon(current, 2 * api.PMD_SIZE);
  api.madvise(current, buf, 2 * api.PMD_SIZE, api.MADV_HUGEPAGE)._unsafeUnwrap();
  using list = must(api.get_user_bvec(current, buf, api.PMD_SIZE, "dest"));
  expect(brief(api.leaks(machine))).toEqual([["bvec", "get_user_bvec()", "task 1", 1, 512]]);
  using front = api.pop_user_bvec(list)!;
  using _rest = must(api.split_user_bvec(front, 3 * PAGE_SIZE));
  expect(brief(api.leaks(machine)).map(([, by, , , pages]) => [by, pages])).toEqual([
    ["split_user_bvec()", 509],
    ["get_user_bvec()", 3],
  ]);
});
test("two lines of a program are two places, at level owners one", () => {
  for (const [level, places] of [
    [true, 2],
    ["owners", 1],
  ] as const) {
    const { machine, current } = world(level);
    must(api.alloc_page(current));
    must(api.alloc_page(current));
    expect(api.leaks(machine).groups).toHaveLength(places);
    api.shutdown(machine);
  }
});
test("a task that exits is told what it leaves; what it gave to a bio is not its own any more", () => {
  const { machine, current, buf } = world();
  const other = api.create_task(machine);
  const [mine, hers] = [must(api.alloc_page(current)), must(api.alloc_page(other))];
  using disk = must(api.brd_alloc(machine, 1 << 16));
  const pin = must(api.get_user_page(current, buf, "dest"));
  using bio = api.bio_alloc_pinned(disk, 1, "REQ_OP_READ");
  expect(api.bio_add_user_page(bio, pin, PAGE_SIZE, 0)).toBe(true);
  api.exit_task(current);
  const said = api.dmesg(machine).at(-1)!;
  expect(said).toMatch(/^task 1 exits, and of what it acquired 1 reference is held, 1 page/);
  expect(said).toMatch(/by alloc_page\(\) in task 1 at test\/debug\/leaks\.test\.ts/);
  const lines = api.dmesg(machine).length;
  api.put_page(hers);
  api.exit_task(other);
  expect(api.dmesg(machine)).toHaveLength(lines);
  api.put_page(mine);
});

test.each([false, "tags"] as const)("level %s knows nothing, and says nothing", (level) => {
  const { machine, current } = world(level);
  must(api.alloc_page(current));
  expect(api.leaks(machine)).toEqual({ count: 0, bytes: 0, groups: [] });
  api.exit_task(current);
  expect(api.dmesg(machine)).toEqual([]);
  expect(api.shutdown(machine)).toEqual({ leaks: [], lost_pages: 1 });
});

describe("groups, and their text, from the data alone", () => {
  const held = (more: Partial<api.HeldReference>): api.HeldReference => ({
    ...{ kind: "page", is: "plain page, put_page() releases it", handle: 64, pfn: 1, age: 1 },
    ...{ acquisition: 1, acquired_by: "alloc_page()", acquired_at: "", acquired_in: "task 1" },
    ...{ bytes: PAGE_SIZE, dropped: false, history: [], ...more },
  });
  const lines = (...all: Array<Partial<api.HeldReference>>): string[] =>
    api.format_leaks(api.group_leaks(all.map(held))).split("\n");

  test("what differs in kind, call, place or context is another group; most bytes first", () => {
    const { groups, count, bytes } = api.group_leaks([
      held({ age: 7 }),
      held({ acquired_in: "softirq", bytes: 2 }),
      held({ acquired_at: "a.ts:1:1", bytes: 3 }),
      held({ acquired_by: "get_page()", bytes: 4 }),
      held({ kind: "folio", bytes: 3 * PAGE_SIZE }),
      held({ age: 3, dropped: true, history: [{ what: "moved", how: "", context: "", at: "" }] }),
      held({ age: 5 }),
    ]);
    expect(groups.map((group) => group.bytes)).toEqual([3 * PAGE_SIZE, 3 * PAGE_SIZE, 4, 3, 2]);
    expect([count, bytes]).toEqual([7, 6 * PAGE_SIZE + 9]);
    const same = groups.find((group) => group.count === 3);
    expect(same).toMatchObject({ age: [7, 3], in_bios: 1, dropped: 1, first: { age: 7 } });
  });
  test("one page, of which nothing else is known", () => {
    expect(lines({})).toEqual([
      "1 reference is held, 1 page, from 1 place",
      "  1 x plain page, 4096 bytes, 1 acquisition ago",
      "    acquired  by alloc_page() in task 1",
      "    instead   put_page() releases it",
    ]);
    expect(lines({ age: 11, is: "page" })).toEqual([
      "1 reference is held, 1 page, from 1 place",
      "  1 x page, 4096 bytes, 11 acquisitions ago",
      "    acquired  by alloc_page() in task 1",
    ]);
  });
  test("pages in a bio that never ended, dropped with it", () => {
    const history: api.Step[] = [
      { what: "acquired", how: "by get_user_page()", context: "task 1", at: "a.ts:1:1" },
      { what: "moved", how: "moved into bio by add()", context: "task 1", at: "a.ts:2:1" },
      { what: "submitted", how: "by submit_bio()", context: "", at: "" },
    ];
    const one = { acquired_at: "a.ts:1:1", history, dropped: true, age: 0 };
    expect(lines(one, { ...one, age: 4 })).toEqual([
      "2 references are held, 2 pages, from 1 place",
      "  2 x plain page, 8192 bytes, 0 to 4 acquisitions ago",
      "    acquired  by alloc_page() in task 1 at a.ts:1:1",
      "    moved     into bio by add() in task 1 at a.ts:2:1",
      "    submitted by submit_bio()",
      "    instead   release it when its bio ended: bio_release_pages()",
      "    dropped   2 of them: the object that had it was collected",
    ]);
  });
});

describe("the garbage collector", () => {
  setFlagsFromString("--expose-gc");
  const gc = runInNewContext("gc") as () => void;
  /** Until finalizers ran, or did not. */
  async function collect(done: () => boolean): Promise<void> {
    for (let i = 0; i < 50 && !done(); i++) {
      await new Promise((resolve) => setTimeout(resolve, 5));
      gc();
    }
  }
  const drop = {
    "a list of extents": ({ current, buf }: ReturnType<typeof world>) => {
      must(api.get_user_bvec(current, buf, 1, "dest"));
    },
    "an extent": ({ current, buf }: ReturnType<typeof world>) => {
      using list = must(api.get_user_bvec(current, buf, 1, "dest"));
      api.pop_user_bvec(list);
    },
    "a bio": ({ machine, current, buf }: ReturnType<typeof world>) => {
      using disk = must(api.brd_alloc(machine, 1 << 16));
      const pin = must(api.get_user_page(current, buf, "dest"));
      api.bio_add_user_page(api.bio_alloc_pinned(disk, 1, "REQ_OP_READ"), pin, PAGE_SIZE, 0);
    },
    "kernel memory": ({ current }: ReturnType<typeof world>) => {
      must(api.vmalloc(current, PAGE_SIZE));
    },
    "pages of an iterator": ({ current, buf }: ReturnType<typeof world>) => {
      const iter = api.iov_iter_ubuf("dest", buf, PAGE_SIZE);
      must(api.iov_iter_get_pages2(iter, PAGE_SIZE, 1, current));
    },
  };
  test.each(Object.entries(drop))("reports %s that was dropped", async (_name, lose) => {
    const at = world();
    const { machine } = at;
    lose(at);
    await collect(() => api.misuse_reports(machine).length > 0);
    const [report, ...more] = api.misuse_reports(machine);
    expect(more).toEqual([]);
    expect(report).toMatchObject({ id: "leak", called: "the garbage collector" });
    expect(report!.history[0]!.at).toMatch(HERE);
    expect(api.dmesg(machine).at(-1)).toContain("[leak] the garbage collector:");
    const { groups } = api.leaks(machine);
    expect(groups.map(({ count, dropped }) => [count, dropped])).toEqual([[1, 1]]);
    expect(api.format_leaks(api.leaks(machine))).toContain("the object that had it was collected");
    api.shutdown(machine);
  });
  test("reports all that an object had, oldest first", async () => {
    const { machine, current, buf } = world("owners");
    (() => must(api.get_user_bvec(current, buf, 3 * PAGE_SIZE, "dest")))();
    await collect(() => api.misuse_reports(machine).length > 0);
    const lost = api
      .misuse_reports(machine)
      .map(({ handle }) => /acquisition \d+/.exec(handle)![0]);
    expect(lost).toEqual([1, 2, 3].map((serial) => `acquisition ${serial}`));
    api.shutdown(machine);
  });
  test("says nothing of what was released, though it was collected", async () => {
    // Where stacks are kept, they keep what their methods were called on.
    const { machine, current, buf } = world("owners");
    let collected = 0;
    const registry = new FinalizationRegistry(() => collected++);
    (() => {
      const list = must(api.get_user_bvec(current, buf, 2 * PAGE_SIZE, "dest"));
      const front = api.pop_user_bvec(list)!;
      for (const [i, one] of [list, front].entries()) registry.register(one, i);
      api.put_user_bvec(front);
      api.put_user_bvec(list);
    })();
    await collect(() => collected === 2);
    await collect(() => false);
    expect([collected, api.misuse_reports(machine)]).toEqual([2, []]);
    expect(api.shutdown(machine).leaks).toEqual([]);
  });
  test("says nothing of a machine that was shut down", async () => {
    const { machine, current, buf } = world();
    const { reports } = machine_state(machine);
    let collected = false;
    const registry = new FinalizationRegistry(() => (collected = true));
    (() => {
      const list = must(api.get_user_bvec(current, buf, PAGE_SIZE, "dest"));
      registry.register(list, null);
      expect(api.shutdown(machine).leaks).toHaveLength(1);
    })();
    await collect(() => collected);
    await new Promise((resolve) => setTimeout(resolve, 5));
    expect([collected, reports]).toEqual([true, []]);
  });
  test("says nothing of what was released, moved on or is still known to somebody", async () => {
    const { machine, current, buf } = world();
    const kept = (() => {
      must(api.get_user_bvec(current, buf, PAGE_SIZE, "dest"))[Symbol.dispose]();
      must(api.vmalloc(current, PAGE_SIZE))[Symbol.dispose]();
      const list = must(api.get_user_bvec(current, buf, 2 * PAGE_SIZE, "dest"));
      const extents = [api.pop_user_bvec(list)!, api.pop_user_bvec(list)!];
      const pages = must(api.all_or_none(api.pin_user_pages_fast(current, buf, 2, "dest")));
      // Numbers: the array is not the only one that knows them.
      return { extents, numbers: [...pages] };
    })();
    await collect(() => false);
    expect(api.misuse_reports(machine)).toEqual([]);
    for (const bvec of kept.extents) api.put_user_bvec(bvec);
    for (const page of kept.numbers) api.put_user_page(page);
    expect(api.shutdown(machine)).toEqual({ leaks: [], lost_pages: 0 });
  });
});
