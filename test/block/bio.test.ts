/** A bio: what it takes, what it refuses, and who releases what it carried. */
import * as api from "user-page";
import { PAGE_SIZE } from "user-page";
import { expect, test } from "vitest";
import { boot_for_test, errno_of, forced, map_anon, must } from "../fixtures.js";

const MEM = { mem: 16 << 20 };
function bench(machine: api.Machine) {
  const current = api.create_task(machine);
  const disk = must(api.brd_alloc(machine, 1 << 20));
  const buf = map_anon(current, 16 * PAGE_SIZE);
  return { current, disk, buf };
}
const live = (machine: api.Machine): number => {
  const s = api.vmstat(machine);
  return s.nr_foll_pin_acquired - s.nr_foll_pin_released;
};

test("a full bio takes no more: what did not fit is still the caller's, for the next one", () => {
  using machine = boot_for_test(MEM);
  const { current, disk, buf } = bench(machine);
  using list = must(api.get_user_bvec(current, buf, 5 * PAGE_SIZE, "source"));
  let bios = 0;
  while (list.count > 0) {
    using bio = api.bio_alloc_pinned(disk, 2, "REQ_OP_WRITE", (bios * 2 * PAGE_SIZE) / 512);
    expect(api.bio_add_user_bvecs(bio, list)).toBe(Math.min(2, 5 - 2 * bios) * PAGE_SIZE);
    expect(api.submit_bio_wait(bio, current)).toBe(null);
    bios++;
  }
  expect([bios, live(machine)]).toEqual([3, 0]);
  using one = api.bio_alloc_pinned(disk, 1, "REQ_OP_READ");
  const first = must(api.get_user_page(current, buf, "dest"));
  const second = must(api.get_user_page(current, buf, "dest"));
  expect(api.bio_add_user_page(one, first, 512, 0)).toBe(true);
  expect(api.bio_add_user_page(one, second, 512, 0)).toBe(false);
  forced(api.put_user_page)(second);
  expect(live(machine)).toBe(1);
  using plain = api.bio_alloc(disk, 1, "REQ_OP_READ");
  using page = must(api.__free(api.put_page, api.alloc_page(current)));
  expect([
    api.bio_add_page(plain, page.page, 512, 0),
    api.bio_add_page(plain, page.page, 512, 1024), // a gap: no part of the first segment
  ]).toEqual([512, 0]);
});
test("kinds do not mix, and a READ takes no pin for reading", () => {
  using machine = boot_for_test(MEM);
  const { current, disk, buf } = bench(machine);
  using plain = api.bio_alloc(disk, 4, "REQ_OP_READ");
  using pinned = api.bio_alloc_pinned(disk, 4, "REQ_OP_READ");
  using page = must(api.__free(api.put_page, api.alloc_page(current)));
  using pin = must(api.__free(api.put_user_page, api.get_user_page(current, buf, "dest")));
  using list = must(api.get_user_bvec(current, buf, 4096, "source"));
  expect(() => forced(api.bio_add_page)(pinned, page.page, 8, 0)).toThrow(/mixed-bio/);
  expect(() => forced(api.bio_add_user_page)(plain, pin.page, 8, 0)).toThrow(/mixed-bio/);
  expect(() => forced(api.bio_add_user_bvecs)(plain, list)).toThrow(/mixed-bio/);
  expect(() => forced(api.bio_add_user_bvecs)(pinned, list)).toThrow(/wrong-direction/);
  expect([list.count, live(machine)]).toEqual([4096, 2]);
});
test("a bio that was handed over, emptied or put is refused", () => {
  using machine = boot_for_test(MEM);
  const { current, disk, buf } = bench(machine);
  const fill = () => {
    const bio = api.bio_alloc_pinned(disk, 4, "REQ_OP_READ");
    using list = must(api.get_user_bvec(current, buf, 8192, "dest"));
    api.bio_add_user_bvecs(bio, list);
    return bio;
  };
  const sent = fill();
  expect(() => forced(api.bio_put)(sent)).toThrow(/bio-put-with-pins/);
  api.bio_set_end_io(sent, () => undefined); // released below
  api.submit_bio(sent);
  expect(() => forced(api.submit_bio)(sent)).toThrow(/bio-reused/);
  expect(() => forced(api.bio_release_pages)(sent, false)).toThrow(/bio-reused/);
  forced<void>(() => sent[Symbol.dispose]())(); // the device has it: nothing happens
  expect(live(machine)).toBe(2);
  api.run_softirqs(machine);
  forced(api.bio_release_pages)(sent, false);
  forced(api.bio_put)(sent);
  const emptied = fill();
  api.bio_release_pages(emptied, false);
  expect(() => forced(api.bio_release_pages)(emptied, false)).toThrow(/double-release/);
  // It has no pages to transfer into any more, and would not release new ones.
  expect(() => forced(api.submit_bio)(emptied)).toThrow(/bio-reused/);
  using list = must(api.get_user_bvec(current, buf, 4096, "dest"));
  expect(() => forced(api.bio_add_user_bvecs)(emptied, list)).toThrow(/bio-reused/);
  api.bio_put(emptied);
  expect(() => forced(api.bio_put)(emptied)).toThrow(/bio-reused/);
  list[Symbol.dispose]();
  expect(live(machine)).toBe(0);
});
test("a disk that closed before the transfer, or ended: EIO, and the pages are released", () => {
  using machine = boot_for_test(MEM);
  const { current, disk, buf } = bench(machine);
  const errors: unknown[] = [];
  for (const sector of [0, 2047]) {
    const bio = api.bio_alloc_pinned(disk, 4, "REQ_OP_WRITE", sector);
    using list = must(api.get_user_bvec(current, buf, 8192, "source"));
    api.bio_add_user_bvecs(bio, list);
    api.bio_set_end_io(bio, (ended) => {
      errors.push(errno_of(api.bio_error(ended)));
      api.bio_release_pages(ended, false);
      api.bio_put(ended);
    });
    api.submit_bio(bio);
    if (sector === 0) disk[Symbol.dispose]();
    if (sector === 0) break;
  }
  expect(api.run_softirqs(machine)).toBe(1);
  expect(() => api.bio_alloc(disk, 1, "REQ_OP_READ")).toThrow(/not-a-handle/);
  using small = must(api.brd_alloc(machine, 4096));
  using beyond = api.bio_alloc_pinned(small, 4, "REQ_OP_WRITE", 1);
  using list = must(api.get_user_bvec(current, buf, 4096, "source"));
  api.bio_add_user_bvecs(beyond, list);
  errors.push(errno_of(api.submit_bio_wait(beyond, current)));
  expect(errors).toEqual(["EIO", "EIO"]);
});
test("nothing that sleeps runs in end_io, whatever context it captured", () => {
  using machine = boot_for_test(MEM);
  const { current, disk, buf } = bench(machine);
  const page = must(api.get_user_page(current, buf, "dest"));
  const bio = api.bio_alloc(disk, 1, "REQ_OP_READ");
  const refused: string[] = [];
  const sleepers: Array<() => unknown> = [
    () => api.alloc_page(current),
    () => api.get_user_page(current, buf, "dest"),
    () => api.mmap_read_lock(current, current.mm),
    () => api.copy_to_user(current, buf, new Uint8Array(1)),
    () => api.set_page_dirty_lock(page, current),
    () => api.direct_io(current, disk, "REQ_OP_READ", buf, 512, 0),
  ];
  api.bio_set_end_io(bio, (ended, softirq) => {
    for (const call of sleepers) {
      try {
        call();
      } catch (error) {
        refused.push((error as api.MisuseError).id);
      }
    }
    api.schedule_work(softirq, (kworker) => api.set_page_dirty_lock(page, kworker));
    api.bio_put(ended);
  });
  api.submit_bio(bio);
  expect([api.run_softirqs(machine), api.flush_work(machine)]).toEqual([1, 1]);
  expect(refused).toEqual(sleepers.map(() => "sleep-in-atomic"));
  api.put_user_page(page);
});
