/** The rows of bad_input.ts for disks and what is handed to them. */
import * as api from "user-page";
import { must } from "../fixtures.js";
import type { Bench } from "./bad_input.js";

type Row = readonly [args: (b: Bench) => unknown[], ...kinds: string[]];
const page = (b: Bench): api.Page => must(api.alloc_page(b.current));
const pin = (b: Bench): api.UserPage<"dest"> => must(api.get_user_page(b.current, b.buf, "dest"));
const list = (b: Bench) => must(api.get_user_bvec(b.current, b.buf, 8192, "dest"));
const bvec = (b: Bench) => api.pop_user_bvec(list(b))!;
const pinned_bio = (b: Bench) => api.bio_alloc_pinned(b.disk, 4, "REQ_OP_READ");
const borrowing_bio = (b: Bench) => api.bio_alloc_borrowing(b.disk, 4, "REQ_OP_READ");
const user_iter = (b: Bench) => api.iov_iter_ubuf(api.ITER_DEST, b.buf, 4096);
const kernel_iter = (b: Bench) =>
  api.iov_iter_bvec(api.ITER_DEST, [{ page: page(b), offset: 0, len: 4096 }]);
const plain_bio = (b: Bench) => api.bio_alloc(b.disk, 4, "REQ_OP_READ");
const full_bio = (b: Bench): unknown => {
  const bio = pinned_bio(b);
  api.bio_add_user_bvecs(bio, list(b));
  return bio;
};
const any_bio = (b: Bench) => api.bio_alloc_any(b.disk, 4, "REQ_OP_READ");
const two_sectors = (b: Bench) => {
  const bio = plain_bio(b);
  api.bio_add_page(bio, page(b), 1024, 0);
  return bio;
};
const pair = (): api.EndIoPair => api.end_io_pair(() => undefined);

export const BIO_ROWS: Readonly<Record<string, Row>> = {
  bio_add_page: [(b) => [plain_bio(b), page(b), 8, 0], "object", "handle", "count", "count"],
  bio_add_user_page: [(b) => [pinned_bio(b), pin(b), 8, 0], "object", "handle", "count", "count"],
  bio_add_user_bvec: [(b) => [pinned_bio(b), bvec(b)], "object", "object"],
  bio_add_user_bvecs: [(b) => [pinned_bio(b), list(b)], "object", "object"],
  bio_alloc: [(b) => [b.disk, 4, "REQ_OP_READ", 0], "object", "count", "op", "count"],
  bio_alloc_borrowing: [(b) => [b.disk, 4, "REQ_OP_READ", 0], "object", "count", "op", "count"],
  bio_iov_bvec_set: [
    (b) => [borrowing_bio(b), kernel_iter(b), b.current],
    "object",
    "object",
    "task",
  ],
  bio_iov_iter_get_pages: [
    (b) => [pinned_bio(b), user_iter(b), b.current],
    "object",
    "object",
    "task",
  ],
  bio_alloc_pinned: [(b) => [b.disk, 4, "REQ_OP_READ", 0], "object", "count", "op", "count"],
  bio_check_pages_dirty: [(b) => [full_bio(b)], "object"],
  bio_error: [(b) => [full_bio(b)], "object"],
  bio_for_each_segment_all: [(b) => [full_bio(b)], "object"],
  bio_is_pinned: [(b) => [full_bio(b)], "object"],
  bio_put: [(b) => [plain_bio(b)], "object"],
  bio_release_pages: [(b) => [full_bio(b), true, b.current], "object", "any", "context"],
  bio_set_end_io: [(b) => [full_bio(b), () => undefined], "object", "call"],
  bio_set_pages_dirty: [(b) => [full_bio(b), b.current], "object", "context"],
  submit_bio: [(b) => [plain_bio(b)], "object"],
  submit_bio_wait: [(b) => [plain_bio(b), b.current], "object", "context"],
  __bio_add_page: [(b) => [plain_bio(b), page(b), 8, 0], "object", "handle", "count", "count"],
  bio_alloc_any: [(b) => [b.disk, 4, "REQ_OP_READ", 0], "object", "count", "op", "count"],
  bio_alloc_clone: [(b) => [b.disk, plain_bio(b)], "object", "object"],
  bio_chain: [(b) => [api.bio_alloc_clone(b.disk, plain_bio(b)), plain_bio(b)], "object", "object"],
  bio_for_each_bvec_all: [(b) => [full_bio(b)], "object"],
  bio_set_end_io_pair: [(b) => [plain_bio(b), pair()], "object", "call"],
  bio_split: [(b) => [two_sectors(b), 1], "object", "count"],
  bio_try_add_page: [(b) => [any_bio(b), page(b), 8, 0], "object", "handle", "count", "count"],
  bio_try_add_user_bvec: [(b) => [any_bio(b), bvec(b)], "object", "object"],
  bio_try_add_user_page: [(b) => [any_bio(b), pin(b), 8, 0], "object", "handle", "count", "count"],
  blk_finish_plug: [(b) => [api.blk_start_plug(b.current)], "object"],
  blk_start_plug: [(b) => [b.current], "context"],
  disk_stats: [(b) => [b.disk], "object"],
  dm_flakey: [(b) => [b.disk, () => null], "object", "call"],
  queue_limits_set: [(b) => [b.disk, { max_sectors: 8 }], "object", "any"],
};
