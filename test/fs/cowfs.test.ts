/** The file system: blocks that add up, disks that fail or lie, and its end. */
import * as api from "user-page";
import { describe, expect, test } from "vitest";
import { bdev_state } from "../../src/block/bdev.js";
import { encode_table, write_commit } from "../../src/fs/cowfs_commit.js";
import { BLOCK_SIZE } from "../../src/fs/cowfs_disk.js";
import { crc32c } from "../../src/fs/crc32c.js";
import { boot_for_test, errno_of, forced, must, pattern_of } from "../fixtures.js";
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
  store,
  value_of,
} from "./file_world.js";

test("CRC-32C of the test string", () => {
  expect(crc32c(new TextEncoder().encode("123456789"))).toBe(0xe3069283);
});

describe("mkfs and mount", () => {
  const MOUNTS: ReadonlyArray<readonly [blocks: number, mkfs: string | null]> = [
    [1, "EINVAL"],
    [15, "EINVAL"],
    [16, null],
    [40_000, null],
    [40_001, "EINVAL"],
  ];
  test.each(MOUNTS)("%i blocks: %s", (blocks, expected) => {
    using machine = boot_for_test();
    const current = api.create_task(machine);
    using disk = must(api.brd_alloc(machine, blocks * P + 512));
    expect(errno_of(api.mount_cowfs(current, disk))).toBe("EINVAL");
    expect(errno_or_null(api.mkfs_cowfs(current, disk))).toBe(expected);
    if (expected !== null) return;
    using fs = must(api.mount_cowfs(current, disk));
    expect(api.vfs_statfs(fs)).toMatchObject({ f_blocks: blocks, f_files: 0 });
    expect(errno_of(api.mount_cowfs(current, disk))).toBe("EBUSY");
    expect(errno_or_null(api.mkfs_cowfs(current, disk))).toBe("EBUSY");
  });
  test("mkfs leaves nothing of what was there", () => {
    using w = file_world();
    for (const name of ["a", "b", "c"]) {
      using file = w.open(name);
      api.kernel_write(w.current, file, pattern_of(P), 0)._unsafeUnwrap();
      expect(api.vfs_fsync(w.current, file)).toBeNull();
    }
    const used = free_blocks(w.fs);
    w.fs[Symbol.dispose]();
    expect(api.mkfs_cowfs(w.current, w.disk)).toBeNull();
    using fs = must(api.mount_cowfs(w.current, w.disk));
    expect(errno_of(api.filp_open(w.current, fs, "a"))).toBe("ENOENT");
    expect(free_blocks(fs)).toBe(used + 3);
  });
  test("names, flags and the number of files", () => {
    using w = file_world({ blocks: 256 });
    const open = (name: unknown, flags: unknown): string =>
      errno_of(forced(api.filp_open)(w.current, w.fs, name, flags));
    expect(open("", api.O_CREAT)).toBe("EINVAL");
    expect(open("x".repeat(101), api.O_CREAT)).toBe("EINVAL");
    expect(open({}, api.O_CREAT)).toBe("EINVAL");
    expect(open("x", 1)).toBe("EINVAL");
    expect(open("x", 0)).toBe("ENOENT");
    const names = Array.from({ length: 100 }, (_, i) => "\u0000\ud800ß"[i % 3]! + `"\n${i}`);
    for (const name of names) must(api.filp_open(w.current, w.fs, name, api.O_CREAT));
    expect(open("one more", api.O_CREAT)).toBe("ENOSPC");
    expect(api.sync_filesystem(w.current, w.fs)).toBeNull();
    using other = new OtherMachine();
    const { files } = other.mount(disk_image(w.disk));
    expect(typeof files === "string" ? files : [...files.keys()]).toEqual(names);
  });
});

describe("blocks add up", () => {
  test.each([16, 24, 64, 300])(
    "a disk of %i blocks: every free block can be had, and comes back",
    (blocks) => {
      using w = file_world({ blocks });
      using other = new OtherMachine();
      using file = w.open("a");
      const free = free_blocks(w.fs);
      expect(free).toBeGreaterThan(blocks - 20);
      for (let round = 0; round < 3; round++) {
        const all = pattern_of((free + 5) * P, round + 1);
        expect(value_of(api.kernel_write(w.current, file, all, 0))).toBe(free * P);
        expect(value_of(api.kernel_write(w.current, file, all.subarray(0, 1), free * P))).toBe(
          "ENOSPC",
        );
        expect(free_blocks(w.fs)).toBe(0);
        expect(api.vfs_fsync(w.current, file)).toBeNull();
        expect(free_blocks(w.fs)).toBe(0);
        expect(other.mount(disk_image(w.disk))).toMatchObject({ free: 0, corruption: [] });
        // A page that is stored to again needs another block, for the old one is committed.
        expect(value_of(api.kernel_write(w.current, file, all.subarray(0, 1), 0))).toBe("ENOSPC");
        expect(Buffer.compare(contents(w.current, file, free * P), all.subarray(0, free * P))).toBe(
          0,
        );
        // Shrinking needs none, wherever it cuts.
        expect(api.vfs_truncate(w.current, file, P + 1)).toBeNull();
        expect(api.vfs_fsync(w.current, file)).toBeNull();
        expect(free_blocks(w.fs)).toBe(free - 2);
        expect(api.vfs_truncate(w.current, file, 0)).toBeNull();
        expect(api.vfs_fsync(w.current, file)).toBeNull();
        expect(free_blocks(w.fs)).toBe(free);
        expect(other.mount(disk_image(w.disk)).free).toBe(free);
      }
    },
  );
  test("names take room before there are none left: a full disk can always be synced", () => {
    using w = file_world({ blocks: 20 });
    let made = 0;
    for (; made < 100; made++) {
      const file = api.filp_open(w.current, w.fs, "\u0001".repeat(98) + made, api.O_CREAT);
      if (api.IS_ERR(file)) {
        expect(file.errno).toBe("ENOSPC");
        break;
      }
    }
    expect(made).toBeGreaterThan(5);
    expect(made).toBeLessThan(100);
    using file = w.open("\u0001".repeat(98) + 0);
    const written = value_of(api.kernel_write(w.current, file, new Uint8Array(20 * P), 0));
    expect(written === "ENOSPC" || Number(written) < 20 * P).toBe(true);
    expect(api.sync_filesystem(w.current, w.fs)).toBeNull();
    expect(api.sync_filesystem(w.current, w.fs)).toBeNull();
  });
  test("a page that is written again and again without fsync() takes two blocks", () => {
    using w = file_world({ blocks: 16 });
    using file = w.open("a");
    const free = free_blocks(w.fs);
    for (let i = 0; i < 100; i++) {
      expect(value_of(api.kernel_write(w.current, file, new Uint8Array([i]), 0))).toBe(1);
      api.filemap_flush(w.current, file);
      api.run_softirqs(w.machine);
    }
    expect(free_blocks(w.fs)).toBe(free - 1);
  });
  test("a hole has no block", () => {
    using w = file_world();
    using file = w.open("a");
    const free = free_blocks(w.fs);
    api.kernel_write(w.current, file, pattern_of(10), 2 ** 40 - 10)._unsafeUnwrap();
    expect(free_blocks(w.fs)).toBe(free - 1);
    const to = new Uint8Array(20).fill(9);
    expect(value_of(api.kernel_read(w.current, file, to, 2 ** 40 - 20))).toBe(20);
    expect([...to.subarray(0, 10)]).toEqual(new Array(10).fill(0));
    expect(value_of(api.kernel_read(w.current, file, to, 12345))).toBe(20);
    expect([...to]).toEqual(new Array(20).fill(0));
    expect(free_blocks(w.fs)).toBe(free - 1);
    expect(api.vfs_fsync(w.current, file)).toBeNull();
    expect(value_of(api.kernel_write(w.current, file, new Uint8Array(2), 2 ** 40 - 1))).toBe(
      "EINVAL",
    );
  });
  test("40,000 blocks in a moment", () => {
    using w = file_world({ blocks: 40_000, mem: 192 << 20 });
    using file = w.open("a");
    const free = free_blocks(w.fs);
    expect(free).toBeGreaterThan(39_000);
    const started = performance.now();
    expect(value_of(api.kernel_write(w.current, file, new Uint8Array(free * P), 0))).toBe(free * P);
    expect(api.vfs_fsync(w.current, file)).toBeNull();
    expect(api.vfs_truncate(w.current, file, 0)).toBeNull();
    expect(api.vfs_fsync(w.current, file)).toBeNull();
    expect(free_blocks(w.fs)).toBe(free);
    // About a second where nothing else runs; a search from the first block on for each would take a minute.
    expect(performance.now() - started).toBeLessThan(20_000);
  });
});

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
      expect(api.invalidate_inode_pages(w.current, file)).toBe(3);
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
    expect(api.invalidate_inode_pages(w.current, file)).toBe(2);
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
    expect(api.invalidate_inode_pages(w.current, file)).toBe(2);
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
