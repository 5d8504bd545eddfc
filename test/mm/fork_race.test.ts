/** fork() and the walk without a lock on two CPUs: whoever comes second sees it and takes nothing that the other shares. */
import * as api from "user-page";
import { PAGE_SIZE } from "user-page";
import { describe, expect, test } from "vitest";
import { machine_state } from "../../src/machine/machine.js";
import { on_preemption, preempt, type PreemptionPoint } from "../../src/machine/trace.js";
import { boot_for_test, counts, map_anon, must } from "../fixtures.js";
import {
  byte_at,
  dma,
  free,
  get,
  huge_buffer,
  is_exclusive,
  MEM,
  mm_of,
  pfn_at,
  pins,
  store,
} from "./fork_world.js";

/** Lets `act` run on another CPU the first time that this point is reached. */
function once(machine: api.Machine, where: PreemptionPoint, act: (pfn: number) => void) {
  let done = 0;
  const listening = on_preemption(machine, (point, pfn) => {
    if (point !== where || done++ > 0) return;
    act(pfn);
  });
  return { ran: () => done > 0, [Symbol.dispose]: () => listening[Symbol.dispose]() };
}
function parent_with(machine: api.Machine, pages: number): [api.Task, api.UserAddr] {
  const parent = api.create_task(machine);
  const buf = map_anon(parent, pages * PAGE_SIZE);
  for (let i = 0; i < pages; i++) store(parent, api.user_ptr_add(buf, i * PAGE_SIZE), i + 1);
  return [parent, buf];
}

describe("a pin without the lock", () => {
  test.each(["gup_fast: entry read", "gup_fast: reference taken"] as const)(
    "that sees write_protect_seq change is given back and taken again under the lock: fork() at %s",
    (point) => {
      using machine = boot_for_test(MEM);
      const [parent, buf] = parent_with(machine, 3);
      let child: api.ForkedTask | null = null;
      using race = once(machine, point, () => {
        child = must(api.fork(parent));
      });
      const found = must(api.all_or_none(api.pin_user_pages_fast(parent, buf, 3, "dest")));
      expect(race.ran()).toBe(true);
      const [acquired, released] = pins(machine);
      expect(acquired - released).toBe(3);
      expect(released).toBeGreaterThan(0); // what was taken in vain
      for (const [i, page] of found.entries()) {
        const at = api.user_ptr_add(buf, i * PAGE_SIZE);
        expect(api.page_to_pfn(page)).toBe(pfn_at(parent, at));
        expect(is_exclusive(pfn_at(parent, at))).toBe(true);
        dma(page, 100 + i);
        expect([byte_at(parent, at), byte_at(child!, at)]).toEqual([100 + i, i + 1]);
      }
      api.put_user_pages(found);
      api.exit_task(child!);
    },
  );
  test("of a range in one piece is given back as well", () => {
    using machine = boot_for_test(MEM);
    const parent = api.create_task(machine);
    const buf = huge_buffer(parent);
    store(parent, buf, 1);
    let child: api.ForkedTask | null = null;
    using race = once(machine, "gup_fast: reference taken", () => {
      child = must(api.fork(parent));
    });
    const list = must(api.get_user_bvec(parent, buf, 8 * PAGE_SIZE, "dest"));
    // The huge page was split under the first pin; the second was of what it became.
    expect([race.ran(), pins(machine)[1]]).toEqual([true, 2]);
    const head = pfn_at(parent, buf);
    expect(pfn_at(child!, buf)).not.toBe(head); // fork() saw the pin that was given back later
    expect(counts(head)[1]).toBe(list.nr_segs);
    api.put_user_bvec(list);
    expect(counts(head)[1]).toBe(0);
    expect(pins(machine)[0]).toBe(pins(machine)[1]);
    api.exit_task(child!);
  });
  test("is not taken while fork() copies: write_protect_seq is odd, and the lock is not to be had", () => {
    using machine = boot_for_test(MEM);
    const [parent, buf] = parent_with(machine, 2);
    const seen: unknown[] = [];
    using race = once(machine, "fork: entry copied", () => {
      seen.push(mm_of(parent).write_protect_seq % 2, pins(machine));
      expect(() => api.pin_user_pages_fast(parent, buf, 2, "source")).toThrow(/lock-recursion/);
      expect(() => api.get_user_bvec(parent, buf, 4096, "source")).toThrow(/lock-recursion/);
      expect(() => api.munmap(parent, buf, 4096)).toThrow(/lock-recursion/);
      expect(() => api.fork(parent)).toThrow(/lock-recursion/);
      expect(() => api.copy_to_user(parent, buf, new Uint8Array(1))).toThrow(/lock-recursion/);
      expect(() => api.mmap_read_lock(parent, parent.mm)).toThrow(/lock-recursion/);
      seen.push(pins(machine));
      // A plain reference does not ask.
      api.put_page(get(parent, buf));
      seen.push(byte_at(parent, buf));
    });
    const child = must(api.fork(parent));
    expect(race.ran()).toBe(true);
    expect(seen).toEqual([1, [0, 0], [0, 0], 1]);
    expect([mm_of(parent).write_protect_seq, byte_at(child, buf)]).toEqual([2, 1]);
    api.exit_task(child);
  });
  test("fork() that is torn down half-way lets everything go", () => {
    using machine = boot_for_test(MEM);
    const [parent, buf] = parent_with(machine, 4);
    const before = free(machine);
    {
      using race = once(machine, "fork: entry copied", () => {
        throw new Error("the other CPU stopped");
      });
      expect(() => api.fork(parent)).toThrow("the other CPU stopped");
      expect(race.ran()).toBe(true);
    }
    expect([free(machine), counts(pfn_at(parent, buf))]).toEqual([before, [1, 0]]);
    expect(mm_of(parent).write_protect_seq % 2).toBe(0);
    using child = must(api.fork(parent));
    expect(byte_at(child, buf)).toBe(1);
  });
});
describe("the second look at an entry", () => {
  test.each([
    ["entry read", "unmapped", (t: api.Task, a: api.UserAddr) => api.munmap(t, a, PAGE_SIZE)],
    ["reference taken", "unmapped", (t: api.Task, a: api.UserAddr) => api.munmap(t, a, PAGE_SIZE)],
  ] as const)("after %s: the page is %s, and what was taken goes back", (at, _, change) => {
    using machine = boot_for_test(MEM);
    const [current, buf] = parent_with(machine, 1);
    const pfn = pfn_at(current, buf);
    using race = once(machine, `gup_fast: ${at}`, () => void change(current, buf));
    const found = api.pin_user_pages_fast(current, buf, 1, "dest");
    expect(api.IS_ERR(found) && found.errno).toBe("EFAULT");
    expect([race.ran(), counts(pfn)]).toEqual([true, [0, 0]]);
    expect(pins(machine)[0]).toBe(pins(machine)[1]);
  });
  test("the frame belongs to somebody else by then: nobody's page is pinned", () => {
    using machine = boot_for_test(MEM);
    const [current, buf] = parent_with(machine, 1);
    let stranger: api.Page | null = null;
    let frame = 0;
    using race = once(machine, "gup_fast: entry read", (pfn) => {
      api.madvise(current, buf, PAGE_SIZE, api.MADV_DONTNEED)._unsafeUnwrap();
      stranger = must(api.alloc_page(current)); // the page that was just freed
      frame = pfn;
      expect(api.page_to_pfn(stranger)).toBe(pfn);
    });
    const pin = must(api.get_user_page(current, buf, "dest"));
    expect([race.ran(), counts(frame)]).toEqual([true, [1, 0]]);
    expect(api.page_to_pfn(pin)).not.toBe(frame);
    api.put_user_page(pin);
    api.put_page(stranger!);
  });
  test("a page that is swapped out between the two looks comes back, and is pinned then", () => {
    using machine = boot_for_test(MEM);
    const [current, buf] = parent_with(machine, 1);
    const pageout = (): void => {
      api.madvise(current, buf, PAGE_SIZE, api.MADV_PAGEOUT)._unsafeUnwrap();
    };
    {
      using race = once(machine, "gup_fast: entry read", pageout);
      const pin = must(api.get_user_page(current, buf, "dest"));
      dma(pin, 50);
      expect([race.ran(), byte_at(current, buf)]).toEqual([true, 50]);
      api.put_user_page(pin);
    }
    // With the reference taken it stays.
    const pfn = pfn_at(current, buf);
    using race = once(machine, "gup_fast: reference taken", pageout);
    const pin = must(api.get_user_page(current, buf, "dest"));
    expect([race.ran(), api.page_to_pfn(pin)]).toEqual([true, pfn]);
    api.put_user_page(pin);
  });
  test("listening alone changes no count and no page", () => {
    const run = (listen: boolean): unknown => {
      using machine = boot_for_test(MEM);
      const parent = api.create_task(machine);
      const [small, huge] = [map_anon(parent, 4 * PAGE_SIZE), huge_buffer(parent)];
      const zero = map_anon(parent, PAGE_SIZE);
      byte_at(parent, zero);
      for (const at of [small, huge]) store(parent, at, 1);
      using child = must(api.fork(parent));
      const points: string[] = [];
      using listening = listen ? on_preemption(machine, (point) => points.push(point)) : null;
      const seen: unknown[] = [];
      for (const at of [small, huge, zero]) {
        const found = must(api.all_or_none(api.pin_user_pages_fast(parent, at, 1, "source")));
        seen.push(pins(machine), counts(api.page_to_pfn(found[0]!)));
        api.put_user_pages(found);
        const list = must(api.get_user_bvec(parent, at, PAGE_SIZE, "dest"));
        seen.push(pins(machine), list.nr_segs);
        api.put_user_bvec(list);
      }
      expect(points.length > 0).toBe(listen);
      expect(byte_at(child, small)).toBe(1);
      return [listening === null || seen.length, seen].at(1);
    };
    expect(run(true)).toEqual(run(false));
  });
});
test("preempt() is what the walks call: nobody is interrupted by himself", () => {
  using machine = boot_for_test(MEM);
  let depth = 0;
  using listening = on_preemption(machine, () => {
    depth++;
    preempt(machine_state(machine), "fork: entry copied");
  });
  preempt(machine_state(machine), "fork: entry copied");
  expect([depth, typeof listening]).toEqual([1, "object"]);
});
