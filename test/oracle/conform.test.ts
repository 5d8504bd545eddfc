/** The model does what a live Linux 6.18 kernel did, and the comparison would notice if it did not. */
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { afterAll, describe, expect, it } from "vitest";
import { compare, type Numbers, type Verdict } from "../../conform/compare.js";
import { parse } from "../../conform/parse.js";
import { summarize, to_json, to_text } from "../../conform/report.js";
import { read_rows, RowsError, to_row, type Row } from "../../conform/rows.js";
import { debug_mode } from "../fixtures.js";

const RECORDED = fileURLToPath(new URL("../../conform/linux-6.18-pins.json", import.meta.url));
const rows = read_rows(RECORDED);

/** A row that claims numbers no kernel can have counted. */
const row = (op: string, params: string, phase: string, fs = "ext4"): Row => ({
  op,
  params,
  phase,
  acquired: 999_999,
  released: 999_999,
  result: "?",
  deterministic: true,
  rule: "none",
  fs,
});
function only(verdicts: readonly Verdict[]): Verdict {
  expect(verdicts).toHaveLength(1);
  return verdicts[0]!;
}
function model_of(one: Row): Numbers {
  const verdict = only(compare([one], debug_mode));
  if (verdict.verdict === "not in scope") throw new Error(verdict.reason);
  if (typeof verdict.model === "string") throw new Error(verdict.model);
  return verdict.model;
}

describe("rows of a live kernel", () => {
  it("are reproduced, all that are in scope", { timeout: 240_000 }, () => {
    let told = 0;
    const verdicts = compare(rows, debug_mode, (done, of) => {
      expect([done, of]).toEqual([++told, rows.length]);
    });
    expect(told).toBe(rows.length);
    const summary = summarize(verdicts);
    const text = to_text(verdicts);
    console.log(text.slice(text.indexOf("\nall") + 1));
    expect(verdicts.filter(({ verdict }) => verdict === "mismatched")).toEqual([]);
    expect(summary.matched).toBeGreaterThanOrEqual(1199);
    for (const one of verdicts) {
      if (one.verdict === "not in scope") expect(one.reason).not.toBe("");
    }
  });
  it("cover every rule", () => {
    const in_scope = new Set(
      rows.filter((one) => !("reason" in parse(one))).map(({ rule }) => rule),
    );
    const rules = new Set(rows.map(({ rule }) => rule));
    expect([...rules].filter((rule) => !in_scope.has(rule)).sort()).toEqual([]);
  });
});

describe("the comparison", { timeout: 60_000 }, () => {
  // Every twenty-ninth row: of nearly all rules, in a second.
  const some = rows.filter((one, i) => i % 29 === 0 && !("reason" in parse(one)));
  it.each(["acquired", "released"] as const)("notices a wrong count of %s", (key) => {
    const wrong = some.map((one) => ({ ...one, [key]: one[key] + 1 }));
    expect(compare(wrong, debug_mode).every(({ verdict }) => verdict === "mismatched")).toBe(true);
  });
  it("notices a wrong result, and does not let it change the model's", () => {
    const wrong = some.map((one) => ({ ...one, result: "-1 EPERM" }));
    const verdicts = compare(wrong, debug_mode);
    for (const [i, one] of verdicts.entries()) {
      const { acquired, released, result } = some[i]!;
      expect(one).toMatchObject({
        verdict: "mismatched",
        model: { acquired, released, result },
      });
    }
  });
  it("does not read the numbers of a row to find its scenario", () => {
    for (const one of rows) {
      expect(parse({ ...one, acquired: 1, released: 2, result: "?", rule: "?" })).toEqual(
        parse(one),
      );
    }
  });
  it.each([
    ["O_DIRECT read", "7 pages aligned anon", "pread", 7, 7, "28672"],
    ["O_DIRECT read", "8 pages aligned anon", "pread", 8, 8, "32768"],
    ["O_DIRECT write", "7 pages @+512 anon", "pwrite", 8, 8, "28672"],
    ["O_DIRECT write from", "7 pages anon-untouched", "pwrite", 0, 0, "28672"],
    ["O_DIRECT write from", "7 pages thp-untouched", "pwrite", 7, 7, "28672"],
    ["O_DIRECT read", "misaligned: 4096 bytes @+24", "pread", 2, 2, "-1 EINVAL"],
    ["O_DIRECT read fault", "5 good pages then unmapped tail, of 9", "pread", 5, 5, "-1 EFAULT"],
    ["raw block device fault", "5 good of 9, loop dio=off", "pread", 5, 5, "20480"],
    ["O_DIRECT preadv", "12 iovecs x 512 packed in two pages", "preadv", 12, 12, "6144"],
    ["O_DIRECT preadv", "128 iovecs x 100 packed", "preadv", 131, 131, "12800"],
    ["O_DIRECT preadv gaps", "2 x 512 gap 100", "preadv", 2, 2, "-1 EINVAL"],
    ["O_DIRECT pwritev", "1025 iovecs x 512 SAME page", "pwritev", 0, 0, "-1 EINVAL"],
    ["O_DIRECT read", "misaligned: 2 MiB-8192 @+16 thp", "pread", 511, 511, "-1 EINVAL"],
    ["O_DIRECT read at EOF", "file 700 bytes, read 4096 at 4096", "pread", 0, 0, "0"],
    ["raw block device fault", "5 good of 300, loop dio=off", "pread", 5, 5, "-1 EFAULT"],
    ["AIO vectored in flight", "9 x 512 packed", "io_submit pwritev (in flight)", 9, 7, "1"],
    ["AIO vectored in flight", "9 x 512 packed", "completed", 0, 2, "4608"],
    ["AIO O_DIRECT read in flight", "7 pages thp", "io_submit (in flight)", 7, 0, "1"],
    ["AIO O_DIRECT read in flight", "7 pages thp", "completed", 0, 7, "28672"],
    ["io_uring REGISTER_BUFFERS", "1025 pages thp", "register", 1025, 1022, "0"],
    ["io_uring REGISTER_BUFFERS", "1025 pages thp", "unregister", 0, 3, "0"],
    ["process_vm_readv", "7 pages half unmapped", "process_vm_readv", 3, 3, "12288"],
    ["io_uring REGISTER_BUFFERS", "8 pages ext4 MAP_SHARED", "register", 1, 1, "-1 EFAULT"],
    [
      "io_uring REGISTER_BUFFERS",
      "8 pages ext4 MAP_SHARED untouched",
      "register",
      0,
      0,
      "-1 EFAULT",
    ],
    ["AF_XDP UMEM", "9 pages ext4 MAP_SHARED", "XDP_UMEM_REG", 0, 0, "-1 EFAULT"],
    ["io_uring RLIMIT_MEMLOCK min", "8 thp pages", "min RLIMIT_MEMLOCK in pages", 0, 0, "514"],
    [
      "io_uring RLIMIT_MEMLOCK",
      "limit 66 pages, 65 anon pages, no CAP_IPC_LOCK",
      "register",
      65,
      65,
      "-1 ENOMEM",
    ],
    ["O_DIRECT after fork", "7 pages COW-shared with parent", "pwrite by child", 8, 8, "28672"],
    ["O_DIRECT after fork", "300 pages, child already exited", "pwrite", 302, 302, "1228800"],
    [
      "O_DIRECT write from COW THP",
      "300 pages of a THP, fork, child exited",
      "pwrite",
      556,
      556,
      "1228800",
    ],
    ["O_DIRECT write from COW THP", "2 pages of a THP, fork, child alive", "pwrite", 4, 4, "8192"],
    ["process_vm_readv COW-shared remote", "9 pages", "process_vm_readv", 9, 9, "36864"],
    ["O_DIRECT read mTHP64K", "33 pages in 64K mTHP folios", "pread", 33, 33, "135168"],
    ["io_uring REGISTER mTHP64K", "33 pages in 64K mTHP folios", "register", 33, 30, "0"],
    ["io_uring REGISTER mTHP64K", "33 pages in 64K mTHP folios", "unregister", 0, 3, "0"],
    ["O_DIRECT over page cache", "7 pages cached", "pread", 7, 7, "28672"],
    ["O_DIRECT self-mapped file", "7 pages", "pwrite self-mapped", 7, 7, "28672"],
    ["in flight: munmap+close", "7 pages anon", "completed", 0, 7, "28672"],
    ["buffered read", "7 pages anon", "pread buffered", 0, 0, "28672"],
    ["buffered write", "5000 B @+100 anon", "pwrite buffered", 0, 0, "5000"],
    ["vmsplice", "7 pages untouched", "pipe drained", 0, 0, "28672"],
    ["pipe(O_DIRECT)", "7 pages", "write pipe", 0, 0, "28672"],
    ["pipe(O_DIRECT)", "7 pages", "read pipe", 0, 0, "4096"],
    ["char devices", "/dev/null 7 pages", "write", 0, 0, "28672"],
    ["char devices", "/dev/null 7 pages", "read", 0, 0, "0"],
    ["char devices", "/dev/zero 7 pages", "read", 0, 0, "28672"],
    ["tmpfs O_DIRECT", "7 pages @+100", "pread", 0, 0, "28672"],
    ["futex", "shared on anon", "FUTEX_WAKE", 0, 0, "0"],
    ["/proc/self/mem", "7 pages read", "read /proc/self/mem", 0, 0, "28672"],
    ["O_DIRECT read special", "vdso page", "pread", 0, 0, "-1 EFAULT"],
    ["io_uring READ_FIXED range", "past end", "READ_FIXED", 0, 0, "-1 EFAULT"],
  ] as const)(
    "answers what was never measured: %s, %s, %s",
    (op, params, phase, acquired, released, result) => {
      expect(model_of(row(op, params, phase))).toEqual({ acquired, released, result });
    },
  );
  it.each([
    ["O_DIRECT read", "7 pages aligned anon", "pread", 7, 7, "28672"],
    ["O_DIRECT read", "7 pages @+512 anon", "pread", 0, 0, "28672"],
    ["O_DIRECT read", "4097 B anon", "pread", 0, 0, "4097"],
    ["O_DIRECT write", "7 pages aligned anon", "pwrite", 0, 0, "28672"],
    ["O_DIRECT read into", "7 pages anon-untouched", "pread", 0, 0, "28672"],
    ["O_DIRECT read into", "7 pages anon-readtouched", "pread", 0, 0, "28672"],
    ["O_DIRECT mixed", "9 pages: first 2 touched, rest untouched", "pread", 9, 9, "36864"],
    ["O_DIRECT read fault", "5 good pages then unmapped tail, of 9", "pread", 5, 5, "20480"],
    ["O_DIRECT write fault", "5 good pages then unmapped tail, of 9", "pwrite", 0, 0, "20480"],
    ["O_DIRECT write fault", "0 good pages then unmapped tail, of 9", "pwrite", 0, 0, "-1 EFAULT"],
    ["O_DIRECT read extent", "6 pages, half written half hole", "pread", 3, 3, "24576"],
    ["O_DIRECT read at EOF", "file 9000 bytes, read 8192 at 4096", "pread", 2, 2, "4904"],
    ["O_DIRECT read at EOF", "file 2049 bytes, read 4096 at 0", "pread", 1, 1, "2049"],
    ["O_DIRECT read at EOF", "file 2048 bytes, read 4096 at 0", "pread", 0, 0, "2048"],
    ["O_DIRECT over page cache", "7 pages cached", "pread", 7, 7, "28672"],
  ] as const)("answers for btrfs: %s, %s, %s", (op, params, phase, acquired, released, result) => {
    const numbers = { acquired, released, result };
    expect(model_of(row(op, `${params} | btrfs`, phase, "btrfs"))).toEqual(numbers);
  });
  it("plays of btrfs what it knows", () => {
    const [verdict] = compare(
      [row("AIO O_DIRECT read in flight", "8 pages anon", "completed", "btrfs")],
      debug_mode,
    );
    expect(verdict).toMatchObject({ verdict: "not in scope" });
  });
  it.each([
    ["O_DIRECT append", "8 pages anon", "pwrite", /unknown to this runner/],
    ["O_DIRECT read", "8 pages anon", "a new phase", /unknown to this runner/],
    ["O_DIRECT read", "8 pages of silk", "pread", /"of silk" is not understood/],
    ["O_DIRECT read", "several pages", "pread", /no size/],
    ["O_DIRECT write", "8 pages after fork", "pwrite", /is not understood/],
    ["O_DIRECT after fork", "8 pages COW-shared with parent", "pread by parent", /who transfers/],
    ["io_uring RLIMIT_MEMLOCK min", "8 THPs", "min RLIMIT_MEMLOCK in pages", /which bytes/],
    ["io_uring READ_FIXED range", "@+512", "READ_FIXED", /how many bytes/],
    ["vmsplice", "16 pages wrapped as a gift", "vmsplice", /is not understood/],
    ["char devices", "/dev/full 8 pages", "write", /is not understood/],
    ["O_DIRECT read", "4096*300 @+16 anon", "pread", /which pages are neighbours/],
  ] as const)("leaves out what it does not understand: %s, %s, %s", (op, params, phase, reason) => {
    const [verdict] = compare([row(op, params, phase)], debug_mode);
    expect(verdict).toMatchObject({
      verdict: "not in scope",
      reason: expect.stringMatching(reason) as string,
    });
  });
  it("leaves out what the kernel itself answers now one way, now another", () => {
    const varies = { ...row("O_DIRECT read", "8 pages anon", "pread"), deterministic: false };
    expect(parse(varies)).toHaveProperty("reason");
  });
});

describe("a file of rows", () => {
  const folder = mkdtempSync(join(tmpdir(), "rows-"));
  afterAll(() => rmSync(folder, { recursive: true }));
  const file_with = (text: string): string => {
    const file = join(folder, "rows.json");
    writeFileSync(file, text);
    return file;
  };
  it.each([
    ["no JSON", "[{", /is no JSON/],
    ["no list", "{}", /no list of rows/],
    ["no object", "[1]", /row 1 is no object/],
    ["no operation", '[{"params": "", "phase": "", "acquired": 0, "released": 0}]', /"op"/],
    ["no count", '[{"op": "", "params": "", "phase": "", "acquired": -1}]', /"acquired"/],
  ])("is refused with a sentence: %s", (_, text, message) => {
    expect(() => read_rows(file_with(text))).toThrow(RowsError);
    expect(() => read_rows(file_with(text))).toThrow(message);
  });
  it("is refused when it is missing", () => {
    expect(() => read_rows(join(folder, "missing.json"))).toThrow(/cannot be read/);
  });
  it("may hold one phase only, and numbers as results", () => {
    const alone = to_row(
      {
        op: "io_uring REGISTER_BUFFERS",
        params: "512 pages thp",
        phase: "unregister",
        acquired: 0,
        released: 1,
        result: 0,
      },
      "here",
    );
    expect(only(compare([alone], debug_mode))).toMatchObject({ verdict: "matched" });
  });
  it("gives a report that names each mismatch and what the model did", () => {
    const verdicts = compare([row("O_DIRECT read", "8 pages anon", "pread")], debug_mode);
    expect(to_text(verdicts)).toContain("kernel 999999/999999, ?\n  model  8/8, 32768");
    expect(JSON.parse(to_json(verdicts))).toMatchObject({
      summary: { rows: 1, matched: 0, mismatched: 1, not_in_scope: 0 },
      rows: [{ verdict: "mismatched", model: { acquired: 8, released: 8, result: "32768" } }],
    });
  });
});
