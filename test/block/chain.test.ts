/** Bios that end with others: what may be chained, and what becomes of a bio that was chained and not submitted. */
import * as api from "user-page";
import { PAGE_SIZE } from "user-page";
import { expect, test } from "vitest";
import { forced, id_of, must, pattern_of } from "../fixtures.js";
import { BioWorld, filled, same } from "./bio_world.js";

/** A plain bio of one page. */
function plain(world: BioWorld, page: api.Page, at: number): api.OwnedPlainBio {
  const bio = api.bio_alloc(world.disk, 1, "REQ_OP_WRITE", at / 512);
  api.bio_add_page(bio, page, PAGE_SIZE, 0);
  return bio;
}
test("a plain bio is chained: the last of a row ends when all are through", () => {
  using world = new BioWorld();
  const page = must(api.alloc_page(world.current));
  const bytes = pattern_of(PAGE_SIZE, 5);
  api.memcpy_to_page(page, 0, bytes);
  let last = plain(world, page, 0);
  for (let at = PAGE_SIZE; at < 4 * PAGE_SIZE; at += PAGE_SIZE) {
    const next = plain(world, page, at);
    api.bio_chain(last, next);
    api.submit_bio(last);
    last = next;
  }
  expect(api.submit_bio_wait(last, world.current)).toBe(null);
  api.bio_put(last);
  const on_disk = world.read_disk();
  for (let i = 0; i < 4; i++) {
    expect(same(on_disk.subarray(i * PAGE_SIZE, (i + 1) * PAGE_SIZE), bytes)).toBe(true);
  }
  api.put_page(page);
  world.end();
});
test("the error of a chained plain bio is its parent's, and a divided one ends whole", () => {
  using world = new BioWorld();
  const page = must(api.alloc_page(world.current));
  const flakey = api.dm_flakey(world.disk, ({ nr }) => (nr === 1 ? { error: "EIO" } : null));
  expect(api.queue_limits_set(flakey, { max_sectors: 2 })).toBe(null);
  const child = api.bio_alloc(flakey, 1, "REQ_OP_WRITE");
  api.bio_add_page(child, page, PAGE_SIZE, 0);
  const parent = plain(world, page, 8192);
  api.bio_chain(child, parent);
  api.submit_bio(child);
  expect(api.submit_bio_wait(parent, world.current)?.errno).toBe("EIO");
  expect(id_of(() => forced(api.bio_put)(child))).toBe("bio-reused"); // it was put when it ended
  api.bio_put(parent);
  api.put_page(page);
});
test("a bio with pins is not chained, nor one that may get some: nobody would release them", () => {
  using world = new BioWorld();
  using parent = filled(world, world.disk, "REQ_OP_READ", 1, 0);
  using pinned = filled(world, world.disk, "REQ_OP_READ", 1, 8, 1);
  expect(id_of(() => forced(api.bio_chain)(pinned, parent))).toBe("bio-put-with-pins");
  using any = api.bio_alloc_any(world.disk, 1, "REQ_OP_READ");
  expect(id_of(() => forced(api.bio_chain)(any, parent))).toBe("bio-put-with-pins");
  expect(api.submit_bio_wait(parent, world.current)).toBe(null); // nothing was chained to it
});
test("a chained bio that is put or falls out of its block before it was submitted is reported", () => {
  using world = new BioWorld();
  const bio = filled(world, world.disk, "REQ_OP_READ", 2, 0);
  const front = must(api.bio_split(bio, 1));
  api.bio_chain(front, bio);
  expect(id_of(() => forced(api.bio_put)(front))).toBe("bio-reused");
  expect(id_of(() => front[Symbol.dispose]())).toBe("bio-reused");
  // Nothing changed: it can be submitted still, and the bio ends.
  api.submit_bio(front);
  front[Symbol.dispose]();
  expect(api.submit_bio_wait(bio, world.current)).toBe(null);
  api.bio_release_pages(bio, false);
  api.bio_put(bio);
  world.end();
});
test("a chained bio gets no pair of completions, nor does one of borrowed pages", () => {
  using world = new BioWorld();
  const pair = api.end_io_pair(() => undefined);
  const page = must(api.alloc_page(world.current));
  const parent = plain(world, page, 0);
  const child = plain(world, page, PAGE_SIZE);
  api.bio_chain(child, parent);
  expect(id_of(() => api.bio_set_end_io_pair(child, pair))).toBe("bio-reused");
  using borrowing = api.bio_alloc_borrowing(world.disk, 1, "REQ_OP_WRITE");
  expect(id_of(() => forced(api.bio_set_end_io_pair)(borrowing, pair))).toBe("mixed-bio");
  api.submit_bio(child);
  expect(api.submit_bio_wait(parent, world.current)).toBe(null);
  api.bio_put(parent);
  api.put_page(page);
});
test("a chained plain bio that ends before a clone of it is reported, and its parent ends all the same", () => {
  using world = new BioWorld();
  const held = api.dm_flakey(world.disk, () => ({ hold: true }));
  const page = must(api.alloc_page(world.current));
  const parent = plain(world, page, 0);
  const child = plain(world, page, PAGE_SIZE);
  const clone = api.bio_alloc_clone(held, child);
  api.bio_set_end_io(clone, (ended) => api.bio_put(ended));
  api.bio_chain(child, parent);
  let ended = 0;
  api.bio_set_end_io(parent, (bio) => {
    ended++;
    api.bio_put(bio);
  });
  api.submit_bio(clone);
  api.submit_bio(child);
  api.submit_bio(parent);
  expect(id_of(() => api.run_softirqs(world.machine))).toBe("clone-in-flight");
  expect(ended).toBe(1);
  held.complete(0);
  expect(api.run_softirqs(world.machine)).toBe(1);
  api.put_page(page);
});
