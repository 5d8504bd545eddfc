/**
 * A call that is interrupted where it makes a page accessible: what needs the lock that it holds is refused, so that no page
 * table goes while somebody is about to write to it.
 */
import * as api from "user-page";
import { afterEach, describe, expect, test } from "vitest";
import { page_tables } from "../../src/machine/arena.js";
import { machine_state } from "../../src/machine/machine.js";
import { mms_of } from "../../src/mm/mm_types.js";
import { boot_for_test, map_anon, must } from "../fixtures.js";
import { at_point, make_world, pfn_at, RW, secure, type World } from "./uv_world.js";

const EXPORTED = "make_accessible: exported";
const CLEAN = { leaks: [], lost_pages: 0 };
/** What a call is refused with: the id of a misuse, or nothing. */
function refused(call: () => unknown): string {
  try {
    call();
  } catch (error) {
    if (error instanceof api.MisuseError) return error.id;
    throw error;
  }
  return "done";
}
const store = (task: api.Task, addr: api.UserAddr, ...bytes: number[]) =>
  api.copy_to_user(task, addr, new Uint8Array(bytes));
function byte_at(task: api.Task, addr: api.UserAddr): number {
  const to = new Uint8Array(1);
  api.copy_from_user(task, to, addr)._unsafeUnwrap();
  return to[0]!;
}
/** A child with which the guest shares a secure page: its first store copies it. */
function with_child(w: World): api.Task {
  secure(w.guest, w.buf);
  return must(api.fork(w.guest));
}
// All machines share the memory of page tables: what one leaves there, another one finds.
afterEach(() => {
  let stale = 0;
  for (const entry of page_tables.subarray(0, 1024 * 512)) if (entry !== 0) stale++;
  expect(stale).toBe(0);
  using machine = boot_for_test({ mem: 1 << 20 });
  for (let i = 0; i < 40; i++) api.create_task(machine);
  const tables = [...mms_of(machine_state(machine))].map((mm) => mm.pgd);
  expect(new Set(tables).size).toBe(40);
});

describe("a fault that copies a secure page holds the mmap_lock for reading", () => {
  type Writer = (task: api.Task, buf: api.UserAddr) => unknown;
  const writers: Record<string, Writer> = {
    munmap: (task, buf) => api.munmap(task, buf, 4096),
    mmap: (task, buf) =>
      api.mmap(task, buf, 4096, RW, api.MAP_PRIVATE | api.MAP_ANONYMOUS | api.MAP_FIXED),
    mprotect: (task, buf) => api.mprotect(task, buf, 4096, api.PROT_READ),
    "madvise(MADV_DONTNEED)": (task, buf) => api.madvise(task, buf, 4096, api.MADV_DONTNEED),
    fork: (task) => api.fork(task),
    exit_task: (task) => {
      api.exit_task(task);
    },
    "the end of the child's scope": (task) => {
      (task as api.ForkedTask)[Symbol.dispose]();
    },
  };
  test.each(Object.keys(writers))("%s waits for it", (name) => {
    using w = make_world();
    const child = with_child(w);
    const call = (): unknown => writers[name]!(child, w.buf);
    const id = at_point(
      w,
      EXPORTED,
      () => refused(call),
      () => {
        store(child, w.buf, 1)._unsafeUnwrap();
      },
    );
    expect(id).toBe("lock-recursion");
    expect(byte_at(child, w.buf)).toBe(1);
    expect(refused(call)).toBe("done");
    expect(api.shutdown(w.machine)).toEqual(CLEAN);
  });
  test.each(["get_user_page", "get_user_bvec", "madvise(MADV_POPULATE_WRITE)"])(
    "%s that faults does so as well",
    (name) => {
      using w = make_world();
      const child = with_child(w);
      const id = at_point(
        w,
        EXPORTED,
        () => refused(() => api.munmap(child, w.buf, 4096)),
        () => {
          if (name === "get_user_page") {
            api.put_user_page(must(api.get_user_page(child, w.buf, api.ITER_DEST)));
          } else if (name === "get_user_bvec") {
            api.put_user_bvec(must(api.get_user_bvec(child, w.buf, 4096, api.ITER_DEST)));
          } else api.madvise(child, w.buf, 4096, api.MADV_POPULATE_WRITE)._unsafeUnwrap();
        },
      );
      expect(id).toBe("lock-recursion");
      expect(api.shutdown(w.machine)).toEqual(CLEAN);
    },
  );
});

test.each(["MADV_DONTNEED", "MADV_PAGEOUT"] as const)(
  "%s holds it for reading as well: another CPU may fault, and not unmap",
  (advice) => {
    using w = make_world();
    secure(w.guest, w.buf);
    const ids = at_point(
      w,
      EXPORTED,
      () => [
        refused(() => api.munmap(w.guest, w.buf, 4096)),
        refused(() => api.madvise(w.guest, w.buf, 4096, api.MADV_DONTNEED)),
        refused(() => api.fork(w.guest)),
        refused(() => store(w.guest, w.buf, 1)),
      ],
      () => {
        api.madvise(w.guest, w.buf, 4096, api[advice])._unsafeUnwrap();
      },
    );
    expect(ids).toEqual([...new Array<string>(3).fill("lock-recursion"), "done"]);
    expect(byte_at(w.guest, w.buf)).toBe(advice === "MADV_PAGEOUT" ? 1 : 0);
    expect(api.shutdown(w.machine)).toEqual(CLEAN);
  },
);

describe("a call that takes mappings away holds it for writing", () => {
  test.each(["munmap", "mmap"])("%s keeps faults and others of its kind away", (name) => {
    using w = make_world(undefined, {}, 2);
    secure(w.guest, w.buf);
    const next = api.user_ptr_add(w.buf, 4096);
    const fixed = api.MAP_PRIVATE | api.MAP_ANONYMOUS | api.MAP_FIXED;
    const ids = at_point(
      w,
      EXPORTED,
      () => [
        refused(() => api.munmap(w.guest, w.buf, 8192)),
        refused(() => api.mmap(w.guest, next, 4096, RW, fixed)),
        refused(() => api.mmap_read_lock(w.guest, w.guest.mm)),
        refused(() => api.exit_task(w.guest)),
        refused(() => api.copy_from_user(w.guest, new Uint8Array(1), api.user_ptr_add(next, 4096))),
        // What is still present needs no lock.
        refused(() => api.copy_from_user(w.guest, new Uint8Array(1), next)),
      ],
      () => {
        if (name === "munmap") api.munmap(w.guest, w.buf, 8192)._unsafeUnwrap();
        else api.mmap(w.guest, w.buf, 8192, RW, fixed)._unsafeUnwrap();
      },
    );
    expect(ids).toEqual([...new Array<string>(4).fill("lock-recursion"), "done", "done"]);
    expect(api.shutdown(w.machine)).toEqual(CLEAN);
  });
  test("the end of a task has begun: it is no task any more", () => {
    using w = make_world();
    secure(w.guest, w.buf);
    const ids = at_point(
      w,
      EXPORTED,
      () => [refused(() => api.exit_task(w.guest)), refused(() => store(w.guest, w.buf, 1))],
      () => {
        api.exit_task(w.guest);
      },
    );
    expect(ids).toEqual(["not-a-handle", "not-a-handle"]);
    expect(api.shutdown(w.machine)).toEqual(CLEAN);
  });
  test.each(["munmap", "exit_task"])(
    "what another CPU throws leaves a mapping that %s ends",
    (name) => {
      using w = make_world(undefined, {}, 3);
      secure(w.guest, api.user_ptr_add(w.buf, 4096));
      const end = (): void => {
        if (name === "exit_task") api.exit_task(w.guest);
        else api.munmap(w.guest, w.buf, 3 * 4096)._unsafeUnwrap();
      };
      const bug = (): never => {
        throw new Error("bug");
      };
      expect(() => at_point(w, EXPORTED, bug, end)).toThrow("bug");
      end();
      expect(api.shutdown(w.machine)).toEqual(CLEAN);
    },
  );
});

describe("a walk without a lock", () => {
  const walks: Record<string, (w: World) => unknown> = {
    get_user_page: (w) => api.get_user_page(w.guest, w.buf, api.ITER_DEST),
    get_user_bvec: (w) => api.get_user_bvec(w.guest, w.buf, 4096, api.ITER_DEST),
  };
  test.each(Object.keys(walks))("%s keeps the task from ending, but not its mappings", (name) => {
    using w = make_world();
    const ids = at_point(
      w,
      "gup_fast: entry read",
      () => [
        refused(() => api.exit_task(w.guest)),
        refused(() => api.munmap(w.guest, w.buf, 4096)._unsafeUnwrap()),
      ],
      () => {
        expect(api.IS_ERR(walks[name]!(w) as api.Errno)).toBe(true);
      },
    );
    expect(ids).toEqual(["lock-recursion", "done"]);
    expect(api.shutdown(w.machine)).toEqual(CLEAN);
  });
});

describe("shutdown()", () => {
  const end: Record<string, (machine: api.Machine) => unknown> = {
    "shutdown()": api.shutdown,
    "the end of the machine's scope": (machine) => machine[Symbol.dispose](),
  };
  test.each(Object.keys(end))("%s at a preemption point is refused", (name) => {
    using w = make_world();
    const child = with_child(w);
    const id = at_point(
      w,
      EXPORTED,
      () => refused(() => end[name]!(w.machine)),
      () => {
        store(child, w.buf, 1)._unsafeUnwrap();
      },
    );
    expect(id).toBe("hung-task");
    expect(api.shutdown(w.machine)).toEqual(CLEAN);
  });
  test("in a kworker, and where the ultravisor is about to answer, it is refused", () => {
    let plan = (): null => null;
    using w = make_world(() => plan());
    const ids: string[] = [];
    const work = (): void => void ids.push(refused(() => api.shutdown(w.machine)));
    api.schedule_work(w.guest, work);
    api.flush_work(w.machine);
    secure(w.guest, w.buf);
    plan = () => (work(), (plan = () => null), null);
    expect(byte_at(w.guest, w.buf)).not.toBe(w.plain[0]);
    expect(ids).toEqual(["hung-task", "hung-task"]);
    expect(api.shutdown(w.machine)).toEqual(CLEAN);
  });
  test("by an observer it is refused", () => {
    using w = make_world();
    api.mkfs_cowfs(w.guest, w.disk);
    const fs = must(api.mount_cowfs(w.guest, w.disk));
    const file = must(api.filp_open(w.guest, fs, "log", api.O_CREAT));
    const ids = new Set<string>();
    {
      using _ = api.observe(w.machine, () => ids.add(refused(() => api.shutdown(w.machine))));
      api.kernel_write(w.guest, file, new Uint8Array([1]), 0)._unsafeUnwrap();
    }
    expect([...ids]).toEqual(["hung-task"]);
    expect(api.shutdown(w.machine)).toEqual(CLEAN);
  });
});

test.each(["fast", "locked"])(
  "a %s walk keeps the pages it found while another CPU walks",
  (how) => {
    using w = make_world(undefined, {}, 3);
    const last = api.user_ptr_add(w.buf, 8192);
    secure(w.guest, last);
    const other = api.create_task(w.machine);
    const theirs = map_anon(other, 8192);
    const pin = (): api.ShortPin | readonly unknown[] => {
      using lock = how === "locked" ? api.mmap_read_lock(w.guest, w.guest.mm) : null;
      const found =
        lock === null
          ? api.pin_user_pages_fast(w.guest, w.buf, 3, api.ITER_DEST)
          : api.pin_user_pages(lock, w.buf, 3, api.ITER_DEST);
      const pages = must(api.all_or_none(must(found)));
      const pfns = pages.map((page) => api.page_to_pfn(page));
      api.put_user_pages(pages);
      return pfns;
    };
    let pfns: unknown;
    at_point(
      w,
      EXPORTED,
      () => {
        api.put_user_pages(
          must(api.all_or_none(must(api.pin_user_pages_fast(other, theirs, 2, "dest")))),
        );
      },
      () => (pfns = pin()),
    );
    expect(pfns).toEqual([0, 1, 2].map((i) => pfn_at(w.guest, api.user_ptr_add(w.buf, i * 4096))));
    expect(api.shutdown(w.machine)).toEqual(CLEAN);
  },
);
