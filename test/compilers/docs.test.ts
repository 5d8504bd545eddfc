/** The documentation is code too: every block compiles, runs, and shows what really happens. */
import { existsSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import {
  anchors_of,
  blocks_of,
  GENERATED,
  pages,
  promised_errors,
  promised_output,
  relative_links,
  ROOT,
  type Block,
} from "./docs/blocks.js";
import { compile, exports_of_index, ordered } from "./docs/compile.js";
import { misuse_page } from "./docs/misuse.js";
import { run, without_places } from "./docs/run.js";

const api = exports_of_index();
const written = pages()
  .filter((page) => page !== GENERATED)
  .flatMap(blocks_of);
const blocks: readonly Block[] = [...written, ...api.flatMap(({ examples }) => examples)];
const complaints = compile(blocks);
const of_mode = (...modes: string[]): Block[] => blocks.filter(({ mode }) => modes.includes(mode));

// Examples open files by relative names.
const home = process.cwd();
const folder = mkdtempSync(join(tmpdir(), "user-page-docs-"));
beforeAll(() => {
  writeFileSync(join(folder, "disk.img"), new Uint8Array(1 << 20));
  process.chdir(folder);
});
afterAll(() => {
  process.chdir(home);
  rmSync(folder, { recursive: true });
});

describe("compiles", () => {
  test.each(of_mode("run", "compile", "report"))("$where", (block) => {
    expect(complaints.get(block)).toEqual([]);
  });
});
describe("is refused as it says", () => {
  test.each(of_mode("error"))("$where", (block) => {
    const promised = promised_errors(block.code);
    const found = complaints.get(block)!;
    expect(promised.size).toBeGreaterThan(0);
    expect(found.map(({ line }) => line)).toEqual([...promised.keys()]);
    for (const { line, text } of found)
      expect(ordered(text)).toContain(ordered(promised.get(line)!));
  });
});
describe("runs and leaves nothing behind", () => {
  describe.each([true, false])("debug mode %s", (debug) => {
    test.each(of_mode("run"))("$where", (block) => {
      const { output, report, left } = run(block, debug);
      expect(report).toBeNull();
      expect(left).toBeNull();
      const promised = promised_output(block.code);
      if (promised.length > 0) expect(output).toEqual(promised);
    });
  });
});
describe("is reported as it shows", () => {
  test.each(of_mode("report"))("$where", (block) => {
    const { report } = run(block, true);
    expect(report).not.toBeNull();
    if (block.shown !== null) {
      expect(without_places(report!)).toBe(without_places(block.shown));
    }
  });
});

/** Who hands out something that has to be given back, by the signature. */
const ACQUIRES =
  /Owned\w+|PinResult|: (Machine|Fragmentation)$|Scope<|BlockDevice \||Memfd \||pages: Page\[\]/;
const acquires = (signature: string): boolean =>
  ACQUIRES.test(signature) && !signature.includes(": pages is ");
const functions = api.filter(({ signature }) => signature !== null);
describe("docstrings", () => {
  test("there is an API", () => {
    expect(functions.length).toBeGreaterThan(100);
  });
  test.each(functions)("$name() says what it does", ({ docs }) => {
    expect(docs.length).toBeGreaterThan(20);
  });
  test.each(functions)("$name() says what it models, or that it is ours", ({ docs }) => {
    expect(docs).toMatch(/\bModels\s+\S|\(ours\b/);
  });
  test.each(functions.filter(({ signature }) => acquires(signature!)))(
    "$name() shows how to give back what it hands out",
    ({ examples }) => {
      expect(examples.length).toBeGreaterThan(0);
    },
  );
});
test(`${GENERATED} is fresh: node scripts/misuse-docs.mjs`, async () => {
  await expect(await misuse_page()).toMatchFileSnapshot(join(ROOT, GENERATED));
});
test.each(pages())("links of %s lead somewhere", (page) => {
  const broken = relative_links(page).filter((link) => {
    const [file, anchor] = link.split("#") as [string, string | undefined];
    const target = file === "" ? page : join(dirname(page), file);
    if (!existsSync(join(ROOT, target))) return true;
    return anchor !== undefined && !anchors_of(target).has(anchor);
  });
  expect(broken).toEqual([]);
});
