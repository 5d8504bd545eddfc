/** What the library's own paths run in, and how a subject is made. */
import * as api from "user-page";
import { inject_each, type DriverWorld } from "user-page";
import { read_disk } from "../call-sites/disk.js";
import { fill_pattern, pattern_of } from "../fixtures.js";
import type { Subject } from "./all_fine.js";
import { memory, same } from "./call_sites_world.js";

export const P: number = api.PAGE_SIZE;
export const LEN: number = 8 * P;
export const FILE: Uint8Array = pattern_of(LEN, 5);
export const FILLED: Uint8Array = pattern_of(LEN, 3);
export const RW: number = api.PROT_READ | api.PROT_WRITE;

export const half = (world: DriverWorld): DriverWorld => {
  fill_pattern(world.current, world.buf, LEN / 2, 3);
  return world;
};
export const filled = (world: DriverWorld): DriverWorld => {
  fill_pattern(world.current, world.buf, LEN, 3);
  return world;
};
export const subject = (
  name: string,
  driver: api.Driver,
  options: api.InjectionOptions = {},
): Subject => ({
  name,
  run: (how) =>
    inject_each(driver, {
      prepare: half,
      ...options,
      ...how,
      world: { file: FILE, ...options.world },
    }),
});
/** The bytes that a result speaks of: a transfer may end short, and says so. */
export function bytes_of(result: unknown): number {
  const value = (result as { value?: unknown } | null)?.value;
  return typeof value === "number" ? value : LEN;
}
export const read_arrived = (world: DriverWorld, result: unknown): boolean => {
  const bytes = bytes_of(result);
  return same(memory(world, 0, bytes), FILE.subarray(0, bytes));
};
export const written = ({ disk }: DriverWorld, result: unknown): boolean => {
  const bytes = bytes_of(result);
  return same(read_disk(disk, 0, bytes), FILLED.subarray(0, bytes));
};
export const iovs = (buf: api.UserAddr) => [
  { iov_base: buf, iov_len: 3 * P },
  { iov_base: api.user_ptr_add(buf, 3 * P), iov_len: 5 * P },
];
export const io = (
  name: string,
  op: api.Op,
  transfer: (world: DriverWorld, done: (result: unknown) => void) => unknown,
): Subject =>
  subject(
    name,
    (w) => {
      const told: unknown[] = [];
      const now = transfer(w, (result) => told.push(result));
      api.flush_work(w.machine);
      return told[0] ?? now;
    },
    op === "REQ_OP_READ" ? { verify: read_arrived } : { prepare: filled, verify: written },
  );
