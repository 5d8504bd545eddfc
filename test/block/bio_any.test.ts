/** Bios of either kind, the protocol for them, and the two completions that fit them. */
import fc from "fast-check";
import * as api from "user-page";
import { PAGE_SIZE } from "user-page";
import { expect, test } from "vitest";
import { page_flags, PG_dirty } from "../../src/machine/arena.js";
import { errno_of, forced, id_of, must } from "../fixtures.js";
import { BioWorld, head, same } from "./bio_world.js";

test('"0: submit it and start another": every page is written once and let go of as what it is', () => {
  const piece = fc.record({
    as: fc.constantFrom("page", "pin", "extent"),
    page: fc.integer({ min: 500, max: 530 }),
    offset: fc.integer({ min: 0, max: 7 }),
    sectors: fc.integer({ min: 1, max: 8 }),
  });
  fc.assert(
    fc.property(
      fc.array(piece, { maxLength: 24 }),
      fc.integer({ min: 1, max: 4 }),
      fc.boolean(),
      fc.boolean(),
      (pieces, nr_vecs, pair, plugged) => {
        using world = new BioWorld();
        const { machine, current, disk } = world;
        const memory = world.memory();
        const plain = Array.from({ length: 3 }, (_, n) => {
          const page = must(api.alloc_page(current));
          api.memcpy_to_page(page, 0, memory.subarray(n * PAGE_SIZE, (n + 1) * PAGE_SIZE));
          return page;
        });
        const expected = world.on_disk.slice();
        let [sector, ended, kinds] = [0, 0, 0];
        const put: number[] = [];
        const fresh = (): api.OwnedAnyBio<"source"> => {
          const bio = api.bio_alloc_any(disk, nr_vecs, "REQ_OP_WRITE", sector);
          kinds++;
          const common = (): void => void ended++;
          if (pair) {
            const put_plain = (page: api.Page): void => void put.push(api.page_to_pfn(page));
            api.bio_set_end_io_pair(bio, api.end_io_pair(common, put_plain));
          } else {
            api.bio_set_end_io(bio, (back) => {
              common();
              if (api.bio_is_pinned(back)) api.bio_release_pages(back, false);
              api.bio_put(back);
            });
          }
          return bio;
        };
        const plug = plugged ? api.blk_start_plug(current) : null;
        let bio = fresh();
        let holds = "";
        const model_put: number[] = [];
        for (const { as, page, offset, sectors } of pieces) {
          const len = Math.min(sectors * 512, PAGE_SIZE - offset * 512);
          const kind = as === "page" ? "plain" : "pinned";
          const source = as === "page" ? page % 3 : page;
          const pin = as === "pin" ? world.pin(page) : null;
          const extent = as === "extent" ? world.extent(page, offset * 512, len) : null;
          const add = (): boolean => {
            if (pin) return forced<boolean>(api.bio_try_add_user_page)(bio, pin, len, offset * 512);
            if (extent) return forced<boolean>(api.bio_try_add_user_bvec)(bio, extent);
            return api.bio_try_add_page(bio, plain[source]!, len, offset * 512) > 0;
          };
          if (!add()) {
            forced(api.submit_bio)(bio);
            bio = fresh();
            holds = "";
            expect(add()).toBe(true);
          } else expect(["", kind]).toContain(holds);
          holds = kind;
          expect(api.bio_is_pinned(bio)).toBe(kind === "pinned");
          if (kind === "plain") model_put.push(api.page_to_pfn(plain[source]!));
          const from = source * PAGE_SIZE + offset * 512;
          expected.set(memory.subarray(from, from + len), sector * 512);
          sector += len / 512;
        }
        api.submit_bio(bio);
        if (plug) api.blk_finish_plug(plug);
        api.run_softirqs(machine);
        expect([ended, world.live, api.vmstat(machine).nr_user_bvec_released]).toEqual([
          kinds,
          0,
          api.vmstat(machine).nr_user_bvec_acquired,
        ]);
        // Parts of one page that follow each other are one segment, and its page is put once.
        if (pair) expect(new Set(put)).toEqual(new Set(model_put));
        expect(same(world.read_disk(), expected)).toBe(true);
        plain.forEach((page) => forced(api.put_page)(page));
        world.end();
      },
    ),
    { numRuns: 80 },
  );
}, 60_000);
test("the first page decides, and only a page that was added", () => {
  using world = new BioWorld();
  const { disk } = world;
  const bio = api.bio_alloc_any(disk, 1, "REQ_OP_READ");
  const page = must(api.alloc_page(world.current));
  const pin = world.pin(0);
  const source = must(api.get_user_bvec(world.current, world.buf, 512, "source"));
  const lent = api.pop_user_bvec(source)!;
  expect(() => api.bio_try_add_page(bio, page, 4096, 1)).toThrow(RangeError);
  expect(id_of(() => forced(api.bio_try_add_user_bvec)(bio, lent))).toBe("wrong-direction");
  expect(id_of(() => forced(api.bio_add_page)(bio, page, 512, 0))).toBe("mixed-bio"); // undecided still
  expect(api.bio_try_add_user_page(bio, pin, 512, 0)).toBe(true);
  expect(api.bio_is_pinned(bio)).toBe(true);
  expect(api.bio_try_add_page(bio, page, 512, 0)).toBe(0);
  expect(world.live).toBe(2);
  bio[Symbol.dispose]();
  forced(api.put_user_bvec)(lent);
  api.put_page(page);
  expect(world.live).toBe(0);
});
test("asking what a bio holds that holds nothing decides that it is for plain pages", () => {
  using world = new BioWorld();
  using bio = api.bio_alloc_any(world.disk, 1, "REQ_OP_READ");
  const pin = world.pin(0);
  expect(api.bio_is_pinned(bio)).toBe(false);
  expect(forced(api.bio_try_add_user_page)(bio, pin, 512, 0)).toBe(false);
  using list = must(api.get_user_bvec(world.current, world.addr(1), 512, "dest"));
  using extent = api.pop_user_bvec(list)!;
  expect(forced(api.bio_try_add_user_bvec)(bio, extent)).toBe(false);
  const page = must(api.alloc_page(world.current));
  expect(forced(api.bio_try_add_page)(bio, page, 512, 0)).toBe(512);
  expect(api.bio_is_pinned(bio)).toBe(false);
  forced(api.put_user_page)(pin);
  api.put_page(page);
});
test("a pair: the READ's pages are dirty when they are let go of, the common part runs first and sees the error", () => {
  using world = new BioWorld();
  const { machine, current, disk } = world;
  const flakey = api.dm_flakey(disk, ({ nr }) => (nr === 2 ? { error: "EIO" } : null));
  const seen: string[] = [];
  const pair = api.end_io_pair(
    (bio, softirq) => {
      seen.push(`${api.bio_error(bio)?.errno ?? "ok"} ${world.live}`);
      expect(id_of(() => forced(api.alloc_page)(softirq))).toBe("sleep-in-atomic");
    },
    (page) => api.put_page(page),
  );
  const page = must(api.alloc_page(current));
  const plain = api.bio_alloc(flakey, 1, "REQ_OP_READ");
  api.bio_add_page(plain, api.get_page(page), 512, 0);
  api.bio_set_end_io_pair(plain, pair);
  api.submit_bio(plain);
  for (const dirty of [true, false]) {
    const bio = api.bio_alloc_pinned(flakey, 1, "REQ_OP_READ");
    const pin = world.pin(0);
    expect(api.bio_add_user_page(bio, pin, 512, 0)).toBe(true);
    if (dirty) api.bio_set_pages_dirty(bio, current);
    api.bio_set_end_io_pair(bio, pair);
    api.submit_bio(bio);
  }
  api.run_softirqs(machine);
  expect(seen).toEqual(["ok 2", "ok 2", "EIO 1"]);
  expect([api.page_ref_count(page), world.live]).toEqual([1, 0]);
  api.put_page(page);
  expect(() => forced(api.bio_set_end_io_pair)(api.bio_alloc(disk, 1, "REQ_OP_READ"), {})).toThrow(
    RangeError,
  );
  world.end();
});
/** Somebody wrote the page to its file meanwhile. */
function written_back(page: api.LentUserPage): void {
  const at = head(api.page_to_pfn(page));
  page_flags[at] = page_flags[at]! & ~PG_dirty;
}
test("bio_check_pages_dirty(): all dirty, at once; one cleaned, in a kworker that dirties it", () => {
  for (const dirty of [true, false]) {
    using world = new BioWorld();
    const { machine, current, disk } = world;
    const bio = api.bio_alloc_pinned(disk, 2, "REQ_OP_READ");
    using list = must(api.get_user_bvec(current, world.addr(520), 8192, "dest"));
    api.bio_add_user_bvecs(bio, list);
    const [{ page }] = [...api.bio_for_each_segment_all(bio)] as [api.Segment<"pinned user pages">];
    const pfn = api.page_to_pfn(page);
    if (dirty) api.bio_set_pages_dirty(bio, current);
    else for (const { page } of api.bio_for_each_segment_all(bio)) written_back(page);
    api.bio_set_end_io(bio, (back) => api.bio_check_pages_dirty(back));
    api.submit_bio(bio);
    const held = world.live;
    api.run_softirqs(machine);
    expect(world.live).toBe(dirty ? 0 : held);
    expect(api.flush_work(machine)).toBe(dirty ? 0 : 1);
    expect(world.live).toBe(0);
    expect(page_flags[head(pfn)]! & PG_dirty).toBe(PG_dirty);
  }
});
test("nothing that sleeps is called in softirq context, and machines do not mix", () => {
  using world = new BioWorld();
  using other = new BioWorld();
  const { machine, current, disk } = world;
  const ids: string[] = [];
  const first = api.bio_alloc(disk, 1, "REQ_OP_READ");
  const second = api.bio_alloc(disk, 1, "REQ_OP_READ");
  api.bio_set_end_io(first, (back) => {
    ids.push(id_of(() => api.submit_bio_wait(second, current)));
    ids.push(id_of(() => api.blk_start_plug(current)));
    api.bio_put(back);
  });
  api.submit_bio(first);
  api.run_softirqs(machine);
  expect(ids).toEqual(["sleep-in-atomic", "sleep-in-atomic"]);
  const pin = other.pin(0);
  const page = must(api.alloc_page(other.current));
  const any = api.bio_alloc_any(disk, 1, "REQ_OP_READ");
  expect(id_of(() => forced(api.bio_try_add_user_page)(any, pin, 512, 0))).toBe("not-a-handle");
  expect(id_of(() => forced(api.bio_try_add_page)(any, page, 512, 0))).toBe("not-a-handle");
  expect(id_of(() => forced(api.bio_try_add_user_bvec)(any, other.extent(1, 0, 512)))).toBe(
    "not-a-handle",
  );
  expect(id_of(() => api.submit_bio_wait(any, other.current))).toBe("not-a-handle");
  api.put_user_page(pin);
  other.machine[Symbol.dispose]();
  expect(id_of(() => api.dm_flakey(other.disk, () => null))).toBe("not-a-handle");
  expect(errno_of(api.brd_alloc(machine, 3))).toBe("EINVAL");
});
