/** Pins that stop, and tasks that are killed while they wait. */
import * as api from "user-page";
import { describe, expect, test } from "vitest";
import { fill_pattern, must } from "../fixtures.js";
import { LEN, P, type World, ends, errno, of, world } from "./failing_world.js";

describe("pins that stop", () => {
  type Pin = (w: World) => unknown;
  const locked =
    (call: (lock: api.LockedMm, w: World) => unknown): Pin =>
    (w) => {
      using lock = api.mmap_read_lock(w.current, w.current.mm);
      return call(lock, w);
    };
  const forms: ReadonlyArray<readonly [string, Pin]> = [
    ["pin_user_pages()", locked((lock, { buf }) => api.pin_user_pages(lock, buf, 8, "dest"))],
    [
      "pin_user_pages_remote()",
      locked((lock, { buf }) => api.pin_user_pages_remote(lock, buf, 8, "dest")),
    ],
    [
      "pin_user_pages_unlocked()",
      ({ current, buf }) => api.pin_user_pages_unlocked(current, buf, 8, "dest"),
    ],
    [
      "pin_user_pages_fast()",
      ({ current, buf }) => api.pin_user_pages_fast(current, buf, 8, "dest", api.FOLL_LONGTERM),
    ],
    [
      "vaddr_pin_pages()",
      ({ current, buf }) =>
        api.vaddr_pin_pages(current, buf, 8, "dest", new api.VaddrPin("somebody")),
    ],
  ];
  const both = forms.flatMap(([called, pin]) =>
    [true, false].map((present) => [called, present, pin] as const),
  );
  test.each(both)("%s, present: %s", (called, present, pin) => {
    for (const [inject, seen] of [
      ["fault_in_pin@1", "EFAULT"],
      ["fault_in_pin@1:1", "1 of 8"],
      ["fault_in_pin@1:5", "5 of 8"],
      ["fault_in_pin@1:8", "7 of 8"],
      ["short_pin@1", "4 of 8"],
      ["short_pin@1:1", "1 of 8"],
      ["short_pin@1:99", "7 of 8"],
    ] as const) {
      const w = world(inject);
      if (present) fill_pattern(w.current, w.buf, LEN);
      const before = api.vmstat(w.machine).nr_foll_pin_acquired;
      const pinned = pin(w);
      expect(errno(pinned)).toBe(seen);
      const taken = seen === "EFAULT" ? 0 : Number(seen[0]);
      expect(api.vmstat(w.machine).nr_foll_pin_acquired - before).toBe(taken);
      if (api.IS_SHORT(pinned)) (pinned as Disposable)[Symbol.dispose]();
      expect(ends(w)).toEqual([called]);
    }
  });
  test("get_user_pages() and its kind: a short count, or -EFAULT", () => {
    for (const [inject, seen] of [
      ["fault_in_pin@1", -14],
      ["fault_in_pin@1:3", 3],
      ["short_pin@1", 4],
    ] as const) {
      for (const receives of [true, false]) {
        const w = world(inject);
        const pages: api.Page[] | null = receives ? [] : null;
        {
          using lock = api.mmap_read_lock(w.current, w.current.mm);
          expect(api.get_user_pages(lock, w.buf, 8, api.FOLL_WRITE, pages)).toBe(seen);
        }
        expect(pages?.length ?? 0).toBe(receives && seen > 0 ? seen : 0);
        for (const page of pages ?? []) api.put_page(page);
        expect(ends(w)).toEqual(["get_user_pages()"]);
      }
    }
  });
  test.each(["fault_in_pin@1", "fault_in_pin@1:3", "short_pin@1", "short_pin@1:7"])(
    "%s: get_user_bvec() is all or nothing",
    (inject) => {
      const w = world(inject);
      fill_pattern(w.current, w.buf, LEN);
      const at = api.user_ptr_add(w.buf, 100);
      const bvecs = api.get_user_bvec(w.current, at, LEN - 200, api.ITER_DEST);
      expect(errno(bvecs)).toBe("EFAULT");
      const { nr_foll_pin_acquired: acquired, nr_foll_pin_released: released } = api.vmstat(
        w.machine,
      );
      expect(released).toBe(acquired);
      expect(ends(w)).toEqual(["get_user_bvec()"]);
    },
  );
  test("one page cannot be short; none is not asked for", () => {
    const w = world("short_pin@1,fault_in_pin@2");
    api.put_user_page(must(api.get_user_page(w.current, w.buf, api.ITER_DEST)));
    api.put_user_pages(
      must(api.all_or_none(api.pin_user_pages_fast(w.current, w.buf, 0, api.ITER_DEST))),
    );
    expect(api.injection(w.machine).asked).toMatchObject({ short_pin: 0, fault_in_pin: 1 });
    expect(errno(api.get_user_page(w.current, w.buf, api.ITER_DEST))).toBe("EFAULT");
    expect(ends(w)).toEqual(["get_user_page()"]);
  });
  test("an iterator gets fewer pages, and moves by those", () => {
    const w = world("short_pin@1:2");
    const iter = api.iov_iter_ubuf(api.ITER_DEST, api.user_ptr_add(w.buf, 100), LEN - 100);
    {
      using pages = api.iov_iter_extract_pages(iter, LEN, 8, w.current);
      expect(must(pages).bytes).toBe(2 * P - 100);
      expect(iter.count).toBe(LEN - 2 * P);
    }
    expect(ends(w)).toEqual(["iov_iter_extract_pages()"]);
  });
});

describe("kill_wait", () => {
  const pin = ({ current, buf }: World) => api.pin_user_pages_fast(current, buf, 8, "dest");
  test("before the first page: EAGAIN, and from then on; a store still works", () => {
    const w = world("kill_wait@1");
    expect(errno(pin(w))).toBe("EAGAIN");
    expect(errno(pin(w))).toBe("EAGAIN");
    expect(of(api.copy_to_user(w.current, w.buf, new Uint8Array(LEN)))).toBe(LEN);
    // What is present needs no wait.
    api.put_user_pages(must(api.all_or_none(pin(w))));
    expect(ends(w)).toEqual(["__get_user_pages()"]);
  });
  test("with the lock held: EINTR", () => {
    const w = world("kill_wait@1");
    {
      using lock = api.mmap_read_lock(w.current, w.current.mm);
      expect(errno(api.pin_user_pages(lock, w.buf, 8, "dest"))).toBe("EINTR");
      expect(api.get_user_pages(lock, w.buf, 8, 0, [])).toBe(-4);
    }
    expect(ends(w)).toEqual(["__get_user_pages()"]);
  });
  test("at a later page: those before are the answer; all or nothing has none", () => {
    const w = world("kill_wait@4");
    const pinned = pin(w);
    expect(errno(pinned)).toBe("3 of 8");
    if (api.IS_SHORT(pinned)) api.put_user_pages(pinned.partial);
    expect(ends(w)).toEqual(["__get_user_pages()"]);
    const all = world("kill_wait@4");
    expect(errno(api.get_user_bvec(all.current, all.buf, LEN, "dest"))).toBe("EAGAIN");
    expect(ends(all)).toEqual(["__get_user_pages()"]);
  });
  test("a kworker is not killed", () => {
    const w = world("kill_wait@1");
    const { mm } = w.current;
    api.schedule_work(w.current, (kworker) => {
      using bvecs = api.get_user_bvec_remote(kworker, mm, w.buf, LEN, "dest");
      expect(api.IS_ERR(bvecs)).toBe(false);
    });
    api.flush_work(w.machine);
    expect(api.injection(w.machine).asked.kill_wait).toBe(0);
    expect(ends(w)).toEqual([]);
  });
});
