/** user-page check, with each compiler: every misuse that types see, by its id, in a project of somebody else. */
import { readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { MISUSE, type MisuseId } from "user-page";
import { describe, expect, test } from "vitest";
import { COMPILERS, document_of, marked, project, project_of, ROOT, user_page } from "./command.js";

interface Found {
  readonly findings: ReadonlyArray<{
    readonly file: string;
    readonly line: number;
    readonly column: number;
    readonly id: string | null;
    readonly message: string;
    readonly sentence?: string;
  }>;
  readonly compiler: string;
  readonly config: string | null;
  readonly off: readonly string[];
}
const EXPECTED = /^\s*\/\/ @ts-expect-error .*\n/gm;
const folder = join(ROOT, "types-test/misuse");
const misuses = Object.fromEntries(
  readdirSync(folder).map((name) => [
    name,
    readFileSync(join(folder, name), "utf8").replace(EXPECTED, ""),
  ]),
);
const seen_by_types = (Object.keys(MISUSE) as MisuseId[]).filter((id) =>
  (MISUSE[id].seen_by as readonly string[]).includes("types"),
);
const mistakes = readFileSync(join(ROOT, "demo/drivers/mistakes.ts"), "utf8");

describe.each(Object.keys(COMPILERS))("TypeScript %s", (compiler) => {
  test("each misuse that types see has its id, at its line", async () => {
    const cwd = project({ ...misuses, "mistakes.ts": mistakes }, compiler);
    const drivers = [...Object.keys(misuses), "mistakes.ts"];
    const { code, json } = await document_of(cwd, "check", ...drivers);
    const { findings, compiler: by } = json as Found;
    expect(code).toBe(1);
    expect(by.startsWith(compiler)).toBe(true);
    const of_table = findings.filter(({ file }) => file !== "mistakes.ts");
    expect(of_table.map(({ file, id }) => [file, id]).sort()).toEqual(
      seen_by_types.map((id) => [`${id}.ts`, id]).sort(),
    );
    const lines = mistakes.split("\n").flatMap((line, i) => {
      const id = / \/\/ MISTAKE (\S+)/.exec(line)?.[1];
      return id === undefined ? [] : [[i + 1, id]];
    });
    const found = findings.filter(({ file }) => file === "mistakes.ts");
    expect(found.map(({ line, id }) => [line, id])).toEqual(lines);
    expect(found.every(({ id, sentence }) => sentence === MISUSE[id as MisuseId].sentence)).toBe(
      true,
    );
  });
});

const WRONG = `import { get_user_page, IS_ERR, ITER_DEST, put_page, type DriverWorld } from "user-page";

export default function driver({ current, buf }: DriverWorld) {
	const page = get_user_page(current, buf, ITER_DEST);
	if (IS_ERR(page)) return page;
	put_page(page);
}
`;
test("what a person reads", async () => {
  const { code, out, err } = await user_page(project({ "driver.ts": WRONG }), "check", "driver.ts");
  // A machine that is busy says what it does.
  expect(err.replace(/^\.\.\. .*\n/gm, "")).toBe("");
  expect(code).toBe(1);
  const lines = out.split("\n");
  expect(lines.slice(0, 7)).toEqual([
    "driver.ts:6:11",
    "  6 | put_page(page);",
    "    |          ^^^^",
    `  TS2345: Argument of type 'OwnedUserPage<"dest", "short">' is not assignable to parameter of type 'HeldPage'.`,
    "  [pin-to-put_page] a pinned user page was released as a plain page",
    "  instead   put_user_page(page), or put_user_bvec() for a range",
    expect.stringMatching(/^ {2}otherwise in Linux, put_page\(\) drops 1 of the 1024/),
  ]);
  expect(lines[7]).toMatch(
    /docs\/misuse\.md#pin-to-put_page, or: npx user-page explain pin-to-put_page$/,
  );
  expect(out).toContain("1 refused: 1 misuse of pages (TypeScript 7.0");
});
test("an error that is no misuse is printed as the compiler has it", async () => {
  const cwd = project({ "driver.ts": "export default (): string => ({ a: [1] }).a;\n" });
  const { code, out } = await user_page(cwd, "check", "driver.ts");
  expect(code).toBe(1);
  expect(out).toContain("TS2322: Type 'number[]' is not assignable to type 'string'.");
  expect(out).toContain("1 refused: 0 misuses of pages, 1 other error");
  expect(out).not.toContain("instead");
});
test.each(["casts.ts", "aliases.ts"])("%s has bugs that no type sees", async (name) => {
  const { code, out } = await user_page(project_of(name), "check", name);
  expect(out).toContain(`${name}: nothing is refused`);
  expect(code).toBe(0);
  expect(marked(name).size).toBeGreaterThan(1);
});

describe("configurations", () => {
  test("one that is not strict is named, since the rules are not followed then", async () => {
    const cwd = project({
      "driver.ts": WRONG,
      "tsconfig.json": '{ "compilerOptions": { "strict": false } }',
    });
    const { out } = await user_page(cwd, "check", "driver.ts");
    expect(out).toContain(
      'note: tsconfig.json has "strict" off (strictNullChecks, strictFunctionTypes)',
    );
  });
  test("without unchecked indexes only these are named", async () => {
    const cwd = project({
      "driver.ts": WRONG,
      "tsconfig.json": '{ "compilerOptions": { "strict": true } }',
    });
    const { json } = await document_of(cwd, "check", "driver.ts");
    expect((json as Found).off).toEqual(["noUncheckedIndexedAccess"]);
    expect((json as Found).config).toBe("tsconfig.json");
  });
  test("what is built for is no concern of a check", async () => {
    const options = {
      composite: true,
      declaration: true,
      isolatedDeclarations: true,
      outDir: "lib",
      tsBuildInfoFile: "x.tsbuildinfo",
      module: "nodenext",
      strict: true,
      noUncheckedIndexedAccess: true,
      types: [],
    };
    const config = `// comments are allowed\n{ "compilerOptions": ${JSON.stringify(options)}, "include": ["nowhere"], }`;
    const cwd = project({ "driver.ts": WRONG, "tsconfig.json": config });
    const { json } = await document_of(cwd, "check", "driver.ts");
    expect((json as Found).findings.map(({ id }) => id)).toEqual(["pin-to-put_page"]);
    expect(readdirSync(cwd).sort()).toEqual([
      "driver.ts",
      "node_modules",
      "package.json",
      "tsconfig.json",
    ]);
  });
  test("an error in a file that is imported is one of that file", async () => {
    const cwd = project({
      "driver.ts": 'import { n } from "./other.js";\nexport default (): number => n;\n',
      "other.ts": 'export const n: number = "1";\n',
    });
    const { json } = await document_of(cwd, "check", "driver.ts");
    expect((json as Found).findings.map(({ file, line }) => [file, line])).toEqual([
      ["other.ts", 1],
    ]);
  });
});
