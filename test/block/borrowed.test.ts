/** Bios of borrowed pages: a registered buffer, kernel memory.  They transfer and release nothing. */
import * as api from "user-page";
import { PAGE_SIZE } from "user-page";
import { expect, test } from "vitest";
import { boot_for_test, fill_pattern, forced, id_of, map_anon, must } from "../fixtures.js";

const LEN = 8 * PAGE_SIZE;
function bench(machine: api.Machine) {
  const current = api.create_task(machine);
  const disk = must(api.brd_alloc(machine, 1 << 20));
  return { current, disk, buf: map_anon(current, LEN) };
}
const read = (current: api.Task, buf: api.UserAddr): Uint8Array => {
  const bytes = new Uint8Array(LEN);
  api.copy_from_user(current, bytes, buf)._unsafeUnwrap();
  return bytes;
};

test("a registered buffer is written and read back without a reference", () => {
  const machine = boot_for_test({ mem: 8 << 20 });
  const { current, disk, buf } = bench(machine);
  const pattern = fill_pattern(current, buf, LEN);
  const bvecs = must(api.get_user_bvec(current, buf, LEN, "dest", api.FOLL_LONGTERM));
  const before = api.vmstat(machine);
  const write = api.iov_iter_bvec("source", [...bvecs]);
  const done = api.blkdev_direct_IO(current, { ki_pos: 0 }, write, disk);
  expect(done._unsafeUnwrap()).toBe(LEN);
  api.copy_to_user(current, buf, new Uint8Array(LEN))._unsafeUnwrap();
  const bio = api.bio_alloc_borrowing(disk, 8, "REQ_OP_READ");
  const iter = api.iov_iter_bvec("dest", [...bvecs]);
  expect(api.bio_iov_bvec_set(bio, iter, current)._unsafeUnwrap()).toBe(LEN);
  expect(api.submit_bio_wait(bio, current)).toBe(null);
  expect(id_of(() => forced(api.bio_for_each_segment_all)(bio))).toBe("release-lent");
  api.bio_put(bio);
  expect(Buffer.compare(read(current, buf), pattern)).toBe(0);
  const after = api.vmstat(machine);
  expect(after.nr_foll_pin_acquired).toBe(before.nr_foll_pin_acquired);
  expect(after.nr_foll_pin_released).toBe(before.nr_foll_pin_released);
  api.put_user_bvec_dirty_lock(bvecs, current);
  expect(api.shutdown(machine)).toEqual({ leaks: [], lost_pages: 0 });
});
test("direction, and the life of what is borrowed", () => {
  const machine = boot_for_test({ mem: 8 << 20 });
  const { current, disk, buf } = bench(machine);
  const source = must(api.get_user_bvec(current, buf, LEN, "source"));
  const write = forced(api.iov_iter_bvec);
  expect(id_of(() => write("dest", [...source]))).toBe("wrong-direction");
  const iter = api.iov_iter_bvec("source", [...source]);
  using reading = api.bio_alloc_borrowing(disk, 8, "REQ_OP_READ");
  expect(id_of(() => forced(api.bio_iov_bvec_set)(reading, iter, current))).toBe("wrong-direction");
  using writing = api.bio_alloc_borrowing(disk, 8, "REQ_OP_WRITE");
  using plain = api.bio_alloc(disk, 8, "REQ_OP_WRITE");
  expect(id_of(() => forced(api.bio_iov_bvec_set)(plain, iter, current))).toBe("mixed-bio");
  const clone = api.bio_alloc_clone(disk, writing);
  expect(id_of(() => api.bio_iov_bvec_set(clone, iter, current))).toBe("bio-reused");
  api.bio_put(clone);
  api.put_user_bvec(source);
  expect(id_of(() => api.bio_iov_bvec_set(writing, iter, current))).toBe("use-after-release");
  expect(iter.count).toBe(LEN);
});
