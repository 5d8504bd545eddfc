/** cowfs on disks that fail, and on disks that lie. */
import * as api from "user-page";
import { describe, expect, test } from "vitest";
import { bdev_state } from "../../src/block/bdev.js";
import { encode_table, write_commit } from "../../src/fs/cowfs_commit.js";
import { BLOCK_SIZE } from "../../src/fs/cowfs_disk.js";
import { boot_for_test, errno_of, must, pattern_of } from "../fixtures.js";
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
  set_disk_image,
  value_of,
} from "./file_world.js";

describe("a disk that fails", () => {
  test("at each request in turn: the error is reported, and the next fsync() mends it", () => {
    for (let nr = 0; ; nr++) {
      let failed = false;
      using w = file_world({
        plan: (io) => {
          if (io.nr !== nr) return null;
          failed = true;
          return { error: "EIO" };
        },
      });
      using file = w.open("a");
      const text = pattern_of(3 * P, nr);
      api.kernel_write(w.current, file, text, 0)._unsafeUnwrap();
      const first = errno_or_null(api.vfs_fsync(w.current, file));
      expect(first).toBe(failed ? "EIO" : null);
      if (!failed) return void expect(nr).toBe(5); // three pages, a table, a superblock
      using other = new OtherMachine();
      const crashed = other.mount(disk_image(w.disk));
      expect(crashed.corruption).toEqual([]);
      expect(crashed.files).toEqual(new Map());
      // What could not be written is clean, as in Linux: it is stored again.
      api.kernel_write(w.current, file, text, 0)._unsafeUnwrap();
      expect(api.vfs_fsync(w.current, file)).toBeNull();
      const mended = other.mount(disk_image(w.disk));
      expect(mended).toMatchObject({ files: new Map([["a", text]]), corruption: [] });
      expect(mended.free).toBe(free_blocks(w.fs));
      expect(w.shutdown()).toMatchObject({ leaks: [], lost_pages: 0 });
    }
  });
  test("while a file is read: EIO, and not for good", () => {
    for (let nr = 0; nr < 3; nr++) {
      let reads = 0;
      using w = file_world({
        plan: ({ op }) => (op === "REQ_OP_READ" && reads++ === nr ? { error: "EIO" } : null),
      });
      using file = w.open("a");
      const text = pattern_of(3 * P);
      api.kernel_write(w.current, file, text, 0)._unsafeUnwrap();
      expect(api.vfs_fsync(w.current, file)).toBeNull();
      expect(api.invalidate_mapping_pages(w.current, file)).toBe(3);
      const free = api.vmstat(w.machine).nr_free_pages;
      const map = map_file(w.current, file, 3 * P);
      const done = value_of(api.kernel_read(w.current, file, new Uint8Array(3 * P), 0));
      expect(done).toBe(nr === 0 ? "EIO" : nr * P);
      expect(api.vmstat(w.machine).nr_free_pages).toBe(free - nr);
      expect(load(w.current, map, 3 * P)).toEqual(text);
      expect(contents(w.current, file)).toEqual(text);
    }
  });
  test("while it is mounted: EIO, and never what an older commit says", () => {
    for (let nr = 0, failed = true; failed; nr++) {
      failed = false;
      using w = file_world();
      using file = w.open("a");
      for (let i = 0; i < 3; i++) {
        api.kernel_write(w.current, file, pattern_of(P, i), 0)._unsafeUnwrap();
        expect(api.vfs_fsync(w.current, file)).toBeNull();
      }
      w.fs[Symbol.dispose]();
      using flakey = api.dm_flakey(w.disk, (io) => {
        if (io.nr !== nr) return null;
        failed = true;
        return { error: "EIO" };
      });
      const fs = api.mount_cowfs(w.current, flakey);
      expect(api.IS_ERR(fs)).toBe(failed);
      if (api.IS_ERR(fs)) expect(fs.errno).toBe("EIO");
      else fs[Symbol.dispose]();
      expect(nr).toBeLessThan(10);
    }
  });
  test("one file's error keeps no other from being committed", () => {
    using w = file_world({ plan: (io) => (io.nr === 0 ? { error: "EIO" } : null) });
    using a = w.open("a");
    using b = w.open("b");
    api.kernel_write(w.current, a, pattern_of(P), 0)._unsafeUnwrap();
    api.kernel_write(w.current, b, pattern_of(P), 0)._unsafeUnwrap();
    expect(errno_or_null(api.sync_filesystem(w.current, w.fs))).toBe("EIO");
    using other = new OtherMachine();
    expect(other.mount(disk_image(w.disk)).files).toEqual(new Map([["b", pattern_of(P)]]));
  });
  test("closed while it is mounted", () => {
    using w = file_world();
    using file = w.open("a");
    api.kernel_write(w.current, file, pattern_of(2 * P), 0)._unsafeUnwrap();
    expect(api.vfs_fsync(w.current, file)).toBeNull();
    expect(api.invalidate_mapping_pages(w.current, file)).toBe(2);
    api.kernel_write(w.current, file, pattern_of(P), 0)._unsafeUnwrap();
    w.disk[Symbol.dispose]();
    expect(errno_or_null(api.vfs_fsync(w.current, file))).toBe("EIO");
    expect(value_of(api.kernel_read(w.current, file, new Uint8Array(1), P))).toBe("EIO");
    w.fs[Symbol.dispose]();
    expect(w.shutdown()).toMatchObject({ leaks: [], lost_pages: 0 });
  });
});

describe("a disk that lies", () => {
  const good = { name: "a", i_size: 2 * P, pages: [[0, 5, 1, P] as unknown[]] };
  const HOSTILE: ReadonlyArray<readonly [string, unknown]> = [
    ["no list", 5],
    ["null", null],
    ["a file that is null", [null]],
    ["two of one name", [good, { ...good, pages: [] }]],
    ["no name", [{ ...good, name: "" }]],
    ["a name that is none", [{ ...good, name: 7 }]],
    ["a long name", [{ ...good, name: "x".repeat(101) }]],
    ["a negative size", [{ ...good, i_size: -1 }]],
    ["half a byte", [{ ...good, i_size: 0.5 }]],
    ["a huge size", [{ ...good, i_size: 2 ** 41 }]],
    ["pages that are none", [{ ...good, pages: "0" }]],
    ["a page that is none", [{ ...good, pages: [7] }]],
    ["a page behind the end", [{ ...good, pages: [[2, 5, 1, P]] }]],
    [
      "a page twice",
      [
        {
          ...good,
          pages: [
            [0, 5, 1, P],
            [0, 6, 1, P],
          ],
        },
      ],
    ],
    [
      "a block twice",
      [
        {
          ...good,
          pages: [
            [0, 5, 1, P],
            [1, 5, 1, P],
          ],
        },
      ],
    ],
    ["the superblock", [{ ...good, pages: [[0, 1, 1, P]] }]],
    ["the table", [{ ...good, pages: [[0, 3, 1, P]] }]],
    ["a block behind the disk", [{ ...good, pages: [[0, 64, 1, P]] }]],
    ["too many bytes of a block", [{ ...good, pages: [[0, 5, 1, P + 1]] }]],
    [
      "too many files",
      Array.from({ length: 101 }, (_, i) => ({ name: `${i}`, i_size: 0, pages: [] })),
    ],
  ];
  /** A disk whose newest commit, all checksums right, says this. */
  function written(
    table_text: string,
    fields: { nr_blocks?: number; table?: number[]; generation?: number } = {},
  ) {
    const machine = boot_for_test({ mem: 2 << 20 });
    const current = api.create_task(machine);
    const disk = must(api.brd_alloc(machine, 64 * P));
    const { nr_blocks = 64, table = [3], generation = 1 } = fields;
    const bytes = new TextEncoder().encode(table_text);
    write_commit(
      bdev_state(disk, "test"),
      { nr_blocks, table, generation },
      bytes,
      () => undefined,
    );
    api.run_softirqs(machine);
    return { machine, current, disk, mount: () => api.mount_cowfs(current, disk) };
  }
  test("the twin that tells the truth is mounted", () => {
    const { machine, mount } = written(JSON.stringify([good]));
    expect(free_blocks(must(mount()))).toBeGreaterThan(50);
    machine[Symbol.dispose]();
  });
  test.each(HOSTILE)("in its table: %s", (_, table) => {
    const { machine, mount } = written(JSON.stringify(table));
    expect(errno_of(mount())).toBe("EINVAL");
    machine[Symbol.dispose]();
  });
  test.each([
    ["text that is no JSON", "[{", {}],
    ["deep JSON", "[".repeat(2000), {}],
    ["more blocks than the disk", "[]", { nr_blocks: 65 }],
    ["fewer blocks than any", "[]", { nr_blocks: 8 }],
    ["half a block", "[]", { nr_blocks: 32.5 }],
    ["no table", "[]", { table: [] }],
    ["a table over a superblock", "[]", { table: [1] }],
    ["a table twice at one place", "[]", { table: [3, 3] }],
    ["a table behind the end", "[]", { table: [63], nr_blocks: 63 }],
    ["a generation that is none", "[]", { generation: 2 ** 53 }],
  ])("in its superblock: %s", (_, text, fields) => {
    const { machine, mount } = written(text, fields);
    expect(errno_of(mount())).toBe("EINVAL");
    machine[Symbol.dispose]();
  });
  test("any byte of its own that changed is noticed, and nothing crashes", () => {
    using w = file_world({ blocks: 16 });
    using file = w.open("a");
    api.kernel_write(w.current, file, pattern_of(P), 0)._unsafeUnwrap();
    expect(api.vfs_fsync(w.current, file)).toBeNull();
    const image = disk_image(w.disk);
    const intact = new OtherMachine();
    const before = intact.mount(image).files;
    for (let at = 0; at < image.length; at += 61) {
      const changed = image.slice();
      changed[at]! ^= 0x41;
      const { files, corruption } = intact.mount(changed);
      if (typeof files === "string") expect(files).toBe("EINVAL");
      else if (corruption.length === 0) {
        // A free block; or the newest commit was not whole, and the one before is found.
        expect(files.size === 0 || Buffer.compare(files.get("a")!, pattern_of(P)) === 0).toBe(true);
      }
    }
    expect(before).toEqual(new Map([["a", pattern_of(P)]]));
    intact[Symbol.dispose]();
  });
  test("half of the disk", () => {
    using w = file_world({ blocks: 64 });
    using machine = boot_for_test({ mem: 2 << 20 });
    const current = api.create_task(machine);
    for (const blocks of [1, 16, 63]) {
      using disk = must(api.brd_alloc(machine, blocks * P));
      set_disk_image(disk, disk_image(w.disk).subarray(0, blocks * P));
      expect(errno_of(api.mount_cowfs(current, disk))).toBe("EINVAL");
    }
  });
  test("a table that fills its superblock fits", () => {
    // The largest: 40,000 pages, 100 names of six bytes a character.
    const pages = Array.from({ length: 40_000 }, (_, i) => [
      2 ** 28 - 1 - i,
      39_999,
      2 ** 32 - 1,
      P,
    ]);
    const names = Array.from({ length: 100 }, () => "\u0000".repeat(100));
    const inodes = names.map((name, i) => ({ name, i_size: 2 ** 40, pages: i === 0 ? pages : [] }));
    const bytes = encode_table(inodes.map((inode) => JSON.stringify(inode)));
    const nr = Math.ceil(bytes.length / BLOCK_SIZE);
    expect(nr).toBeLessThanOrEqual(400);
    expect(JSON.stringify(Array.from({ length: 400 }, () => 39_999)).length).toBeLessThan(
      BLOCK_SIZE - 200,
    );
  });
});
