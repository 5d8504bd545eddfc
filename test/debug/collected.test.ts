/** What debug mode costs and keeps when objects come and go, and what it says of those that held references. */
import { setFlagsFromString } from "node:v8";
import { runInNewContext } from "node:vm";
import * as api from "user-page";
import { PAGE_SIZE } from "user-page";
import { expect, test } from "vitest";
import { map_anon, must } from "../fixtures.js";

setFlagsFromString("--expose-gc");
const gc = runInNewContext("gc") as () => void;
async function collect(): Promise<void> {
  for (let i = 0; i < 8; i++) {
    gc();
    await new Promise((resolve) => setTimeout(resolve, 5));
  }
}
function world() {
  const machine = api.boot({ mem: 8 << 20, CONFIG_DEBUG_USER_PAGE_REFERENCES: "owners" });
  const current = api.create_task(machine);
  return { machine, current, buf: map_anon(current, 16 * PAGE_SIZE) };
}

test("an object that holds nothing costs nothing when it is collected", async () => {
  const { machine, current, buf } = world();
  const lists = (n: number): void => {
    for (let i = 0; i < n; i++)
      api.put_user_bvec(must(api.get_user_bvec(current, buf, PAGE_SIZE, "dest")));
  };
  const pages = Array.from({ length: 1000 }, () => must(api.alloc_page(current)));
  lists(20_000);
  const before = process.cpuUsage().user;
  lists(20_000);
  const work = process.cpuUsage().user - before;
  await collect();
  // A look at every record for each object would be hundreds of times the work.
  expect(process.cpuUsage().user - before).toBeLessThan(work + 3_000_000);
  expect(api.misuse_reports(machine)).toEqual([]);
  for (const page of pages) api.put_page(page);
  expect(api.shutdown(machine)).toEqual({ leaks: [], lost_pages: 0 });
});
test("extents that went from list to list are lost with the last one that had them", async () => {
  const { machine, current, buf } = world();
  const kept = (() => {
    const list = must(api.get_user_bvec(current, buf, 4 * PAGE_SIZE, "dest"));
    const first = api.pop_user_bvec(list)!;
    api.pop_user_bvec(list); // nobody has this one
    return { list, first };
  })();
  await collect();
  const lost = api.misuse_reports(machine).map(({ handle }) => /acquisition \d+/.exec(handle)![0]);
  expect(lost).toEqual(["acquisition 2"]);
  api.put_user_bvec(kept.first);
  api.put_user_bvec(kept.list);
  expect(api.leaks(machine)).toMatchObject({ count: 1, groups: [{ dropped: 1 }] });
  api.shutdown(machine);
});
test("what belongs to an object is released with it, and the list of leaks says so", () => {
  const { machine, current, buf } = world();
  must(api.vmalloc(current, PAGE_SIZE));
  must(api.iov_iter_get_pages2(api.iov_iter_ubuf("source", buf, 1), 1, 1, current));
  const owner = new api.VaddrPin("file 1");
  must(api.all_or_none(api.vaddr_pin_pages(current, buf, 1, "dest", owner)));
  const pin = must(api.get_user_page(current, buf, "dest"));
  api.folio_add_pin(api.page_folio(pin));
  expect(
    api
      .leaks(machine)
      .groups.map(({ is }) => /\w+\(\)/.exec(is)![0])
      .sort(),
  ).toEqual([
    "iov_iter_put_pages()",
    "put_user_page()",
    "unpin_user_folio()",
    "vaddr_unpin_pages()",
    "vfree()",
  ]);
  api.shutdown(machine);
});
test("a task that exits and holds nothing is not searched for", () => {
  const { machine } = world();
  const started = process.cpuUsage().user;
  const keeper = api.create_task(machine);
  const pages = Array.from({ length: 1000 }, () => must(api.alloc_page(keeper)));
  for (let i = 0; i < 300; i++) for (const page of pages) api.put_page(api.get_page(page));
  const work = process.cpuUsage().user - started;
  const before = process.cpuUsage().user;
  for (let i = 0; i < 100; i++) api.exit_task(api.create_task(machine));
  expect(process.cpuUsage().user - before).toBeLessThan(work + 500_000);
  api.shutdown(machine);
});
