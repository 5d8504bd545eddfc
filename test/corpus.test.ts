/**
 * The corpus of real bugs, run: what the table promises of each wrong program, with debug mode off and on, and that the
 * right ones move their bytes and leave nothing behind.  The compiler's part is in compilers/corpus.test.ts.
 */
import { readdirSync, readFileSync } from "node:fs";
import { fileURLToPath } from "node:url";
import {
  brd_alloc,
  copy_from_user,
  copy_to_user,
  create_task,
  direct_io,
  flush_work,
  IS_ERR,
  madvise,
  MADV_HUGEPAGE,
  MADV_POPULATE_WRITE,
  MAP_ANONYMOUS,
  MAP_FIXED,
  MAP_PRIVATE,
  MisuseError,
  misuse_reports,
  mmap,
  PAGE_SIZE,
  PMD_SIZE,
  PROT_READ,
  PROT_WRITE,
  shutdown,
  u64_to_user_ptr,
  user_ptr_add,
  vmstat,
} from "user-page";
import { describe, expect, test } from "vitest";
import { Device, device_byte, type Bench } from "../corpus/bench.js";
import { BUGS, SHAPES, type Bug } from "../corpus/index.js";
import { machine_state } from "../src/machine/machine.js";
import { head_of, ref_count } from "../src/mm/page_ref.js";
import { boot_for_test, debug_mode, fill_pattern, map_anon, must } from "./fixtures.js";

interface Program {
  readonly wrong: (bench: Bench) => unknown;
  readonly right: (bench: Bench) => unknown;
  readonly stricter?: (bench: Bench) => unknown;
}
const folder = fileURLToPath(new URL("../corpus/", import.meta.url));
const load = (name: string) => import(`${folder}${name}.ts`) as Promise<Program>;
const source = (name: string) => readFileSync(`${folder}${name}.ts`, "utf8");

const BUF_PAGES = 16;
/** What the disk begins with. */
const DISK_BYTES = BUF_PAGES * PAGE_SIZE;
const STREAM = Uint8Array.from({ length: DISK_BYTES }, (_, i) => device_byte(i));
/** What the entries that write to the disk leave there, of the pattern in memory. */
const WRITTEN: Partial<Record<string, (memory: Uint8Array) => Uint8Array>> = {
  "B19-bio-zone-append-add-fails": (memory) =>
    Buffer.concat([0, 1, 2, 3].map((i) => memory.subarray(i * PAGE_SIZE, i * PAGE_SIZE + 512))),
  "B37-bio-integrity-short-pin": (memory) => memory,
  "B44-dio-zero-page-inside-user-bio": (memory) =>
    Buffer.concat([memory.subarray(0, PAGE_SIZE), new Uint8Array(512)]),
  "B52-bio-same-page-merge-leak": (memory) => memory.subarray(0, 1024),
  "B53-bio-map-user-merge-leak-cve-2017-12190": (memory) => memory.subarray(0, 4 * PAGE_SIZE),
  "B71-s390-accessible-before-ref": (memory) => memory.subarray(0, PAGE_SIZE),
};
/** Bytes of the disk that an entry reads into memory. */
const READ: Partial<Record<string, number>> = {
  "C02-moved-into-bio-released-in-end_io": 8 * PAGE_SIZE,
};
/** What is on the disk. */
function disk_of({ current, disk }: Bench): Uint8Array {
  const scratch = map_anon(current, DISK_BYTES);
  direct_io(current, disk, "REQ_OP_READ", scratch, DISK_BYTES, 0)._unsafeUnwrap();
  const bytes = new Uint8Array(DISK_BYTES);
  copy_from_user(current, bytes, scratch)._unsafeUnwrap();
  return bytes;
}
interface Stage {
  readonly bench: Bench;
  readonly pattern: Uint8Array;
}
function stage(fails: boolean): Stage {
  const machine = boot_for_test({ mem: 16 << 20 });
  const current = create_task(machine);
  const buf = map_anon(current, BUF_PAGES * PAGE_SIZE);
  const pattern = fill_pattern(current, buf, BUF_PAGES * PAGE_SIZE);
  const disk = must(brd_alloc(machine, 1 << 20));
  const huge = u64_to_user_ptr(1024 * PMD_SIZE);
  const flags = MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED;
  mmap(current, huge, PMD_SIZE, PROT_READ | PROT_WRITE, flags)._unsafeUnwrap();
  madvise(current, huge, PMD_SIZE, MADV_HUGEPAGE)._unsafeUnwrap();
  madvise(current, huge, PMD_SIZE, MADV_POPULATE_WRITE)._unsafeUnwrap();
  const other = create_task(machine); // with memory of its own, so that nothing lies behind `buf`
  const scratch = map_anon(other, DISK_BYTES);
  copy_to_user(other, scratch, STREAM)._unsafeUnwrap();
  direct_io(other, disk, "REQ_OP_WRITE", scratch, DISK_BYTES, 0)._unsafeUnwrap();
  const hole = user_ptr_add(buf, 1 << 30);
  return {
    bench: { machine, current, buf, huge, hole, disk, device: new Device(), fails },
    pattern,
  };
}
/** References on each folio, by the frame number of its first page. */
function references({ machine }: Bench): Map<number, number> {
  const { base, nr_pages } = machine_state(machine);
  const counts = new Map<number, number>();
  for (let pfn = base; pfn < base + nr_pages; pfn++) {
    if (head_of(pfn) === pfn) counts.set(pfn, ref_count(pfn));
  }
  return counts;
}
/** What changed, for the table: "5 × +1024, 1 × -1". */
function damage_between(before: Map<number, number>, after: Map<number, number>): string {
  const changes = new Map<number, number>();
  for (const [pfn, count] of after) {
    const change = count - (before.get(pfn) ?? 0);
    if (change !== 0) changes.set(change, (changes.get(change) ?? 0) + 1);
  }
  const sorted = [...changes].sort(([a], [b]) => b - a);
  return sorted.map(([change, n]) => `${n} × ${change > 0 ? "+" : ""}${change}`).join(", ");
}
function misuse_of(run: () => unknown): MisuseError | null {
  try {
    run();
  } catch (error) {
    if (error instanceof MisuseError) return error;
    throw error;
  }
  return null;
}
const is_error = (result: unknown): boolean =>
  IS_ERR(result) || (typeof result === "number" && result < 0) || typeof result === "string";

test("every file stands in the table once, and every line has its file", () => {
  const files = readdirSync(folder).map((name) => name.replace(".ts", ""));
  const named = [...BUGS, ...SHAPES].map(({ name }) => name);
  expect([...named, "bench", "index", "table"].sort()).toEqual(files.sort());
});

describe.each(BUGS)("$name", (bug: Bug) => {
  const { name, verdict, reported, always, damage, stricter, harm } = bug;
  test("is judged as the table's facts say", () => {
    const marks = source(name).match(/^\s*\/\/ @ts-expect-error \S.*$/gm) ?? [];
    expect(marks).toHaveLength(verdict === "types" || stricter !== undefined ? 1 : 0);
    if (verdict !== "types") {
      const by_call = always !== null && always !== "page-is-free";
      const seen = by_call ? "always" : reported !== null ? "debug" : "escapes";
      expect(verdict).toBe(seen);
    }
    if (verdict !== "types") expect(bug.why).toMatch(/\.$/);
  });
  const expected = debug_mode ? reported : always;
  test(expected === null ? "passes unnoticed" : `ends in ${expected}`, async () => {
    const { wrong } = await load(name);
    const { bench } = stage(true);
    const before = references(bench);
    let result: unknown;
    const error = misuse_of(() => {
      result = wrong(bench);
      flush_work(bench.machine);
    });
    if (expected === null && harm) expect(result).toBe(harm[0]);
    const after = references(bench);
    const { leaks } = shutdown(bench.machine);
    const place = expect.stringMatching(
      new RegExp(`^corpus/${name.replaceAll(".", "\\.")}\\.ts:\\d+`),
    ) as string;
    if (expected === "leak") {
      expect(error).toBeNull();
      expect(leaks.length).toBeGreaterThan(0);
      for (const { acquired_at } of leaks) expect(acquired_at).toEqual(place);
    } else {
      expect(error?.id ?? null).toBe(expected);
    }
    if (debug_mode && expected === null) expect(leaks).toEqual([]);
    if (!debug_mode) expect(damage_between(before, after)).toBe(damage);
  });
});

describe.runIf(debug_mode)("in the stricter form, past the compiler", () => {
  test.each(BUGS.filter(({ stricter }) => stricter !== undefined))("$name", async (bug) => {
    const program = await load(bug.name);
    const { bench } = stage(true);
    expect(misuse_of(() => program.stricter!(bench))?.id ?? null).toBe(bug.reported);
    shutdown(bench.machine);
  });
});

const HARMFUL = new Set(BUGS.filter(({ harm }) => harm).map(({ name }) => name));
describe.each([...BUGS, ...SHAPES])("$name, done right", ({ name }) => {
  test.each([false, true])("is silent and leaves nothing; fails: %s", async (fails) => {
    const { right } = await load(name);
    const { bench, pattern } = stage(fails);
    const { machine, current, buf, device } = bench;
    const before = references(bench);
    const { nr_foll_pin_acquired, nr_foll_pin_released } = vmstat(machine);
    const result = right(bench);
    flush_work(machine);
    if (!fails) expect(is_error(result)).toBe(false);
    if (HARMFUL.has(name)) expect(result).toBe(0);
    expect(result instanceof Error || typeof result === "string").toBe(false);

    const after = references(bench);
    for (const [pfn, count] of before)
      if (count > 0) expect([pfn, after.get(pfn)]).toEqual([pfn, count]);
    const pins = vmstat(machine);
    const pinned = pins.nr_foll_pin_acquired - nr_foll_pin_acquired;
    expect(pins.nr_foll_pin_released - nr_foll_pin_released).toBe(pinned);

    const text = source(name);
    const read = Buffer.concat(device.log);
    const memory = new Uint8Array(pattern.length);
    copy_from_user(current, memory, buf)._unsafeUnwrap();
    expect(read.equals(pattern.subarray(0, read.length))).toBe(true);
    const written = STREAM.subarray(0, READ[name] ?? device.written);
    expect(Buffer.compare(memory.subarray(0, written.length), written)).toBe(0);
    if (!fails && /\bdma_/.test(text) && !text.includes("new Device(")) {
      expect(read.length + written.length).toBeGreaterThan(0);
    }

    if (!fails || !(name in WRITTEN)) {
      const expected = STREAM.slice();
      expected.set(WRITTEN[name]?.(pattern) ?? []);
      expect(Buffer.compare(disk_of(bench), expected)).toBe(0);
    }

    expect(misuse_reports(machine)).toEqual([]);
    expect(shutdown(machine)).toEqual({ leaks: [], lost_pages: 0 });
  });
});
