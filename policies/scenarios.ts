/**
 * What can happen between a pin and writeback, as programs: each is run under every policy.  A scenario says what is to be on
 * the disk in the end; the rest is observed.
 */
import {
  filemap_flush,
  memcpy_to_page,
  on_preemption,
  put_user_page,
  set_page_dirty,
  type PreemptionPoint,
} from "user-page";
import { HOLDERS } from "./holders.js";
import { CPU, DEVICE, LATE, pin_dirty, type Scenario } from "./scenario.js";
import { page_of, type World } from "./world.js";

/** A device stores at this point of writeback, for as long as the block lasts. */
function device_at(world: World, at: PreemptionPoint, store: () => void): Disposable {
  return on_preemption(world.machine, (point) => {
    if (point === at) store();
  });
}
function stores_at(point: PreemptionPoint): (world: World) => void {
  return (world) => {
    const page = pin_dirty(world);
    {
      using _device = device_at(world, point, () => {
        memcpy_to_page(page, 0, page_of(DEVICE));
      });
      world.fsync();
    }
    world.look();
    memcpy_to_page(page, 0, page_of(LATE));
    set_page_dirty(page);
    put_user_page(page);
    world.expect(0, LATE);
  };
}

/** The device and the flusher. */
const TIMELINES: readonly Scenario[] = [
  {
    name: "flushed under the device",
    about: "the flusher writes the page while a device stores into it through a pin",
    run(world) {
      const page = pin_dirty(world);
      filemap_flush(world.current, world.file);
      memcpy_to_page(page, 0, page_of(DEVICE)); // the disk has not read the page yet
      world.settle();
      set_page_dirty(page);
      put_user_page(page);
      world.expect(0, DEVICE);
    },
  },
  {
    name: "dirtied late",
    about: "the page was written back before the device stores into it, and is dirtied afterwards",
    run(world) {
      const page = pin_dirty(world); // T0
      filemap_flush(world.current, world.file);
      world.settle(); // T1, T2: clean, write-protected, its block is used up
      memcpy_to_page(page, 0, page_of(DEVICE)); // T3
      set_page_dirty(page); // T4
      put_user_page(page);
      world.expect(0, DEVICE);
    },
  },
  {
    name: "fsync() while pinned",
    about: "what the program stored must survive a power cut, though a device holds the page",
    run(world) {
      const page = pin_dirty(world);
      world.fsync();
      world.must_be_durable(0, CPU);
      memcpy_to_page(page, 0, page_of(DEVICE));
      set_page_dirty(page);
      put_user_page(page);
      world.expect(0, DEVICE);
    },
  },
  {
    name: "store before the checksum",
    about: "the device stores between the dirty bit and the checksum, and once more after fsync()",
    run: stores_at("writeback: dirty bit cleared"),
  },
  {
    name: "store after the checksum",
    about: "the device stores between the checksum and the bio, and once more after fsync()",
    run: stores_at("writeback: checksum taken"),
  },
  {
    name: "full at release",
    about: "the disk is full by the time the pin is released",
    run(world) {
      const page = pin_dirty(world);
      filemap_flush(world.current, world.file);
      world.settle();
      world.fill_disk();
      memcpy_to_page(page, 0, page_of(DEVICE));
      set_page_dirty(page);
      put_user_page(page);
      world.expect(0, DEVICE);
    },
  },
  {
    name: "full at fsync()",
    about: "the disk is full when fsync() finds the page pinned",
    run(world) {
      const page = pin_dirty(world);
      world.fill_disk();
      world.fsync();
      memcpy_to_page(page, 0, page_of(DEVICE));
      set_page_dirty(page);
      put_user_page(page);
      world.expect(0, DEVICE);
    },
  },
  {
    name: "released in softirq",
    about: "the device's completion dirties and releases, where nobody may sleep",
    run(world) {
      const page = pin_dirty(world);
      filemap_flush(world.current, world.file);
      world.settle();
      memcpy_to_page(page, 0, page_of(DEVICE));
      world.interrupt(() => {
        set_page_dirty(page);
        put_user_page(page);
      });
      world.expect(0, DEVICE);
    },
  },
];
export const SCENARIOS: readonly Scenario[] = [...TIMELINES, ...HOLDERS];
