/** Trace events: each happens, says what the table promises, and changes nothing. */
import * as api from "user-page";
import { PAGE_SIZE as P, TRACE_EVENTS, type TraceEventName } from "user-page";
import { describe, expect, test } from "vitest";
import { machine_state } from "../../src/machine/machine.js";
import { pin_count, ref_count } from "../../src/mm/page_ref.js";
import { boot_for_test, debug_mode, map_anon, must } from "../fixtures.js";
import { boot_traced, everything, traced_events } from "./everything.js";

const NAMES = Object.keys(TRACE_EVENTS) as TraceEventName[];
const names_of = (events: readonly api.TraceEvent[]): string[] => events.map(({ name }) => name);
/** The events of a call, on the given machine. */
function during(machine: api.Machine, call: () => void): api.TraceEvent[] {
  const events: api.TraceEvent[] = [];
  using tracing = api.trace_machine(machine, (event) => events.push(event));
  call();
  void tracing;
  return events;
}

describe("the table", () => {
  const events = traced_events();
  test.each(NAMES)("%s happens, with the fields of the table and no others", (name) => {
    const of_name = events.filter((event) => event.name === name);
    expect(of_name.length).toBeGreaterThan(0);
    const { system, fields } = TRACE_EVENTS[name];
    for (const event of of_name) {
      const types = Object.entries(event.fields).map(([key, value]) => [key, typeof value]);
      const words = fields.split(" ").filter((word) => word !== "");
      const wanted = words.map((word) => [word.split(":")[0]!, word.split(":")[1] ?? "number"]);
      expect(Object.fromEntries(types)).toEqual(Object.fromEntries(wanted));
      expect(event.system).toBe(system);
      expect(Object.values(event.fields).some((value) => Number.isNaN(value))).toBe(false);
    }
  });
  test("has a sentence for each", () => {
    for (const { is } of Object.values(TRACE_EVENTS)) expect(is.length).toBeGreaterThan(10);
  });
  test("events are numbered without a gap", () => {
    expect(events.map(({ ts }) => ts)).toEqual(events.map((_, i) => i + 1));
  });
  test("completions run in softirq, works in a kworker, the rest in the task", () => {
    const contexts = (name: TraceEventName): string[] => [
      ...new Set(events.filter((event) => event.name === name).map(({ context }) => context)),
    ];
    expect(contexts("block_bio_complete")).toEqual(["softirq"]);
    expect(contexts("iomap_dio_rw_begin")).toEqual(["task 1"]);
    expect(contexts("workqueue_execute_start")).toEqual(["kworker"]);
    expect(contexts("pin_user_page")).toEqual(["task 1"]);
    expect(contexts("unpin_user_page").sort()).toEqual(["softirq", "task 1"]);
  });
});

describe("counts", () => {
  test("a count that an event tells is the page's, then or when the call has released all", () => {
    using machine = boot_traced({ cma: 1 << 20 });
    const wrong: string[] = [];
    let compared = 0;
    const compare = (name: string, pfn: number, count: number): void => {
      compared++;
      if (ref_count(pfn) !== count) wrong.push(`${name}: ${ref_count(pfn)}, not ${count}`);
    };
    const released = new Map<number, number>();
    using tracing = api.trace_machine(machine, (event) => {
      const { name } = event;
      if (name === "page_ref_mod_and_test") released.set(event.fields.pfn, event.fields.count);
      if (/^(put_|unpin_|page_ref_mod_and_test)/.test(name)) return;
      // Counts of releases change behind their events, those of acquisitions before.
      const again = name === "page_ref_mod" ? event.fields : null;
      for (const [pfn, count] of released) {
        compare("released", pfn, again?.pfn === pfn ? count + again.val : count);
      }
      released.clear();
      if (event.system === "page_ref") compare(name, event.fields.pfn, event.fields.count);
    });
    everything(machine);
    void tracing;
    expect(wrong).toEqual([]);
    expect(compared).toBeGreaterThan(50);
  });
  test("a pin adds 1024 to a single page and 1 to a huge one, a reference 1", () => {
    using machine = boot_traced();
    const current = api.create_task(machine);
    const buf = map_anon(current, api.PMD_SIZE);
    api.madvise(current, buf, api.PMD_SIZE, api.MADV_HUGEPAGE)._unsafeUnwrap();
    const small = map_anon(current, P);
    for (const addr of [buf, small]) api.copy_to_user(current, addr, new Uint8Array(1));
    const vals = during(machine, () => {
      for (const addr of [buf, small]) {
        api.put_user_page(must(api.get_user_page(current, addr, api.ITER_DEST)));
      }
      const zero = api.page_to_user_page(api.ZERO_PAGE(current));
      if (!api.IS_ERR(zero)) api.put_user_page(zero);
    }).flatMap((event) => (event.system === "page_ref" ? [event.fields.val] : []));
    expect(vals).toEqual([1, -1, 1024, -1024]);
  });
  test("a freeze that fails says so, and leaves the count", () => {
    using machine = boot_for_test();
    const page = must(api.alloc_page(api.create_task(machine)));
    const events = during(machine, () => {
      api.page_ref_freeze(page, 2);
      api.page_ref_freeze(page, 1);
      api.page_ref_unfreeze(page, 1);
    });
    const told = events.map(({ name, fields }) => [name, fields]);
    const pfn = api.page_to_pfn(page);
    expect(told).toEqual([
      ["page_ref_freeze", { pfn, count: 1, val: 2, ret: false }],
      ["page_ref_freeze", { pfn, count: 0, val: 1, ret: true }],
      ["page_ref_unfreeze", { pfn, count: 1, val: 1 }],
    ]);
    api.put_page(page);
  });
});

describe("block", () => {
  test("a bio that is split: its front ends first, and it says which sectors", () => {
    using machine = boot_for_test();
    const current = api.create_task(machine);
    const disk = must(api.brd_alloc(machine, 1 << 20));
    api.queue_limits_set(disk, { max_sectors: 8 });
    const buf = map_anon(current, 2 * P);
    api.copy_to_user(current, buf, new Uint8Array(2 * P))._unsafeUnwrap();
    const events = during(machine, () => {
      api.direct_io(current, disk, "REQ_OP_WRITE", buf, 2 * P, 4096)._unsafeUnwrap();
    }).filter(({ system }) => system === "block");
    expect(names_of(events)).toEqual([
      "block_bio_queue",
      "block_split",
      "block_plug",
      "block_getrq",
      "block_getrq",
      "block_unplug",
      "block_rq_issue",
      "block_rq_issue",
      "block_rq_complete",
      "block_bio_complete",
      "block_rq_complete",
      "block_bio_complete",
    ]);
    const dev = { dev: "ram0", rwbs: "W" };
    expect(events[0]!.fields).toEqual({ ...dev, sector: 8, nr_sector: 16, bio: 1 });
    expect(events[1]!.fields).toEqual({ ...dev, sector: 8, new_sector: 16, bio: 1, part: 2 });
    const ended = events.filter(({ name }) => name === "block_bio_complete");
    expect(ended.map((event) => "bio" in event.fields && event.fields.bio)).toEqual([2, 1]);
  });
  test("an error is told below 0, of the request and of the bio", () => {
    using machine = boot_for_test();
    const current = api.create_task(machine);
    const disk = must(api.brd_alloc(machine, 1 << 16));
    using flakey = api.dm_flakey(disk, () => ({ error: "EIO" }));
    const buf = map_anon(current, P);
    const events = during(machine, () => {
      expect(api.direct_io(current, flakey, "REQ_OP_READ", buf, P, 0).isErr()).toBe(true);
    });
    const errors = events.flatMap((event) => ("error" in event.fields ? [event.fields.error] : []));
    expect(errors).toEqual([-5, -5]);
    const done = events.find(({ name }) => name === "iomap_dio_complete");
    expect(done?.name === "iomap_dio_complete" && done.fields.ret).toBe(-5);
  });
});

describe("listening", () => {
  test("ends with its block, and leaves the machine as it was", () => {
    using machine = boot_traced();
    const state = machine_state(machine);
    const { probe } = state;
    {
      using first = api.trace_machine(machine, () => undefined);
      {
        using second = api.trace_machine(machine, () => undefined);
        void second;
      }
      expect(state.tracers).toHaveLength(1);
      expect(state.probe).not.toBe(probe);
      void first;
    }
    expect(state.tracers).toBeNull();
    expect(state.probe).toBe(probe);
  });
  test("twice: each hears everything, and a second end does nothing", () => {
    using machine = boot_traced();
    const current = api.create_task(machine);
    const heard: string[] = [];
    const a = api.trace_machine(machine, ({ name }) => heard.push(`a ${name}`));
    using b = api.trace_machine(machine, ({ name }) => heard.push(`b ${name}`));
    const page = must(api.alloc_page(current));
    expect(heard).toEqual([
      ...["a mm_page_alloc", "b mm_page_alloc", "a page_ref_set", "b page_ref_set"],
      ...["a get_page", "b get_page"],
    ]);
    a[Symbol.dispose]();
    a[Symbol.dispose]();
    heard.length = 0;
    api.put_page(page);
    expect(heard).toEqual(["b put_page", "b page_ref_mod_and_test", "b mm_page_free"]);
    void b;
  });
  test("what throws hears nothing more, nothing of the machine is lost, and the end throws the same", () => {
    using machine = boot_for_test();
    const current = api.create_task(machine);
    const other: string[] = [];
    using fine = api.trace_machine(machine, ({ name }) => other.push(name));
    const bug = new Error("listener bug");
    let calls = 0;
    const tracing = api.trace_machine(machine, () => {
      calls++;
      throw bug;
    });
    const page = must(api.alloc_page(current));
    api.put_page(page);
    expect(calls).toBe(1);
    expect(other.length).toBeGreaterThan(2);
    expect(() => tracing[Symbol.dispose]()).toThrow(bug);
    void fine;
    expect(api.shutdown(machine).lost_pages).toBe(0);
  });
  test("a listener may look, and what it does is not traced; what sleeps is refused", () => {
    using machine = boot_for_test();
    const current = api.create_task(machine);
    const refused: unknown[] = [];
    const events = during(machine, () => {
      using asking = api.trace_machine(machine, () => {
        api.vmstat(machine);
        try {
          must(api.alloc_page(current));
        } catch (error) {
          refused.push((error as api.MisuseError).id);
        }
      });
      api.put_page(must(api.alloc_page(current)));
      void asking;
    });
    expect(new Set(refused)).toEqual(new Set(["sleep-in-atomic"]));
    expect(names_of(events).filter((name) => name === "mm_page_alloc")).toHaveLength(1);
  });
  test("without owners there are no events of references, and all others", () => {
    const names = (level: api.DebugLevel | boolean): Set<string> => {
      using machine = boot_traced({ CONFIG_DEBUG_USER_PAGE_REFERENCES: level });
      const current = api.create_task(machine);
      const buf = map_anon(current, P);
      const disk = must(api.brd_alloc(machine, P));
      return new Set(
        names_of(
          during(machine, () => {
            api.direct_io_pages(current, disk, "REQ_OP_WRITE", buf, P, 0)._unsafeUnwrap();
          }),
        ),
      );
    };
    const all = names("owners");
    const references = ["pin_user_page", "bio_add_user_page", "unpin_user_page"];
    const counted = ["page_ref_mod", "page_ref_mod_and_test"];
    for (const level of [false, "tags"] as const) {
      const expected = [...all].filter((name) => ![...references, ...counted].includes(name));
      expect(names(level)).toEqual(new Set(expected));
    }
    expect(names(true)).toEqual(all);
  });
  test("the place of a call is told where the machine records places", () => {
    const at = (level: api.DebugLevel | boolean): string[] => {
      using machine = boot_traced({ CONFIG_DEBUG_USER_PAGE_REFERENCES: level });
      const current = api.create_task(machine);
      const events = during(machine, () => api.put_page(must(api.alloc_page(current))));
      return events.flatMap((e) => (e.name === "get_page" || e.name === "put_page" ? [e.at] : []));
    };
    for (const place of at(true)) expect(place).toMatch(/^test\/trace\/events\.test\.ts:\d+:\d+$/);
    expect(at("owners")).toEqual(["", ""]);
  });
  test("a release by folio names the acquisitions that it ended", () => {
    using machine = boot_traced();
    const current = api.create_task(machine);
    const buf = map_anon(current, P);
    const pins = [0, 1, 2].map(() => must(api.get_user_page(current, buf, api.ITER_DEST)));
    const pfn = api.page_to_pfn(pins[0]!);
    const events = during(machine, () => {
      api.folio_add_pin(api.page_folio(pins[0]!));
      api.unpin_user_folio(api.page_folio(pins[0]!), 2);
    });
    const serials = (name: string): number[] =>
      events.flatMap((e) => (e.name === name && "serial" in e.fields ? [e.fields.serial] : []));
    expect(serials("pin_user_page")).toEqual([4]);
    // The one without a handle, then the oldest.
    expect(serials("unpin_user_page")).toEqual([4, 1]);
    for (const pin of pins.slice(1)) api.put_user_page(pin);
    expect([ref_count(pfn), pin_count(pfn)]).toEqual([1, 0]);
  });
});

test("a misuse is told, thrown or recorded", () => {
  for (const panic_on_warn of [true, false]) {
    using machine = boot_traced({ panic_on_warn });
    const current = api.create_task(machine);
    const page = must(api.alloc_page(current));
    const kept = api.get_page(page);
    const handle = page as unknown as api.Page;
    const events = during(machine, () => {
      api.put_page(page);
      try {
        api.put_page(handle);
      } catch (error) {
        expect(error).toBeInstanceOf(api.MisuseError);
      }
    });
    const misuse = events.find(({ name }) => name === "misuse");
    expect(misuse?.fields).toMatchObject({ id: "double-release", called: "put_page()" });
    void kept;
  }
});
test("a machine that nobody traces has no list of tracers", () => {
  using machine = boot_for_test();
  expect(machine_state(machine).tracers).toBeNull();
  expect(debug_mode || machine_state(machine).probe === null).toBe(true);
});
