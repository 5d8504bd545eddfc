/** What Linux was seen to count: pins acquired, dropped at once since their page was held already, and dropped at the end. */
import * as api from "user-page";
import { PAGE_SIZE } from "user-page";
import { expect, test } from "vitest";
import { BioWorld, HUGE_PAGES } from "./bio_world.js";

const packed = (parts: number, len: number): Array<[at: number, len: number]> =>
  Array.from({ length: parts }, (_, i) => [i * len, len]);
/** The pieces of iovecs that lie one behind the other, cut at pages, as extraction pins them. */
function cut(iovecs: ReadonlyArray<[at: number, len: number]>): Array<[at: number, len: number]> {
  return iovecs.flatMap(([from, len]) => {
    const pieces: Array<[at: number, len: number]> = [];
    for (let at = from; at < from + len;) {
      const here = Math.min(from + len - at, PAGE_SIZE - (at % PAGE_SIZE));
      pieces.push([at, here]);
      at += here;
    }
    return pieces;
  });
}
test.each([
  ["two of 512 bytes in one page", packed(2, 512), 2, 1, 1, 1],
  ["8 of 512 packed in a page", packed(8, 512), 8, 7, 1, 1],
  ["16 of 512 over two pages", packed(16, 512), 16, 14, 2, 1],
  ["4 of 1536 packed", packed(4, 1536), 5, 3, 2, 1],
  [
    "8 times the same bytes of a page",
    packed(8, 0).map(() => [0, 512] as [number, number]),
    8,
    0,
    8,
    8,
  ],
])(
  "%s: pins acquired, dropped at once, dropped at the end; segments",
  (_, iovecs, got, at_once, end, segments) => {
    for (const first of [0, HUGE_PAGES]) {
      using world = new BioWorld();
      const { machine, disk } = world;
      const start = api.vmstat(machine);
      const so_far = (): number[] => {
        const now = api.vmstat(machine);
        return [
          now.nr_foll_pin_acquired - start.nr_foll_pin_acquired,
          now.nr_foll_pin_released - start.nr_foll_pin_released,
        ];
      };
      const bio = api.bio_alloc_pinned(disk, 16, "REQ_OP_READ");
      for (const [at, len] of cut(iovecs)) {
        const pin = world.pin(first + Math.floor(at / PAGE_SIZE));
        expect(api.bio_add_user_page(bio, pin, len, at % PAGE_SIZE)).toBe(true);
      }
      expect(so_far()).toEqual([got, at_once]);
      expect(api.bio_for_each_bvec_all(bio)).toHaveLength(segments);
      api.bio_set_end_io(bio, (ended) => {
        api.bio_release_pages(ended, false);
        api.bio_put(ended);
      });
      api.submit_bio(bio);
      expect(so_far()).toEqual([got, at_once]);
      api.run_softirqs(machine);
      expect(so_far()).toEqual([got, at_once + end]);
      world.end();
    }
  },
);
