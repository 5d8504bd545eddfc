/** The two objectives in short: violated as Linux does it, kept by "hold"; and what "hold" does when something is missing. */
import * as api from "user-page";
import { IS_ERR, ITER_DEST, ITER_SOURCE, type MisuseError, PAGE_SIZE } from "user-page";
import { describe, expect, test } from "vitest";
import { boot_for_test, must } from "../fixtures.js";

const page_of = (value: number): Uint8Array => new Uint8Array(PAGE_SIZE).fill(value);
interface World extends Disposable {
  readonly machine: api.Machine;
  readonly current: api.Task;
  readonly disk: api.FlakeyDisk;
  readonly fs: api.Filesystem;
  readonly file: api.File;
  readonly addr: api.UserAddr;
  readonly objectives: api.ObjectivesCheck;
}
/** One page of a file, stored and synced, mapped shared; `plan` is what the disk does from then on. */
function world(
  policy: api.PolicyName,
  plan: api.FlakeyPlan = () => null,
  options: api.MachineOptions = {},
): World {
  const machine = boot_for_test({ mem: 2 << 20, ...options });
  const current = api.create_task(machine);
  const ram = must(api.brd_alloc(machine, 32 * PAGE_SIZE));
  let ready = false;
  const disk = api.dm_flakey(ram, (io) => (ready ? plan(io) : null));
  must(api.mkfs_cowfs(current, disk));
  const fs = must(api.mount_cowfs(current, disk, { policy }));
  const file = must(api.filp_open(current, fs, "data", api.O_CREAT));
  api.kernel_write(current, file, page_of(1), 0)._unsafeUnwrap();
  must(api.vfs_fsync(current, file));
  const prot = api.PROT_READ | api.PROT_WRITE;
  const addr = api.mmap(current, null, PAGE_SIZE, prot, api.MAP_SHARED, file, 0)._unsafeUnwrap();
  const objectives = api.check_objectives(machine);
  ready = true;
  return {
    machine,
    current,
    disk,
    fs,
    file,
    addr,
    objectives,
    [Symbol.dispose]() {
      ready = false;
      objectives[Symbol.dispose]();
      fs[Symbol.dispose]();
      expect(api.shutdown(machine)).toEqual({ leaks: [], lost_pages: 0 });
    },
  };
}
/** T0 to T4. */
function timeline({ machine, current, file, addr }: World): void {
  const page = must(api.get_user_page(current, addr, ITER_DEST)); // T0
  api.filemap_flush(current, file); // T1
  api.run_softirqs(machine); // T2
  api.memcpy_to_page(page, 0, page_of(2))._unsafeUnwrap(); // T3
  api.set_page_dirty(page); // T4
  api.put_user_page(page);
}
/** What is on the disk, past the cache. */
function on_disk({ current, file }: World): number {
  must(api.vfs_fsync(current, file));
  const bytes = new Uint8Array(PAGE_SIZE);
  api.kernel_read(current, file, bytes, 0)._unsafeUnwrap();
  return bytes[0]!;
}

describe("the timeline of 2018", () => {
  test("linux violates both, and the history says how", () => {
    using w = world("linux");
    timeline(w);
    expect(w.objectives.violations.map(({ objective, what }) => [objective, what])).toEqual([
      ["O1", "writeback sends the page to the disk while it is pinned to be written"],
      ["O2", "the page became dirty, and its file system reserved no block for it"],
    ]);
    const [o1, o2] = w.objectives.violations;
    const names = (history: readonly string[]) => history.map((line) => line.split(" ")[0]);
    const until_o1 = [
      "page_mkwrite",
      "folio_mark_dirty",
      "pin",
      "folio_clear_dirty_for_io",
      "folio_start_writeback",
    ];
    expect(names(o1!.history)).toEqual(expect.arrayContaining(until_o1));
    expect(names(o2!.history).slice(-3)).toEqual([
      "folio_end_writeback",
      "store",
      "folio_mark_dirty",
    ]);
    expect(o2!.step).toBeGreaterThan(o1!.step);
    expect(api.writeback_stats(w.fs)).toMatchObject({ written_pinned: 1, unprepared: 1, lost: 0 });
    must(api.vfs_fsync(w.current, w.file));
    expect(api.writeback_stats(w.fs).lost).toBe(1);
  });
  test("hold keeps both, and the bytes", () => {
    using w = world("hold");
    timeline(w);
    expect(w.objectives.violations).toEqual([]);
    expect(w.objectives.steps).toBeGreaterThan(5);
    expect(on_disk(w)).toBe(2);
    expect(api.writeback_stats(w.fs)).toMatchObject({ skipped: 1, unprepared: 0, lost: 0 });
  });
  test("a check ends with its block", () => {
    using w = world("linux");
    w.objectives[Symbol.dispose]();
    timeline(w);
    expect(w.objectives.steps).toBe(0);
    expect(w.objectives.violations).toEqual([]);
  });
});

describe("another CPU, in the middle of writeback", () => {
  const POINTS = ["writeback: dirty bit cleared", "writeback: checksum taken"] as const;
  const attempts: Record<string, (w: World) => void> = {
    "pins to write": (w) => {
      const page = api.get_user_page(w.current, w.addr, ITER_DEST);
      if (!IS_ERR(page)) api.put_user_page(page);
    },
    stores: (w) => void api.copy_to_user(w.current, w.addr, page_of(7)),
    writes: (w) => void api.kernel_write(w.current, w.file, page_of(7), 0),
    truncates: (w) => void api.vfs_truncate(w.current, w.file, 0),
    syncs: (w) => void api.vfs_fsync(w.current, w.file),
  };
  const cases = POINTS.flatMap((point) => Object.keys(attempts).map((name) => [name, point]));
  test.each(cases)("%s at %j: it waits until the page is on the disk", (name, point) => {
    using w = world("hold");
    api.copy_to_user(w.current, w.addr, page_of(3))._unsafeUnwrap();
    const waited: string[] = [];
    {
      using _racing = api.on_preemption(w.machine, (at) => {
        if (at !== point) return;
        try {
          attempts[name]!(w);
        } catch (error) {
          waited.push((error as MisuseError).id);
        }
      });
      must(api.vfs_fsync(w.current, w.file));
    }
    expect(waited).toEqual(["hung-task"]);
    expect(w.objectives.violations).toEqual([]);
    expect(api.scrub(w.current, w.fs)).toEqual([]);
  });
  test.each(POINTS)("a flush or an eviction at %j leaves the page alone", (point) => {
    using w = world("hold");
    api.munmap(w.current, w.addr, PAGE_SIZE)._unsafeUnwrap();
    api.kernel_write(w.current, w.file, page_of(3), 0)._unsafeUnwrap();
    const before = api.disk_stats(w.disk).writes;
    {
      using _racing = api.on_preemption(w.machine, (at) => {
        if (at !== point) return;
        api.filemap_flush(w.current, w.file);
        expect(api.invalidate_mapping_pages(w.current, w.file)).toBe(0);
      });
      api.filemap_flush(w.current, w.file);
    }
    expect(api.invalidate_mapping_pages(w.current, w.file)).toBe(0); // the disk reads it now
    api.run_softirqs(w.machine);
    expect(api.disk_stats(w.disk).writes - before).toBe(1);
    expect(api.invalidate_mapping_pages(w.current, w.file)).toBe(1);
    expect(on_disk(w)).toBe(3);
  });
});

test("hold: a page that is released while its copy is made stays until it is made", () => {
  const NR_CMA = 16;
  using w = world("hold", undefined, { cma: NR_CMA * PAGE_SIZE });
  api.copy_to_user(w.current, w.addr, page_of(3))._unsafeUnwrap();
  const page = must(api.get_user_page(w.current, w.addr, ITER_SOURCE));
  const allocated: string[] = [];
  const take_all = (): void => {
    using pages = api.cma_alloc(w.current, NR_CMA);
    allocated.push(IS_ERR(pages) ? pages.errno : "moved");
    if (IS_ERR(pages)) return;
    for (let i = 0; i < NR_CMA; i++) api.memcpy_to_page(api.cma_page(pages, i), 0, page_of(9));
  };
  let released = false;
  {
    using _racing = api.on_preemption(w.machine, (at) => {
      if (at !== "writeback: dirty bit cleared" || released) return;
      released = true;
      api.put_user_page(page);
      take_all();
    });
    must(api.vfs_fsync(w.current, w.file));
  }
  take_all();
  expect(allocated).toEqual(["EBUSY", "moved"]);
  api.munmap(w.current, w.addr, PAGE_SIZE)._unsafeUnwrap();
  expect(on_disk(w)).toBe(3);
  expect(api.invalidate_mapping_pages(w.current, w.file)).toBe(1);
  expect(on_disk(w)).toBe(3);
});
test("bounce: while the copy is on its way the clean page cannot be evicted and read again too early", () => {
  using w = world("bounce", ({ op }) => (op === "REQ_OP_WRITE" ? { hold: true } : null));
  api.copy_to_user(w.current, w.addr, page_of(3))._unsafeUnwrap();
  const page = must(api.get_user_page(w.current, w.addr, ITER_SOURCE));
  api.filemap_flush(w.current, w.file);
  api.put_user_page(page);
  api.munmap(w.current, w.addr, PAGE_SIZE)._unsafeUnwrap();
  expect(api.invalidate_mapping_pages(w.current, w.file)).toBe(0);
  w.disk.complete(w.disk.in_flight[0]!.nr);
  api.run_softirqs(w.machine);
  expect(api.invalidate_mapping_pages(w.current, w.file)).toBe(1);
  expect(on_disk(w)).toBe(3);
});

describe("hold, when something is missing", () => {
  test("the disk refuses the copy: fsync() says so, the page stays, and the next one writes it", () => {
    let refuse = true;
    using w = world("hold", ({ op }) => {
      if (op !== "REQ_OP_WRITE" || !refuse) return null;
      refuse = false;
      return { error: "EIO" };
    });
    const page = must(api.get_user_page(w.current, w.addr, ITER_DEST));
    api.memcpy_to_page(page, 0, page_of(4))._unsafeUnwrap();
    expect(api.vfs_fsync(w.current, w.file)?.errno).toBe("EIO");
    api.memcpy_to_page(page, 0, page_of(5))._unsafeUnwrap();
    api.set_page_dirty(page);
    api.put_user_page(page);
    must(api.vfs_fsync(w.current, w.file));
    api.munmap(w.current, w.addr, PAGE_SIZE)._unsafeUnwrap();
    expect(api.invalidate_mapping_pages(w.current, w.file)).toBe(1);
    expect(on_disk(w)).toBe(5);
    expect(w.objectives.violations).toEqual([]);
  });
  test("no memory for the copy: ENOMEM, and no block is lost over it", () => {
    using w = world("hold");
    const page = must(api.get_user_page(w.current, w.addr, ITER_DEST));
    const free = api.vfs_statfs(w.fs).f_bavail;
    {
      using _fragments = api.fragment_memory(w.machine, () => true);
      expect(api.vfs_fsync(w.current, w.file)?.errno).toBe("ENOMEM");
      expect(api.vfs_statfs(w.fs).f_bavail).toBe(free);
    }
    must(api.vfs_fsync(w.current, w.file));
    expect(api.writeback_stats(w.fs)).toMatchObject({ copied: 1, written_pinned: 0 });
    api.put_user_page(page);
  });
  test("a page that stays pinned takes two blocks at most, however often it is synced", () => {
    using w = world("hold");
    const page = must(api.get_user_page(w.current, w.addr, ITER_DEST));
    const seen = new Set<number>();
    for (let round = 0; round < 10; round++) {
      api.memcpy_to_page(page, 0, page_of(round))._unsafeUnwrap();
      must(api.vfs_fsync(w.current, w.file));
      seen.add(api.vfs_statfs(w.fs).f_bavail);
    }
    expect(seen.size).toBe(1);
    api.put_user_page(page);
    expect(on_disk(w)).toBe(9);
  });
  test("a pin to read is passed over and copied as well: its page may be stored to", () => {
    using w = world("hold");
    api.copy_to_user(w.current, w.addr, page_of(6))._unsafeUnwrap();
    const page = must(api.get_user_page(w.current, w.addr, ITER_SOURCE));
    api.filemap_flush(w.current, w.file);
    must(api.vfs_fsync(w.current, w.file));
    expect(api.writeback_stats(w.fs)).toMatchObject({ skipped: 1, copied: 1, written_pinned: 0 });
    api.put_user_page(page);
  });
});
