/** Debug mode has room for 2^21 - 1 acquisitions: one more is refused before anything is counted. */
import * as api from "user-page";
import { expect, test } from "vitest";
import { MAX_RECORDS } from "../../src/machine/limits.js";
import { machine_state } from "../../src/machine/machine.js";
import { map_anon, must } from "../fixtures.js";

test("an acquisition without room for its record counts nothing", () => {
  using machine = api.boot({ mem: 4 << 20, CONFIG_DEBUG_USER_PAGE_REFERENCES: "owners" });
  const current = api.create_task(machine);
  const buf = map_anon(current, 4096);
  const first = must(api.get_user_page(current, buf, "dest"));
  const { probe } = machine_state(machine);
  const room = MAX_RECORDS - 2;
  for (let i = 0; i < room; i++) probe!.acquired("page", 0, "test", {});
  const count = api.page_ref_count(first);
  expect(() => api.get_user_page(current, buf, "dest")).toThrow(RangeError);
  expect(() => api.pin_user_pages_fast(current, buf, 1, "dest")).toThrow(RangeError);
  expect(() => api.get_user_bvec(current, buf, 4096, "dest")).toThrow(RangeError);
  expect(() => api.get_user_pages_fast(current, buf, 1, 0, [])).toThrow(RangeError);
  expect(api.page_ref_count(first)).toBe(count);
  expect(api.vmstat(machine).nr_foll_pin_acquired).toBe(1);
});
