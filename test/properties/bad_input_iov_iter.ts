/** The rows of bad_input.ts for iterators and the memory they go over. */
import * as api from "user-page";
import { must } from "../fixtures.js";
import type { Bench } from "./bad_input.js";

type Row = readonly [args: (b: Bench) => unknown[], ...kinds: string[]];
const iter = (b: Bench): api.IovIter<"dest"> => api.iov_iter_ubuf("dest", b.buf, 8192);
const source = (b: Bench): api.IovIter => api.iov_iter_ubuf("source", b.buf, 8192);
const page = (b: Bench): api.Page => must(api.alloc_page(b.current));
const folio = (b: Bench): api.Folio => must(api.folio_alloc(b.current, 0));
const area = (b: Bench): api.VmArea => must(api.vmalloc(b.current, 8192));
const pipe = (b: Bench): api.PipeInodeInfo => must(api.alloc_pipe_info(b.current));
const pages = (b: Bench): api.IterPages =>
  must(api.iov_iter_get_pages2(iter(b), 8192, 2, b.current));
const ask: Row = [(b) => [iter(b)], "object"];
const move: Row = [(b) => [iter(b), 1], "object", "count"];
const copy: Row = [(b) => [new Uint8Array(8), iter(b), b.current], "bytes", "object", "task"];
const take: Row = [(b) => [iter(b), 4096, 1, b.current], "object", "count", "count", "task"];
const bvec = (b: Bench) => [{ page: page(b), offset: 0, len: 4 }];
const kvec = (b: Bench) => [{ iov_base: area(b), iov_offset: 0, iov_len: 4 }];

export const IOV_ITER_ROWS: Readonly<Record<string, Row>> = {
  alloc_pipe_info: [(b) => [b.current, 4], "context", "length"],
  free_pipe_info: [(b) => [pipe(b)], "object"],
  pipe_read: [(b) => [pipe(b), new Uint8Array(4)], "object", "bytes"],
  vmalloc: [(b) => [b.current, 4096], "context", "count"],
  vfree: [(b) => [area(b)], "object"],
  vmalloc_to_page: [(b) => [area(b), 0], "object", "count"],
  copy_to_iter: copy,
  copy_from_iter: [(b) => [new Uint8Array(8), source(b), b.current], "bytes", "object", "task"],
  iov_iter_zero: [(b) => [8, iter(b), b.current], "count", "object", "task"],
  dup_iter: ask,
  iov_iter_advance: move,
  iov_iter_alignment: ask,
  iov_iter_count: ask,
  iov_iter_extract_will_pin: ask,
  iov_iter_is_bvec: ask,
  iov_iter_is_kvec: ask,
  iov_iter_is_dest: ask,
  iov_iter_is_kernel: ask,
  iov_iter_is_source: ask,
  iov_iter_npages: move,
  iov_iter_reexpand: move,
  iov_iter_revert: move,
  iov_iter_rw: ask,
  iov_iter_single_seg_count: ask,
  iov_iter_truncate: move,
  iter_is_iovec: ask,
  iter_is_ubuf: ask,
  user_backed_iter: ask,
  iov_iter_ubuf: [(b) => ["dest", b.buf, 8], "dir", "user_ptr", "count"],
  iov_iter_init: [
    (b) => ["dest", [{ iov_base: b.buf, iov_len: 8 }], 8],
    "dir",
    "segments",
    "length",
  ],
  iov_iter_bvec: [(b) => ["dest", bvec(b), 4], "dir", "segments", "length"],
  iov_iter_kvec: [(b) => ["dest", kvec(b), 4], "dir", "segments", "length"],
  iov_iter_xarray: [
    (b) => ["dest", new Map([[0, folio(b)]]), 0, 8],
    "dir",
    "folio_map",
    "count",
    "count",
  ],
  iov_iter_folio_queue: [
    (b) => ["dest", [folio(b)], 0, 0, 8],
    "dir",
    "segments",
    "count",
    "count",
    "count",
  ],
  iov_iter_discard: [() => ["dest", 8], "dir", "count"],
  iov_iter_pipe: [(b) => ["dest", pipe(b), 8], "dir", "object", "count"],
  iov_iter_extract_bvecs: [(b) => [iter(b), 8, b.current], "object", "count", "task"],
  iov_iter_extract_pages: take,
  iov_iter_get_pages2: take,
  iov_iter_put_pages: [(b) => [pages(b)], "object"],
  pop_iter_page: [(b) => [pages(b)], "object"],
};
/** Values that must be refused, for the kinds of argument that only these have. */
export const BAD_IOV_ITER: Readonly<Record<string, (b: Bench) => unknown[]>> = {
  /** whether it is mapped is found out later */
  user_ptr: () => [null, undefined, "text", {}, NaN, -4096, 1.5, Infinity, 2 ** 60],
  /** a count that may be left out */
  length: () => [NaN, -1, 1.5, Infinity, 2 ** 60, "8", {}, null],
  segments: (b) => [
    null,
    undefined,
    "text",
    {},
    5,
    [null],
    [undefined],
    [5],
    [{}],
    [{ iov_base: -1, iov_len: 8 }],
    [{ iov_base: b.buf, iov_len: -1 }],
    [{ iov_base: b.buf, iov_len: NaN }],
    [{ iov_base: b.dead.page, iov_offset: 0, iov_len: "4" }],
    [{ page: b.dead.page, offset: 0, len: 4 }],
    [{ page: page(b), offset: -1, len: 4 }],
    [{ page: page(b), offset: 0, len: 2 ** 40 }],
    [{ iov_base: area(b), iov_offset: 8190, iov_len: 4 }],
    [{ iov_base: area(b), iov_offset: -1, iov_len: 4 }],
    [b.dead.page],
  ],
  folio_map: (b) => [
    null,
    undefined,
    "text",
    {},
    5,
    [],
    new Map([[0, null]]),
    new Map([[0, b.dead.page]]),
    new Map([[0, NaN]]),
  ],
};
