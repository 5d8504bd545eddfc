/** user-page explain, --help and --version; and what each command says to arguments that are wrong. */
import { FAULT_CAPABILITIES, MISUSE, type MisuseId } from "user-page";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { run_command } from "../../cli/commands.js";
import { HELP, HELP_OF } from "../../cli/help.js";
import { EXIT } from "../../cli/output.js";
import { VIEW_NAMES } from "../../cli/watch.js";
import { document_of, project, ROOT, user_page } from "./command.js";

const ids = Object.keys(MISUSE) as MisuseId[];
test("explain alone lists every id with its sentence", async () => {
  const { code, out } = await user_page(ROOT, "explain");
  expect(code).toBe(0);
  for (const id of ids) expect(out).toMatch(new RegExp(`^${id} +${MISUSE[id].sentence}$`, "m"));
});
test("explain shows a wrong and a right program, and what is said to the wrong one", async () => {
  const { code, out } = await user_page(ROOT, "explain", "double-release");
  expect(code).toBe(0);
  expect(out.split("\n")[0]).toBe(`[double-release] ${MISUSE["double-release"].sentence}`);
  for (const part of [
    "Wrong:",
    "// wrong: released above",
    "SpentUserPage",
    "ended ",
    "Right:",
    "function right",
  ])
    expect(out).toContain(part);
  expect(out).not.toContain("```");
});
test("the same as a document, for every id", async () => {
  const { json } = await document_of(ROOT, "explain");
  expect((json as { misuses: Array<{ id: string }> }).misuses.map(({ id }) => id)).toEqual(ids);
  const one = (await document_of(ROOT, "explain", "[leak]")).json as Record<string, string>;
  expect(one).toMatchObject({
    id: "leak",
    sentence: MISUSE.leak.sentence,
    page: "docs/misuse.md#leak",
  });
  expect(one["wrong"]).toContain("function wrong");
  expect(one["right"]).toContain("function right");
});

describe("help", () => {
  test("names what there is", () => {
    for (const name of Object.keys(HELP_OF)) expect(HELP).toContain(name);
    for (const name of Object.keys(FAULT_CAPABILITIES)) expect(HELP_OF.run).toContain(name);
    for (const name of VIEW_NAMES) expect(HELP_OF.run).toContain(name);
    for (const text of [HELP, ...Object.values(HELP_OF)])
      for (const code of Object.values(EXIT))
        expect(text).toMatch(new RegExp(`^  ${code}  \\w`, "m"));
  });
  test("fits a terminal", () => {
    const long = [HELP, ...Object.values(HELP_OF)]
      .join("\n")
      .split("\n")
      .filter((line) => line.length > 92);
    expect(long).toEqual([]);
  });
  test("the driver in it compiles and runs", async () => {
    const code = HELP.split("\n").filter((line) => /^ {2}(?!\S+ .*  )/.test(line));
    const first = code.findIndex((line) => line.includes("// driver.ts"));
    const last = code.findIndex((line, i) => i > first && line === "  }");
    const cwd = project({ "driver.ts": code.slice(first, last + 1).join("\n") });
    expect(await user_page(cwd, "check", "driver.ts")).toMatchObject({ code: 0 });
    expect(await user_page(cwd, "run", "driver.ts", "--debug", "--inject", "all")).toMatchObject({
      code: 0,
    });
  });
  test.each([
    [["--help"]],
    [["-h"]],
    [["help"]],
    [["run", "--help"]],
    [["--help", "explain"]],
    [["--version"]],
  ])("%s is fine", async (args) => {
    const { exit, out, err } = await run_command(args);
    expect({ exit, err }).toEqual({ exit: 0, err: "" });
    expect(out).toMatch(/^user-page|^usage|^\d+\.\d+/);
  });
});

describe("wrong arguments", () => {
  const cwd = project({ "data.json": "{}", "empty.ts": "" });
  const home = process.cwd();
  beforeAll(() => process.chdir(cwd));
  afterAll(() => process.chdir(home));
  test.each([
    [[], "which command? check, run, explain, conform"],
    [["chek", "empty.ts"], "no such command: chek; did you mean check?"],
    [["--verson"], "no such option: --verson; did you mean --version?"],
    [["check"], "which driver? user-page check DRIVER.ts"],
    [["check", "nope.ts"], "no such file: nope.ts"],
    [["check", "."], "not a file: ."],
    [["check", "data.json"], "not a TypeScript module: data.json; a driver is a file NAME.ts"],
    [
      ["run", "empty.ts", "data.json"],
      "one driver at a time: empty.ts, data.json; the bytes of the disk are given with --file",
    ],
    [["run", "empty.ts", "--debgu"], "no such option: --debgu; did you mean --debug?"],
    [
      ["run", "empty.ts", "--debug=full"],
      "--debug=full: a level is one of true, owners, tags, false",
    ],
    [
      ["run", "empty.ts", "--debug=tags", "--inject", "all"],
      "--inject all looks at every call, as --debug does: --debug=tags is for one run",
    ],
    [["run", "empty.ts", "--file", "nope"], "no such file: nope"],
    [
      ["run", "empty.ts", "--proc", "vmstta"],
      `no such view: vmstta; did you mean vmstat?; there are ${VIEW_NAMES.join(", ")}`,
    ],
    [
      ["run", "empty.ts", "--timeout", "soon"],
      "--timeout soon: a number of seconds above 0 is wanted",
    ],
    [
      ["explain", "pin_to_put_page"],
      'no such misuse: pin_to_put_page; did you mean pin-to-put_page? "user-page explain" lists them',
    ],
    [["explain", "xyzzyx"], 'no such misuse: xyzzyx; "user-page explain" lists them'],
    [["conform", "nope.json"], "no such file: nope.json"],
  ])("%s", async (args, message) => {
    const said = await run_command(args);
    expect(said).toMatchObject({ exit: 2, out: "" });
    expect(said.err.split("\n")[0]).toBe(`user-page: ${message}`);
    const document = await run_command([...args, "--json"]);
    expect(document).toEqual({
      exit: 2,
      err: "",
      out: JSON.stringify({ error: message, exit: 2 }),
    });
  });
  test("as the command prints them", async () => {
    const said = await user_page(cwd, "chek");
    expect(said).toMatchObject({ code: 2, out: "" });
    expect(said.err).toMatch(/^user-page: no such command: chek; did you mean check\?\n/);
  });
});
