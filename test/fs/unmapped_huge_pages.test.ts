/** The last reference of a huge page goes while its segment is walked: it is no folio any more afterwards. */
import * as api from "user-page";
import { expect, test } from "vitest";
import { boot_for_test, map_anon, must } from "../fixtures.js";

const LEN = 8 << 20;

test.each(["per page", "per extent"] as const)("unmapped in flight, %s", (references) => {
  const machine = boot_for_test({ mem: 64 << 20 });
  const current = api.create_task(machine);
  const buf = map_anon(current, LEN);
  api.madvise(current, buf, LEN, api.MADV_HUGEPAGE)._unsafeUnwrap();
  api.madvise(current, buf, LEN, api.MADV_POPULATE_WRITE)._unsafeUnwrap();
  const disk = must(api.brd_alloc(machine, LEN));
  const flakey = api.dm_flakey(disk, () => ({ hold: true }));
  const told: unknown[] = [];
  const iocb = { ki_pos: 0, ki_complete: (done: api.DioResult) => told.push(done.unwrapOr(-1)) };
  const iter = api.iov_iter_ubuf("source", buf, LEN);
  const queued = api.blkdev_direct_IO(current, iocb, iter, flakey, { references });
  expect(queued._unsafeUnwrap()).toBe("EIOCBQUEUED");
  api.run_softirqs(machine);
  api.munmap(current, buf, LEN)._unsafeUnwrap();
  for (const { nr } of flakey.in_flight) flakey.complete(nr);
  api.run_softirqs(machine);
  expect(told).toEqual([LEN]);
  const { nr_foll_pin_acquired, nr_foll_pin_released } = api.vmstat(machine);
  expect(nr_foll_pin_released).toBe(nr_foll_pin_acquired);
  expect(api.shutdown(machine)).toEqual({ leaks: [], lost_pages: 0 });
});
