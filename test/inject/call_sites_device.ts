/** Converted call sites in front of devices, and between address spaces. */
import * as api from "user-page";
import { inject_each, type DriverWorld } from "user-page";
import * as pvm from "../../call-sites/process_vm_rw/converted.js";
import * as umem from "../../call-sites/rdma_umem/converted.js";
import * as rds from "../../call-sites/rds_rdma/converted.js";
import * as skb from "../../call-sites/skb_zerocopy/converted.js";
import * as vfio from "../../call-sites/vfio_type1/converted.js";
import * as vhost from "../../call-sites/vhost_set_bit/converted.js";
import * as video from "../../call-sites/videobuf_frame_vector/converted.js";
import * as xdp from "../../call-sites/xdp_umem/converted.js";
import { dma_read, interrupt } from "../call-sites/device.js";
import { fill_pattern, map_anon } from "../fixtures.js";
import type { Subject } from "./all_fine.js";
import {
  FILE,
  FILLED,
  LEN,
  P,
  device,
  memory,
  read_arrived,
  same,
  source,
  subject,
} from "./call_sites_world.js";

export const DEVICES: readonly Subject[] = [
  {
    name: "process_vm_readv",
    run: (how) =>
      inject_each<DriverWorld & { child: api.Task; remote: api.UserAddr }>(
        (w) =>
          pvm.process_vm_rw(w.current, w.child.mm, false, w.buf, [
            { iov_base: w.remote, iov_len: LEN },
          ]),
        {
          ...how,
          world: { file: FILE },
          prepare: (w) => {
            const child = api.create_task(w.machine);
            const remote = map_anon(child, LEN);
            fill_pattern(child, remote, LEN, 5);
            return { ...w, child, remote };
          },
          verify: (w, n) => same(memory(w, 0, Number(n)), FILE.subarray(0, Number(n))),
        },
      ),
  },
  subject(
    "rdma: a region",
    (w) => {
      const region = umem.IbUmem.get(w.current, w.buf, LEN, true);
      if (api.IS_ERR(region)) return region;
      const right = device(w, region.sg);
      region.release(w.current);
      return right;
    },
    { verify: read_arrived },
  ),
  subject(
    "rds: map and tear down",
    (w) => {
      const cookie = map_anon(w.current, P);
      const mr = rds.rds_rdma_map(w.current, w.buf, LEN, cookie);
      if (api.IS_ERR(mr)) return mr;
      const right = device(w, rds.rds_sg(mr));
      rds.rds_ib_teardown_mr(mr, w.current);
      return right;
    },
    { verify: read_arrived },
  ),
  subject(
    "rds: an operation that ends in a softirq",
    (w) => {
      const op = rds.rds_rdma_op(w.current, w.buf, LEN);
      if (api.IS_ERR(op)) return op;
      interrupt(w.machine, (softirq) => {
        device(w, rds.rds_sg(op));
        rds.rds_message_put(op, softirq);
      });
      api.flush_work(w.machine);
      return true;
    },
    { verify: read_arrived },
  ),
  subject("skb: zero-copy send", (w) => {
    const packet = skb.alloc_skb(() => undefined);
    const from = source(w);
    const got = skb.zerocopy_fill_skb_from_iter(packet, from, from.count, w.current);
    const sent = dma_read(w.machine, skb.skb_dma(packet));
    skb.consume_skb(packet);
    if (api.IS_ERR(got)) return got;
    return same(sent.subarray(0, LEN / 2), FILLED.subarray(0, Math.min(got, LEN / 2)));
  }),
  subject(
    "vfio: map and unmap",
    (w) => {
      const iommu = new vfio.Vfio();
      const failed = iommu.map_dma(w.current, w.current.mm, 0x100000, w.buf, LEN, true);
      if (failed) return failed;
      const sg = Array.from({ length: LEN / P }, (_, i) => ({
        pfn: iommu.iommu_iova_to_phys(0x100000 + i * P)! / P,
        offset: 0,
        len: P,
      }));
      const right = device(w, sg);
      iommu.unmap_dma(w.current, 0x100000);
      return right;
    },
    { verify: read_arrived },
  ),
  subject("vhost: a dirty log", (w) => {
    const log = new vhost.VhostLog(api.user_ptr_add(w.buf, LEN / 2 - P));
    return log.log_write(w.current, 32762 * P + 17, 11 * P) ?? true;
  }),
  subject(
    "videobuf: a frame",
    (w) => {
      const frame = new video.FrameVector(true);
      const failed = frame.init_user(w.current, w.buf, LEN);
      const right = failed ?? device(w, frame.sg);
      frame.free(w.current);
      return right;
    },
    { verify: read_arrived },
  ),
  subject(
    "xdp: packet memory",
    (w) => {
      const area = xdp.XdpUmem.reg(w.current, w.buf, LEN);
      if (api.IS_ERR(area)) return area;
      const right = device(w, area.sg);
      interrupt(w.machine, (softirq) => {
        area.put(softirq);
      });
      api.flush_work(w.machine);
      return right;
    },
    { verify: read_arrived },
  ),
];
