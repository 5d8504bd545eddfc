/** The end of a file system, of its machine, and of what is left of its files. */
import * as api from "user-page";
import { describe, expect, test } from "vitest";
import { bdev_state } from "../../src/block/bdev.js";
import { must, pattern_of } from "../fixtures.js";
import {
  contents,
  disk_image,
  file_world,
  free_blocks,
  load,
  map_file,
  OtherMachine,
  P,
  store,
} from "./file_world.js";

describe("ends", () => {
  test("unmounting writes everything; mappings, pins and open files stay harmless", () => {
    using w = file_world();
    using file = w.open("a");
    const text = pattern_of(3 * P);
    api.kernel_write(w.current, file, text, 0)._unsafeUnwrap();
    const map = map_file(w.current, file, 3 * P);
    const pin = must(api.get_user_page(w.current, map, "dest"));
    api.filemap_flush(w.current, file);
    store(w.current, api.user_ptr_add(map, P), new Uint8Array([1, 2, 3]));
    const copy = map_file(w.current, file, P, api.MAP_PRIVATE);
    expect(store(w.current, copy, new Uint8Array([5]))).toBe(1);
    text.set([1, 2, 3], P);
    w.fs[Symbol.dispose]();
    using other = new OtherMachine();
    expect(other.mount(disk_image(w.disk)).files).toEqual(new Map([["a", text]]));

    expect(load(w.current, map, 1)).toBe("EFAULT");
    expect(load(w.current, copy, 1)).toBe("EFAULT");
    const back = new Uint8Array(P);
    api.memcpy_from_page(back, pin, 0);
    expect(Buffer.compare(back, text.subarray(0, P))).toBe(0);
    api.set_page_dirty(pin);
    api.put_user_page(pin);
    for (const call of [
      () => api.kernel_read(w.current, file, new Uint8Array(1), 0),
      () => api.vfs_fsync(w.current, file),
      () => api.vfs_truncate(w.current, file, 0),
      () => map_file(w.current, file, P),
      () => api.sync_filesystem(w.current, w.fs),
      () => api.vfs_statfs(w.fs),
    ]) {
      expect(call).toThrow(/not-a-handle|no mounted file system|no open file/);
    }
    w.fs[Symbol.dispose]();
    file[Symbol.dispose]();
    expect(api.munmap(w.current, map, 3 * P).isOk()).toBe(true);
    expect(w.shutdown()).toMatchObject({ leaks: [], lost_pages: 0 });
  });
  test("a file is closed: it is no file, its mappings stay", () => {
    using w = file_world();
    const file = w.open("a");
    api.kernel_write(w.current, file, pattern_of(P), 0)._unsafeUnwrap();
    const map = map_file(w.current, file, P);
    file[Symbol.dispose]();
    expect(() => api.vfs_fsync(w.current, file)).toThrow(api.MisuseError);
    expect(load(w.current, map, P)).toEqual(pattern_of(P));
    expect(contents(w.current, w.open("a"))).toEqual(pattern_of(P));
  });
  test.each(["hold", "linux", "bounce"] as const)(
    "the machine ends with writeback in flight, under %s",
    (policy) => {
      using w = file_world({ policy, plan: () => ({ hold: true }) });
      using file = w.open("a");
      api.kernel_write(w.current, file, pattern_of(4 * P), 0)._unsafeUnwrap();
      const map = map_file(w.current, file, 4 * P);
      const pin = must(api.get_user_page(w.current, map, "dest"));
      api.filemap_flush(w.current, file);
      api.run_softirqs(w.machine);
      api.put_user_page(pin);
      const other_task = api.create_task(w.machine);
      map_file(other_task, file, 4 * P);
      api.exit_task(other_task);
      const { backing } = bdev_state(w.disk, "test");
      expect(w.shutdown()).toMatchObject({ leaks: [], lost_pages: 0 });
      const image = new Uint8Array(backing.size);
      backing.read(0, image);
      using other = new OtherMachine();
      expect(other.mount(image).files).toEqual(new Map());
    },
  );
  test("not in softirq context", () => {
    using w = file_world();
    const bio = api.bio_alloc(w.disk, 1, "REQ_OP_READ", 0);
    let seen: unknown = null;
    api.bio_set_end_io(bio, (ended) => {
      api.bio_put(ended);
      try {
        w.fs[Symbol.dispose]();
      } catch (error) {
        seen = error;
      }
    });
    api.submit_bio(bio);
    api.run_softirqs(w.machine);
    expect(seen).toBeInstanceOf(api.MisuseError);
    expect(free_blocks(w.fs)).toBeGreaterThan(0);
  });
  test("inside a plug", () => {
    using w = file_world();
    using file = w.open("a");
    const plug = api.blk_start_plug(w.current);
    api.kernel_write(w.current, file, pattern_of(2 * P), 0)._unsafeUnwrap();
    expect(api.vfs_fsync(w.current, file)).toBeNull();
    expect(api.invalidate_mapping_pages(w.current, file)).toBe(2);
    expect(contents(w.current, file)).toEqual(pattern_of(2 * P));
    api.blk_finish_plug(plug);
  });
  test("two file systems on two disks, two machines", () => {
    using w = file_world();
    const second = must(api.brd_alloc(w.machine, 32 * P));
    expect(api.mkfs_cowfs(w.current, second)).toBeNull();
    using fs = must(api.mount_cowfs(w.current, second, { policy: "linux" }));
    using a = w.open("a");
    using b = must(api.filp_open(w.current, fs, "a", api.O_CREAT));
    api.kernel_write(w.current, a, pattern_of(P, 1), 0)._unsafeUnwrap();
    api.kernel_write(w.current, b, pattern_of(P, 2), 0)._unsafeUnwrap();
    expect(api.sync_filesystem(w.current, fs)).toBeNull();
    expect(contents(w.current, a)).toEqual(pattern_of(P, 1));
    expect(contents(w.current, b)).toEqual(pattern_of(P, 2));
    expect(api.writeback_stats(fs).written).toBe(1);
    expect(api.writeback_stats(w.fs).written).toBe(0);
    using foreign = file_world();
    expect(() => api.kernel_read(foreign.current, a, new Uint8Array(1), 0)).toThrow(
      api.MisuseError,
    );
    expect(() => map_file(foreign.current, a, P)).toThrow(api.MisuseError);
    expect(() => api.mount_cowfs(foreign.current, second)).toThrow(api.MisuseError);
    expect(() => api.sync_filesystem(foreign.current, w.fs)).toThrow(api.MisuseError);
  });
  test("fsync() by two CPUs at once", () => {
    using w = file_world();
    using other = new OtherMachine();
    using a = w.open("a");
    using b = w.open("b");
    const [of_a, of_b] = [pattern_of(2 * P, 1), pattern_of(P, 2)];
    api.kernel_write(w.current, a, of_a, 0)._unsafeUnwrap();
    api.kernel_write(w.current, b, of_b, 0)._unsafeUnwrap();
    let runs = 0;
    using racing = api.on_preemption(w.machine, (point) => {
      if (point !== "writeback: dirty bit cleared" || runs++ > 0) return;
      expect(api.vfs_fsync(w.current, b)).toBeNull();
      expect(other.mount(disk_image(w.disk)).files).toEqual(new Map([["b", of_b]]));
    });
    void racing;
    expect(api.vfs_fsync(w.current, a)).toBeNull();
    expect(runs).toBeGreaterThan(0);
    const { files, corruption, free } = other.mount(disk_image(w.disk));
    const both = new Map([
      ["a", of_a],
      ["b", of_b],
    ]);
    expect({ files, corruption, free }).toEqual({
      files: both,
      corruption: [],
      free: free_blocks(w.fs),
    });
  });
});
