/** Level "tags": bit 0 alone tells a pin from a plain page, in both directions and in every release. */
import * as api from "user-page";
import { expect, test } from "vitest";
import { forced, id_of, map_anon, must } from "../fixtures.js";

test("each wrong pairing is reported, and counts nothing", () => {
  const machine = api.boot({ mem: 4 << 20, CONFIG_DEBUG_USER_PAGE_REFERENCES: "tags" });
  const current = api.create_task(machine);
  const buf = map_anon(current, 4096);
  const pin = must(api.get_user_page(current, buf, "dest"));
  const page = must(api.alloc_page(current));
  const pages = [page];
  expect(id_of(() => forced(api.put_page)(pin))).toBe("pin-to-put_page");
  expect(id_of(() => forced(api.put_user_page)(page))).toBe("page-to-put_user_page");
  expect(id_of(() => forced(api.unpin_user_page)(page))).toBe("page-to-put_user_page");
  expect(id_of(() => forced(api.put_user_pages)(pages))).toBe("page-to-put_user_page");
  expect([api.page_ref_count(pin), api.page_ref_count(page)]).toEqual([1025, 1]);
  api.put_user_page(pin);
  api.put_page(page);
  expect(api.shutdown(machine).lost_pages).toBe(0);
});
test("a report shows the counts, before and after, and which page", () => {
  const machine = api.boot({
    mem: 4 << 20,
    CONFIG_DEBUG_USER_PAGE_REFERENCES: "tags",
    panic_on_warn: false,
  });
  const current = api.create_task(machine);
  const pin = must(api.get_user_page(current, map_anon(current, 4096), "dest"));
  forced(api.put_page)(pin);
  const [report, ...more] = api.misuse_reports(machine);
  expect(more).toEqual([]);
  expect(report!.counts).toMatchObject({
    before: { refcount: 1025, maybe_pinned: true },
    after: { refcount: 1024, maybe_pinned: true },
  });
  expect(report!.handle).toBe(`page at pfn ${api.page_to_pfn(pin)}`);
  machine[Symbol.dispose]();
});
