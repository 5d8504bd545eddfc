/** Bios that are filled from an iterator: what was in them before, and iterators that do not belong there. */
import * as api from "user-page";
import { PAGE_SIZE } from "user-page";
import { expect, test } from "vitest";
import { forced, id_of, must } from "../fixtures.js";
import { BioWorld, HUGE_PAGES } from "./bio_world.js";

/** An address at which nothing is mapped. */
function nowhere(world: BioWorld): api.UserAddr {
  const page = world.addr(HUGE_PAGES + 8);
  api.munmap(world.current, page, PAGE_SIZE)._unsafeUnwrap();
  return page;
}
const source_list = (world: BioWorld, page: number, bytes: number): api.OwnedBvecList<"source"> =>
  must(api.get_user_bvec(world.current, world.addr(page), bytes, "source"));

test("what was added by hand stays when the iterator has nothing to give", () => {
  using world = new BioWorld();
  expect(api.queue_limits_set(world.disk, { dma_alignment: 4 })).toBe(null);
  using bio = api.bio_alloc_pinned(world.disk, 8, "REQ_OP_WRITE");
  using list = source_list(world, HUGE_PAGES, 300);
  expect(api.bio_add_user_bvecs(bio, list)).toBe(300);
  const iter = api.iov_iter_ubuf("source", nowhere(world), 512);
  const got = api.bio_iov_iter_get_pages(bio, iter, world.current);
  expect(got._unsafeUnwrapErr().errno).toBe("EFAULT");
  expect([iter.count, world.live]).toEqual([512, 1]);
  // 212 bytes more and it is a block.
  const rest = api.iov_iter_ubuf("source", world.addr(HUGE_PAGES + 1), 212);
  expect(api.bio_iov_iter_get_pages(bio, rest, world.current)._unsafeUnwrap()).toBe(212);
  expect(api.submit_bio_wait(bio, world.current)).toBe(null);
});
test("of what is no block only the iterator's bytes are given back", () => {
  using world = new BioWorld();
  using bio = api.bio_alloc_pinned(world.disk, 8, "REQ_OP_WRITE");
  using list = source_list(world, HUGE_PAGES, 300);
  api.bio_add_user_bvecs(bio, list);
  const iter = api.iov_iter_ubuf("source", world.addr(HUGE_PAGES + 1), 100);
  const got = api.bio_iov_iter_get_pages(bio, iter, world.current);
  expect(got._unsafeUnwrapErr().errno).toBe("EFAULT");
  expect([iter.count, world.live]).toEqual([100, 1]);
  const lens = [...api.bio_for_each_segment_all(bio)].map(({ len }) => len);
  expect(lens).toEqual([300]);
});
test("a bio for pins takes no kernel memory, and one that borrows pins nothing; the iterator stays where it is", () => {
  using world = new BioWorld();
  const { current, disk } = world;
  const user = api.iov_iter_ubuf("source", world.addr(0), 4096);
  using borrowing = api.bio_alloc_borrowing(disk, 4, "REQ_OP_WRITE");
  expect(id_of(() => forced(api.bio_iov_bvec_set)(borrowing, user, current))).toBe("mixed-bio");
  const page = must(api.alloc_page(current));
  const kernel = api.iov_iter_bvec("source", [{ page, offset: 0, len: 4096 }]);
  using pinned = api.bio_alloc_pinned(disk, 4, "REQ_OP_WRITE");
  expect(id_of(() => forced(api.bio_iov_iter_get_pages)(pinned, kernel, current))).toBe(
    "mixed-bio",
  );
  expect([user.count, kernel.count, world.live]).toEqual([4096, 4096, 0]);
  expect(api.bio_iov_bvec_set(borrowing, kernel, current)._unsafeUnwrap()).toBe(4096);
  expect(api.bio_iov_iter_get_pages(pinned, user, current)._unsafeUnwrap()).toBe(4096);
  api.put_page(page);
});
test("a READ takes no memory that is only read, in every mode, and the iterator stays where it is", () => {
  using world = new BioWorld();
  using bio = api.bio_alloc_pinned(world.disk, 4, "REQ_OP_READ");
  const iter = api.iov_iter_ubuf("source", world.addr(0), 4096);
  expect(id_of(() => forced(api.bio_iov_iter_get_pages)(bio, iter, world.current))).toBe(
    "wrong-direction",
  );
  expect([iter.count, world.live]).toEqual([4096, 0]);
});
test("a bio and a task of two machines: the iterator stays where it is", () => {
  using world = new BioWorld();
  using other = new BioWorld();
  using bio = api.bio_alloc_pinned(world.disk, 4, "REQ_OP_READ");
  const iter = api.iov_iter_ubuf("dest", other.addr(0), 4096);
  expect(id_of(() => api.bio_iov_iter_get_pages(bio, iter, other.current))).toBe("not-a-handle");
  using borrowing = api.bio_alloc_borrowing(world.disk, 4, "REQ_OP_WRITE");
  const page = must(api.alloc_page(other.current));
  const kernel = api.iov_iter_bvec("source", [{ page, offset: 0, len: 4096 }]);
  expect(id_of(() => api.bio_iov_bvec_set(borrowing, kernel, other.current))).toBe("not-a-handle");
  expect([iter.count, kernel.count, world.live, other.live]).toEqual([4096, 4096, 0, 0]);
  api.put_page(page);
});
test("a hole in the page cache is said to be one", () => {
  using world = new BioWorld();
  using bio = api.bio_alloc_borrowing(world.disk, 4, "REQ_OP_WRITE");
  const iter = api.iov_iter_xarray("source", new Map(), 0, 4096);
  const got = api.bio_iov_bvec_set(bio, iter, world.current)._unsafeUnwrapErr();
  expect([got.errno, got.message]).toEqual(["EFAULT", expect.stringMatching(/has no page there/)]);
});
