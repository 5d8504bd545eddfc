/** The writeback policies, each in every scenario: what has to go wrong does, and what this library recommends keeps all. */
import { readFileSync } from "node:fs";
import { fileURLToPath } from "node:url";
import { DEFAULT_POLICY, WRITEBACK_POLICIES, type PolicyName } from "user-page";
import { describe, expect, test } from "vitest";
import { verdict } from "../policies/run.js";
import { SCENARIOS } from "../policies/scenarios.js";
import { POLICIES, policy_table, run_all, with_table } from "../policies/table.js";
import { debug_mode } from "./fixtures.js";

const results = run_all(debug_mode);
const PAGE = fileURLToPath(new URL("../docs/pins-and-writeback.md", import.meta.url));
const of = (name: string, policy: PolicyName) => {
  const scenario = SCENARIOS.find((s) => s.name === name);
  if (!scenario) throw new Error(`no scenario "${name}"`);
  return results.get(scenario)!.get(policy)!;
};
/** Names of the scenarios in whose verdict this word stands. */
const where = (policy: PolicyName, word: string, unconverted = false): string[] =>
  SCENARIOS.filter(
    (s) => unconverted === (s.unconverted ?? false) && verdict(of(s.name, policy)).includes(word),
  ).map(({ name }) => name);

const DIRECT = ["direct READ, pages", "direct READ, extents"];
const FLUSHED = [
  "flushed under the device",
  "dirtied late",
  "full at release",
  "released in softirq",
  ...DIRECT,
];
const SYNCED = ["fsync() while pinned", "store before the checksum", "store after the checksum"];
const sorted = (names: readonly string[]): string[] => [...names].sort();

describe("hold, the recommended policy", () => {
  test("is the default", () => {
    expect(DEFAULT_POLICY).toBe("hold");
  });
  test.each(SCENARIOS.filter((s) => !s.unconverted))("keeps everything: $name", ({ name }) => {
    const outcome = of(name, "hold");
    expect(outcome).toMatchObject({ violated: [], torn: 0, lost: 0, refused: 0 });
    expect(outcome.reached).not.toBe(false);
    expect(outcome.written_pinned).toBe(0);
  });
  test("costs a copy for each fsync(), and pages that wait", () => {
    expect(of("fsync() while pinned", "hold")).toMatchObject({ copied: 1, skipped: 0 });
    expect(of("flushed under the device", "hold")).toMatchObject({ copied: 0, skipped: 1 });
    expect(of("long-term registration", "hold")).toMatchObject({ copied: 4, skipped: 4 });
  });
  test("needs a second block for fsync() of a pinned page, and says so when there is none", () => {
    expect(of("full at fsync()", "hold").errors).toEqual(["fsync: ENOSPC"]);
    for (const { name } of SCENARIOS) {
      if (name !== "full at fsync()") expect(of(name, "hold").errors).toEqual([]);
    }
  });
});

describe("Linux", () => {
  test.each(["ignore", "linux"] as const)(
    "%s writes pinned pages and dirties clean ones",
    (policy) => {
      const broken = [...FLUSHED, ...SYNCED, "full at fsync()"];
      if (policy === "ignore") broken.push("long-term registration");
      expect(sorted(where(policy, "O2"))).toEqual(sorted(broken));
      expect(sorted(where(policy, "O1"))).toEqual(sorted([...broken, "never dirtied"]));
      expect(sorted(where(policy, "lost"))).toEqual(sorted([...broken, "never dirtied"]));
      expect(where(policy, "torn")).toEqual(
        expect.arrayContaining(["flushed under the device", "store after the checksum", ...DIRECT]),
      );
    },
  );
  test("refuses the long-term registration since 6.5, and nobody else does", () => {
    const refusing = POLICIES.filter((policy) => of("long-term registration", policy).refused > 0);
    expect(refusing).toEqual(["linux"]);
    expect(WRITEBACK_POLICIES.linux.refuse_longterm).toBe(true);
  });
});

describe("half measures", () => {
  test("skip: fsync() writes in place", () => {
    expect(sorted(where("skip", "O1"))).toEqual(
      sorted([...SYNCED, "full at fsync()", "long-term registration"]),
    );
    expect(sorted(where("skip", "O2"))).toEqual(sorted(where("skip", "O1")));
  });
  test("bounce: the disk is whole, and the page is clean under the device", () => {
    expect(where("bounce", "O1")).toEqual([]);
    expect(where("bounce", "torn")).toEqual([]);
    expect(where("bounce", "O2").length).toBeGreaterThan(8);
    expect(where("bounce", "lost")).toEqual(expect.arrayContaining(where("bounce", "O2")));
  });
  test("no mkclean: dirty pages are prepared, and what is written is unstable", () => {
    expect(where("no mkclean", "O2")).toEqual([]);
    expect(where("no mkclean", "lost")).toEqual([]);
    expect(where("no mkclean", "torn")).toEqual(
      expect.arrayContaining(["store after the checksum", "pinned to be read"]),
    );
  });
  test("dirty on unpin: fsync() lies, and readers dirty", () => {
    expect(where("dirty on unpin", "not synced")).toEqual([
      "fsync() while pinned",
      "long-term registration",
    ]);
    expect(where("dirty on unpin", "O2")).toEqual(["read while clean"]);
    expect(where("dirty on unpin", "O1")).toEqual([]);
  });
});

describe("what was rejected fails as it was said to", () => {
  test("mapcount prevents nobody from dirtying a clean page", () => {
    expect(verdict(of("dirtied late", "mapcount"))).toEqual(["O1", "O2", "lost"]);
    expect(of("dirtied late", "mapcount").histories.at(-1)!.at(-1)).toMatch(
      /^folio_mark_dirty +page 0 of the file: dirty, no block is reserved, pinned to be written$/,
    );
  });
  test.each(["mapcount", "bounce late"] as const)(
    "%s: the copy comes after the checksum",
    (policy) => {
      for (const name of ["store before the checksum", "store after the checksum"]) {
        expect(of(name, policy)).toMatchObject({ torn: 1, copied: 1, written_pinned: 0 });
      }
      // Made in time, the same copy is whole.
      expect(of("store after the checksum", "bounce").torn).toBe(0);
    },
  );
  test("bounce late keeps O2: only the place of the copy is wrong", () => {
    expect(where("bounce late", "O2")).toEqual([]);
    expect(where("bounce late", "lost")).toEqual([]);
  });
  test("page_mkwrite on put: the disk is full after the DMA, or nobody may sleep", () => {
    expect(verdict(of("dirtied late", "page_mkwrite on put"))).toEqual(["O1"]);
    const lost = ["full at release", "released in softirq"];
    expect(where("page_mkwrite on put", "O2")).toEqual(lost);
    expect(where("page_mkwrite on put", "lost")).toEqual([...lost, "never dirtied"]);
  });
});

test("who takes plain references is lost under every policy", () => {
  for (const policy of POLICIES) {
    expect(where(policy, "O1", true)).toEqual(["plain reference"]);
    expect(of("plain reference", policy).torn).toBe(1);
  }
  const keeps_o2 = POLICIES.filter((policy) => where(policy, "O2", true).length < 2);
  expect(keeps_o2).toEqual(["page_mkwrite on put"]);
});
test.each(["truncated", "hole punched"])("%s: no policy lets the device into the file", (name) => {
  for (const policy of POLICIES) expect(verdict(of(name, policy))).toEqual([]);
});
test("pins-and-writeback.md says of each policy where it comes from", () => {
  const rows = readFileSync(PAGE, "utf8").matchAll(/^\| \**([a-z_ ]+?)\** +\| [^|]+ \|$/gm);
  const named = Array.from(rows, ([, name]) => name).filter((name) => name !== "policy");
  expect(named).toEqual(POLICIES);
});
test("pins-and-writeback.md is fresh: node scripts/policy-docs.mjs", async () => {
  const page = with_table(readFileSync(PAGE, "utf8"), policy_table(results));
  await expect(page).toMatchFileSnapshot(PAGE);
});
