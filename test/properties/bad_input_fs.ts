/** Rows of files and file systems, of who listens to a machine, and the values that their arguments must not have. */
import * as api from "user-page";
import { must } from "../fixtures.js";
import type { Bench } from "./bad_input.js";

const NO_OBJECT = [null, undefined, "text", {}, NaN, 5] as const;
const NO_COUNT = [NaN, -1, 1.5, Infinity, 2 ** 60, "8", {}, null] as const;
const PUNCH = api.FALLOC_FL_PUNCH_HOLE | api.FALLOC_FL_KEEP_SIZE;

/** A disk as small as can be, unmounted: each row has its own. */
const disk = (b: Bench): api.BlockDevice => {
  const made = must(api.brd_alloc(b.machine, 64 << 10));
  if (api.mkfs_cowfs(b.current, made)) throw new Error("mkfs_cowfs()");
  return made;
};
const fs = (b: Bench): api.Filesystem => must(api.mount_cowfs(b.current, disk(b)));
const file = (b: Bench): api.File => must(api.filp_open(b.current, fs(b), "a", api.O_CREAT));
const unmounted = (b: Bench): api.Filesystem => {
  const gone = fs(b);
  gone[Symbol.dispose]();
  return gone;
};
const closed = (b: Bench): api.File => {
  const gone = file(b);
  gone[Symbol.dispose]();
  return gone;
};
const of_unmounted = (b: Bench): api.File => {
  const there = fs(b);
  const left = must(api.filp_open(b.current, there, "a", api.O_CREAT));
  there[Symbol.dispose]();
  return left;
};

export const BAD_FS: Readonly<Record<string, (b: Bench) => unknown[]>> = {
  fs: (b) => [...NO_OBJECT, b.machine, b.disk, file(b), unmounted(b)],
  fs_file: (b) => [
    ...NO_OBJECT,
    b.machine,
    fs(b),
    must(api.memfd_create(b.current, 4096, 0)),
    closed(b),
    of_unmounted(b),
  ],
  cowfs_disk: (b) => [...NO_OBJECT, b.machine, b.disk, fs(b)],
  mkfs_disk: (b) => [...NO_OBJECT, b.machine, fs(b), must(api.brd_alloc(b.machine, 4096))],
  mount_options: () => [
    null,
    5,
    "hold",
    { policy: "none" },
    { policy: null },
    { policy: 5 },
    { policy: { toString: null } },
    { policy: "toString" },
  ],
  file_name: () => [null, undefined, 5, {}, "", "x".repeat(101), NaN, Symbol("name")],
  open_flags: () => [null, "text", {}, NaN, 1.5, 1, 1 << 16, -1],
  file_length: () => [...NO_COUNT, 2 ** 40 + 1],
  punch_mode: () => [null, undefined, "3", {}, 0, 1, 2, 4, NaN],
  punch_offset: () => [NaN, -1, 1.5, Infinity, 2 ** 60, "8", {}, null],
  punch_len: () => [...NO_COUNT, 0],
  file_pos: () => [...NO_COUNT, 2 ** 40],
};
const of_file: readonly [(b: Bench) => unknown[], ...string[]] = [
  (b) => [b.current, file(b)],
  "context",
  "fs_file",
];
export const FS_ROWS: Readonly<
  Record<string, readonly [args: (b: Bench) => unknown[], ...kinds: string[]]>
> = {
  mkfs_cowfs: [(b) => [b.current, disk(b)], "context", "mkfs_disk"],
  mount_cowfs: [
    (b) => [b.current, disk(b), { policy: "hold" }],
    "context",
    "cowfs_disk",
    "mount_options",
  ],
  vfs_statfs: [(b) => [fs(b)], "fs"],
  writeback_stats: [(b) => [fs(b)], "fs"],
  filp_open: [
    (b) => [b.current, fs(b), "a", api.O_CREAT],
    "context",
    "fs",
    "file_name",
    "open_flags",
  ],
  vfs_truncate: [(b) => [b.current, file(b), 5], "context", "fs_file", "file_length"],
  vfs_fallocate: [
    (b) => [b.current, file(b), PUNCH, 0, 4096],
    "context",
    "fs_file",
    "punch_mode",
    "punch_offset",
    "punch_len",
  ],
  kernel_read: [
    (b) => [b.current, file(b), new Uint8Array(4), 0],
    "context",
    "fs_file",
    "bytes",
    "file_pos",
  ],
  kernel_write: [
    (b) => [b.current, file(b), new Uint8Array(4), 0],
    "context",
    "fs_file",
    "bytes",
    "file_pos",
  ],
  filemap_flush: of_file,
  invalidate_mapping_pages: of_file,
  vfs_fsync: of_file,
  sync_filesystem: [(b) => [b.current, fs(b)], "context", "fs"],
  scrub: [(b) => [b.current, fs(b)], "context", "fs"],
  observe: [(b) => [b.machine, () => undefined], "machine", "call"],
  on_preemption: [(b) => [b.machine, () => undefined], "machine", "call"],
  check_objectives: [(b) => [b.machine], "machine"],
  set_page_dirty: [(b) => [must(api.get_user_page(b.current, b.buf, "dest"))], "handle"],
};
