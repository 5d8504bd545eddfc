/**
 * What the compilers say to the corpus of real bugs: each program that its table calls refused is refused once, with a
 * pinned first line, and nothing else is.  What the machine says is in ../corpus.test.ts.
 */
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { describe, expect, test } from "vitest";
import { BUGS, SHAPES } from "../../corpus/index.js";
import { compile, COMPILER_NAMES, ROOT } from "./compile.js";
import messages from "./corpus.json" with { type: "json" };
import { CORPUS_PAGE, corpus_page } from "./docs/corpus.js";

/** A second form stands beside the first where compilers differ. */
const pinned: Partial<Record<string, string | string[]>> = messages;
const folder = join(ROOT, "corpus");
const files = [...[...BUGS, ...SHAPES].map(({ name }) => `${name}.ts`), "bench.ts"];
const marked = new Map(files.map((name) => [name, readFileSync(join(folder, name), "utf8")]));
const EXPECTED = /^\s*\/\/ @ts-expect-error .*\n/gm;
const unmarked = new Map(Array.from(marked, ([name, text]) => [name, text.replace(EXPECTED, "")]));
/** In `wrong`, or in its stricter form. */
const refused = BUGS.filter(
  ({ verdict, stricter }) => verdict === "types" || stricter !== undefined,
).map(({ name }) => name);

describe.each(COMPILER_NAMES)("TypeScript %s", (compiler) => {
  const { errors } = compile(compiler, unmarked);
  test.each(refused)("%s", (name) => {
    const found = errors.get(`${name}.ts`);
    expect(found).toHaveLength(1);
    expect([pinned[name]].flat()).toContain(found![0]);
  });
  test("nothing else is refused", () => {
    expect([...errors.keys()].sort()).toEqual(refused.map((name) => `${name}.ts`).sort());
  });
});

test("a line is pinned for each that is refused, and for no other", () => {
  expect(Object.keys(pinned).sort()).toEqual([...refused].sort());
});
/**
 * An array of the user's own takes handles by the type people write, which has an optional key, and so have handles of
 * another kind in such an array: TypeScript adds advice to its first sentence, and a number of its own.
 */
const WITH_ADVICE: readonly string[] = ["B56-gro-mixes-pool-and-ref-frags"];
test("no message advises to weaken a type, shows an intersection or ends in never", () => {
  const bad = Object.keys(pinned).filter((name) =>
    / & |'never'|exactOptional|No overload/.test([pinned[name]].flat().join()),
  );
  expect(bad).toEqual(WITH_ADVICE);
});

describe.each(COMPILER_NAMES)("TypeScript %s, without exactOptionalPropertyTypes", (compiler) => {
  const { errors } = compile(compiler, marked, { exactOptionalPropertyTypes: false });
  test("refuses the same and nothing else", () => {
    expect(Object.fromEntries(errors)).toEqual({});
  });
});

test("an index that may be out of range is refused by an option, and nothing else depends on it", () => {
  const { errors } = compile("7.0", unmarked, { noUncheckedIndexedAccess: false });
  const needed = BUGS.filter(({ needs }) => needs !== undefined).map(({ name }) => name);
  const found = [...errors.keys()].map((file) => file.replace(".ts", ""));
  expect([...found, ...needed].sort()).toEqual([...refused].sort());
});

test(`${CORPUS_PAGE} is fresh: node scripts/corpus-docs.mjs`, async () => {
  await expect(corpus_page()).toMatchFileSnapshot(join(ROOT, CORPUS_PAGE));
});
