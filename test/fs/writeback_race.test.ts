/** Writeback and unmounting while other CPUs run, fail or unmount, and with a page that cannot be exported. */
import * as api from "user-page";
import { describe, expect, test } from "vitest";
import { cowfs_state } from "../../src/fs/cowfs.js";
import { must, pattern_of } from "../fixtures.js";
import {
  bomb,
  contents,
  ends_whole,
  errno_or_null,
  file_world,
  free_blocks,
  free_pages,
  id_of,
  make_secure,
  map_file,
  on_disk,
  P,
  store,
  with_file,
  type FileWorld,
} from "./file_world.js";

const PUNCH: number = api.FALLOC_FL_PUNCH_HOLE | api.FALLOC_FL_KEEP_SIZE;
const POLICIES = ["linux", "hold", "bounce", "no mkclean", "bounce late", "mapcount"] as const;
const POINTS = ["writeback: dirty bit cleared", "writeback: checksum taken"] as const;
/** Another CPU stores, and truncates the file, at one of these points: that it cannot is thrown into writeback. */
function fails_in_the_middle(policy: api.PolicyName, at: string, pinned: boolean): void {
  const { w, file, text } = with_file(2, { policy });
  const free = free_blocks(w.fs);
  const map = map_file(w.current, file, 2 * P);
  text.set([1, 2, 3]);
  text.set([4, 5, 6], P);
  store(w.current, map, text);
  const pin = pinned ? must(api.get_user_page(w.current, map, "dest")) : null;
  const before = [free_blocks(w.fs), free_pages(w)];
  expect(before[0]).toBe(free - 2);
  let runs = 0;
  {
    using _racing = api.on_preemption(w.machine, (point) => {
      if (point !== at || runs++ > 0) return;
      if (id_of(() => store(w.current, map, new Uint8Array([7]))) === "nothing") text[0] = 7;
      api.vfs_truncate(w.current, file, 0);
    });
    expect(id_of(() => api.vfs_fsync(w.current, file))).toBe("hung-task");
  }
  // The second page was written all the same, and the first one keeps its block.
  expect([free_blocks(w.fs), free_pages(w)]).toEqual(before);
  expect(contents(w.current, file)).toEqual(text);
  expect(api.vfs_fsync(w.current, file)).toBeNull();
  expect(on_disk(w).get("a")).toEqual(text);
  if (pin) api.put_user_page(pin);
  expect(api.vfs_fsync(w.current, file)).toBeNull();
  expect(free_blocks(w.fs)).toBe(free);
  ends_whole(w);
}
describe.each(POLICIES)("another CPU fails in the middle of writeback, under %s", (policy) => {
  test.each(POINTS)("%s", (at) => {
    fails_in_the_middle(policy, at, false);
    fails_in_the_middle(policy, at, true);
  });
});

describe("unmounting", () => {
  test("in the middle of a write is refused: the file system stays", () => {
    const { w, file, text } = with_file(1);
    store(w.current, map_file(w.current, file, P), new Uint8Array([9]));
    text[0] = 9;
    const ids: string[] = [];
    {
      using _racing = api.on_preemption(w.machine, () => {
        ids.push(id_of(() => w.fs[Symbol.dispose]()));
      });
      expect(api.vfs_fsync(w.current, file)).toBeNull();
    }
    expect(ids).toEqual(["hung-task", "hung-task"]);
    expect(contents(w.current, file)).toEqual(text);
    ends_whole(w);
  });
  test("throws somebody else's error after everything is on the disk", () => {
    let hold = false;
    const { w, text } = with_file(1, { plan: () => ({ hold }) });
    using second = w.open("b");
    api.kernel_write(w.current, second, text, 0)._unsafeUnwrap();
    api.kernel_write(w.current, w.open("a"), new Uint8Array([1]), 0)._unsafeUnwrap();
    hold = true;
    const free = free_pages(w);
    bomb(w);
    expect(() => w.fs[Symbol.dispose]()).toThrow("driver bug");
    expect((w.mounted as api.FlakeyDisk).in_flight).toEqual([]);
    expect(free_pages(w)).toBeGreaterThan(free);
    expect(() => api.vfs_statfs(w.fs)).toThrow(api.MisuseError);
    const files = on_disk(w);
    expect(files.get("b")).toEqual(text);
    expect(files.get("a")![0]).toBe(1);
    w.fs[Symbol.dispose]();
    expect(w.shutdown()).toMatchObject({ leaks: [], lost_pages: 0 });
  });
  test("while somebody reads the second of three pages: no page gets into a cache that is gone", () => {
    let unmount: (() => void) | null = null;
    const { w, file, text } = with_file(3, {
      plan: () => {
        unmount?.();
        return null;
      },
    });
    expect(api.invalidate_mapping_pages(w.current, file)).toBe(3);
    api.kernel_read(w.current, file, new Uint8Array(1), 0)._unsafeUnwrap();
    unmount = () => {
      unmount = null;
      w.fs[Symbol.dispose]();
    };
    const { mapping } = cowfs_state(w.fs, "test").inodes.get("a")!;
    const to = new Uint8Array(3 * P);
    expect(api.kernel_read(w.current, file, to, 0)._unsafeUnwrap()).toBe(P);
    expect(to.subarray(0, P)).toEqual(text.subarray(0, P));
    expect(mapping.i_pages.size).toBe(0);
    api.exit_task(w.current);
    expect(w.shutdown()).toMatchObject({ leaks: [], lost_pages: 0 });
  });
  test("while somebody exports the first page to read it", () => {
    const { w, file, text } = with_file(3);
    api.setup_uv(w.machine);
    expect(api.invalidate_mapping_pages(w.current, file)).toBe(3);
    const map = map_file(w.current, file, P);
    make_secure(w, map);
    const { mapping } = cowfs_state(w.fs, "test").inodes.get("a")!;
    let runs = 0;
    using _racing = api.on_preemption(w.machine, () => {
      if (runs++ === 0) w.fs[Symbol.dispose]();
    });
    const got = api.kernel_read(w.current, file, new Uint8Array(3 * P), 0);
    expect([got._unsafeUnwrap(), runs, text.length]).toEqual([P, 1, 3 * P]);
    expect(mapping.i_pages.size).toBe(0);
    api.exit_task(w.current);
    expect(w.shutdown()).toMatchObject({ leaks: [], lost_pages: 0 });
  });
});

test("what unmaps pages while the lock of their page tables is held changes nothing", () => {
  const { w, file, text } = with_file(2);
  api.setup_uv(w.machine);
  const map = map_file(w.current, file, 2 * P);
  const CALLS = [
    () => api.vfs_truncate(w.current, file, 0),
    () => api.vfs_fallocate(w.current, file, PUNCH, 0, P + 1),
    () => w.fs[Symbol.dispose](),
  ];
  const thrown: string[] = [];
  {
    using _racing = api.on_preemption(w.machine, (point) => {
      if (point === "make_secure: frozen") thrown.push(...CALLS.map(id_of));
    });
    make_secure(w, map);
  }
  expect(thrown).toHaveLength(3);
  for (const message of thrown) expect(message).toMatch(/make_folio_secure|that froze the page/);
  // What was secure is encrypted when it is read.
  expect(contents(w.current, file).subarray(P)).toEqual(text.subarray(P));
  ends_whole(w);
});
describe("a secure page that cannot be exported", () => {
  function prepared() {
    let refuses = false;
    const w = file_world();
    api.setup_uv(w.machine, (call) => (refuses && call === "convert from secure" ? "error" : null));
    const [file, other] = [w.open("a"), w.open("b")];
    api.kernel_write(w.current, file, pattern_of(P), 0)._unsafeUnwrap();
    api.kernel_write(w.current, other, pattern_of(P), 0)._unsafeUnwrap();
    make_secure(w, map_file(w.current, file, P));
    refuses = true;
    return { w, file, other, allow: () => void (refuses = false) };
  }
  test("is not written, stays dirty, and is written when it can be", () => {
    const { w, file, allow } = prepared();
    expect(id_of(() => api.filemap_flush(w.current, file))).toBe("inaccessible-page");
    expect(id_of(() => api.vfs_fsync(w.current, file))).toBe("inaccessible-page");
    allow();
    expect(api.vfs_fsync(w.current, file)).toBeNull();
    expect(on_disk(w).get("a")).toEqual(contents(w.current, file));
    ends_whole(w);
  });
  test("does not keep the file system mounted, nor other files from the disk", () => {
    const { w } = prepared();
    expect(id_of(() => w.fs[Symbol.dispose]())).toBe("inaccessible-page");
    expect(() => api.vfs_statfs(w.fs)).toThrow(api.MisuseError);
    expect(on_disk(w)).toEqual(new Map([["b", pattern_of(P)]]));
    api.exit_task(w.current);
    expect(w.shutdown()).toMatchObject({ leaks: [], lost_pages: 0 });
  });
});

test("a page without a block is an error of the disk, not of the library", () => {
  const { w } = with_file(1);
  using _ = w;
  const inode = cowfs_state(w.fs, "test").inodes.get("a")!;
  const page = must(api.alloc_page(w.current));
  const errors: Array<string | null> = [];
  inode.writepage(0, page, 0, (error) => errors.push(errno_or_null(error)));
  api.put_page(page);
  expect(errors).toEqual(["EIO"]);
});

describe("while a secure page is exported to be stored to, another CPU calls", () => {
  const racing = (store_to: (w: FileWorld, file: api.File) => void, cpu: typeof store_to) => {
    const { w, file, text } = with_file(2);
    api.setup_uv(w.machine);
    make_secure(w, map_file(w.current, file, P));
    let runs = 0;
    {
      using _racing = api.on_preemption(w.machine, (point) => {
        if (point === "make_accessible: exported" && runs++ === 0) cpu(w, file);
      });
      store_to(w, file);
    }
    expect(runs).toBe(1);
    expect(api.vfs_fsync(w.current, file)).toBeNull();
    const seen = contents(w.current, file).slice();
    expect(on_disk(w).get("a")).toEqual(seen);
    ends_whole(w);
    return { text, seen };
  };
  const write = (w: FileWorld, file: api.File): void => {
    api.kernel_write(w.current, file, pattern_of(P, 2), 0)._unsafeUnwrap();
  };
  test("filemap_flush(): the disk gets what was stored, with its checksum", () => {
    const { text, seen } = racing(write, (w, file) => api.filemap_flush(w.current, file));
    text.set(pattern_of(P, 2));
    expect(seen).toEqual(text);
  });
  test("vfs_truncate(): what is stored then is in the file", () => {
    const { seen } = racing(write, (w, file) => void api.vfs_truncate(w.current, file, 0));
    expect(seen).toEqual(pattern_of(P, 2));
  });
  test("filemap_flush(), and the page is cut", () => {
    const { seen } = racing(
      (w, file) => {
        expect(api.vfs_truncate(w.current, file, 7)).toBeNull();
        expect(api.vfs_truncate(w.current, file, P)).toBeNull();
      },
      (w, file) => api.filemap_flush(w.current, file),
    );
    expect(seen.subarray(7)).toEqual(new Uint8Array(P - 7));
  });
});
