/** The file system: blocks that add up, disks that fail or lie, and its end. */
import * as api from "user-page";
import { describe, expect, test } from "vitest";
import { crc32c } from "../../src/fs/crc32c.js";
import { boot_for_test, errno_of, forced, must, pattern_of } from "../fixtures.js";
import {
  contents,
  disk_image,
  errno_or_null,
  file_world,
  free_blocks,
  OtherMachine,
  P,
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
