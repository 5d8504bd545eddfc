/** Random programs over files that are mapped, pinned, transferred into, written back, cut and evicted at the same time. */
import * as api from "user-page";
import { IS_ERR, ITER_DEST, ITER_SOURCE, MisuseError, PAGE_SIZE } from "user-page";
import type { ModelPage } from "./objectives_model.js";
import { NR_PAGES, OTHER, World, type Mapping, type Options } from "./objectives_world.js";

function any_mapping(w: World): Mapping {
  const at = w.random.below(w.mappings.length);
  w.note(`    mapping ${at}`);
  return w.mappings[at]!;
}
// --- programs ------------------------------------------------------------------------------------------
function cpu_store(w: World): void {
  const mapping = any_mapping(w);
  const { index, offset, len } = w.at();
  const bytes = w.random.bytes(len);
  const to = api.user_ptr_add(mapping.addr, index * PAGE_SIZE + offset);
  if (api.copy_to_user(mapping.task, to, bytes).isErr()) return;
  w.file.store(w.seen(mapping, index, true), offset, bytes);
}
function cpu_load(w: World): void {
  const mapping = any_mapping(w);
  const { index, offset, len } = w.at();
  const bytes = new Uint8Array(len);
  const from = api.user_ptr_add(mapping.addr, index * PAGE_SIZE + offset);
  if (api.copy_from_user(mapping.task, bytes, from).isErr()) return;
  w.differs(`load of page ${index}`, bytes, w.seen(mapping, index, false), offset);
}
function write(w: World): void {
  const { index, offset, len } = w.at();
  const bytes = w.random.bytes(len);
  const pos = index * PAGE_SIZE + offset;
  if (w.zero(() => api.kernel_write(w.task, w.data, bytes, pos)).isErr()) return;
  w.file.grow(pos + len);
  w.file.store(w.file.page(index), offset, bytes);
}
function read(w: World): void {
  read_page(w, w.at().index);
}
function read_page(w: World, index: number): void {
  const len = Math.min(PAGE_SIZE, w.file.size - index * PAGE_SIZE);
  if (len <= 0) return;
  const bytes = new Uint8Array(len);
  if (api.kernel_read(w.task, w.data, bytes, index * PAGE_SIZE).isErr()) return;
  w.differs(`read of page ${index}`, bytes, w.file.page(index), 0);
}

// --- pins ------------------------------------------------------------------------------------------------
function pin_dest(w: World): void {
  if (w.dest.length >= 6) return;
  const mapping = any_mapping(w);
  const { index } = w.at();
  const addr = api.user_ptr_add(mapping.addr, index * PAGE_SIZE);
  const longterm = w.random.below(4) === 0 ? [api.FOLL_LONGTERM] : [];
  const page = api.get_user_page(mapping.task, addr, ITER_DEST, ...longterm);
  if (IS_ERR(page)) return;
  w.dest.push({ page, model: w.seen(mapping, index, true) });
}
function pin_source(w: World): void {
  if (w.source.length >= 3) return;
  // Not through the private one: whether that gives a copy is another matter.
  const mapping = w.mappings[w.random.below(2)]!;
  const { index } = w.at();
  const addr = api.user_ptr_add(mapping.addr, index * PAGE_SIZE);
  const page = api.get_user_page(mapping.task, addr, ITER_SOURCE);
  if (!IS_ERR(page)) w.source.push({ page, model: w.file.page(index) });
}
function device_store(w: World): void {
  const pin = w.random.one(w.dest);
  if (!pin) return;
  const { offset, len } = w.at();
  const bytes = w.random.bytes(len);
  api.memcpy_to_page(pin.page, offset, bytes)._unsafeUnwrap();
  w.file.store(pin.model, offset, bytes);
}
function device_load(w: World): void {
  const pin = w.random.one(w.source) ?? w.random.one(w.dest);
  if (!pin) return;
  const bytes = new Uint8Array(PAGE_SIZE);
  api.memcpy_from_page(bytes, pin.page, 0)._unsafeUnwrap();
  w.differs("what a device sees", bytes, pin.model, 0);
}
function set_dirty(w: World): void {
  const pin = w.random.one(w.dest);
  if (pin) api.set_page_dirty(pin.page);
}
function unpin(w: World): void {
  const from = w.random.below(3) === 0 ? w.source : w.dest;
  const at = w.random.below(from.length);
  if (from === w.source) {
    for (const { page } of w.source.splice(at, 1)) api.put_user_page(page);
    return;
  }
  for (const { page } of w.dest.splice(at, 1)) {
    if (w.random.below(8) !== 0) api.set_page_dirty(page);
    api.put_user_page(page);
  }
}
/** A device completes: its handler stores, dirties and releases in softirq context. */
function interrupt(w: World): void {
  const kernel = api.alloc_page(w.task);
  if (IS_ERR(kernel)) return;
  using bio = api.bio_alloc(w.other, 1, "REQ_OP_READ");
  api.bio_add_page(bio, kernel, PAGE_SIZE, 0);
  api.bio_set_end_io(bio, (ended) => {
    api.bio_put(ended);
    device_store(w);
    unpin(w);
  });
  api.submit_bio(bio);
  api.run_softirqs(w.machine);
  api.put_page(kernel);
}
/** A READ of another disk into shared memory: it is under way until completions run. */
function direct_read(w: World): void {
  const mapping = w.mappings[w.random.below(2)]!;
  const nr = 1 + w.random.below(2);
  const index = w.random.below(NR_PAGES - nr + 1);
  const ki_pos = w.random.below(3) * PAGE_SIZE;
  const models: ModelPage[] = [];
  const arrived = (): void => {
    models.forEach((model, i) => {
      const at = ki_pos + i * PAGE_SIZE;
      w.file.store(model, 0, OTHER.subarray(at, at + PAGE_SIZE));
      if (w.zeroing) model.unknown = true;
    });
  };
  const iocb = { ki_pos, ki_complete: arrived };
  const to = api.user_ptr_add(mapping.addr, index * PAGE_SIZE);
  const iter = api.iov_iter_ubuf(ITER_DEST, to, nr * PAGE_SIZE);
  const references = w.random.below(2) === 0 ? "per page" : "per extent";
  const sent = api.blkdev_direct_IO(mapping.task, iocb, iter, w.other, { references });
  if (sent.isErr()) return;
  // Pages that could not be pinned end the transfer before them.
  const bytes = nr * PAGE_SIZE - iter.count;
  for (let i = 0; i * PAGE_SIZE < bytes; i++) models.push(w.file.page(index + i));
  if (sent.value !== "EIOCBQUEUED") arrived(); // somebody waited meanwhile
}

// --- files -------------------------------------------------------------------------------------------------
function truncate(w: World): void {
  const whole = NR_PAGES * PAGE_SIZE;
  const length = w.random.below(2) === 0 ? whole : w.random.below(whole);
  w.note(`    ${length}`);
  if (w.zero(() => api.vfs_truncate(w.task, w.data, length)) !== null) return;
  w.file.grow(length);
  w.file.shrink(length);
  // Copies of what is behind the end go, too.
  for (const { own } of w.mappings) {
    for (const index of [...(own?.keys() ?? [])]) if (index >= w.file.nr_pages) own!.delete(index);
  }
}
function punch(w: World): void {
  const from = w.random.below(NR_PAGES * PAGE_SIZE);
  const len = 1 + w.random.below(3 * PAGE_SIZE);
  w.note(`    ${from}, ${len}`);
  const mode = api.FALLOC_FL_PUNCH_HOLE | api.FALLOC_FL_KEEP_SIZE;
  if (w.zero(() => api.vfs_fallocate(w.task, w.data, mode, from, len)) !== null) return;
  if (from < w.file.size) w.file.punch(from, Math.min(from + len, w.file.size));
}
function fsync(w: World): void {
  w.file.begin_sync();
  const failed = api.vfs_fsync(w.task, w.data);
  w.note(`    ${failed?.message ?? "done"}`);
  w.file.end_sync(failed === null ? "done" : w.fails ? "unknown" : "failed");
}
function let_go(w: World): void {
  const io = w.random.one(w.disk.in_flight);
  if (io) w.disk.complete(io.nr);
  api.run_softirqs(w.machine);
}

const STEPS: Record<string, readonly [weight: number, (w: World) => void]> = {
  cpu_store: [8, cpu_store],
  cpu_load: [4, cpu_load],
  write: [4, write],
  read: [4, read],
  pin_dest: [8, pin_dest],
  pin_source: [3, pin_source],
  device_store: [10, device_store],
  device_load: [3, device_load],
  set_dirty: [2, set_dirty],
  unpin: [8, unpin],
  interrupt: [2, interrupt],
  direct_read: [3, direct_read],
  truncate: [2, truncate],
  punch: [2, punch],
  flush: [
    6,
    (w) => {
      api.filemap_flush(w.task, w.data);
    },
  ],
  fsync: [3, fsync],
  softirqs: [
    5,
    (w) => {
      api.run_softirqs(w.machine);
    },
  ],
  let_go: [5, let_go],
  invalidate: [
    3,
    (w) => {
      api.invalidate_mapping_pages(w.task, w.data);
    },
  ],
  scrub: [
    0.3,
    (w) => {
      w.scrub();
    },
  ],
  power_cut: [
    0.2,
    (w) => {
      w.power_cut();
    },
  ],
};
const NAMES = Object.keys(STEPS);
/** Each name as often as it is to happen, of all. */
const LOTS = NAMES.flatMap((name) => Array<string>(Math.round(STEPS[name]![0] * 10)).fill(name));
/** What another CPU may do in the middle of writeback, and in the middle of taking a pin. */
const IN_WRITEBACK = [
  "device_store",
  "device_store",
  "cpu_store",
  "pin_dest",
  "pin_source",
  "write",
  "invalidate",
];
const IN_GUP = ["flush", "fsync", "let_go", "unpin"];

/** Another CPU; what would have to wait for the interrupted one does not happen. */
function race(w: World, point: api.PreemptionPoint): void {
  const name = w.random.one(point.startsWith("writeback") ? IN_WRITEBACK : IN_GUP)!;
  w.note(`  at "${point}": ${name}`);
  w.did("race");
  try {
    STEPS[name]![1](w);
  } catch (error) {
    if (!(error instanceof MisuseError && error.id === "hung-task")) throw error;
    w.did("wait");
  }
}
function one_step(w: World): void {
  const name = w.random.one(LOTS)!;
  w.note(name);
  w.did(name);
  STEPS[name]![1](w);
}
/** All pins go, the disk lets everything go, and what is left is right. */
function finish(w: World): void {
  while (w.dest.length + w.source.length > 0) unpin(w);
  api.flush_work(w.machine);
  fsync(w);
  w.scrub();
  w.power_cut();
  for (let index = 0; index < NR_PAGES; index++) read_page(w, index);
}
export interface Ran {
  readonly steps: number;
  readonly violations: readonly api.Violation[];
  readonly done: ReadonlyMap<string, number>;
  readonly stats: Readonly<api.WritebackStats>;
}
/** Runs a random program until `enough` says so, or for `nr` steps, which then end in order. */
export function run_program(
  options: Options,
  nr: number,
  enough: (violations: readonly api.Violation[]) => boolean,
): Ran {
  const w = new World(options);
  const { violations } = w.objectives;
  let steps = 0;
  try {
    using _racing = api.on_preemption(w.machine, (point) => {
      if (w.random.below(2) === 0) race(w, point);
    });
    while (steps < nr && !enough(violations)) {
      one_step(w);
      steps++;
    }
    finish(w);
  } catch (error) {
    const where = `seed ${options.seed}, step ${steps}, after\n${w.log.join("\n")}`;
    throw new Error(`${(error as Error).message}\n${where}`, { cause: error });
  }
  const stats = api.writeback_stats(w.fs);
  api.shutdown(w.machine);
  return { steps, violations, done: w.done, stats };
}
