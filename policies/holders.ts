/** Scenarios by who holds the page, and for how long; files that lose it meanwhile. */
import {
  blkdev_direct_IO,
  FALLOC_FL_KEEP_SIZE,
  FALLOC_FL_PUNCH_HOLE,
  filemap_flush,
  flush_work,
  FOLL_LONGTERM,
  FOLL_WRITE,
  get_user_page,
  get_user_pages_fast,
  iov_iter_ubuf,
  IS_ERR,
  ITER_DEST,
  ITER_SOURCE,
  memcpy_to_page,
  PAGE_SIZE,
  put_page,
  put_user_page,
  set_page_dirty,
  set_page_dirty_lock,
  vfs_fallocate,
  vfs_truncate,
  type DioOptions,
  type FastGetFlags,
  type Page,
} from "user-page";
import { CPU, DEVICE, pin_dirty, type Scenario } from "./scenario.js";
import { NR_PAGES, OTHER_DISK, page_of, sure, type World } from "./world.js";

const ROUNDS = 4;
function longterm(world: World): void {
  const page = get_user_page(world.current, world.at(0), ITER_DEST, FOLL_LONGTERM);
  if (IS_ERR(page)) {
    world.refused++;
    return;
  }
  for (let round = 1; round <= ROUNDS; round++) {
    filemap_flush(world.current, world.file);
    memcpy_to_page(page, 0, page_of(round)); // while the disk may be reading it
    world.settle();
    world.fsync();
  }
  world.must_be_durable(0, ROUNDS);
  memcpy_to_page(page, 0, page_of(DEVICE));
  set_page_dirty(page);
  put_user_page(page);
  world.expect(0, DEVICE);
}
/** A READ from another disk into the file's memory; the flusher comes while it is under way. */
function direct_read(references: DioOptions["references"] & string): (world: World) => void {
  return (world) => {
    const { current, machine } = world;
    const len = 2 * PAGE_SIZE;
    world.store(0, CPU);
    world.store(1, CPU);
    const iter = iov_iter_ubuf(ITER_DEST, world.at(0), len);
    const iocb = { ki_pos: 0, ki_complete: () => undefined };
    blkdev_direct_IO(current, iocb, iter, world.other, { references })._unsafeUnwrap();
    filemap_flush(current, world.file);
    world.settle();
    flush_work(machine); // a page that was cleaned meanwhile is dirtied by a kworker
    for (const index of [0, 1]) world.expect(index, OTHER_DISK);
  };
}
/** A plain reference, as code takes it that was never converted. */
function get_page_of(world: World, gup_flags: FastGetFlags | 0): Page {
  const pages: Page[] = [];
  get_user_pages_fast(world.current, world.at(0), 1, gup_flags, pages);
  const page = pages.pop();
  if (page === undefined) throw new Error("no page");
  return page;
}

export const HOLDERS: readonly Scenario[] = [
  {
    name: "long-term registration",
    about: `a registered buffer, through ${ROUNDS} rounds of flusher, device and fsync()`,
    run: longterm,
  },
  {
    name: "direct READ, pages",
    about: "a direct READ of another disk into the mapped file, a pin for each page",
    run: direct_read("per page"),
  },
  {
    name: "direct READ, extents",
    about: "the same with one reference for each extent",
    run: direct_read("per extent"),
  },
  {
    name: "never dirtied",
    about: "the device's pin is released by a driver that forgets to dirty the page",
    run(world) {
      const page = pin_dirty(world);
      filemap_flush(world.current, world.file);
      world.settle();
      memcpy_to_page(page, 0, page_of(DEVICE));
      put_user_page(page);
      world.expect(0, DEVICE);
    },
  },
  {
    name: "pinned to be read",
    about: "the program stores while the flusher writes a page that is pinned only to be read",
    run(world) {
      world.store(0, CPU);
      const page = sure(get_user_page(world.current, world.at(0), ITER_SOURCE));
      filemap_flush(world.current, world.file);
      world.store(0, DEVICE); // a write-protected entry would wait for the disk here
      world.settle();
      put_user_page(page);
      world.expect(0, DEVICE);
    },
  },
  {
    name: "read while clean",
    about: "a clean page is pinned to be read, and released",
    run(world) {
      put_user_page(sure(get_user_page(world.current, world.at(0), ITER_SOURCE)));
    },
  },
  {
    name: "truncated",
    about: "the file is cut and grows again while a device holds its page",
    run(world) {
      const page = pin_dirty(world);
      sure(vfs_truncate(world.current, world.file, 0));
      memcpy_to_page(page, 0, page_of(DEVICE));
      sure(vfs_truncate(world.current, world.file, NR_PAGES * PAGE_SIZE));
      set_page_dirty(page);
      put_user_page(page);
      world.expect(0, 0);
    },
  },
  {
    name: "hole punched",
    about: "a hole is punched under the pin, and the program stores into a new page there",
    run(world) {
      const page = pin_dirty(world);
      const mode = FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE;
      sure(vfs_fallocate(world.current, world.file, mode, 0, PAGE_SIZE));
      world.store(0, CPU);
      filemap_flush(world.current, world.file);
      memcpy_to_page(page, 0, page_of(DEVICE)); // memory that no file has
      world.settle();
      set_page_dirty(page);
      put_user_page(page);
      world.expect(0, CPU);
    },
  },
  {
    name: "plain reference",
    about: "unconverted code stores through get_user_pages(), under the flusher",
    unconverted: true,
    run(world) {
      const page = get_page_of(world, FOLL_WRITE);
      filemap_flush(world.current, world.file);
      memcpy_to_page(page, 0, page_of(DEVICE));
      world.settle();
      set_page_dirty_lock(page, world.current);
      put_page(page);
      world.expect(0, DEVICE);
    },
  },
  {
    name: "source pin, dirtied",
    about: "a clean page is pinned to be read, and dirtied through a plain reference all the same",
    unconverted: true,
    run(world) {
      const pin = sure(get_user_page(world.current, world.at(0), ITER_SOURCE));
      const page = get_page_of(world, 0);
      memcpy_to_page(page, 0, page_of(DEVICE));
      set_page_dirty_lock(page, world.current);
      put_page(page);
      put_user_page(pin);
      world.expect(0, DEVICE);
    },
  },
];
