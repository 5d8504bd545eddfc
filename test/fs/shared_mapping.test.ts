/** Shared mappings of files with real bytes: page_mkwrite(), stable pages, the end of the file. */
import * as api from "user-page";
import { describe, expect, test } from "vitest";
import { changes, counts, errno_of, must, pattern_of, snapshot } from "../fixtures.js";
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
  RW,
  store,
  value_of,
  type FileWorld,
} from "./file_world.js";

describe("shared mappings", () => {
  test("two tasks, read() and write() see the same bytes", () => {
    const { w, file, text, map } = with_mapped_file(2);
    using _ = w;
    const second = api.create_task(w.machine);
    const theirs = map_file(second, file, P, api.MAP_SHARED, P);
    expect(store(w.current, at(map, P + 5), new Uint8Array([1, 2, 3]))).toBe(3);
    text.set([1, 2, 3], P + 5);
    expect(load(second, theirs, P)).toEqual(text.slice(P));
    expect(contents(w.current, file)).toEqual(text);
    api.kernel_write(w.current, file, new Uint8Array([9]), P)._unsafeUnwrap();
    text[P] = 9;
    expect(load(second, theirs, P)).toEqual(text.slice(P));
    api.exit_task(second);
    expect(api.vfs_fsync(w.current, file)).toBeNull();
    using other = new OtherMachine();
    expect(other.mount(disk_image(w.disk)).files).toEqual(new Map([["a", text]]));
  });
  test("the file is asked at the first store, and again after writeback", () => {
    const { w, file, map } = with_mapped_file(1);
    using _ = w;
    const free = free_blocks(w.fs);
    const byte = new Uint8Array(1);
    const asked = (): string[] => {
      const heard = names_of(w, () => void store(w.current, map, byte));
      return heard.filter((name) => name !== "store");
    };
    expect(load(w.current, map, 1)).toBeInstanceOf(Uint8Array);
    expect(free_blocks(w.fs)).toBe(free);
    expect(asked()).toEqual(["page_mkwrite", "folio_mark_dirty"]);
    expect(free_blocks(w.fs)).toBe(free - 1);
    expect(asked()).toEqual([]);
    const heard = names_of(w, () => {
      expect(api.vfs_fsync(w.current, file)).toBeNull();
    });
    expect(heard).toEqual([
      "folio_clear_dirty_for_io",
      "folio_start_writeback",
      "folio_end_writeback",
    ]);
    expect(free_blocks(w.fs)).toBe(free);
    expect(asked()).toEqual(["page_mkwrite", "folio_mark_dirty"]);
  });
  test("no block is left: the store, the pin and write() fail, and nothing changes", () => {
    const { w, file, text, map } = with_mapped_file(2);
    using _ = w;
    expect(load(w.current, map, 2 * P)).toEqual(text);
    fill_disk(w);
    const before = snapshot(w.machine);
    expect(store(w.current, map, new Uint8Array(1))).toBe("EFAULT");
    expect(errno_of(api.get_user_page(w.current, map, "dest"))).toBe("EFAULT");
    expect(errno_of(api.pin_user_pages_fast(w.current, map, 2, "dest"))).toBe("EFAULT");
    expect(errno_of(api.get_user_bvec(w.current, map, 2 * P, "dest"))).toBe("EFAULT");
    expect(value_of(api.kernel_write(w.current, file, new Uint8Array(1), 0))).toBe("ENOSPC");
    expect(changes(before, snapshot(w.machine)).filter((what) => what !== "pgfault")).toEqual([]);
    expect(free_blocks(w.fs)).toBe(0);
    expect(contents(w.current, file)).toEqual(text);
    // What only reads needs none.
    const pin = must(api.get_user_page(w.current, map, "source"));
    api.put_user_page(pin);
    // A block comes back, and the store works.
    using rest = w.open("rest");
    expect(api.vfs_truncate(w.current, rest, P)).toBeNull();
    expect(store(w.current, map, new Uint8Array(1))).toBe(1);
  });
  test("a pin to write asks the file, a pin to read does not", () => {
    const { w, map } = with_mapped_file(2);
    using _ = w;
    const pinned = (dir: api.Dir): string[] =>
      names_of(w, () => {
        api.put_user_page(must(api.get_user_page(w.current, map, dir)));
      });
    expect(pinned("source")).toEqual(["pin", "unpin"]);
    expect(pinned("dest")).toEqual(["page_mkwrite", "folio_mark_dirty", "pin", "unpin"]);
  });
  const STORES: ReadonlyArray<
    readonly [string, (w: FileWorld, file: api.File, map: api.UserAddr) => void]
  > = [
    ["a store", (w, _, map) => void store(w.current, map, new Uint8Array([1]))],
    ["write()", (w, file) => void api.kernel_write(w.current, file, new Uint8Array([1]), 0)],
    [
      "a pin to write",
      (w, _, map) => {
        const pin = must(api.get_user_page(w.current, map, "dest"));
        api.memcpy_to_page(pin, 0, new Uint8Array([1]));
        api.put_user_page(pin);
      },
    ],
  ];
  test.each(STORES)("%s waits until the disk has the page", (_, change) => {
    const completed: string[] = [];
    let hold = false;
    const w = file_world({
      policy: "linux",
      plan: ({ nr }) => {
        completed.push(`request ${nr}`);
        return { hold };
      },
    });
    using file = w.open("a");
    const text = pattern_of(P);
    api.kernel_write(w.current, file, text, 0)._unsafeUnwrap();
    const map = map_file(w.current, file, P);
    expect(load(w.current, map, 1)).toEqual(text.slice(0, 1));
    hold = true;
    api.filemap_flush(w.current, file);
    api.run_softirqs(w.machine);
    const flakey = w.mounted as api.FlakeyDisk;
    expect(flakey.in_flight).toHaveLength(1);
    hold = false;
    // The one who stores sleeps, which lets the disk go on.
    const heard = names_of(w, () => {
      change(w, file, map);
    });
    expect(flakey.in_flight).toHaveLength(0);
    expect(heard.slice(0, 2)).toEqual(["folio_end_writeback", "page_mkwrite"]);
    // The disk has what was there when writeback began.
    expect(api.scrub(w.current, w.fs)).toEqual([]);
    const image = disk_image(w.disk);
    expect(Buffer.from(image).indexOf(text.subarray(0, 64))).toBeGreaterThan(0);
    expect(contents(w.current, file)[0]).toBe(1);
    w.shutdown();
  });
  test("behind the end of the file: zeroes in its last page, EFAULT after it", () => {
    using w = file_world();
    using file = w.open("a");
    api.kernel_write(w.current, file, pattern_of(P + 10), 0)._unsafeUnwrap();
    const map = map_file(w.current, file, 4 * P);
    expect(load(w.current, at(map, P), P)).toEqual(
      Uint8Array.from({ length: P }, (_, i) => (i < 10 ? pattern_of(P + 10)[P + i]! : 0)),
    );
    expect(load(w.current, at(map, 2 * P), 1)).toBe("EFAULT");
    expect(store(w.current, at(map, 2 * P), new Uint8Array(1))).toBe("EFAULT");
    expect(errno_of(api.get_user_page(w.current, at(map, 3 * P), "source"))).toBe("EFAULT");
    api.kernel_write(w.current, file, new Uint8Array([5]), 3 * P)._unsafeUnwrap();
    expect(load(w.current, at(map, 2 * P), 1)).toEqual(new Uint8Array(1));
    expect(load(w.current, at(map, 3 * P), 1)).toEqual(new Uint8Array([5]));
  });
  test("MADV_PAGEOUT leaves what is pinned: the device's store is in the file, and on the disk", () => {
    const { w, file, text, map } = with_mapped_file(2);
    using _ = w;
    const pin = must(api.get_user_page(w.current, map, "dest"));
    const pfn = api.page_to_pfn(pin) as number;
    const before = counts(pfn);
    api.madvise(w.current, map, 2 * P, api.MADV_PAGEOUT)._unsafeUnwrap();
    expect([counts(pfn), api.page_mapcount(pin)]).toEqual([before, 1]);
    api.memcpy_to_page(pin, 5, new Uint8Array([1, 2, 3]))._unsafeUnwrap();
    text.set([1, 2, 3], 5);
    expect(load(w.current, map, 2 * P)).toEqual(text);
    expect(contents(w.current, file)).toEqual(text);
    api.put_user_page(pin);
    expect(api.vfs_fsync(w.current, file)).toBeNull();
    using other = new OtherMachine();
    expect(other.mount(disk_image(w.disk)).files).toEqual(new Map([["a", text]]));
  });
  test("mprotect(), MADV_DONTNEED and munmap() lose nothing that was stored", () => {
    const { w, file, text, map } = with_mapped_file(3);
    using _ = w;
    const set = (index: number, value: number): number | string => {
      const done = store(w.current, at(map, index * P), new Uint8Array([value]));
      if (done === 1) text[index * P] = value;
      return done;
    };
    expect([set(0, 1), set(1, 2), set(2, 3)]).toEqual([1, 1, 1]);
    api.mprotect(w.current, map, 3 * P, api.PROT_READ)._unsafeUnwrap();
    expect(set(0, 9)).toBe("EFAULT");
    api.mprotect(w.current, at(map, P), P, RW)._unsafeUnwrap();
    expect([set(0, 9), set(1, 4), set(2, 9)]).toEqual(["EFAULT", 1, "EFAULT"]);
    api.mprotect(w.current, map, 3 * P, RW)._unsafeUnwrap();
    api.madvise(w.current, at(map, P), P, api.MADV_DONTNEED)._unsafeUnwrap();
    expect(load(w.current, map, 3 * P)).toEqual(text);
    // After the cut in three each part is still written back and made clean.
    expect(api.vfs_fsync(w.current, file)).toBeNull();
    expect(names_of(w, () => void set(1, 7))).toContain("page_mkwrite");
    api.munmap(w.current, at(map, P), P)._unsafeUnwrap();
    expect(set(1, 8)).toBe("EFAULT");
    expect([set(0, 5), set(2, 6)]).toEqual([1, 1]);
    expect(api.vfs_fsync(w.current, file)).toBeNull();
    using other = new OtherMachine();
    expect(other.mount(disk_image(w.disk)).files).toEqual(new Map([["a", text]]));
  });
});
