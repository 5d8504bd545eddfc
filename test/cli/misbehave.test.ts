/** user-page run with drivers that throw, do not end, are no drivers or hide what they did. */
import { describe, expect, test } from "vitest";
import { document_of, project, user_page } from "./command.js";

describe("a driver that misbehaves", () => {
  const run = (text: string, ...args: string[]) =>
    user_page(project({ "d.ts": text }), "run", "d.ts", ...args);
  test("one that does not end is ended", async () => {
    const { code, err } = await run("export default () => { for (;;); };\n", "--timeout", "5");
    expect(code).toBe(3);
    expect(err).toContain(
      "user-page: d.ts did not end: nothing was heard for 5 s while running the driver",
    );
  });
  test("one that throws: what, and where in its source", async () => {
    const text =
      'interface Long {\n  a: 1;\n}\nexport default () => {\n  throw new Error("oh");\n};\n';
    const { code, out } = await run(text);
    expect(code).toBe(3);
    expect(out).toContain("the driver threw Error: oh\n  at        d.ts:5:9");
  });
  test("one that throws while it is loaded", async () => {
    const { code, err } = await run("export default () => 0;\nnull!.x;\n");
    expect(code).toBe(3);
    expect(err).toMatch(
      /d\.ts cannot be run: TypeError: .* at d\.ts:2:\d+; user-page check d\.ts says more/,
    );
  });
  test("one that is no module of this kind", async () => {
    for (const [text, why] of [
      [
        "export const x = 1;\n",
        /it exports no driver: `export default function \(world: DriverWorld\)/,
      ],
      ["export default 5;\n", /it exports default, which is a number and no function/],
      ['import "nowhere";\nexport default () => 0;\n', /Cannot find package 'nowhere'/],
      [
        "export default () => 0;\nexport const options = { mem: 100 };\n",
        /mem: 100 bytes are not 16 pages/,
      ],
    ] as const) {
      const { code, err } = await run(text);
      expect(err).toMatch(why);
      expect(code).toBeGreaterThan(1);
    }
  });
  test("one that is asynchronous is waited for", async () => {
    const text = `import { alloc_page, type DriverWorld } from "user-page";
export default async ({ current }: DriverWorld) => {
  await Promise.resolve();
  alloc_page(current);
};
`;
    const { code, out } = await run(text, "--debug");
    expect(code).toBe(1);
    expect(out).toContain("acquired  by alloc_page() in task 1 at d.ts:4:3");
  });
  test("one that is asynchronous is refused where every call is to fail", async () => {
    const text = "export default async () => { await Promise.resolve(); };\n";
    const { code, out, err } = await run(text, "--inject", "all");
    expect({ code, out }).toEqual({ code: 2, out: "" });
    expect(err).toMatch(
      /^user-page: d\.ts: the driver returned a promise, and --inject all takes one that has ended/m,
    );
  });
  test("one that fails though nothing was made to fail", async () => {
    const text = "export default () => -14;\n";
    const plain = await run(text);
    expect(plain.code).toBe(0);
    expect(plain.out).toContain("Nothing was found, but the driver failed");
    const { code, out } = await run(text, "--inject", "all");
    expect(code).toBe(1);
    expect(out).toMatch(/^failed: the driver fails though nothing was made to fail$/m);
    expect(out).toContain("driver    failed: it returned -14, where nothing was made to fail");
  });
  test("a verify() that answers later says nothing", async () => {
    const text = "export default () => 0;\nexport const verify = async () => true;\n";
    for (const args of [[], ["--inject", "all"]]) {
      const { code, out } = await run(text, ...args);
      expect(code).toBe(1);
      expect(out).toContain("verify() returned a promise: it has to answer at once");
    }
  });
  test("one with compile errors runs, and that is said", async () => {
    const { code, out } = await run('export default (): number => "text";\n');
    expect(code).toBe(0);
    expect(out).toMatch(
      /^note: 1 compile error, and it is run all the same; see user-page check d\.ts$/m,
    );
  });
  test("what it prints is not in the document", async () => {
    const cwd = project({ "d.ts": 'export default () => console.log("{ not json");\n' });
    const { code, json } = await document_of(cwd, "run", "d.ts", "--debug");
    expect(code).toBe(0);
    expect(json).toMatchObject({
      command: "run",
      driver: "d.ts",
      debug: true,
      reports: [],
      lost_pages: 0,
    });
  });
  test("an exception that a using block hides is told with its line", async () => {
    const text = `export default () => {
  using later = { [Symbol.dispose]() { throw new Error("of disposing"); } };
  throw new Error("of the driver");
};
`;
    for (const args of [[], ["--inject=all"]]) {
      const { code, out } = await run(text, ...args);
      expect(code).toBe(3);
      expect(out).toMatch(/Error: of the driver\n(.*\n)? {2}at {8}d\.ts:3:9$/m);
    }
  });
  test("a report that a using block hides is found", async () => {
    const text = `import { get_user_bvec, get_user_page, IS_ERR, ITER_DEST, put_user_page, type DriverWorld } from "user-page";
export default ({ current, buf }: DriverWorld) => {
  using later = { [Symbol.dispose]() { throw new Error("of disposing"); } };
  const page = get_user_page(current, buf, ITER_DEST);
  if (IS_ERR(page)) return page;
  const alias = page;
  put_user_page(page);
  put_user_page(alias);
};
export const options = { panic_on_warn: true };
`;
    // Where the pin fails, disposing hides nothing, and throws all the same.
    for (const [exit, ...args] of [[1], [3, "--inject=all"]] as const) {
      const { code, out } = await run(text, "--debug", ...args);
      expect(code).toBe(exit);
      expect(out).toMatch(/^\[double-release\] put_user_page\(\)/m);
      expect(out).toContain("at d.ts:8:3");
    }
  });
});
