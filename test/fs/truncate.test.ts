/** Truncation and hole punching while others map, pin and write the pages that go. */
import * as api from "user-page";
import { describe, expect, test } from "vitest";
import { errno_of, forced, must, pattern_of } from "../fixtures.js";
import {
  contents,
  disk_image,
  errno_or_null,
  file_world,
  free_blocks,
  load,
  map_file,
  OtherMachine,
  P,
  store,
  type FileWorld,
} from "./file_world.js";

const PUNCH: number = api.FALLOC_FL_PUNCH_HOLE | api.FALLOC_FL_KEEP_SIZE;
const at = (addr: api.UserAddr, bytes: number): api.UserAddr => api.user_ptr_add(addr, bytes);
function with_file(w: FileWorld, bytes: number): { file: api.File; text: Uint8Array } {
  const file = w.open("a");
  const text = pattern_of(bytes);
  api.kernel_write(w.current, file, text, 0)._unsafeUnwrap();
  expect(api.vfs_fsync(w.current, file)).toBeNull();
  return { file, text };
}
const on_disk = (w: FileWorld): Uint8Array | undefined => {
  using other = new OtherMachine();
  const { files, corruption } = other.mount(disk_image(w.disk));
  expect(corruption).toEqual([]);
  return typeof files === "string" ? undefined : files.get("a");
};

const CUTS: ReadonlyArray<readonly [string, (w: FileWorld, file: api.File) => unknown]> = [
  ["vfs_truncate()", (w, file) => api.vfs_truncate(w.current, file, P)],
  ["vfs_fallocate()", (w, file) => api.vfs_fallocate(w.current, file, PUNCH, P, P)],
];
describe.each(CUTS)("%s with pins outstanding", (name, cut) => {
  test.each(["hold", "linux", "dirty on unpin"] as const)(
    "the page leaves the file, its holder keeps the memory (%s)",
    (policy) => {
      using w = file_world({ policy });
      const { file, text } = with_file(w, 2 * P);
      const map = map_file(w.current, file, 2 * P);
      const [dest, source] = [
        must(api.get_user_page(w.current, at(map, P), "dest")),
        must(api.get_user_page(w.current, at(map, P), "source")),
      ];
      expect(cut(w, file)).toBeNull();
      // What was there is there, and can be stored to.
      const held = new Uint8Array(P);
      api.memcpy_from_page(held, source, 0);
      expect(Buffer.compare(held, text.subarray(P))).toBe(0);
      const written = pattern_of(P, 99);
      api.memcpy_to_page(dest, 0, written);
      api.set_page_dirty(dest);
      api.memcpy_from_page(held, source, 0);
      expect(Buffer.compare(held, written)).toBe(0);
      // The file has none of it, in the mapping or on the disk.
      expect(api.page_mapcount(dest)).toBe(0);
      expect(load(w.current, at(map, P), P)).toEqual(
        name === "vfs_truncate()" ? "EFAULT" : new Uint8Array(P),
      );
      expect(api.vfs_fsync(w.current, file)).toBeNull();
      expect(api.vfs_truncate(w.current, file, 2 * P)).toBeNull();
      const expected = text.slice();
      expected.fill(0, P);
      expect(contents(w.current, file)).toEqual(expected);
      expect(api.vfs_fsync(w.current, file)).toBeNull();
      expect(on_disk(w)).toEqual(expected);
      // The last one to let go frees it.
      const free = api.vmstat(w.machine).nr_free_pages;
      api.put_user_page(dest);
      expect(api.vmstat(w.machine).nr_free_pages).toBe(free);
      api.put_user_page(source);
      expect(api.vmstat(w.machine).nr_free_pages).toBe(free + 1);
      expect(contents(w.current, file)).toEqual(expected);
      expect(api.writeback_stats(w.fs).lost).toBe(0);
      expect(w.shutdown()).toMatchObject({ leaks: [], lost_pages: 0 });
    },
  );
  test("blocks come back with fsync(), those that were only reserved at once", () => {
    using w = file_world();
    const { file } = with_file(w, 2 * P);
    const free = free_blocks(w.fs);
    const map = map_file(w.current, file, 2 * P);
    expect(store(w.current, at(map, P), new Uint8Array(1))).toBe(1);
    expect(free_blocks(w.fs)).toBe(free - 1);
    expect(cut(w, file)).toBeNull();
    expect(free_blocks(w.fs)).toBe(free);
    expect(api.vfs_fsync(w.current, file)).toBeNull();
    expect(free_blocks(w.fs)).toBe(free + 1);
  });
  test("waits for what is on its way to the disk", () => {
    for (const policy of ["linux", "bounce"] as const) {
      let hold = false;
      using w = file_world({ policy, plan: () => ({ hold }) });
      const { file, text } = with_file(w, 2 * P);
      const map = map_file(w.current, file, 2 * P);
      const pin = must(api.get_user_page(w.current, at(map, P), "dest"));
      hold = true;
      api.filemap_flush(w.current, file);
      api.run_softirqs(w.machine);
      const flakey = w.mounted as api.FlakeyDisk;
      expect(flakey.in_flight).toHaveLength(1);
      expect(cut(w, file)).toBeNull();
      expect(flakey.in_flight).toHaveLength(0);
      hold = false;
      api.put_user_page(pin);
      expect(api.vfs_truncate(w.current, file, 2 * P)).toBeNull();
      expect(api.vfs_fsync(w.current, file)).toBeNull();
      const expected = text.slice();
      expected.fill(0, P);
      expect(on_disk(w)).toEqual(expected);
    }
  });
});

describe("bytes behind the end are zero", () => {
  const GROW: ReadonlyArray<readonly [string, (w: FileWorld, file: api.File) => void]> = [
    ["vfs_truncate()", (w, file) => void expect(api.vfs_truncate(w.current, file, P)).toBeNull()],
    [
      "kernel_write() far behind",
      (w, file) => void api.kernel_write(w.current, file, new Uint8Array(1), P - 1)._unsafeUnwrap(),
    ],
  ];
  const STATES: ReadonlyArray<readonly [string, (w: FileWorld, file: api.File) => void]> = [
    ["cached", () => undefined],
    ["not cached", (w, file) => void expect(api.invalidate_mapping_pages(w.current, file)).toBe(1)],
    ["committed in between", (w, file) => void expect(api.vfs_fsync(w.current, file)).toBeNull()],
    [
      "stored there by a mapping",
      (w, file) => {
        const map = map_file(w.current, file, P);
        expect(store(w.current, at(map, 200), pattern_of(P - 200))).toBe(P - 200);
        api.munmap(w.current, map, P)._unsafeUnwrap();
      },
    ],
    [
      "stored there by a mapping and written",
      (w, file) => {
        const map = map_file(w.current, file, P);
        expect(store(w.current, at(map, 50), pattern_of(P - 50))).toBe(P - 50);
        api.kernel_write(w.current, file, pattern_of(100), 0)._unsafeUnwrap();
        expect(api.vfs_fsync(w.current, file)).toBeNull();
        api.munmap(w.current, map, P)._unsafeUnwrap();
        expect(api.invalidate_mapping_pages(w.current, file)).toBe(1);
      },
    ],
  ];
  describe.each(GROW)("after %s", (_, grow) => {
    test.each(STATES)("%s", (_state, prepare) => {
      using w = file_world();
      const { file, text } = with_file(w, P);
      expect(api.vfs_truncate(w.current, file, 100)).toBeNull();
      prepare(w, file);
      grow(w, file);
      const expected = text.slice();
      expected.fill(0, 100);
      expect(contents(w.current, file)).toEqual(expected);
      expect(api.vfs_fsync(w.current, file)).toBeNull();
      expect(on_disk(w)).toEqual(expected);
    });
  });
  test("under a mapping that stays", () => {
    using w = file_world();
    const { file, text } = with_file(w, 2 * P);
    const map = map_file(w.current, file, 2 * P);
    expect(load(w.current, map, 2 * P)).toEqual(text);
    expect(api.vfs_truncate(w.current, file, P + 7)).toBeNull();
    const expected = text.slice();
    expected.fill(0, P + 7);
    expect(load(w.current, map, 2 * P)).toEqual(expected);
    expect(api.vfs_truncate(w.current, file, 5)).toBeNull();
    expect(load(w.current, at(map, P), 1)).toBe("EFAULT");
    expect(api.vfs_truncate(w.current, file, 2 * P)).toBeNull();
    expected.fill(0, 5);
    expect(load(w.current, map, 2 * P)).toEqual(expected);
  });
});

test("copies of private mappings go with the end of the file, and stay in a hole", () => {
  using w = file_world();
  const { file } = with_file(w, 3 * P);
  const map = map_file(w.current, file, 3 * P, api.MAP_PRIVATE);
  for (const page of [0, 1, 2]) {
    expect(store(w.current, at(map, page * P), new Uint8Array([70 + page]))).toBe(1);
  }
  const pin = must(api.get_user_page(w.current, at(map, 2 * P), "dest"));
  expect(api.vfs_fallocate(w.current, file, PUNCH, P, P)).toBeNull();
  expect(load(w.current, at(map, P), 1)).toEqual(new Uint8Array([71]));
  expect(api.vfs_truncate(w.current, file, P + 1)).toBeNull();
  expect(load(w.current, at(map, P), 1)).toEqual(new Uint8Array([71]));
  expect(load(w.current, at(map, 2 * P), 1)).toBe("EFAULT");
  const byte = new Uint8Array(1);
  api.memcpy_from_page(byte, pin, 0);
  expect(byte[0]).toBe(72);
  api.put_user_page(pin);
  expect(w.shutdown()).toMatchObject({ leaks: [], lost_pages: 0 });
});

describe("a hole", () => {
  const RANGES: ReadonlyArray<readonly [offset: number, len: number]> = [
    [0, 1],
    [100, P],
    [100, 200],
    [0, P],
    [P - 1, 2],
    [P - 1, P + 2],
    [50, 3 * P],
    [P, 2 * P],
    [3 * P + 5, 100 * P],
    [4 * P - 100, P],
    [0, 2 ** 50],
  ];
  test.each(RANGES)("at %i, %i bytes", (offset, len) => {
    for (const cached of [true, false]) {
      using w = file_world();
      const { file, text } = with_file(w, 4 * P - 10);
      if (!cached) expect(api.invalidate_mapping_pages(w.current, file)).toBe(4);
      const free = free_blocks(w.fs);
      expect(api.vfs_fallocate(w.current, file, PUNCH, offset, len)).toBeNull();
      text.fill(0, offset, offset + len);
      expect(contents(w.current, file)).toEqual(text);
      expect(api.vfs_fsync(w.current, file)).toBeNull();
      expect(on_disk(w)).toEqual(text);
      const end = offset + len >= text.length ? Infinity : offset + len;
      const whole = [0, 1, 2, 3].filter((page) => offset <= page * P && (page + 1) * P <= end);
      expect(free_blocks(w.fs)).toBe(free + whole.length);
    }
  });
  test("in a hole needs no block; with none left nothing changes", () => {
    using w = file_world();
    const { file, text } = with_file(w, 3 * P);
    expect(api.vfs_truncate(w.current, file, 6 * P)).toBeNull();
    using rest = w.open("rest");
    api.kernel_write(w.current, rest, new Uint8Array(free_blocks(w.fs) * P), 0)._unsafeUnwrap();
    expect(api.vfs_fallocate(w.current, file, PUNCH, 4 * P + 1, 10)).toBeNull();
    expect(errno_or_null(api.vfs_fallocate(w.current, file, PUNCH, 10, 2 * P))).toBe("ENOSPC");
    expect(contents(w.current, file).slice(0, 3 * P)).toEqual(text);
    expect(api.vfs_fallocate(w.current, file, PUNCH, P, P)).toBeNull();
  });
  test("arguments", () => {
    using w = file_world();
    const { file, text } = with_file(w, P);
    const punch = (mode: unknown, offset: unknown, len: unknown): string =>
      errno_of(forced(api.vfs_fallocate)(w.current, file, mode, offset, len));
    expect(punch(0, 0, P)).toBe("EOPNOTSUPP");
    expect(punch(api.FALLOC_FL_PUNCH_HOLE, 0, P)).toBe("EOPNOTSUPP");
    expect(punch(PUNCH, 0, 0)).toBe("EINVAL");
    expect(punch(PUNCH, -1, 1)).toBe("EINVAL");
    expect(punch(PUNCH, 0, NaN)).toBe("EINVAL");
    expect(api.vfs_fallocate(w.current, file, PUNCH, P, P)).toBeNull();
    for (const length of [-1, 0.5, NaN, 2 ** 40 + 1]) {
      expect(errno_or_null(api.vfs_truncate(w.current, file, length))).toBe("EINVAL");
    }
    expect(contents(w.current, file)).toEqual(text);
    expect(api.vfs_truncate(w.current, file, 2 ** 40)).toBeNull();
    expect(api.vfs_truncate(w.current, file, 0)).toBeNull();
  });
});
