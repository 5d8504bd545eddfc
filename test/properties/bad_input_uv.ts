/** Rows of secure pages, and the values that their arguments must not have. */
import * as api from "user-page";
import { must } from "../fixtures.js";
import { locks, type Bench } from "./bad_input.js";

const page = (b: Bench): api.Page => must(api.alloc_page(b.current));
const pipe = (b: Bench): api.OwnedPipe => must(api.alloc_pipe_info(b.current));
const set_up = new WeakSet<object>();
function lock_with_uv(b: Bench): api.MmapLock {
  if (!set_up.has(b.machine)) api.setup_uv(b.machine);
  set_up.add(b.machine);
  const held = api.mmap_read_lock(b.current, b.current.mm);
  locks.push(held);
  return held;
}
const accessible = (b: Bench): api.Page => {
  const held = page(b);
  api.make_accessible(held, b.current);
  return held;
};

export const BAD_UV: Readonly<Record<string, (b: Bench) => unknown[]>> = {
  plan: () => [null, "text", {}, 5],
  sector: () => [NaN, -1, 1.5, Infinity, 2 ** 60, "8", {}, null],
};
export const UV_ROWS: Readonly<
  Record<string, readonly [args: (b: Bench) => unknown[], ...kinds: string[]]>
> = {
  setup_uv: [(b) => [b.machine, () => null], "machine", "plan"],
  uv_stat: [(b) => [b.machine], "machine"],
  make_folio_secure: [(b) => [lock_with_uv(b), b.buf], "object", "fixed_addr"],
  gmap_convert_to_secure: [(b) => [lock_with_uv(b), b.buf], "object", "fixed_addr"],
  uv_set_shared: [
    (b) => {
      const lock = lock_with_uv(b);
      api.gmap_convert_to_secure(lock, b.buf)._unsafeUnwrap();
      return [lock, b.buf];
    },
    "object",
    "fixed_addr",
  ],
  make_accessible: [(b) => [page(b), b.current], "handle", "context"],
  secure_rw_page: [
    (b) => [b.disk, "REQ_OP_WRITE", 0, accessible(b), b.current],
    "object",
    "op",
    "sector",
    "handle",
    "context",
  ],
  secure_bio_add_page: [
    (b) => [api.bio_alloc(b.disk, 1, "REQ_OP_WRITE"), accessible(b), 512, 0],
    "object",
    "handle",
    "count",
    "count",
  ],
  splice_folio_into_pipe: [(b) => [pipe(b), page(b), 512, 0], "object", "handle", "count", "count"],
  tee: [
    (b) => {
      const from = pipe(b);
      api.splice_folio_into_pipe(from, page(b), 512, 0);
      return [from, pipe(b), 512];
    },
    "object",
    "object",
    "count",
  ],
};
