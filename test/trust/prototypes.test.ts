/**
 * No prototype is forgotten: each folder of this repository is named here with the test that runs what is in it with debug mode
 * on, without a report, a leak or a lost page; and each file of such a folder is in that test.
 */
import { readdirSync, readFileSync } from "node:fs";
import { fileURLToPath } from "node:url";
import * as api from "user-page";
import { describe, expect, test } from "vitest";
import type { Transfer } from "../../demo/transfer.js";
import { fill_pattern, map_anon, must, pattern_of } from "../fixtures.js";
import { LEVELS } from "./world.js";

const ROOT = fileURLToPath(new URL("../../", import.meta.url));
const read = (path: string): string => readFileSync(ROOT + path, "utf8");
const folders = (path: string): string[] =>
  readdirSync(ROOT + path, { withFileTypes: true })
    .filter((entry) => entry.isDirectory() && !entry.name.startsWith("."))
    .map(({ name }) => name);
const sources = (path: string): string[] =>
  readdirSync(ROOT + path).filter((name) => name.endsWith(".ts"));

/** Where prototypes are, and which test runs them; "" where there are none. */
const FOLDERS: Readonly<Record<string, string>> = {
  bench: "",
  "call-sites": "test/call-sites/",
  cli: "",
  conform: "test/oracle/conform.test.ts",
  corpus: "test/corpus.test.ts",
  demo: "test/trust/prototypes.test.ts",
  docs: "test/compilers/docs.test.ts",
  policies: "test/policies.test.ts",
  schemes: "test/schemes.test.ts",
  scripts: "",
  src: "",
  test: "",
  "types-test": "test/misuse.test.ts",
  vitest: "",
};
/** What is built, measured or installed. */
const MADE: readonly string[] = ["coverage", "dist", "node_modules"];

test("every folder is known", () => {
  const found = folders("").filter((name) => !MADE.includes(name));
  expect(found.filter((name) => !(name in FOLDERS))).toEqual([]);
});

describe.each(folders("call-sites"))("call-sites/%s", (site) => {
  const text = read(`test/call-sites/${site}.test.ts`);
  const converted = read(`call-sites/${site}/converted.ts`);
  test("what is converted is run by its test", () => {
    expect(text).toContain(`call-sites/${site}/converted.js`);
    const functions = [...converted.matchAll(/^export (?:function|class|const) (\w+)/gm)];
    expect(functions.length).toBeGreaterThan(0);
    // What others of the file use is run by them.
    const called = (name: string): boolean =>
      (`${text}${converted}`.match(new RegExp(`\\b${name}\\b`, "g")) ?? []).length > 1;
    expect(functions.map(([, name]) => name!).filter((name) => !called(name))).toEqual([]);
  });
  test("on machines of the run's level, with nothing left", () => {
    expect(text).toMatch(/\bboot_for_test\b/);
    expect(text).toMatch(/left_over\([^)]*\)+\)\.toEqual\(NOTHING\)/);
  });
});

/** They are wrong on purpose: demo/misuse.ts and test/compilers say what each of them is. */
const WRONG = ["mistakes.ts"];
describe.each(sources("demo/drivers").filter((name) => !WRONG.includes(name)))(
  "demo/drivers/%s",
  (name) => {
    const LEN = 3 << 20;
    /** Memory that begins small, has a huge page in it, and ends in the middle of nothing. */
    function memory(current: api.Task): api.UserAddr {
      const buf = map_anon(current, 2 * LEN);
      const huge = api.u64_to_user_ptr(Math.ceil(buf / api.PMD_SIZE) * api.PMD_SIZE);
      api.madvise(current, huge, api.PMD_SIZE, api.MADV_HUGEPAGE)._unsafeUnwrap();
      return buf;
    }
    test.each(LEVELS)("there and back, level %s", async (level) => {
      const driver = (await import(`${ROOT}demo/drivers/${name}`)) as {
        readonly dio_read: Transfer;
        readonly dio_write: Transfer;
      };
      const machine = api.boot({ mem: 24 << 20, CONFIG_DEBUG_USER_PAGE_REFERENCES: level });
      const current = api.create_task(machine);
      const disk = must(api.brd_alloc(machine, LEN));
      const [from, to] = [memory(current), memory(current)];
      const bytes = fill_pattern(current, from, LEN);
      expect(driver.dio_write(current, disk, from, LEN, 0)._unsafeUnwrap()).toBe(LEN);
      expect(driver.dio_read(current, disk, to, LEN, 0)._unsafeUnwrap()).toBe(LEN);
      const back = new Uint8Array(LEN);
      api.copy_from_user(current, back, to)._unsafeUnwrap();
      expect(Buffer.compare(back, bytes)).toBe(0);
      api.flush_work(machine);
      expect(api.misuse_reports(machine)).toEqual([]);
      expect(api.shutdown(machine)).toMatchObject({ leaks: [], lost_pages: 0 });
    });
    test.each(LEVELS)("on a disk that fails half-way, level %s", async (level) => {
      const driver = (await import(`${ROOT}demo/drivers/${name}`)) as {
        readonly dio_read: Transfer;
      };
      const machine = api.boot({ mem: 24 << 20, CONFIG_DEBUG_USER_PAGE_REFERENCES: level });
      const current = api.create_task(machine);
      const good = must(api.brd_alloc(machine, 2 * LEN));
      const disk = api.dm_flakey(good, ({ nr }) => (nr >= 1 ? { error: "EIO" } : null));
      const to = map_anon(current, LEN);
      {
        // No two pages are adjacent: one bio does not hold them all.
        using _fragments = api.fragment_memory(machine, (index) => index % 2 === 1);
        api.copy_to_user(current, to, pattern_of(LEN))._unsafeUnwrap();
      }
      const read = driver.dio_read(current, disk, to, LEN, 0);
      expect(read.isErr() || read.value < LEN).toBe(true);
      // Behind what is mapped nothing is transferred, and nothing stays pinned.
      expect(driver.dio_read(current, good, to, 2 * LEN, 0).isErr()).toBe(true);
      api.flush_work(machine);
      expect(api.misuse_reports(machine)).toEqual([]);
      expect(api.shutdown(machine)).toMatchObject({ leaks: [], lost_pages: 0 });
    });
  },
);
