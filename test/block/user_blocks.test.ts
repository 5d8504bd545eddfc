/** Extents moved into bios that end with a block: what has room, where an extent is divided, and what stays in the list. */
import * as api from "user-page";
import { ITER_SOURCE, PAGE_SIZE } from "user-page";
import { expect, test } from "vitest";
import { bio_add_user_blocks } from "../../src/block/bio_iov_iter.js";
import { boot_for_test, map_anon, must } from "../fixtures.js";

/** Memory in which each page is an extent of its own. */
function bench() {
  const machine = boot_for_test({ mem: 4 << 20 });
  const current = api.create_task(machine);
  const fragments = api.fragment_memory(machine, (index) => index % 2 === 1);
  const buf = map_anon(current, 8 * PAGE_SIZE);
  const disk = must(api.brd_alloc(machine, 1 << 16));
  const list = (from: number, bytes: number) =>
    must(api.get_user_bvec(current, api.user_ptr_add(buf, from), bytes, ITER_SOURCE));
  return { machine, current, disk, list, fragments };
}
const shape = (list: api.PinnedBvecList): number[][] =>
  [...list].map(({ offset, len }) => [offset, len]);
const live = (machine: api.Machine): number => {
  const { nr_user_bvec_acquired, nr_user_bvec_released } = api.vmstat(machine);
  return nr_user_bvec_acquired - nr_user_bvec_released;
};

test("a bio that is full ends with a block: the extent there is divided, its rest is the first of the list", () => {
  const { machine, disk, list } = bench();
  const bvecs = list(256, 3 * PAGE_SIZE);
  const pfns = [...bvecs].map(({ page }) => api.page_to_pfn(page));
  expect(shape(bvecs)).toEqual([
    [256, 3840],
    [0, 4096],
    [0, 4096],
    [0, 256],
  ]);
  const bio = api.bio_alloc_pinned(disk, 2, "REQ_OP_WRITE");
  expect(bio_add_user_blocks(bio, bvecs)._unsafeUnwrap()).toBe(15 * 512);
  expect([bvecs.count, bvecs.nr_segs, live(machine)]).toEqual([3 * PAGE_SIZE - 15 * 512, 3, 5]);
  expect(shape(bvecs)).toEqual([
    [3840, 256],
    [0, 4096],
    [0, 256],
  ]);
  expect([...bvecs].map(({ page }) => api.page_to_pfn(page))).toEqual(pfns.slice(1));
  expect(bio_add_user_blocks(bio, bvecs)._unsafeUnwrap()).toBe(0); // it is full
  const next = api.bio_alloc_pinned(disk, 8, "REQ_OP_WRITE");
  expect(bio_add_user_blocks(next, bvecs)._unsafeUnwrap()).toBe(256 + 4096 + 256);
  expect([bvecs.count, bvecs.nr_segs, live(machine)]).toEqual([0, 0, 5]);
  for (const one of [bio, next]) {
    api.bio_release_pages(one, false);
    api.bio_put(one);
  }
  api.put_user_bvec(bvecs);
  expect(live(machine)).toBe(0);
});
test("an empty bio with no room for the pieces of a block gets none of them", () => {
  const { machine, disk, list } = bench();
  const bvecs = list(PAGE_SIZE - 100, 512);
  using bio = api.bio_alloc_pinned(disk, 1, "REQ_OP_WRITE");
  expect(bio_add_user_blocks(bio, bvecs)._unsafeUnwrapErr().errno).toBe("EFAULT");
  expect(shape(bvecs)).toEqual([
    [PAGE_SIZE - 100, 100],
    [0, 412],
  ]);
  api.put_user_bvec(bvecs);
  expect(live(machine)).toBe(0);
});
