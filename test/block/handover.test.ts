/** Who owns what when code calls back: completions, kworkers, scopes, lists that are taken apart while they are read. */
import * as api from "user-page";
import { PAGE_SIZE } from "user-page";
import { expect, test } from "vitest";
import { boot_for_test, debug_mode, forced, id_of, map_anon, must } from "../fixtures.js";

const MEM = { mem: 8 << 20 };
function bench(machine: api.Machine) {
  const current = api.create_task(machine);
  const disk = must(api.brd_alloc(machine, 1 << 20));
  return { current, disk, buf: map_anon(current, 16 * PAGE_SIZE) };
}
const no_loss = (machine: api.Machine): void => {
  expect(api.shutdown(machine)).toEqual({ leaks: [], lost_pages: 0 });
};

test("a submitted bio is its end_io's: the end of the submitter's block leaves it alone", () => {
  const machine = boot_for_test(MEM);
  const { current, disk, buf } = bench(machine);
  {
    using bvecs = must(api.get_user_bvec(current, buf, PAGE_SIZE, "dest"));
    using bio = api.bio_alloc_pinned(disk, 4, "REQ_OP_READ");
    api.bio_add_user_bvecs(bio, bvecs);
    api.bio_set_end_io(bio, (ended, softirq) => {
      api.schedule_work(softirq, (kworker) => {
        api.bio_release_pages(ended, true, kworker);
        api.bio_put(ended);
      });
    });
    api.submit_bio(bio);
    expect(api.run_softirqs(machine)).toBe(1);
  }
  expect(api.vmstat(machine).nr_foll_pin_released).toBe(0);
  api.flush_work(machine);
  expect(api.vmstat(machine).nr_foll_pin_released).toBe(1);
  no_loss(machine);
});
test("the pages of a plain bio may be put by its end_io", () => {
  const machine = boot_for_test(MEM);
  const { current, disk } = bench(machine);
  using own = must(api.__free(api.put_page, api.alloc_page(current)));
  const bio = api.bio_alloc(disk, 4, "REQ_OP_READ");
  api.bio_add_page(bio, api.get_page(own.page), PAGE_SIZE, 0);
  api.bio_set_end_io(bio, (ended) => {
    for (const segment of api.bio_for_each_segment_all(ended)) api.put_page(segment.page);
    api.bio_put(ended);
  });
  api.submit_bio(bio);
  api.run_softirqs(machine);
  expect(api.page_ref_count(own.page)).toBe(1);
  own[Symbol.dispose]();
  no_loss(machine);
});
test("a release of consecutive pages ends the pins of its own call", () => {
  const machine = boot_for_test({ mem: 16 << 20 });
  const current = api.create_task(machine);
  const buf = map_anon(current, 2 << 20);
  api.madvise(current, buf, 2 << 20, api.MADV_HUGEPAGE)._unsafeUnwrap();
  const pages = must(api.all_or_none(api.pin_user_pages_fast(current, buf, 512, "dest")));
  const at = api.user_ptr_add(buf, 2 * PAGE_SIZE);
  const other = must(api.get_user_page(current, at, "dest"));
  forced(api.unpin_user_page_range_dirty_lock)(pages[0], 512, true, current);
  api.put_user_page(other);
  pages.length = 0;
  no_loss(machine);
});
test("pins that folio_add_pin() took end before those that have a handle", () => {
  const machine = boot_for_test(MEM);
  const { current, buf } = bench(machine);
  const first = must(api.get_user_page(current, buf, "dest"));
  api.folio_add_pin(api.page_folio(first));
  const second = must(api.get_user_page(current, buf, "dest"));
  api.unpin_user_folio(api.page_folio(first), 1);
  api.put_user_page(first);
  api.put_user_page(second);
  no_loss(machine);
});
test("in softirq nothing sleeps, whatever it captured, and what is submitted ends afterwards", () => {
  const machine = boot_for_test(MEM);
  using foreign = boot_for_test(MEM);
  const { current, disk, buf } = bench(machine);
  const stranger = api.create_task(foreign);
  const lock = api.mmap_read_lock(current, current.mm);
  const seen: string[] = [];
  const bio = api.bio_alloc(disk, 1, "REQ_OP_READ");
  api.bio_set_end_io(bio, (ended) => {
    seen.push(id_of(() => api.pin_user_pages(lock, buf, 1, "dest")));
    seen.push(id_of(() => api.get_user_pages(lock, buf, 1, 0, null)));
    seen.push(id_of(() => api.flush_work(machine)));
    seen.push(id_of(() => api.shutdown(machine)));
    api.bio_put(ended);
    const next = api.bio_alloc(disk, 1, "REQ_OP_READ");
    api.bio_set_end_io(next, (again) => {
      seen.push("next");
      api.bio_put(again);
    });
    api.submit_bio(next);
    seen.push(`nested ${api.run_softirqs(machine)}`);
  });
  api.submit_bio(bio);
  expect(api.run_softirqs(machine)).toBe(2);
  const atomic = "sleep-in-atomic";
  expect(seen).toEqual([atomic, atomic, atomic, atomic, "nested 0", "next"]);
  api.mmap_read_unlock(lock);
  const pages = must(api.all_or_none(api.pin_user_pages_fast(current, buf, 2, "dest")));
  expect(id_of(() => forced(api.put_user_pages_dirty_lock)(pages, stranger))).toBe("not-a-handle");
  api.put_user_pages_dirty_lock(pages, current);
  no_loss(machine);
});
test("what a handler throws reaches the caller after the others ran, and direct I/O keeps nothing", () => {
  const machine = boot_for_test(MEM);
  const { current, disk, buf } = bench(machine);
  const bio = api.bio_alloc(disk, 1, "REQ_OP_READ");
  api.bio_set_end_io(bio, () => {
    throw new Error("from end_io");
  });
  api.submit_bio(bio);
  expect(() => api.direct_io(current, disk, "REQ_OP_WRITE", buf, PAGE_SIZE, 0)).toThrow("end_io");
  no_loss(machine);
});
test("a lent extent ends when it is moved out of its list", () => {
  const machine = boot_for_test(MEM);
  const { current, buf } = bench(machine);
  using fragments = api.fragment_memory(machine, (index) => index % 2 === 1);
  using bvecs = must(api.get_user_bvec(current, buf, 8 * PAGE_SIZE, "source"));
  const [front] = bvecs;
  const to = new Uint8Array(16);
  api.memcpy_from_bvec(to, front!)._unsafeUnwrap();
  api.put_user_bvec(must(api.pop_user_bvec(bvecs))!);
  expect(id_of(() => api.memcpy_from_bvec(to, front!))).toBe("use-after-release");
  let visited = 0;
  for (const bvec of bvecs) {
    api.memcpy_from_bvec(to, bvec)._unsafeUnwrap();
    visited++;
    for (let i = 0; i < 3; i++) {
      const popped = api.pop_user_bvec(bvecs);
      if (popped) api.put_user_bvec(popped);
    }
  }
  expect([visited, bvecs.nr_segs]).toEqual([3, 0]);
  bvecs[Symbol.dispose]();
  fragments[Symbol.dispose]();
  no_loss(machine);
});
test.runIf(debug_mode)("a page with an owner's token does not go into a bio", () => {
  const machine = boot_for_test(MEM);
  const { current, disk, buf } = bench(machine);
  const owner = new api.VaddrPin("region");
  const pages = must(api.all_or_none(api.vaddr_pin_pages(current, buf, 1, "dest", owner)));
  using bio = api.bio_alloc_pinned(disk, 1, "REQ_OP_READ");
  const move = (): unknown => forced(api.bio_add_user_page)(bio, pages[0], PAGE_SIZE, 0);
  expect(id_of(move)).toBe("wrong-owner");
  api.vaddr_unpin_pages(pages, owner);
  expect(owner.outstanding).toBe(0);
  bio[Symbol.dispose]();
  no_loss(machine);
});
