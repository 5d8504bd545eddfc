/**
 * Reading, copying, swapping and unmapping a secure page first makes it accessible.  That may fail, and another CPU may run
 * there: no page and no store is lost.
 */
import * as api from "user-page";
import { PAGE_SIZE } from "user-page";
import { describe, expect, test } from "vitest";
import { nr_swap_slots } from "../../src/mm/swapfile.js";
import { errno_of, must } from "../fixtures.js";
import { at_point, make_world, read, RW, secure, secure_once, type World } from "./uv_world.js";

const EXPORTED = "make_accessible: exported";
const CLEAN = { leaks: [], lost_pages: 0 };
const store = (task: api.Task, addr: api.UserAddr, ...bytes: number[]) =>
  api.copy_to_user(task, addr, new Uint8Array(bytes));
const free = (w: World): number => api.vmstat(w.machine).nr_free_pages;
/** A mounted file of one page. */
function with_file(w: World): { fs: api.Filesystem; file: api.File } {
  api.mkfs_cowfs(w.guest, w.disk);
  const fs = must(api.mount_cowfs(w.guest, w.disk));
  const file = must(api.filp_open(w.guest, fs, "log", api.O_CREAT));
  api.kernel_write(w.guest, file, new Uint8Array(PAGE_SIZE).fill(3), 0)._unsafeUnwrap();
  return { fs, file };
}
const map = (task: api.Task, file: api.File, flags: number): api.UserAddr =>
  api.mmap(task, null, PAGE_SIZE, RW, flags, file)._unsafeUnwrap();
/** The ultravisor refuses to export while `on`. */
function refusing(): { on: boolean; plan: api.UvPlan } {
  const it = {
    on: false,
    plan: (call: api.UvCall) => (it.on && call === "convert from secure" ? "error" : null),
  };
  return it;
}

describe("MADV_PAGEOUT", () => {
  const pageout = (w: World) => api.madvise(w.guest, w.buf, PAGE_SIZE, api.MADV_PAGEOUT);
  test("keeps what another CPU stores meanwhile", () => {
    using w = make_world();
    secure(w.guest, w.buf);
    at_point(
      w,
      EXPORTED,
      () => store(w.guest, w.buf, 9)._unsafeUnwrap(),
      () => pageout(w)._unsafeUnwrap(),
    );
    expect(read(w.guest, w.buf)[0]).toBe(9);
    expect(api.shutdown(w.machine)).toEqual(CLEAN);
  });
  test("leaves a page that another CPU makes secure again", () => {
    using w = make_world();
    secure(w.guest, w.buf);
    const slots = nr_swap_slots();
    at_point(
      w,
      EXPORTED,
      () => secure_once(w.guest, w.buf),
      () => pageout(w)._unsafeUnwrap(),
    );
    expect([nr_swap_slots() - slots, api.uv_stat(w.machine).secure_pages]).toEqual([0, 1]);
    expect(api.shutdown(w.machine)).toEqual(CLEAN);
  });
  test("leaves a page that another CPU moves", () => {
    using w = make_world(undefined, { mem: 1 << 20, cma: 16 * PAGE_SIZE });
    secure(w.guest, w.buf);
    const slots = nr_swap_slots();
    at_point(
      w,
      EXPORTED,
      () => {
        api.cma_release(must(api.cma_alloc(w.guest, 16)));
      },
      () => pageout(w)._unsafeUnwrap(),
    );
    expect(nr_swap_slots()).toBe(slots);
    expect(read(w.guest, w.buf)).toHaveLength(PAGE_SIZE);
    expect(api.shutdown(w.machine)).toEqual(CLEAN);
  });
  test("leaves a page that cannot be exported", () => {
    const uv = refusing();
    using w = make_world(uv.plan);
    secure(w.guest, w.buf);
    const before = [free(w), nr_swap_slots()];
    uv.on = true;
    pageout(w)._unsafeUnwrap();
    expect([free(w), nr_swap_slots()]).toEqual(before);
    uv.on = false;
    expect(read(w.guest, w.buf)).toHaveLength(PAGE_SIZE);
    expect(api.shutdown(w.machine)).toEqual(CLEAN);
  });
});

describe("unmapping", () => {
  test.each(["madvise", "munmap"])("%s of a page that another CPU moves loses none", (name) => {
    using w = make_world(undefined, { mem: 1 << 20, cma: 16 * PAGE_SIZE });
    secure(w.guest, w.buf);
    at_point(
      w,
      EXPORTED,
      () => {
        const area = must(api.cma_alloc(w.guest, 16));
        api.cma_release(area);
      },
      () => {
        if (name === "munmap") api.munmap(w.guest, w.buf, PAGE_SIZE)._unsafeUnwrap();
        else api.madvise(w.guest, w.buf, PAGE_SIZE, api.MADV_DONTNEED)._unsafeUnwrap();
      },
    );
    api.exit_task(w.guest);
    expect(api.shutdown(w.machine)).toEqual(CLEAN);
  });
  test("a page that another CPU takes out of the file is not taken out again when it is somebody else's", () => {
    using w = make_world();
    const { fs, file } = with_file(w);
    const ours = map(w.guest, file, api.MAP_SHARED);
    store(w.guest, ours, 1)._unsafeUnwrap();
    secure(w.guest, ours);
    const taken = at_point(
      w,
      EXPORTED,
      () => {
        api.vfs_truncate(w.guest, file, 0);
        return Array.from({ length: free(w) }, () => must(api.alloc_page(w.guest)));
      },
      () => expect(api.vfs_fallocate(w.guest, file, 3, 0, PAGE_SIZE)).toBeNull(),
    );
    expect(free(w)).toBe(0);
    for (const page of taken) api.put_page(page);
    fs[Symbol.dispose]();
    expect(api.shutdown(w.machine)).toEqual(CLEAN);
  });
  test("a mapping of the file stays until truncation is done with it", () => {
    using w = make_world();
    const { file } = with_file(w);
    const ours = map(w.guest, file, api.MAP_SHARED);
    store(w.guest, ours, 1)._unsafeUnwrap();
    secure(w.guest, ours);
    const waits = at_point(
      w,
      EXPORTED,
      () => {
        try {
          api.munmap(w.guest, ours, PAGE_SIZE);
        } catch (error) {
          return (error as api.MisuseError).id;
        }
        return "done";
      },
      () => api.vfs_truncate(w.guest, file, 0),
    );
    expect(waits).toBe("lock-recursion");
    expect(api.shutdown(w.machine)).toEqual(CLEAN);
  });
});

describe("a store that copies", () => {
  test("and cannot read what it copies loses no page", () => {
    const uv = refusing();
    using w = make_world(uv.plan);
    secure(w.guest, w.buf);
    const child = must(api.fork(w.guest));
    const before = free(w);
    uv.on = true;
    expect(() => store(child, w.buf, 1)).toThrow(api.MisuseError);
    expect(free(w)).toBe(before);
    uv.on = false;
    store(child, w.buf, 1)._unsafeUnwrap();
    expect(api.shutdown(w.machine)).toEqual(CLEAN);
  });
  test.each(["store", "load", "MADV_DONTNEED of the parent", "exit of the parent"])(
    "looks at its entry again: %s on another CPU",
    (name) => {
      using w = make_world();
      secure(w.guest, w.buf);
      const child = must(api.fork(w.guest));
      const bytes = at_point(
        w,
        EXPORTED,
        () => {
          if (name === "store") store(child, api.user_ptr_add(w.buf, 1), 9)._unsafeUnwrap();
          else if (name === "load") read(child, w.buf);
          else if (name.startsWith("exit")) api.exit_task(w.guest);
          else api.madvise(w.guest, w.buf, PAGE_SIZE, api.MADV_DONTNEED)._unsafeUnwrap();
          return read(child, w.buf);
        },
        () => store(child, w.buf, 1)._unsafeUnwrap(),
      );
      bytes[0] = 1;
      expect(read(child, w.buf)).toEqual(bytes);
      if (name === "store") expect(bytes[1]).toBe(9);
      expect(api.shutdown(w.machine)).toEqual(CLEAN);
    },
  );
  test("a page of a file finds that the file was cut meanwhile", () => {
    using w = make_world();
    const { file } = with_file(w);
    const shared = map(w.guest, file, api.MAP_SHARED);
    const copied = map(w.guest, file, api.MAP_PRIVATE);
    store(w.guest, shared, 1)._unsafeUnwrap();
    secure(w.guest, shared);
    at_point(
      w,
      EXPORTED,
      () => api.vfs_truncate(w.guest, file, 0),
      () => expect(errno_of(store(w.guest, copied, 2)._unsafeUnwrapErr())).toBe("EFAULT"),
    );
    expect(api.shutdown(w.machine)).toEqual(CLEAN);
  });
});

test("a load or store looks again: another CPU may have cut the file", () => {
  for (const access of [store, (task: api.Task, at: api.UserAddr) => read(task, at)] as const) {
    using w = make_world();
    const { file } = with_file(w);
    const ours = map(w.guest, file, api.MAP_SHARED);
    store(w.guest, ours, 1)._unsafeUnwrap();
    secure(w.guest, ours);
    at_point(
      w,
      EXPORTED,
      () => api.vfs_truncate(w.guest, file, 0),
      () => {
        if (access === store) {
          expect(errno_of(store(w.guest, ours, 7)._unsafeUnwrapErr())).toBe("EFAULT");
        } else expect(() => access(w.guest, ours)).toThrow();
      },
    );
    expect(api.shutdown(w.machine)).toEqual(CLEAN);
  }
});

test("merging looks again: another CPU may have stored to what is kept", () => {
  using w = make_world(undefined, {}, 2);
  const kept = api.user_ptr_add(w.buf, PAGE_SIZE);
  secure(w.guest, w.buf);
  const encrypted = read(w.guest, w.buf);
  api.copy_to_user(w.guest, kept, encrypted)._unsafeUnwrap();
  secure(w.guest, w.buf);
  const merged = () => api.try_to_merge_one_page(w.guest, w.buf, w.guest, kept);
  at_point(
    w,
    EXPORTED,
    () => store(w.guest, kept, 5)._unsafeUnwrap(),
    () => expect(errno_of(merged()._unsafeUnwrapErr())).toBe("EAGAIN"),
  );
  expect([read(w.guest, w.buf), read(w.guest, kept)[0]]).toEqual([encrypted, 5]);
  expect(api.shutdown(w.machine)).toEqual(CLEAN);
});

describe("while the lock of the page tables is held", () => {
  test.each(["vfs_truncate", "writeback"])("%s waits for it", (name) => {
    using w = make_world();
    const { file } = with_file(w);
    const ours = map(w.guest, file, api.MAP_SHARED);
    store(w.guest, ours, 7)._unsafeUnwrap();
    const error = at_point(
      w,
      "make_secure: frozen",
      () => {
        try {
          if (name === "vfs_truncate") api.vfs_truncate(w.guest, file, 0);
          else api.filemap_flush(w.guest, file);
        } catch (thrown) {
          return thrown;
        }
        return null;
      },
      () => secure(w.guest, ours),
    );
    expect(error).toBeInstanceOf(api.WouldSpin);
    expect(api.shutdown(w.machine)).toEqual(CLEAN);
  });
});

test("while a page of a file is frozen, who reads the file would spin, and takes nothing of its count", () => {
  const w = make_world();
  const { file } = with_file(w);
  expect(api.vfs_fsync(w.guest, file)).toBeNull();
  const buf = map(w.guest, file, api.MAP_SHARED);
  store(w.guest, buf, 4)._unsafeUnwrap();
  const cpu2 = (): unknown => {
    try {
      return api.kernel_read(w.guest, file, new Uint8Array(1), 0);
    } catch (error) {
      return error;
    }
  };
  const seen = at_point(w, "make_secure: frozen", cpu2, () => {
    secure_once(w.guest, buf);
  });
  expect(seen).toBeInstanceOf(api.WouldSpin);
  expect(api.shutdown(w.machine)).toEqual(CLEAN);
});
