/** Converted call sites in front of disks and servers. */
import * as api from "user-page";
import * as cifs from "../../call-sites/cifs_netfs/converted.js";
import * as old_dio from "../../call-sites/direct_io/converted.js";
import * as gfs2 from "../../call-sites/gfs2_log/converted.js";
import * as rsrc from "../../call-sites/io_uring_rsrc/converted.js";
import * as iomap from "../../call-sites/iomap_dio/converted.js";
import * as nfs from "../../call-sites/nfs_blocklayout/converted.js";
import * as nilfs from "../../call-sites/nilfs_segment/converted.js";
import { read_disk } from "../call-sites/disk.js";
import type { Subject } from "./all_fine.js";
import {
  FILLED,
  LEN,
  P,
  blocks,
  dest,
  filled,
  first,
  in_one_piece,
  layout,
  read_arrived,
  same,
  server,
  source,
  subject,
  told,
  written,
} from "./call_sites_world.js";

export const DISKS: readonly Subject[] = [
  subject(
    "cifs: read",
    (w) => {
      const remote = server(w);
      return told(w, (done) => {
        const now = cifs.cifs_uncached_rw(w.current, remote, dest(w), 0, done);
        remote.serve();
        return now;
      });
    },
    { verify: read_arrived },
  ),
  subject("cifs: write", (w) => {
    const remote = server(w);
    return told(w, (done) => {
      const now = cifs.cifs_uncached_rw(w.current, remote, source(w), 0, done);
      remote.serve();
      return now;
    });
  }),
  subject(
    "direct-io.c: read",
    (w) => told(w, (done) => old_dio.blockdev_direct_IO(w.current, blocks(w), dest(w), 0, done)),
    { verify: read_arrived },
  ),
  subject(
    "direct-io.c: write",
    (w) => told(w, (done) => old_dio.blockdev_direct_IO(w.current, blocks(w), source(w), 0, done)),
    { prepare: filled, verify: written },
  ),
  subject(
    "gfs2: a log of pages and blocks",
    (w) => {
      const pool: gfs2.Mempool = new gfs2.Mempool();
      const sdp = new gfs2.Journal(w.disk, pool, 3);
      const pages: api.Page[] = [];
      let failed: api.Errno | null = null;
      for (let i = 0; i < 4 && !failed; i++) {
        const page = api.alloc_page(w.current);
        if (api.IS_ERR(page)) failed = page;
        else pool.mempool_free(page);
      }
      for (let i = 0; i < 3 && !failed; i++) {
        const page = api.alloc_page(w.current);
        if (api.IS_ERR(page)) failed = page;
        else {
          api.memcpy_to_page(page, 0, FILLED.subarray(2 * i * P, (2 * i + 1) * P))._unsafeUnwrap();
          gfs2.gfs2_log_write_bh(sdp, { b_page: page, locked: false });
          pages.push(page);
          failed = gfs2.gfs2_log_write_page(sdp, FILLED.subarray((2 * i + 1) * P, (2 * i + 2) * P));
        }
      }
      gfs2.gfs2_log_submit_bio(sdp);
      api.run_softirqs(w.machine);
      for (const page of pages) api.put_page(page);
      pool.mempool_destroy();
      return failed ?? sdp.sd_log_error ?? sdp.sd_log_in_flight;
    },
    {
      verify: ({ disk }, in_flight) =>
        in_flight === 0 && same(read_disk(disk, 0, 6 * P), FILLED.subarray(0, 6 * P)),
    },
  ),
  subject(
    "io_uring: register, read, unregister",
    (w) => {
      const buffers = new rsrc.FixedBuffers(w.disk);
      const iovs = [{ iov_base: w.buf, iov_len: LEN }];
      const failed = buffers.register(w.current, iovs);
      if (failed) return failed;
      const read = buffers.rw_fixed(w.current, "REQ_OP_READ", 0, w.buf, LEN);
      buffers.unregister();
      return read;
    },
    { verify: read_arrived },
  ),
  subject(
    "iomap: read",
    (w) =>
      told(w, (ki_complete) =>
        iomap.iomap_dio_rw(w.current, { ki_pos: 0, ki_complete }, dest(w), in_one_piece(w), first),
      ),
    { verify: read_arrived },
  ),
  subject(
    "iomap: write",
    (w) =>
      told(w, (ki_complete) =>
        iomap.iomap_dio_rw(
          w.current,
          { ki_pos: 0, ki_complete },
          source(w),
          in_one_piece(w),
          first,
        ),
      ),
    { prepare: filled, verify: written },
  ),
  subject(
    "nfs: read",
    (w) => told(w, (done) => nfs.nfs_file_direct(w.current, layout(w), dest(w), 0, done)),
    { verify: read_arrived },
  ),
  subject(
    "nfs: write",
    (w) => told(w, (done) => nfs.nfs_file_direct(w.current, layout(w), source(w), 0, done)),
    { prepare: filled, verify: written },
  ),
  subject(
    "nilfs: a segment",
    (w) => {
      const segbuf = new nilfs.SegBuf(w.machine, w.disk, 0, 3);
      let failed: api.Errno | null = null;
      for (let i = 0; i < 8 && !failed; i++) {
        const page = api.alloc_page(w.current);
        if (api.IS_ERR(page)) failed = page;
        else {
          api.memcpy_to_page(page, 0, FILLED.subarray(i * P, (i + 1) * P))._unsafeUnwrap();
          nilfs.nilfs_segbuf_add_page(page, segbuf, 0, P);
        }
      }
      if (!failed) {
        nilfs.nilfs_segbuf_write(segbuf);
        failed = nilfs.nilfs_segbuf_wait(segbuf);
      }
      nilfs.nilfs_segbuf_clear(segbuf);
      return failed ?? true;
    },
    { verify: ({ disk }) => same(read_disk(disk, 0, 8 * P), FILLED.subarray(0, 8 * P)) },
  ),
];
