/** Direct I/O, bios and iterators. */
import * as api from "user-page";
import type { DriverWorld } from "user-page";
import { read_disk } from "../call-sites/disk.js";
import type { Subject } from "./all_fine.js";
import { memory, same } from "./call_sites_world.js";
import { FILE, FILLED, LEN, P, io, iovs, read_arrived, subject } from "./library_world.js";

/** A file whose first half is a hole and whose second half lies on the disk, new or not. */
const file_on = ({ disk }: DriverWorld, is_new: boolean): api.IomapFile => ({
  bdev: disk,
  i_size: LEN,
  i_blocksize: P,
  iomap_begin: (pos, _len, op) => {
    if (op === "REQ_OP_READ" && pos < LEN / 2) {
      return { type: "IOMAP_HOLE", offset: 0, length: LEN / 2, addr: 0 };
    }
    const offset = pos < LEN / 2 ? 0 : LEN / 2;
    return { type: "IOMAP_MAPPED", offset, length: LEN / 2, addr: offset, is_new };
  },
});
const references = ["per page", "per extent"] as const;

export const DIRECT: readonly Subject[] = references.flatMap((how) => [
  ...(["REQ_OP_READ", "REQ_OP_WRITE"] as const).flatMap((op) => [
    io(`a disk, ${op}, ${how}`, op, ({ current, disk, buf, len }) =>
      (how === "per page" ? api.direct_io_pages : api.direct_io)(current, disk, op, buf, len, 0),
    ),
    io(`a disk that is told later, ${op}, ${how}`, op, ({ current, disk, buf }, ki_complete) => {
      const dir = op === "REQ_OP_READ" ? api.ITER_DEST : api.ITER_SOURCE;
      const iter = api.iov_iter_init(dir, iovs(buf));
      const iocb = { ki_pos: 0, ki_complete };
      return api.blkdev_direct_IO(current, iocb, iter, disk, { references: how });
    }),
  ]),
  subject(
    `a file with a hole, read ${how}`,
    (w) => {
      const iter = api.iov_iter_ubuf(api.ITER_DEST, w.buf, LEN);
      return api.iomap_dio_rw(w.current, { ki_pos: 0 }, iter, file_on(w, false), {
        references: how,
      });
    },
    { verify: (w) => same(memory(w, LEN / 2, LEN / 2), FILE.subarray(LEN / 2)) },
  ),
  subject(
    `new blocks, written ${how}`,
    (w) => {
      const iter = api.iov_iter_ubuf(api.ITER_SOURCE, w.buf, 3 * 512);
      return api.iomap_dio_rw(w.current, { ki_pos: 512 }, iter, file_on(w, true), {
        references: how,
      });
    },
    {
      verify: ({ disk }) => {
        const block = new Uint8Array(P);
        block.set(FILLED.subarray(0, 3 * 512), 512);
        return same(read_disk(disk, 0, P), block);
      },
    },
  ),
]);
export const BLOCK: readonly Subject[] = [
  io("small requests, merged and split", "REQ_OP_READ", ({ current, disk, buf }) => {
    api.queue_limits_set(disk, { max_segments: 2, max_sectors: 16 });
    using plug = api.blk_start_plug(current);
    void plug;
    return api.direct_io_pages(current, disk, "REQ_OP_READ", buf, LEN, 0);
  }),
  subject(
    "a bio cut in two, chained",
    ({ current, disk, buf }) => {
      using bvecs = api.get_user_bvec(current, buf, LEN, api.ITER_DEST);
      if (api.IS_ERR(bvecs)) return bvecs;
      const bio = api.bio_alloc_pinned(disk, 16, "REQ_OP_READ");
      api.bio_add_user_bvecs(bio, bvecs);
      const front = api.bio_split(bio, 8);
      if (api.IS_ERR(front)) {
        api.bio_release_pages(bio, false);
        api.bio_put(bio);
        return front;
      }
      api.bio_chain(front, bio);
      api.submit_bio(front);
      const error = api.submit_bio_wait(bio, current);
      api.bio_release_pages(bio, !error, current);
      api.bio_put(bio);
      return error ?? true;
    },
    { verify: read_arrived },
  ),
  io("a disk that reorders", "REQ_OP_READ", ({ current, disk, buf }) => {
    using flakey = api.dm_flakey(disk, ({ nr }) => ({ delay: (nr * 3) % 4, bytes: 512 }));
    api.queue_limits_set(flakey, { max_segments: 1, max_sectors: 8 });
    return api.direct_io_pages(current, flakey, "REQ_OP_READ", buf, LEN, 0);
  }),
];
export const ITERATORS: readonly Subject[] = [
  subject("iov_iter_get_pages2", ({ current, buf }) => {
    const iter = api.iov_iter_init(api.ITER_DEST, iovs(buf));
    while (iter.count > 0) {
      using pages = api.iov_iter_get_pages2(iter, LEN, 16, current);
      if (api.IS_ERR(pages)) return pages;
      if (pages.bytes === 0) return false;
    }
    return true;
  }),
  subject("iov_iter_extract_pages", ({ current, buf }) => {
    const iter = api.iov_iter_init(api.ITER_DEST, iovs(buf));
    while (iter.count > 0) {
      using pages = api.iov_iter_extract_pages(iter, LEN, 16, current);
      if (api.IS_ERR(pages)) return pages;
    }
    return true;
  }),
  subject("iov_iter_extract_bvecs", ({ current, buf }) => {
    const iter = api.iov_iter_init(api.ITER_SOURCE, iovs(buf));
    using bvecs = api.iov_iter_extract_bvecs(iter, LEN, current);
    if (!api.IS_ERR(bvecs)) return bvecs.count === LEN && iter.count === 0;
    if (iter.count !== LEN) throw new Error("the iterator moved");
    return bvecs;
  }),
  subject(
    "copies by iterator",
    ({ current, buf }) => {
      const iter = api.iov_iter_init(api.ITER_DEST, iovs(buf));
      const copied = api.copy_to_iter(FILE, iter, current);
      return copied.isErr() ? copied : copied.value === LEN;
    },
    { verify: read_arrived },
  ),
  subject("a pipe, and a tee of it", ({ current }) => {
    using pipe = api.alloc_pipe_info(current);
    using other = api.alloc_pipe_info(current);
    if (api.IS_ERR(pipe) || api.IS_ERR(other)) return false;
    const iter = api.iov_iter_pipe(api.ITER_DEST, pipe, LEN);
    const copied = api.copy_to_iter(FILE, iter, current);
    if (copied.isErr()) return copied;
    const teed = api.tee(pipe, other, copied.value);
    if (teed.isErr()) return teed;
    const bytes = new Uint8Array(LEN);
    const read = api.pipe_read(other, bytes);
    if (!same(bytes.subarray(0, read), FILE.subarray(0, read))) throw new Error("other bytes");
    return copied.value === LEN && read === LEN;
  }),
];
