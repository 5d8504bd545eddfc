/** Moving folios while other CPUs run and completions of others throw: nothing is lost, and nothing stays frozen. */
import * as api from "user-page";
import { describe, expect, test } from "vitest";
import { boot_plain, forced, map_anon, must } from "../fixtures.js";
import { bomb, file_world, map_file, P, type FileWorld } from "../fs/file_world.js";
import { PAGE, pfn_at, scoped, touch, world, type World } from "./longterm_world.js";

const CMA = { mem: 1 << 20, cma: 16 * PAGE };
const byte_at = (task: api.Task, addr: api.UserAddr): number => {
  const to = new Uint8Array(1);
  api.copy_from_user(task, to, addr)._unsafeUnwrap();
  return to[0]!;
};
function make_secure(task: api.Task, addr: api.UserAddr): void {
  using lock = api.mmap_read_lock(task, task.mm);
  api.gmap_convert_to_secure(lock, addr)._unsafeUnwrap();
}

describe("another CPU at the point where a secure page was exported", () => {
  /** Two pages in the CMA area, the second one secure: the first would be frozen by then.  What is exported is encrypted. */
  function prepared(plan?: api.UvPlan): { w: World; buf: api.UserAddr; second: api.UserAddr } {
    const w = world(CMA);
    api.setup_uv(w.machine, plan);
    const buf = map_anon(w.current, 2 * PAGE);
    const second = api.user_ptr_add(buf, PAGE);
    touch(w.current, buf, 7);
    touch(w.current, second, 8);
    make_secure(w.current, second);
    return { w, buf, second };
  }
  const during_alloc = (w: World, cpu: () => void): void => {
    let runs = 0;
    using _racing = api.on_preemption(w.machine, (point) => {
      if (point === "make_accessible: exported" && runs++ === 0) cpu();
    });
    using pages = must(api.cma_alloc(w.current, 16));
    expect([pages.nr_pages, runs]).toEqual([16, 1]);
  };
  test("stores, and the store is not lost", () => {
    const { w, buf, second } = prepared();
    using _ = w;
    during_alloc(w, () => touch(w.current, buf, 9));
    expect(byte_at(w.current, buf)).toBe(9);
    touch(w.current, second, 8);
    expect(byte_at(w.current, second)).toBe(8);
  });
  test("unmaps, and no page is lost", () => {
    const { w, buf, second } = prepared();
    during_alloc(w, () => api.munmap(w.current, buf, PAGE)._unsafeUnwrap());
    touch(w.current, second, 8);
    expect(byte_at(w.current, second)).toBe(8);
    api.exit_task(w.current);
    expect(api.shutdown(w.machine)).toEqual({ leaks: [], lost_pages: 0 });
  });
  test("unmaps the page itself", () => {
    const { w, buf, second } = prepared();
    during_alloc(w, () => api.munmap(w.current, second, PAGE)._unsafeUnwrap());
    expect(byte_at(w.current, buf)).toBe(7);
    api.exit_task(w.current);
    expect(api.shutdown(w.machine)).toEqual({ leaks: [], lost_pages: 0 });
  });
  test("cannot make it secure again: who exports it holds a reference", () => {
    const { w, buf, second } = prepared();
    using _ = w;
    let runs = 0;
    {
      using _racing = api.on_preemption(w.machine, (point) => {
        if (point !== "make_accessible: exported") return;
        using lock = api.mmap_read_lock(w.current, w.current.mm);
        expect(api.make_folio_secure(lock, second).isErr()).toBe(true);
        runs++;
      });
      using _pages = must(api.cma_alloc(w.current, 16));
    }
    expect([runs, byte_at(w.current, buf)]).toEqual([1, 7]);
  });
  test("a page that cannot be exported is in the way, until it can be", () => {
    let refuses = true;
    const { w, buf, second } = prepared((call) =>
      refuses && call === "convert from secure" ? "error" : null,
    );
    using _ = w;
    expect(api.cma_alloc(w.current, 16)).toMatchObject({ errno: "EBUSY" });
    refuses = false;
    using pages = must(api.cma_alloc(w.current, 16));
    expect([pages.nr_pages, byte_at(w.current, buf)]).toEqual([16, 7]);
    touch(w.current, second, 8);
  });
});

describe("writeback in the way", () => {
  /** An anonymous page, then a dirty page of a file, both in the CMA area. */
  function prepared(): { w: FileWorld; file: api.File; buf: api.UserAddr } {
    const w = file_world(CMA);
    const buf = map_anon(w.current, PAGE);
    touch(w.current, buf, 7);
    const file = w.open("a");
    api.kernel_write(w.current, file, new Uint8Array(P).fill(5), 0)._unsafeUnwrap();
    return { w, file, buf };
  }
  const whole_area = (w: FileWorld): void => {
    using pages = must(api.cma_alloc(w.current, 16));
    expect(pages.nr_pages).toBe(16);
  };
  test("the wait throws somebody else's error: nothing stays frozen or taken", () => {
    const { w, file, buf } = prepared();
    using _ = w;
    const free = api.vmstat(w.machine).nr_free_pages;
    bomb(w);
    api.filemap_flush(w.current, file);
    expect(() => api.cma_alloc(w.current, 16)).toThrow("driver bug");
    expect(api.vmstat(w.machine).nr_free_pages).toBe(free);
    touch(w.current, buf, 8);
    using pin = scoped(api.get_user_page(w.current, buf, "dest"));
    expect(api.page_to_pfn(pin.page)).toBe(pfn_at(w.current, buf));
    expect(byte_at(w.current, buf)).toBe(8);
  });
  test("and the whole area can be had then", () => {
    const { w, file, buf } = prepared();
    bomb(w);
    api.filemap_flush(w.current, file);
    expect(() => api.cma_alloc(w.current, 16)).toThrow("driver bug");
    whole_area(w);
    expect(byte_at(w.current, buf)).toBe(7);
    w.fs[Symbol.dispose]();
    api.exit_task(w.current);
    expect(w.shutdown()).toMatchObject({ leaks: [], lost_pages: 0 });
  });
  test("by a CPU that was interrupted: a hung task, and what was taken is back", () => {
    const { w, file, buf } = prepared();
    const caught: unknown[] = [];
    {
      using _racing = api.on_preemption(w.machine, () => {
        try {
          api.cma_alloc(w.current, 16);
        } catch (reason) {
          caught.push((reason as api.MisuseError).id);
        }
      });
      api.filemap_flush(w.current, file);
    }
    expect(caught).toEqual(["hung-task", "hung-task"]);
    whole_area(w);
    expect(byte_at(w.current, buf)).toBe(7);
    const to = new Uint8Array(P);
    api.kernel_read(w.current, file, to, 0)._unsafeUnwrap();
    expect(to).toEqual(new Uint8Array(P).fill(5));
    w.fs[Symbol.dispose]();
    api.exit_task(w.current);
    expect(w.shutdown()).toMatchObject({ leaks: [], lost_pages: 0 });
  });
  test("of a mapped page is waited for", () => {
    const { w, file } = prepared();
    using _ = w;
    const stats = (): number => api.disk_stats(w.disk).in_flight;
    const map = map_file(w.current, file, P);
    touch(w.current, map, 6);
    api.filemap_flush(w.current, file);
    expect(stats()).toBe(1);
    whole_area(w);
    expect([stats(), byte_at(w.current, map)]).toEqual([0, 6]);
  });
});

test("a page that was put once too often does not keep the others", () => {
  const machine = boot_plain(CMA);
  const current = api.create_task(machine);
  const free = api.vmstat(machine).nr_free_pages;
  const pages = must(api.cma_alloc(current, 4));
  forced(api.put_page)(api.cma_page(pages, 1));
  expect(() => api.cma_release(pages)).toThrow(/page-is-free/);
  expect(api.vmstat(machine).nr_free_pages).toBe(free);
  expect(() => forced(api.cma_release)(pages)).toThrow(/double-release/);
  expect(api.shutdown(machine)).toEqual({ leaks: [], lost_pages: 0 });
});
test.each([
  ["a symbol", Symbol("n")],
  ["an object without a prototype", Object.create(null) as object],
  ["null", null],
])("%s is no number", (_what, value) => {
  using w = world(CMA);
  expect(forced(api.cma_alloc)(w.current, value)).toMatchObject({ errno: "EINVAL" });
  using pages = must(api.cma_alloc(w.current, 1));
  expect(() => forced(api.cma_page)(pages, value)).toThrow(RangeError);
});
