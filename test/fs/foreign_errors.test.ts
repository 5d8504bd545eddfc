/** Whoever waits may be told somebody else's error: what was begun is then as before, or as it was to be, and nothing is lost. */
import * as api from "user-page";
import { describe, expect, test } from "vitest";
import { forced, must } from "../fixtures.js";
import {
  bomb,
  contents,
  ends_whole,
  free_pages,
  load,
  map_file,
  on_disk,
  P,
  with_file,
  type FileWorld,
} from "./file_world.js";

const PUNCH: number = api.FALLOC_FL_PUNCH_HOLE | api.FALLOC_FL_KEEP_SIZE;
describe("a read that waits", () => {
  const READS: ReadonlyArray<readonly [string, (w: FileWorld, file: api.File) => unknown]> = [
    ["kernel_read()", (w, file) => contents(w.current, file)],
    ["kernel_write()", (w, file) => api.kernel_write(w.current, file, new Uint8Array(1), 1)],
    ["vfs_fallocate()", (w, file) => api.vfs_fallocate(w.current, file, PUNCH, 1, 1)],
    ["a load", (w, file) => load(w.current, map_file(w.current, file, P), 1)],
    ["scrub()", (w) => api.scrub(w.current, w.fs)],
  ];
  test.each(READS)("%s loses no page", (_, read) => {
    const { w, file, text } = with_file(2);
    expect(api.invalidate_mapping_pages(w.current, file)).toBe(2);
    const free = free_pages(w);
    bomb(w);
    expect(() => read(w, file)).toThrow("driver bug");
    expect(free_pages(w)).toBe(free);
    expect(contents(w.current, file)).toEqual(text);
    ends_whole(w);
  });
});

describe("a file that gets shorter", () => {
  test("vfs_truncate() throws before anything changed, and works then", () => {
    const { w, file, text } = with_file(2);
    api.kernel_write(w.current, file, new Uint8Array([4]), 0)._unsafeUnwrap();
    text[0] = 4;
    bomb(w);
    api.filemap_flush(w.current, file);
    expect(() => api.vfs_truncate(w.current, file, 0)).toThrow("driver bug");
    expect(contents(w.current, file)).toEqual(text);
    expect(api.vfs_truncate(w.current, file, 0)).toBeNull();
    expect(api.vfs_truncate(w.current, file, 2 * P)).toBeNull();
    expect(contents(w.current, file)).toEqual(new Uint8Array(2 * P));
    expect(api.vfs_fsync(w.current, file)).toBeNull();
    expect(on_disk(w).get("a")).toEqual(new Uint8Array(2 * P));
    ends_whole(w);
  });
  test("with nothing of it in flight the same", () => {
    const { w, file, text } = with_file(3);
    bomb(w);
    expect(() => api.vfs_truncate(w.current, file, P)).toThrow("driver bug");
    expect(contents(w.current, file)).toEqual(text);
    bomb(w);
    expect(() => api.vfs_fallocate(w.current, file, PUNCH, 0, P)).toThrow("driver bug");
    expect(contents(w.current, file)).toEqual(text);
    ends_whole(w);
  });
  test("a hole: what was stored into its pages is not taken back", () => {
    let hold = false;
    const { w, file, text } = with_file(4, { plan: () => ({ hold }) });
    const pin = must(api.get_user_page(w.current, map_file(w.current, file, 2 * P), "dest"));
    for (const page of [0, 2]) {
      api.kernel_write(w.current, file, new Uint8Array([4]), page * P)._unsafeUnwrap();
      text[page * P] = 4;
    }
    hold = true;
    // The disk has it before the page that writeback takes; the pinned one is passed over.
    bomb(w, w.mounted);
    api.filemap_flush(w.current, file);
    api.run_softirqs(w.machine);
    const punch = (): unknown => api.vfs_fallocate(w.current, file, PUNCH, 0, 4 * P);
    expect(punch).toThrow("driver bug");
    expect(contents(w.current, file)).toEqual(text);
    hold = false;
    expect(punch()).toBeNull();
    expect(contents(w.current, file)).toEqual(new Uint8Array(4 * P));
    api.put_user_page(pin);
    ends_whole(w);
  });
});

test.each([
  ["a symbol", Symbol("n")],
  ["an object without a prototype", Object.create(null) as object],
  ["a bigint", 1n],
])("%s is no number and no name", (_what, value) => {
  const { w, file, text } = with_file(1);
  using _ = w;
  const bytes = new Uint8Array(1);
  const refused = { errno: "EINVAL" };
  expect(forced(api.filp_open)(w.current, w.fs, value)).toMatchObject(refused);
  expect(forced(api.filp_open)(w.current, w.fs, "a", value)).toMatchObject(refused);
  expect(forced(api.vfs_truncate)(w.current, file, value)).toMatchObject(refused);
  expect(forced(api.vfs_fallocate)(w.current, file, PUNCH, value, P)).toMatchObject(refused);
  expect(forced(api.vfs_fallocate)(w.current, file, value, 0, P)).toMatchObject({
    errno: "EOPNOTSUPP",
  });
  expect(forced(api.kernel_read)(w.current, file, bytes, value)).toMatchObject({ error: refused });
  expect(forced(api.kernel_write)(w.current, file, bytes, value)).toMatchObject({ error: refused });
  expect(forced(api.mount_cowfs)(w.current, w.disk, { policy: value })).toMatchObject(refused);
  expect(contents(w.current, file)).toEqual(text);
});
