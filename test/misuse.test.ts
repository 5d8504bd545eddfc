/**
 * Each misuse of the table, done and not done.  The compiler's part of the same files is in compilers/messages.test.ts;
 * here the types are gone and the machine has to notice.
 */
import { readdirSync } from "node:fs";
import { fileURLToPath } from "node:url";
import {
  boot,
  create_task,
  madvise,
  MADV_POPULATE_WRITE,
  MAP_ANONYMOUS,
  MAP_PRIVATE,
  MISUSE,
  MisuseError,
  misuse_reports,
  mmap,
  PROT_READ,
  PROT_WRITE,
  shutdown,
  vmstat,
  type Machine,
  type MisuseId,
} from "user-page";
import { describe, expect, test } from "vitest";
import type { Bench } from "../types-test/misuse/bench.js";

interface Pair {
  readonly wrong: (bench: Bench) => unknown;
  readonly right: (bench: Bench) => unknown;
}
const DEBUG = process.env["USER_PAGE_DEBUG"] === "1";
const SIZE = 1 << 16;
const boot_for_pair = () => boot({ mem: 16 << 20, CONFIG_DEBUG_USER_PAGE_REFERENCES: DEBUG });

const folder = new URL("../types-test/misuse/", import.meta.url);
const load = (id: string) => import(fileURLToPath(new URL(`${id}.ts`, folder))) as Promise<Pair>;
const ids = Object.keys(MISUSE) as MisuseId[];

/** Their reports are about a context, a lock, a number or a page whose count was set by hand: nothing was acquired. */
const NOTHING_ACQUIRED: readonly MisuseId[] = [
  "sleep-in-atomic",
  "lock-not-held",
  "lock-recursion",
  "not-a-handle",
  "page-is-free",
  "accessible-before-reference",
];

function noticed(id: MisuseId): boolean {
  const seen: readonly string[] = MISUSE[id].seen_by;
  return seen.includes("always") || (DEBUG && seen.includes("debug"));
}
function bench_of(machine: Machine): Bench {
  const current = create_task(machine);
  const flags = MAP_PRIVATE | MAP_ANONYMOUS;
  const buf = mmap(current, null, SIZE, PROT_READ | PROT_WRITE, flags)._unsafeUnwrap();
  madvise(current, buf, SIZE, MADV_POPULATE_WRITE)._unsafeUnwrap();
  return { machine, current, buf };
}
function thrown_by(program: () => unknown): unknown {
  try {
    program();
  } catch (error) {
    return error;
  }
  return undefined;
}

test("every misuse has a file, and every file is a misuse", () => {
  const files = readdirSync(folder).filter((name) => name !== "bench.ts");
  expect(files.sort()).toEqual(ids.map((id) => `${id}.ts`).sort());
});

describe.each(ids)("%s", (id) => {
  test(noticed(id) ? "is noticed, with its place" : "passes unnoticed", async () => {
    const { wrong } = await load(id);
    const machine = boot_for_pair();
    const bench = bench_of(machine);
    const error = thrown_by(() => wrong(bench));
    const reports = misuse_reports(machine);
    const { leaks, lost_pages } = shutdown(machine);
    if (!noticed(id)) {
      expect(error).toBeUndefined();
      expect(reports).toEqual([]);
      return;
    }
    const place = new RegExp(`at types-test/misuse/${id}\\.ts:\\d+:\\d+$`);
    if (id === "leak") {
      expect(error).toBeUndefined();
      expect(leaks.map(({ acquired_at }) => `at ${acquired_at}`)).toEqual([
        expect.stringMatching(place),
      ]);
      expect(lost_pages).toBe(1);
      return;
    }
    expect(error).toBeInstanceOf(MisuseError);
    const { report } = error as MisuseError;
    expect(report.id).toBe(id);
    expect(report.sentence).toBe(MISUSE[id].sentence);
    expect(String(error)).toContain(MISUSE[id].instead);
    if (DEBUG && !NOTHING_ACQUIRED.includes(id)) {
      const acquired = report.history.filter(({ what }) => what === "acquired");
      expect(acquired.map(({ at }) => `at ${at}`)).toEqual([expect.stringMatching(place)]);
    }
  });
  test("its correct twin is silent and leaves nothing", async () => {
    const { right } = await load(id);
    const machine = boot_for_pair();
    const bench = bench_of(machine);
    const { nr_free_pages } = vmstat(machine);
    expect(right(bench)).toBeUndefined();
    expect(vmstat(machine).nr_free_pages).toBe(nr_free_pages);
    expect(misuse_reports(machine)).toEqual([]);
    expect(shutdown(machine)).toEqual({ leaks: [], lost_pages: 0 });
  });
});
