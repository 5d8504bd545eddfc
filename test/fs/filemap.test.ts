/** The page cache: shared mappings with real bytes, page_mkwrite(), stable pages, private mappings, and no memory. */
import * as api from "user-page";
import { describe, expect, test } from "vitest";
import { errno_of, must, pattern_of } from "../fixtures.js";
import {
  at,
  contents,
  fill_disk,
  names_of,
  with_mapped_file,
  disk_image,
  file_world,
  free_blocks,
  load,
  map_file,
  OtherMachine,
  P,
  store,
  value_of,
} from "./file_world.js";

describe("reading", () => {
  test("what is mapped, held or dirty stays in the cache", () => {
    const { w, file, text, map } = with_mapped_file(4);
    using _ = w;
    expect(load(w.current, map, P)).toEqual(text.slice(0, P));
    const pin = must(api.get_user_page(w.current, at(map, P), "source"));
    api.madvise(w.current, at(map, P), P, api.MADV_DONTNEED)._unsafeUnwrap();
    api.kernel_write(w.current, file, text.subarray(0, 1), 2 * P)._unsafeUnwrap();
    text[2 * P] = text[0]!;
    expect(api.invalidate_mapping_pages(w.current, file)).toBe(1);
    api.put_user_page(pin);
    expect(api.invalidate_mapping_pages(w.current, file)).toBe(1);
    expect(contents(w.current, file)).toEqual(text);
  });
  test("from the disk, and from the cache", () => {
    using w = file_world();
    using file = w.open("a");
    const text = pattern_of(3 * P - 100);
    api.kernel_write(w.current, file, text, 0)._unsafeUnwrap();
    expect(api.vfs_fsync(w.current, file)).toBeNull();
    const reads = (): number => api.disk_stats(w.disk).reads;
    const before = reads();
    expect(contents(w.current, file)).toEqual(text);
    expect(reads()).toBe(before);
    expect(api.invalidate_mapping_pages(w.current, file)).toBe(3);
    expect(contents(w.current, file)).toEqual(text);
    expect(contents(w.current, file)).toEqual(text);
    expect(reads()).toBe(before + 3);
    const to = new Uint8Array(10);
    expect(value_of(api.kernel_read(w.current, file, to, 3 * P - 105))).toBe(5);
    expect(value_of(api.kernel_read(w.current, file, to, 3 * P - 100))).toBe(0);
    expect(value_of(api.kernel_read(w.current, file, to, 2 ** 39))).toBe(0);
  });
  test("nobody finds a page before it is read", () => {
    let nested: Uint8Array | null = null;
    let read: (() => Uint8Array) | null = null;
    using w = file_world({
      plan: () => {
        const once = read;
        read = null;
        if (once) nested = once();
        return null;
      },
    });
    using file = w.open("a");
    const text = pattern_of(P);
    api.kernel_write(w.current, file, text, 0)._unsafeUnwrap();
    expect(api.vfs_fsync(w.current, file)).toBeNull();
    expect(api.invalidate_mapping_pages(w.current, file)).toBe(1);
    // While the first one waits for the disk a second one comes, stores to the page, and lets go.
    read = () => {
      const seen = contents(w.current, file);
      api.kernel_write(w.current, file, new Uint8Array([77]), 9)._unsafeUnwrap();
      return seen;
    };
    const outer = contents(w.current, file);
    expect(nested).toEqual(text);
    text[9] = 77;
    expect(outer).toEqual(text);
    expect(contents(w.current, file)).toEqual(text);
    expect(w.shutdown()).toMatchObject({ leaks: [], lost_pages: 0 });
  });
  test("a page in flight does not leave the cache", () => {
    for (const policy of ["linux", "hold"] as const) {
      using w = file_world({ policy, plan: ({ op }) => ({ hold: op === "REQ_OP_WRITE" }) });
      using file = w.open("a");
      api.kernel_write(w.current, file, pattern_of(P, 1), 0)._unsafeUnwrap();
      const map = map_file(w.current, file, P);
      const pin = must(api.get_user_page(w.current, map, "dest"));
      api.filemap_flush(w.current, file);
      api.put_user_page(pin);
      api.munmap(w.current, map, P)._unsafeUnwrap();
      expect(api.invalidate_mapping_pages(w.current, file)).toBe(0);
      expect(contents(w.current, file)).toEqual(pattern_of(P, 1));
    }
  });
});

describe("private mappings", () => {
  test("a store copies the page: the file stays as it is, and needs no block", () => {
    const { w, file, text } = with_mapped_file(2);
    using _ = w;
    const map = map_file(w.current, file, 2 * P, api.MAP_PRIVATE);
    fill_disk(w);
    expect(store(w.current, at(map, P), new Uint8Array([1, 2, 3]))).toBe(3);
    expect(contents(w.current, file)).toEqual(text);
    api.kernel_read(w.current, file, new Uint8Array(1), 0)._unsafeUnwrap();
    const seen = load(w.current, map, 2 * P) as Uint8Array;
    expect([...seen.subarray(P, P + 3)]).toEqual([1, 2, 3]);
    expect(Buffer.compare(seen.subarray(0, P), text.subarray(0, P))).toBe(0);
    api.madvise(w.current, map, 2 * P, api.MADV_DONTNEED)._unsafeUnwrap();
    expect(load(w.current, map, 2 * P)).toEqual(text);
  });
  test("pins: to write of the copy, to read of the file's page, long-term of a copy", () => {
    const { w, file, text } = with_mapped_file(3);
    using _ = w;
    const map = map_file(w.current, file, 3 * P, api.MAP_PRIVATE);
    const heard = names_of(w, () => {
      const dest = must(api.get_user_page(w.current, map, "dest"));
      api.memcpy_to_page(dest, 0, new Uint8Array([1]));
      api.set_page_dirty(dest);
      api.put_user_page(dest);
    });
    expect(heard).toEqual([]);
    expect(load(w.current, map, 1)).toEqual(new Uint8Array([1]));
    const source = must(api.get_user_page(w.current, at(map, P), "source"));
    api.kernel_write(w.current, file, new Uint8Array([42]), P)._unsafeUnwrap();
    const byte = new Uint8Array(1);
    api.memcpy_from_page(byte, source, 0);
    expect(byte[0]).toBe(42);
    api.put_user_page(source);
    text[P] = 42;
    expect(contents(w.current, file)).toEqual(text);
    expect(api.vfs_fsync(w.current, file)).toBeNull();
  });
});

test("no memory: ENOMEM, EFAULT, and everything goes on when there is some", () => {
  const { w, file, text } = with_mapped_file(4, { mem: 1 << 20 });
  using _ = w;
  expect(api.invalidate_mapping_pages(w.current, file)).toBe(4);
  using map_of = w.open("a");
  const map = map_file(w.current, map_of, 4 * P);
  api.kernel_write(w.current, file, text.subarray(0, P), 0)._unsafeUnwrap();
  const fragments = api.fragment_memory(w.machine, () => true);
  const before = free_blocks(w.fs);
  expect(value_of(api.kernel_read(w.current, file, new Uint8Array(P), P))).toBe("ENOMEM");
  expect(value_of(api.kernel_write(w.current, file, new Uint8Array(P), 2 * P))).toBe("ENOMEM");
  expect(value_of(api.kernel_write(w.current, file, new Uint8Array(2 * P), 0))).toBe(P);
  text.fill(0, 0, P);
  expect(load(w.current, at(map, 3 * P), 1)).toBe("EFAULT");
  expect(api.vfs_fsync(w.current, file)?.errno).toBe("ENOMEM");
  expect(free_blocks(w.fs)).toBeLessThanOrEqual(before + 1);
  expect(errno_of(api.mount_cowfs(w.current, must(api.brd_alloc(w.machine, 64 * P))))).toBe(
    "ENOMEM",
  );
  fragments[Symbol.dispose]();
  expect(contents(w.current, file)).toEqual(text);
  expect(api.vfs_fsync(w.current, file)).toBeNull();
  using other = new OtherMachine();
  const found = other.mount(disk_image(w.disk));
  expect(found.files).toEqual(new Map([["a", text]]));
  expect(found.free).toBe(free_blocks(w.fs));
  expect(w.shutdown()).toMatchObject({ leaks: [], lost_pages: 0 });
});
