/** What the converted call sites run in, and the devices that they serve. */
import * as api from "user-page";
import { inject_each, type Driver, type DriverWorld } from "user-page";
import type * as cifs from "../../call-sites/cifs_netfs/converted.js";
import type * as old_dio from "../../call-sites/direct_io/converted.js";
import type * as iomap from "../../call-sites/iomap_dio/converted.js";
import { dma_read, dma_write, interrupt, type DmaSegment } from "../call-sites/device.js";
import { read_disk } from "../call-sites/disk.js";
import { fill_pattern, pattern_of } from "../fixtures.js";
import type { Subject } from "./all_fine.js";

export const P: number = api.PAGE_SIZE;
export const LEN: number = 16 * P;
/** What the buffer holds before. */
export const FILLED: Uint8Array = pattern_of(LEN, 3);
/** What the file of a world holds. */
export const FILE: Uint8Array = pattern_of(LEN, 5);

export const memory = ({ current, buf }: DriverWorld, at = 0, len = LEN): Uint8Array => {
  const bytes = new Uint8Array(len);
  api.copy_from_user(current, bytes, api.user_ptr_add(buf, at))._unsafeUnwrap();
  return bytes;
};
export const same = (a: Uint8Array, b: Uint8Array): boolean => Buffer.compare(a, b) === 0;
/** Half of the buffer is there, the other half faults. */
export const half_filled = (world: DriverWorld): DriverWorld => {
  fill_pattern(world.current, world.buf, LEN / 2, 3);
  return world;
};
export const filled = (world: DriverWorld): DriverWorld => {
  fill_pattern(world.current, world.buf, LEN, 3);
  return world;
};
export const subject = (
  name: string,
  driver: Driver,
  options: api.InjectionOptions = {},
): Subject => ({
  name,
  run: (how) =>
    inject_each(driver, { prepare: half_filled, world: { file: FILE }, ...options, ...how }),
});
export const read_arrived = (world: DriverWorld): boolean => same(memory(world), FILE);
export const written = ({ disk }: DriverWorld): boolean => same(read_disk(disk, 0, LEN), FILLED);
/** What a call with a completion was told, when it was. */
export function told(
  world: DriverWorld,
  start: (done: (result: unknown) => void) => unknown,
): unknown {
  const results: unknown[] = [];
  const now = start((result) => results.push(result));
  if (now !== null && now !== "EIOCBQUEUED") return now;
  api.flush_work(world.machine);
  if (results.length !== 1) throw new Error(`told ${results.length} times`);
  return results[0];
}
export const dest = ({ buf }: DriverWorld) => api.iov_iter_ubuf(api.ITER_DEST, buf, LEN);
export const source = ({ buf }: DriverWorld) => api.iov_iter_ubuf(api.ITER_SOURCE, buf, LEN);
export const device = (world: DriverWorld, sg: readonly DmaSegment[]): boolean => {
  dma_write(world.machine, sg, FILE);
  return same(dma_read(world.machine, sg), FILE);
};
/** A server that answers each request in a softirq, last first. */
export function server(world: DriverWorld) {
  const cifsd = api.create_task(world.machine);
  const asked: Array<() => void> = [];
  const submit = ({ offset, iter, done }: Parameters<cifs.Server["submit"]>[0]): void => {
    const bytes = FILE.slice(offset, offset + iter.count);
    asked.push(() => {
      let moved: unknown = bytes.length;
      const failed = api.iov_iter_is_dest(iter)
        ? api.copy_to_iter(bytes, iter, cifsd)
        : api.iov_iter_is_source(iter)
          ? api.copy_from_iter(bytes, iter, cifsd)
          : null;
      if (failed?.isErr()) moved = api.ERR_PTR("EIO", failed.error.message);
      interrupt(world.machine, (softirq) => {
        done(moved as never, softirq);
      });
    });
  };
  return {
    rsize: 3 * P,
    submit,
    serve: () => {
      for (const answer of asked.splice(0).reverse()) answer();
      api.flush_work(world.machine);
    },
  };
}
export const blocks = (world: DriverWorld): old_dio.Inode => ({
  machine: world.machine,
  bdev: world.disk,
  i_blksectors: 8,
  get_block: (block: number) => ({ sector: block * 8, nr: 8, is_new: false }),
});
export const in_one_piece = (world: DriverWorld): iomap.IomapFile => ({
  bdev: world.disk,
  addr: 0,
  i_blocksize: 4096,
  is_new: false,
});
export const layout = ({ disk }: DriverWorld) => [{ bdev: disk, offset: 0, length: LEN, addr: 0 }];
export const first: { readonly order: "release first" } = { order: "release first" };
