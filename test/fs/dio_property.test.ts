/** Direct I/O on random memory, files, disks and orders of completion, against a model that looks at bytes one by one. */
import fc from "fast-check";
import * as api from "user-page";
import { expect, test } from "vitest";
import { boot_for_test, debug_mode, fill_pattern, map_anon, must } from "../fixtures.js";
import {
  CONVENTIONS,
  disk_bytes,
  file_of,
  fill_disk,
  iter_over,
  outcome,
  pins,
  read_mem,
  type Convention,
  type Extent,
  type ExtentState,
} from "./dio_world.js";

const PAGE = 4096;
const PAGES = 24;
const SIZE = PAGES * PAGE;
const DISK = 256 << 10;
const STATES: readonly ExtentState[] = ["mapped", "mapped", "unwritten", "hole"];

interface Plan {
  readonly op: api.Op;
  readonly block: number;
  /** bytes of a block of the file system, as a multiple of the disk's */
  readonly fs_block: number;
  readonly dma: number;
  readonly max_sectors: number;
  readonly max_segments: number;
  readonly keep: number;
  readonly extents: ReadonlyArray<readonly [state: number, blocks: number]>;
  /** gap before, length; in units of `dma` */
  readonly parts: ReadonlyArray<readonly [gap: number, len: number]>;
  readonly backwards: boolean;
  readonly pos: number;
  /** bytes that the file ends before its last extent */
  readonly cut: number;
  readonly missing: readonly number[];
  readonly seed: number;
  readonly errors: number;
  readonly order: "release first" | "complete first";
  readonly partial: boolean;
  readonly wait: boolean;
  readonly misalign: boolean;
}
const plans: fc.Arbitrary<Plan> = fc.record({
  op: fc.constantFrom("REQ_OP_READ", "REQ_OP_WRITE"),
  block: fc.constantFrom(512, 512, 1024, 4096),
  fs_block: fc.constantFrom(1, 1, 2, 8),
  dma: fc.constantFrom(4, 512, 512),
  max_sectors: fc.constantFrom(Infinity, Infinity, 8, 24),
  max_segments: fc.constantFrom(Infinity, Infinity, 1, 3),
  keep: fc.constantFrom(0, 0, 2, 3),
  extents: fc.array(fc.tuple(fc.nat(STATES.length - 1), fc.integer({ min: 1, max: 6 })), {
    minLength: 1,
    maxLength: 5,
  }),
  parts: fc.array(fc.tuple(fc.constantFrom(0, 0, 1, 3, 8), fc.oneof(fc.nat(9), fc.nat(60))), {
    maxLength: 7,
  }),
  backwards: fc.boolean(),
  pos: fc.nat(12),
  cut: fc.oneof(fc.constant(0), fc.nat(9000)),
  missing: fc.oneof(fc.constant([]), fc.array(fc.nat(PAGES - 1), { maxLength: 2 })),
  seed: fc.integer(),
  errors: fc.constantFrom(0, 0, 0.3),
  order: fc.constantFrom("release first", "complete first"),
  partial: fc.boolean(),
  wait: fc.boolean(),
  misalign: fc.constantFrom(false, false, false, true),
});

/** Where the parts are: disjoint, in whole units of what the disk takes, together a number of blocks. */
function parts_of({ parts, dma, block, backwards, misalign }: Plan): Array<[number, number]> {
  const unit = dma === 512 ? 512 : 100; // 100 is a multiple of 4
  const found: Array<[number, number]> = [];
  let at = 0;
  for (const [gap, len] of parts) {
    at += gap * unit;
    found.push([at, len * unit]);
    at += len * unit;
  }
  const rest = found.reduce((sum, [, len]) => sum + len, 0) % block;
  if (rest > 0) found.push([at, block - rest]);
  if (backwards) found.reverse();
  return misalign ? found.map(([offset, len]) => [offset + 1, len]) : found;
}
/** Extents follow each other in the file, and lie backwards on the disk. */
function extents_of({ extents, block, fs_block }: Plan): Extent[] {
  let addr = DISK;
  return extents.map(([state, blocks]) => {
    const bytes = blocks * block * fs_block;
    addr -= bytes + (addr === DISK ? 0 : block * fs_block);
    return { state: STATES[state]!, bytes, addr };
  });
}
/** Byte of the file that extent `i` begins at. */
const start_of = (extents: readonly Extent[], i: number): number =>
  extents.slice(0, i).reduce((sum, { bytes }) => sum + bytes, 0);
interface Expected {
  readonly result: number | string;
  /** bytes the iterator moves */
  readonly moved: number;
  readonly memory: Uint8Array;
  readonly disk: Uint8Array;
  /** pins of the way by pages, where the parts are blocks and nothing faults */
  readonly pinned: number | null;
}
/** What has to come out if the disk does not fail. */
function expected(plan: Plan, how: Convention, memory: Uint8Array, disk: Uint8Array): Expected {
  const { op, block, fs_block, partial } = plan;
  const is_read = op === "REQ_OP_READ";
  const parts = parts_of(plan);
  const extents = extents_of(plan);
  const total = extents.reduce((sum, { bytes }) => sum + bytes, 0);
  const i_size = Math.max(0, total - plan.cut);
  const pos = plan.pos * block;
  const out = { memory: memory.slice(), disk: disk.slice() };
  // Where each byte is in memory, and the first that is nowhere.
  const place: number[] = [];
  const starts = new Map<number, number>();
  for (const [offset, len] of parts) {
    if (len > 0) starts.set(place.length, offset);
    for (let i = 0; i < len; i++) place.push(offset + i);
  }
  const bad = place.findIndex((at) => plan.missing.includes(Math.floor(at / PAGE)));
  const first_bad = bad < 0 ? Infinity : bad;
  let [done, pinned] = [0, 0];
  let error: string | null = null;
  let begin = 0;
  // A read that begins in the file goes on in a hole behind its end.
  const inside = extents.filter((_, i) => start_of(extents, i) < i_size);
  const behind = Math.max(0, pos + place.length - start_of(inside, inside.length));
  const hole: Extent = { state: "hole", bytes: behind, addr: 0 };
  const runs = !is_read ? extents : pos < i_size ? [...inside, hole] : [];
  for (const { state, bytes, addr } of runs) {
    const from = Math.max(pos, begin) - pos;
    const to = Math.min(pos + place.length, begin + bytes) - pos;
    const at = addr + pos + from - begin;
    begin += bytes;
    if (error !== null || to <= from) continue;
    const no_disk = is_read && state !== "mapped";
    const blocks = Math.floor(first_bad / block) * block;
    const stop = first_bad >= to ? to : no_disk ? first_bad : how === "per page" ? blocks : from;
    const is_new = state !== "mapped" && !is_read;
    const fs = block * fs_block;
    const ahead = is_new ? (pos + from) % fs : 0;
    if (is_new && (stop === to || how === "per page")) out.disk.fill(0, at - ahead, at);
    for (let i = from; i < stop; i++) {
      if (!is_read) out.disk[at + i - from] = memory[place[i]!]!;
      else out.memory[place[i]!] = no_disk ? 0 : disk[at + i - from]!;
    }
    const last = (pos + stop) % fs;
    if (is_new && last > 0 && (stop === to || how === "per page")) {
      out.disk.fill(0, at + stop - from, at + stop - from + fs - last);
    }
    done = Math.max(from, stop);
    if (!no_disk) {
      const pages = new Set<string>();
      let part = 0;
      for (let i = 0; i < to; i++) {
        if (starts.has(i)) part = i;
        if (i >= from) pages.add(`${part} ${Math.floor(place[i]! / PAGE)}`);
      }
      pinned += pages.size;
    }
    if (stop < to) error = "EFAULT";
  }
  if (!is_read && error === null && done < place.length) error = "ENOSPC";
  const limit = is_read ? Math.max(0, Math.min(done, i_size - pos)) : done;
  const short = error === "EFAULT" && partial && done > 0;
  const whole = parts.every(([, len]) => len % block === 0);
  return {
    ...out,
    result: error === null || short ? limit : error,
    moved: limit,
    pinned: error === null && whole ? pinned : null,
  };
}

function run(plan: Plan, how: Convention): void {
  const machine = boot_for_test({ mem: 1 << 20 });
  let failed = false;
  let report: api.ShutdownReport;
  try {
    const current = api.create_task(machine);
    const under = must(api.brd_alloc(machine, DISK));
    const { block, dma, max_sectors, max_segments, op, order, partial, missing } = plan;
    const sectors = Math.max(max_sectors, block / 512);
    const limits = { logical_block_size: block, dma_alignment: dma, max_sectors: sectors };
    expect(api.queue_limits_set(under, { ...limits, max_segments })).toBe(null);
    const old_disk = fill_disk(under);
    const fates = api.flakey_seed(plan.seed, { error: plan.errors });
    const disk = api.dm_flakey(under, (io) => {
      const fate = fates(io);
      failed ||= fate?.error !== undefined;
      return plan.wait ? fate : { ...fate, hold: io.nr % 2 === 0 };
    });
    const kept = plan.keep === 0 ? null : api.fragment_memory(machine, (i) => i % plan.keep === 1);
    const buf = map_anon(current, SIZE);
    const old = fill_pattern(current, buf, SIZE, plan.seed);
    for (const page of new Set(missing)) {
      api.munmap(current, api.user_ptr_add(buf, page * PAGE), PAGE)._unsafeUnwrap();
    }
    const parts = parts_of(plan);
    const dir = op === "REQ_OP_READ" ? api.ITER_DEST : api.ITER_SOURCE;
    const iter = iter_over(dir, buf, parts);
    const { count } = iter;
    const extents = extents_of(plan);
    const total = extents.reduce((sum, { bytes }) => sum + bytes, 0);
    const file = file_of(disk, Math.max(0, total - plan.cut), block * plan.fs_block, extents);
    const want = expected(plan, how, old, old_disk);
    let told: number | string | null = null;
    const ki_pos = plan.pos * block;
    const ki_complete = (result: api.DioResult): void => {
      expect(told).toBe(null);
      told = outcome(result);
    };
    const iocb = plan.wait ? { ki_pos } : { ki_pos, ki_complete };
    const done = api.iomap_dio_rw(current, iocb, iter, file, { references: how, order, partial });
    const queued = done.isOk() && done.value === "EIOCBQUEUED";
    for (let x = plan.seed >>> 0; queued && disk.in_flight.length > 0; x = (x * 7 + 3) % 2 ** 31) {
      disk.complete(disk.in_flight[x % disk.in_flight.length]!.nr);
      api.run_softirqs(machine);
    }
    api.flush_work(machine);
    const result = queued ? told : outcome(done);

    const [acquired, released] = pins(machine);
    expect(acquired).toBe(released);
    const { nr_user_bvec_acquired, nr_user_bvec_released } = api.vmstat(machine);
    expect(nr_user_bvec_acquired).toBe(nr_user_bvec_released);
    const exact = !failed && (!plan.misalign || result !== "EINVAL");
    if (exact) {
      expect(result).toBe(want.result);
      expect(count - iter.count).toBe(want.moved);
      if (how === "per page" && want.pinned !== null) expect(acquired).toBe(want.pinned);
      // By extents nothing is taken twice, and seldom as often.
      if (how === "per extent" && want.pinned !== null)
        expect(acquired).toBeLessThanOrEqual(want.pinned + 2 * extents.length);
    } else if (failed && !plan.misalign) {
      const short = typeof want.result === "number";
      expect(result).toBe(short ? "EIO" : want.result);
    }
    const now_disk = disk_bytes(under);
    for (let i = 0; i < DISK; i++) {
      if (now_disk[i] === want.disk[i] || (!exact && now_disk[i] === old_disk[i])) continue;
      expect.fail(`byte ${i} of the disk: ${now_disk[i]}, not ${want.disk[i]}`);
    }
    const end = want.moved + block; // of the block the file ends in, the rest may come too
    let nth = 0;
    const inside = new Map<number, number>();
    for (const [offset, len] of parts) for (let i = 0; i < len; i++) inside.set(offset + i, nth++);
    for (let page = 0; page < PAGES; page++) {
      if (missing.includes(page)) continue;
      const now = read_mem(current, api.user_ptr_add(buf, page * PAGE), PAGE);
      for (let i = 0; i < PAGE; i++) {
        const at = page * PAGE + i;
        const rest = (inside.get(at) ?? -1) >= want.moved && (inside.get(at) ?? -1) < end;
        const may_differ = now[i] === old[at] && (!exact || rest);
        if (now[i] === want.memory[at] || may_differ) continue;
        expect.fail(`byte ${at} of the memory: ${now[i]}, not ${want.memory[at]}`);
      }
    }
    kept?.[Symbol.dispose]();
    api.exit_task(current);
  } finally {
    report = api.shutdown(machine);
  }
  expect(report).toEqual({ leaks: [], lost_pages: 0 });
}

/** A hole, of which memory ends where the file does: the fault behind counts all the same. */
const FAULT_AT_EOF: Plan = {
  op: "REQ_OP_READ",
  block: 512,
  fs_block: 2,
  dma: 512,
  max_sectors: Infinity,
  max_segments: Infinity,
  keep: 0,
  extents: [
    [0, 1],
    [0, 3],
    [0, 3],
    [2, 4],
  ],
  parts: [
    [8, 6],
    [3, 4],
    [1, 1],
    [3, 9],
    [3, 13],
    [1, 21],
  ],
  backwards: true,
  pos: 0,
  cut: 1024,
  missing: [9],
  seed: 0,
  errors: 0,
  order: "release first",
  partial: false,
  wait: false,
  misalign: false,
};
test.each(CONVENTIONS)("%s: result, bytes, pins", { timeout: 120_000 }, (how) => {
  fc.assert(
    fc.property(plans, (plan) => {
      const bytes = parts_of(plan).reduce((at, [offset, len]) => Math.max(at, offset + len), 0);
      const { extents, block, fs_block } = plan;
      const total = extents.reduce((sum, [, blocks]) => sum + (blocks + 1) * block * fs_block, 0);
      fc.pre(bytes <= SIZE && total <= DISK);
      run(plan, how);
    }),
    { numRuns: debug_mode ? 250 : 500, examples: [[FAULT_AT_EOF]] },
  );
});
