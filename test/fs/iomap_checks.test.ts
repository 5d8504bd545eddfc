/** Direct I/O with a file system that throws or gives impossible runs, with wrong arguments, and who is told in which context. */
import * as api from "user-page";
import { PAGE_SIZE, type Iomap, type IomapFile, type Kiocb } from "user-page";
import { describe, expect, test } from "vitest";
import { boot_for_test, fill_pattern, forced, map_anon, must } from "../fixtures.js";
import { CONVENTIONS, disk_bytes, fill_disk, left, outcome, read_mem } from "./dio_world.js";

const DISK = 1 << 19;
function world(machine: api.Machine) {
  const current = api.create_task(machine);
  const disk = must(api.brd_alloc(machine, DISK));
  const old = fill_disk(disk);
  const buf = map_anon(current, 1 << 17);
  const bytes = fill_pattern(current, buf, 1 << 17, 9);
  return { current, disk, old, buf, bytes };
}
const MEM = { mem: 8 << 20 };
const file_on = (bdev: api.BlockDevice, iomap_begin: IomapFile["iomap_begin"]): IomapFile => ({
  bdev,
  i_size: 65536,
  i_blocksize: 4096,
  iomap_begin,
});
const whole: Iomap = { type: "IOMAP_MAPPED", offset: 0, length: 65536, addr: 0 };
const thrown = (): never => {
  throw new Error("thrown");
};
const same = (a: Uint8Array, b: Uint8Array): boolean => Buffer.compare(a, b) === 0;

describe.each(CONVENTIONS)("%s", (references) => {
  const options = { references };
  test.each([true, false])("end_io() throws, and waiting is %s: who asked is told", (wait) => {
    using machine = boot_for_test(MEM);
    const { current, disk, buf } = world(machine);
    const told: Array<number | string> = [];
    const ki_complete: Kiocb["ki_complete"] = (result) => void told.push(outcome(result));
    const file = { ...file_on(disk, () => whole), end_io: thrown };
    const iter = api.iov_iter_ubuf("source", buf, 8192);
    const iocb = wait ? { ki_pos: 0 } : { ki_pos: 0, ki_complete };
    const write = () => api.iomap_dio_rw(current, iocb, iter, file, options);
    if (wait) expect(write).toThrow("thrown");
    else {
      expect(outcome(write())).toBe("EIOCBQUEUED");
      expect(() => api.run_softirqs(machine)).toThrow("thrown");
    }
    expect([told, left(machine)]).toEqual([wait ? [] : [8192], 0]);
  });
  test.each([true, false])(
    "iomap_begin() throws at its second run, and waiting is %s: what is under way ends first",
    (wait) => {
      using machine = boot_for_test(MEM);
      const { current, disk, old, buf, bytes } = world(machine);
      const flakey = api.dm_flakey(disk, () => ({ hold: true }));
      const file = file_on(flakey, (pos) => (pos === 0 ? { ...whole, length: 4096 } : thrown()));
      const iter = api.iov_iter_ubuf("source", buf, 8192);
      const iocb = wait ? { ki_pos: 0 } : { ki_pos: 0, ki_complete: () => expect.fail("told") };
      expect(() => api.iomap_dio_rw(current, iocb, iter, file, options)).toThrow("thrown");
      expect([left(machine), iter.count, flakey.in_flight]).toEqual([0, 4096, []]);
      const want = old.slice();
      want.set(bytes.subarray(0, 4096));
      expect(same(disk_bytes(disk), want)).toBe(true);
      expect(api.run_softirqs(machine)).toBe(0);
    },
  );
  test("runs that cannot be are EIO, and nothing is transferred", () => {
    using machine = boot_for_test(MEM);
    const { current, disk, old, buf, bytes } = world(machine);
    const io = (dir: "dest" | "source", map: object): number | string => {
      const file = forced<IomapFile>(file_on)(disk, () => map);
      const iter = api.iov_iter_ubuf(dir, buf, 8192);
      return outcome(api.iomap_dio_rw(current, { ki_pos: 0 }, iter, file, options));
    };
    const wrong = [
      { type: "FOO" },
      { type: null },
      { addr: 0n },
      { addr: "0" },
      { addr: -4096 },
      { addr: NaN },
      { addr: 2 ** 53 },
      { length: 100.5 },
      { length: "8192" },
      { length: 8192n },
      { offset: 0n },
      { offset: -0.5 },
    ];
    for (const dir of ["dest", "source"] as const) {
      for (const change of wrong) expect(io(dir, { ...whole, ...change })).toBe("EIO");
    }
    expect(io("dest", { ...whole, type: "IOMAP_HOLE", length: 100.5 })).toBe("EIO");
    expect(same(disk_bytes(disk), old)).toBe(true);
    expect(same(read_mem(current, buf, 1 << 17), bytes)).toBe(true);
    // A hole has no place, and any number says so.
    expect(io("dest", { ...whole, type: "IOMAP_HOLE", addr: -1 })).toBe(8192);
    expect(left(machine)).toBe(0);
  });
  test("new blocks that end inside a block of the file, and not with the write, are refused: data would be zeroed", () => {
    using machine = boot_for_test(MEM);
    const { current, disk, old, buf, bytes } = world(machine);
    const write = (len: number, runs: readonly Iomap[]): number | string => {
      fill_disk(disk);
      const file = file_on(
        disk,
        (pos) =>
          runs.find(({ offset, length }) => pos >= offset && pos < offset + length) ??
          api.ERR_PTR("ENOSPC", "no run"),
      );
      const iter = api.iov_iter_ubuf("source", buf, len);
      return outcome(api.iomap_dio_rw(current, { ki_pos: 0 }, iter, file, options));
    };
    const fresh = { type: "IOMAP_UNWRITTEN", offset: 0, length: 512, addr: 0 } as const;
    const mapped = { type: "IOMAP_MAPPED", offset: 512, length: 3584, addr: 512 } as const;
    expect(write(4096, [fresh, mapped])).toBe("EIO");
    expect(same(disk_bytes(disk), old)).toBe(true);
    // The other way round the zeroes in front of the new run would be the data before it.
    const first = { ...whole, length: 512 };
    for (const then of [
      { ...fresh, offset: 512, length: 3584, addr: 512 },
      { type: "IOMAP_MAPPED", offset: 512, length: 3584, addr: 512, is_new: true } as const,
    ]) {
      expect(write(4096, [first, then])).toBe("EIO");
      const want = old.slice();
      want.set(bytes.subarray(0, 512));
      expect(same(disk_bytes(disk), want)).toBe(true);
    }
    // Where the write ends, the rest of the block is its own to zero.
    expect(write(512, [fresh])).toBe(512);
    const want = old.slice();
    want.fill(0, 0, 4096).set(bytes.subarray(0, 512));
    expect(same(disk_bytes(disk), want)).toBe(true);
  });
  test("who is told is told in softirq context; of a write without bios end_io() runs where its caller does", () => {
    using machine = boot_for_test(MEM);
    const { current, disk, buf } = world(machine);
    const contexts: api.AnyContext[] = [];
    const file: IomapFile = {
      ...file_on(disk, () => whole),
      end_io: (_pos, _bytes, context) => {
        contexts.push(context);
        api.schedule_work(context, () => undefined);
      },
    };
    const ki_complete: Kiocb["ki_complete"] = (_result, softirq) => {
      contexts.push(softirq);
      expect(() => forced(api.alloc_page)(softirq)).toThrow(/sleep-in-atomic/);
    };
    const write = (iocb: Kiocb, len: number): number | string => {
      const iter = api.iov_iter_ubuf("source", buf, len);
      return outcome(api.iomap_dio_rw(current, iocb, iter, file, options));
    };
    expect(write({ ki_pos: 0, ki_complete }, 4096)).toBe("EIOCBQUEUED");
    expect(api.run_softirqs(machine)).toBeGreaterThan(0);
    const [from_end_io, from_complete] = contexts.splice(0);
    expect(from_end_io).toBe(from_complete);
    expect(from_end_io).not.toBe(current);
    expect(write({ ki_pos: 0, ki_complete }, 0)).toBe(0);
    expect(contexts.splice(0)).toEqual([current]);
    expect(api.flush_work(machine)).toBe(2);
  });
  test("a disk that ends inside a block is transferred up to there", () => {
    using machine = boot_for_test(MEM);
    const { current, buf, bytes } = world(machine);
    const disk = must(api.brd_alloc(machine, 4 * PAGE_SIZE + 512));
    expect(api.queue_limits_set(disk, { logical_block_size: 4096 })).toBe(null);
    const io = (dir: "dest" | "source", ki_pos: number, len: number): number | string => {
      const iter = api.iov_iter_ubuf(dir, buf, len);
      const done = outcome(api.blkdev_direct_IO(current, { ki_pos }, iter, disk, options));
      if (typeof done === "number") expect(iter.count).toBe(len - done);
      return done;
    };
    expect(io("source", 3 * PAGE_SIZE, PAGE_SIZE)).toBe(PAGE_SIZE);
    expect(io("source", 0, 8 * PAGE_SIZE)).toBe(4 * PAGE_SIZE);
    expect(io("dest", 2 * PAGE_SIZE, 8 * PAGE_SIZE)).toBe(2 * PAGE_SIZE);
    expect(io("dest", 4 * PAGE_SIZE, PAGE_SIZE)).toBe(0);
    expect(io("source", 4 * PAGE_SIZE, PAGE_SIZE)).toBe("ENOSPC");
    const want = new Uint8Array(4 * PAGE_SIZE + 512);
    want.set(bytes.subarray(0, 4 * PAGE_SIZE));
    expect(same(disk_bytes(disk), want)).toBe(true);
  });
  test("a refused call leaves the iterator as it was", () => {
    using machine = boot_for_test(MEM);
    const { current, disk, buf } = world(machine);
    const iter = api.iov_iter_ubuf("dest", buf, 1 << 16);
    const iocb = { ki_pos: DISK - 4096 };
    const call = (task: unknown, how: unknown = options): unknown =>
      forced(api.blkdev_direct_IO)(task, iocb, iter, disk, how);
    expect(() => call(null)).toThrow(/not-a-handle/);
    const softirq_threw: unknown[] = [];
    const bio = api.bio_alloc(disk, 1, "REQ_OP_READ");
    api.bio_set_end_io(bio, (ended) => {
      try {
        call(current);
      } catch (error) {
        softirq_threw.push(error);
      }
      api.bio_put(ended);
    });
    api.submit_bio(bio);
    api.run_softirqs(machine);
    expect(softirq_threw).toMatchObject([{ id: "sleep-in-atomic" }]);
    expect(iter.count).toBe(1 << 16);
    // Inside the call too: a kworker has no memory of its own.
    api.schedule_work(current, (kworker) => call(kworker));
    expect(() => api.flush_work(machine)).toThrow(api.MisuseError);
    expect([iter.count, left(machine)]).toEqual([1 << 16, 0]);
    const file = file_on(disk, () => whole);
    for (const how of [
      null,
      5,
      { references: "per pgae" },
      { order: "release last" },
      { partial: 1 },
    ]) {
      expect(() => call(current, how)).toThrow(RangeError);
      const rw = forced(api.iomap_dio_rw);
      expect(() => rw(current, { ki_pos: 0 }, iter, file, how)).toThrow(RangeError);
    }
    expect(iter.count).toBe(1 << 16);
    expect(outcome(api.blkdev_direct_IO(current, iocb, iter, disk, options))).toBe(4096);
  });
  test("a pipe that is asked for more than its ring has: EFAULT, and the count is what it was", () => {
    using machine = boot_for_test(MEM);
    const { current, disk } = world(machine);
    using pipe = must(api.alloc_pipe_info(current, 2));
    const iter = api.iov_iter_pipe("dest", pipe, 16 * PAGE_SIZE);
    expect(outcome(api.blkdev_direct_IO(current, { ki_pos: 0 }, iter, disk, options))).toBe(
      "EFAULT",
    );
    expect([iter.count, pipe.bytes]).toEqual([16 * PAGE_SIZE, 0]);
    const file = file_on(disk, () => ({ ...whole, length: PAGE_SIZE }));
    expect(outcome(api.iomap_dio_rw(current, { ki_pos: 0 }, iter, file, options))).toBe("EFAULT");
    expect([iter.count, pipe.bytes]).toEqual([16 * PAGE_SIZE, 0]);
  });
});
