/** Each public function with arguments that are right, and which kind each is; kinds know the values that are wrong. */
import { fileURLToPath } from "node:url";
import * as api from "user-page";
import { map_anon, must } from "../fixtures.js";
import { BIO_ROWS } from "./bad_input_bio.js";
import { BAD_DIO, DIO_ROWS } from "./bad_input_dio.js";
import { FAULT_IN_ROWS } from "./bad_input_fault_in.js";
import { FORK_ROWS } from "./bad_input_fork.js";
import { BAD_FS, FS_ROWS } from "./bad_input_fs.js";
import { BAD_INJECT, INJECT_ROWS } from "./bad_input_inject.js";
import { BAD_IOV_ITER, IOV_ITER_ROWS } from "./bad_input_iov_iter.js";
import { BAD_LONGTERM, LONGTERM_ROWS } from "./bad_input_longterm.js";
import { BAD_TRACE, TRACE_ROWS } from "./bad_input_trace.js";
import { BAD_UV, UV_ROWS } from "./bad_input_uv.js";

export interface Bench {
  readonly machine: api.Machine;
  readonly current: api.Task;
  readonly buf: api.UserAddr;
  readonly disk: api.BlockDevice;
  /** of a machine that was shut down */
  readonly dead: {
    readonly machine: api.Machine;
    readonly current: api.Task;
    readonly page: number;
  };
}
export function make_bench(debug: boolean): Bench {
  const options = { mem: 2 << 20, cma: 256 << 10, CONFIG_DEBUG_USER_PAGE_REFERENCES: debug };
  const gone = api.boot(options);
  const dead_task = api.create_task(gone);
  const dead_page = must(api.alloc_page(dead_task)) as unknown as number;
  api.shutdown(gone);
  const machine = api.boot(options);
  const current = api.create_task(machine);
  const buf = map_anon(current, 64 * 4096);
  api.copy_to_user(current, buf, new Uint8Array(64 * 4096).fill(7))._unsafeUnwrap();
  const disk = must(api.brd_alloc(machine, 1 << 16));
  const dead = { machine: gone, current: dead_task, page: dead_page };
  return { machine, current, buf, disk, dead };
}

/** Stands for the handle of a page that is free again when the call is made. */
export const RELEASED: unique symbol = Symbol("released");
export function released_page(b: Bench): unknown {
  const page = must(api.alloc_page(b.current));
  const handle: unknown = page;
  api.put_page(page);
  return handle;
}
const NOTHING = [null, undefined, "text", {}, NaN] as const;
const NOT_A_COUNT = [NaN, -1, 1.5, Infinity, 2 ** 60, "8", {}, null] as const;
const NO_HANDLE: unknown[] = [
  0,
  -64,
  -1,
  1.5,
  2 ** 31,
  2 ** 45,
  1n,
  Symbol("page"),
  Object.create(null),
];
const handle = (b: Bench): unknown[] => [...NOTHING, ...NO_HANDLE, b.dead.page, RELEASED];
const object = (b: Bench): unknown[] => [...NOTHING, 5, b.dead.machine, b.dead.current, b.machine];
/** Values that must be refused, for each kind of argument. */
export const BAD: Readonly<Record<string, (b: Bench) => unknown[]>> = {
  handle,
  object,
  machine: (b) => [...NOTHING, 5, b.dead.machine, b.current],
  context: (b) => [...NOTHING, 5, b.dead.current, b.machine],
  task: (b) => [...NOTHING, 5, b.dead.current, b.machine],
  count: () => [...NOT_A_COUNT],
  addr: () => [...NOTHING, -4096, 1.5, Infinity, 2 ** 47, 2 ** 60, 4096],
  fixed_addr: () => [...NOTHING, -4096, 1.5, Infinity, 1, 0, 2 ** 47, 2 ** 60],
  dir: () => [null, undefined, "text", 1, {}],
  flags: () => [null, "text", {}, NaN, 1.5, 1 << 16, 2 ** 40],
  pages_array: () => [undefined, "text", {}, 5],
  bytes: () => [null, undefined, "text", 5, {}, [1, 2, 3]],
  array: (b) => [...NOTHING, 5, [NaN], [undefined], ["text"], [b.dead.page]],
  call: () => [null, undefined, "text", {}, 5],
  op: () => [null, undefined, "text", "REQ_OP_DISCARD", 0],
  any: () => [],
  ...BAD_DIO,
  ...BAD_FS,
  ...BAD_INJECT,
  ...BAD_IOV_ITER,
  ...BAD_LONGTERM,
  ...BAD_TRACE,
  ...BAD_UV,
};

const THIS_FILE = fileURLToPath(import.meta.url);
type Row = readonly [args: (b: Bench) => unknown[], ...kinds: string[]];
const F = api.MAP_PRIVATE | api.MAP_ANONYMOUS;
const page = (b: Bench): api.Page => must(api.alloc_page(b.current));
const folio = (b: Bench): api.Folio => must(api.folio_alloc(b.current, 0));
const pin = (b: Bench): api.UserPage<"dest"> => must(api.get_user_page(b.current, b.buf, "dest"));
const pins = (b: Bench) =>
  must(api.all_or_none(api.pin_user_pages_fast(b.current, b.buf, 2, "dest")));
const list = (b: Bench) => must(api.get_user_bvec(b.current, b.buf, 8192, "dest"));
const bvec = (b: Bench) => api.pop_user_bvec(list(b))!;
const lock = (b: Bench): unknown => {
  const held = api.mmap_read_lock(b.current, b.current.mm);
  locks.push(held);
  return held;
};
// Locks that rows took; the caller lets them go.
export const locks: Disposable[] = [];
const pin_row: Row = [(b) => [b.current, b.buf, 2, "dest"], "task", "addr", "count", "dir"];
const locked_get: Row = [
  (b) => [lock(b), b.buf, 1, 0, []],
  "object",
  "addr",
  "count",
  "flags",
  "pages_array",
];
const locked_pin: Row = [(b) => [lock(b), b.buf, 2, "dest"], "object", "addr", "count", "dir"];
const dio: Row = [
  (b) => [b.current, b.disk, "REQ_OP_READ", b.buf, 512, 0],
  "task",
  "object",
  "op",
  "addr",
  "count",
  "count",
];

export const TABLE: Readonly<Record<string, Row>> = {
  ...IOV_ITER_ROWS,
  ...FAULT_IN_ROWS,
  ...BIO_ROWS,
  ...DIO_ROWS,
  ...FS_ROWS,
  ...INJECT_ROWS,
  ...LONGTERM_ROWS,
  ...FORK_ROWS,
  ...TRACE_ROWS,
  ...UV_ROWS,
  boot: [() => [{ mem: 1 << 20 }], "any"],
  shutdown: [(b) => [b.machine], "machine"],
  flush_work: [(b) => [b.machine], "machine"],
  run_softirqs: [(b) => [b.machine], "machine"],
  kill_task: [(b) => [b.current], "task"],
  schedule_work: [(b) => [b.current, () => undefined], "context", "call"],
  dmesg: [(b) => [b.machine], "machine"],
  misuse_reports: [(b) => [b.machine], "machine"],
  leaks: [(b) => [b.machine], "machine"],
  vmstat: [(b) => [b.machine], "machine"],
  __free: [(b) => [api.put_page, page(b)], "call", "any"],
  no_free_ptr: [(b) => [must(api.__free(api.put_page, page(b)))], "object"],
  get_user_pages: locked_get,
  get_user_pages_remote: locked_get,
  get_user_pages_fast: [
    (b) => [b.current, b.buf, 1, 0, []],
    "task",
    "addr",
    "count",
    "flags",
    "pages_array",
  ],
  get_user_pages_unlocked: [
    (b) => [b.current, b.buf, 1, [], 0],
    "task",
    "addr",
    "count",
    "pages_array",
    "flags",
  ],
  set_page_dirty_lock: [(b) => [page(b), b.current], "handle", "context"],
  memcpy_from_page: [(b) => [new Uint8Array(4), page(b), 0], "bytes", "handle", "count"],
  memcpy_to_page: [(b) => [page(b), 0, new Uint8Array(4)], "handle", "count", "bytes"],
  memcpy_from_bvec: [(b) => [new Uint8Array(4), bvec(b), 0], "bytes", "object", "count"],
  memcpy_to_bvec: [(b) => [bvec(b), new Uint8Array(4), 0], "object", "bytes", "count"],
  create_task: [(b) => [b.machine], "machine"],
  exit_task: [(b) => [api.create_task(b.machine)], "task"],
  madvise: [
    (b) => [b.current, b.buf, 4096, api.MADV_HUGEPAGE],
    "task",
    "fixed_addr",
    "count",
    "count",
  ],
  mmap: [(b) => [b.current, null, 4096, 3, F], "task", "any", "count", "count", "count"],
  mprotect: [(b) => [b.current, b.buf, 4096, 1], "task", "fixed_addr", "count", "count"],
  munmap: [(b) => [b.current, b.buf, 4096], "task", "fixed_addr", "count"],
  mmap_read_lock: [(b) => [b.current, b.current.mm], "context", "object"],
  mmap_read_unlock: [(b) => [lock(b)], "object"],
  assert_held: [(b) => [pin(b)], "handle"],
  folio_add_pin: [(b) => [api.page_folio(pin(b))], "handle"],
  folio_get: [(b) => [folio(b)], "handle"],
  folio_maybe_dma_pinned: [(b) => [folio(b)], "handle"],
  folio_order: [(b) => [folio(b)], "handle"],
  folio_page: [(b) => [folio(b), 0], "handle", "count"],
  folio_pincount: [(b) => [folio(b)], "handle"],
  folio_put: [(b) => [folio(b)], "handle"],
  folio_ref_count: [(b) => [folio(b)], "handle"],
  get_page: [(b) => [page(b)], "handle"],
  get_page_unless_zero: [(b) => [page(b)], "handle"],
  is_zero_page: [(b) => [page(b)], "handle"],
  page_folio: [(b) => [page(b)], "handle"],
  page_mapcount: [(b) => [page(b)], "handle"],
  page_ref_count: [(b) => [page(b)], "handle"],
  page_ref_freeze: [(b) => [page(b), 1], "handle", "count"],
  page_ref_unfreeze: [
    (b) => {
      const frozen = page(b);
      api.page_ref_freeze(frozen, 1);
      return [frozen, 1];
    },
    "handle",
    "count",
  ],
  page_to_pfn: [(b) => [page(b)], "handle"],
  page_to_user_page: [(b) => [page(b)], "handle"],
  pfn_to_page: [(b) => [b.machine, api.page_to_pfn(page(b))], "machine", "count"],
  put_page: [(b) => [page(b)], "handle"],
  try_get_folio: [(b) => [page(b)], "handle"],
  try_get_page: [(b) => [page(b)], "handle"],
  ZERO_PAGE: [(b) => [b.current], "context"],
  alloc_page: [(b) => [b.current], "context"],
  folio_alloc: [(b) => [b.current, 0], "context", "count"],
  fragment_memory: [(b) => [b.machine, () => false], "machine", "call"],
  get_user_page: [(b) => [b.current, b.buf, "dest"], "task", "addr", "dir"],
  pin_user_pages: locked_pin,
  pin_user_pages_remote: locked_pin,
  pin_user_pages_fast: pin_row,
  pin_user_pages_unlocked: pin_row,
  memfd_create: [(b) => [b.current, 4096, 0], "context", "count", "count"],
  copy_from_user: [(b) => [b.current, new Uint8Array(4), b.buf], "task", "bytes", "addr"],
  copy_to_user: [(b) => [b.current, b.buf, new Uint8Array(4)], "task", "addr", "bytes"],
  put_user_page: [(b) => [pin(b)], "handle"],
  unpin_user_page: [(b) => [pin(b)], "handle"],
  unpin_user_folio: [(b) => [api.page_folio(pin(b)), 1], "handle", "count"],
  put_user_pages: [(b) => [pins(b)], "array"],
  unpin_user_pages: [(b) => [pins(b)], "array"],
  put_user_pages_dirty_lock: [(b) => [pins(b), b.current], "array", "context"],
  unpin_user_pages_dirty_lock: [(b) => [pins(b), true, b.current], "array", "any", "context"],
  unpin_user_page_range_dirty_lock: [
    (b) => [pin(b), 1, true, b.current],
    "handle",
    "count",
    "any",
    "context",
  ],
  get_user_bvec: [(b) => [b.current, b.buf, 4096, "dest"], "task", "addr", "count", "dir"],
  get_user_bvec_remote: [
    (b) => [b.current, b.current.mm, b.buf, 4096, "dest"],
    "context",
    "object",
    "addr",
    "count",
    "dir",
  ],
  is_dest: [(b) => [list(b)], "object"],
  pop_user_bvec: [(b) => [list(b)], "object"],
  put_user_bvec: [(b) => [bvec(b)], "object"],
  put_user_bvec_dirty_lock: [(b) => [list(b), b.current], "object", "context"],
  split_user_bvec: [
    (b) => [must(api.get_user_bvec(b.current, b.buf, 100, "dest")), 1],
    "object",
    "any",
  ],
  zero_user_bvec: [(b) => [b.current, 1], "context", "count"],
  all_or_none: [(b) => [pins(b)], "object"],
  vaddr_pin_pages: [
    (b) => [b.current, b.buf, 1, "dest", new api.VaddrPin("x")],
    "task",
    "addr",
    "count",
    "dir",
    "object",
  ],
  vaddr_unpin_pages: [(b) => [[pin(b)], new api.VaddrPin("x")], "array", "object"],
  vaddr_unpin_pages_dirty_lock: [
    (b) => [[pin(b)], new api.VaddrPin("x"), true, b.current],
    "array",
    "object",
    "any",
    "context",
  ],
  brd_alloc: [(b) => [b.machine, 512], "machine", "count"],
  loop_configure: [
    (b) => [b.machine, THIS_FILE, api.LO_FLAGS_READ_ONLY],
    "machine",
    "any",
    "flags",
  ],
  direct_io: dio,
  direct_io_pages: dio,
};
/** Nothing to count and nothing to refuse: they make, ask or combine values. */
export const EXEMPT: readonly string[] = [
  "all_thrown",
  "ERR_PTR",
  "end_io_pair",
  "errno_code",
  "first_thrown",
  "flakey_seed",
  "format_injection",
  "format_leak",
  "format_leaks",
  "format_report",
  "group_leaks",
  "gup_flags",
  "gup_flags_from",
  "IS_ERR",
  "is_pinned",
  "IS_SHORT",
  "MisuseError",
  "pages_are_dest",
  "PTR_ERR",
  "u64_to_user_ptr",
  "user_ptr_add",
  "VaddrPin",
  "WouldSpin",
];
