/** What user-page/vitest says to tests that are wrong: each fails with the report, at the line it is about. */
import { spawnSync } from "node:child_process";
import { readFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { beforeAll, expect, test } from "vitest";
import { command_of } from "../../vitest/reproduce.js";
import { ROOT, run_specs, type Result } from "./run_specs.js";

const SPEC = "test/vitest_entry/specs/wrong.spec.ts";
/** As reports name it: seen from where vitest was started. */
const SHOWN = "wrong.spec.ts";
const lines = readFileSync(join(ROOT, SPEC), "utf8").split("\n");
const line_of = (mark: string): number =>
  lines.findIndex((line) => line.endsWith(`// ${mark}`)) + 1;

let answers: Map<string, Result>;
beforeAll(async () => {
  answers = await run_specs(join(ROOT, dirname(SPEC)));
}, 120_000);
/** The failure of a test: vitest gives its message and its stack.  Most have one. */
function failure_of(title: string, nr = 1): string {
  const { status, messages } = answers.get(title)!;
  expect(status).toBe("failed");
  expect(messages).toHaveLength(nr);
  return messages.at(-1)!;
}

test.each([
  ["leaks", "[leak] at the end of the test 1 reference is held"],
  ["releases twice", "[double-release] put_user_page(): a handle was released a second time"],
  ["is recorded", "[page-to-put_user_page] put_user_page(): a plain page was released"],
  ["misuses in the end", "[bio-reused] submit_bio()"],
  ["fails by itself", "expected 'own failure' to be 'another'"],
  ["expects balance", "expected the machine to hold nothing (2 pins), and 2 references are held"],
  ["expects no balance", "expected the machine to hold something, and it holds nothing"],
  [
    "counts pins",
    "expected the page to have 2 pins, and it has 1; of all pins 1 reference is held",
  ],
  [
    "expects another report",
    "expected the function to report [double-release], and this was reported:\n\n[page-to-put_user_page]",
  ],
  [
    "expects a report",
    "expected the function to report [leak] (a reference was never released), and nothing was reported",
  ],
  [
    "expects no such report",
    "expected the function not to report [page-to-put_user_page], and it was reported",
  ],
  ["throws something else", "no misuse"],
])("%s", (title, message) => {
  const failure = failure_of(title);
  expect(failure).toContain(message);
  // The stack, whose first line outside of the library vitest shows.
  expect(failure).toMatch(
    new RegExp(`wrong\\.spec\\.ts:${line_of(`LINE ${title}`)}:\\d+\\)?$`, "m"),
  );
  if (line_of(`HELD ${title}`) > 0)
    expect(failure).toContain(`in task 1 at ${SPEC}:${line_of(`HELD ${title}`)}:`);
});
test("what was recorded before a test failed by itself is said too", () => {
  const failure = failure_of("is recorded, and then fails", 2);
  expect(failure).toContain("[double-release] put_page(): a handle was released a second time");
  expect(failure).toMatch(/wrong\.spec\.ts:\d+:\d+$/m);
});
test("what is lost without debug mode is found too", () => {
  const lost = "1 page never came back, and no handle of them is held";
  expect(failure_of("is lost")).toContain(lost);
  // What was thrown has done no damage.
  expect(failure_of("is lost beside a misuse that was meant")).toContain(lost);
});
test("a report says how to run its test again", () => {
  expect(failure_of("releases twice")).toContain(
    `reproduce npx vitest run ${SHOWN} -t '^releases twice$'`,
  );
});
test("a machine of its own for each test, shut down also when the test failed or did it itself", () => {
  expect(answers.get("comes after")).toEqual({ status: "passed", messages: [] });
  expect(answers.get("has shut down itself")).toEqual({ status: "passed", messages: [] });
});
test.each([
  ["swallows it", 1],
  ["swallows it, and shuts down itself", 1],
  ["releases twice", 1],
  ["is recorded", 1],
])("%s: fails with its report once", (title, times) => {
  const [headline] = /^\[[a-z_-]+\] \w+\(\): /.exec(failure_of(title).replace(/^\w+: /, ""))!;
  expect(failure_of(title).split(`\n    at `)[0]!.split(headline)).toHaveLength(times + 1);
});
test("a swallowed one is none of those that were expected", () => {
  expect(failure_of("expects another than it swallows")).toContain("[double-release] put_page()");
});
test("a concurrent test keeps its own reports", () => {
  expect(answers.get("expects its own")).toEqual({ status: "passed", messages: [] });
  expect(failure_of("has its own, which nobody expects")).toContain("[page-to-put_user_page]");
  expect(answers.get("asks with the expect of all tests")!.messages[0]).toContain(
    "in a concurrent test take `expect` from the context of the test",
  );
});
test("the command of a report runs its test and no other, whatever its name is", () => {
  const title = [...answers.keys()].find((name) => name.endsWith("too"))!;
  const [, command] = /^ {2}reproduce {1,2}npx vitest run (.*)$/m.exec(failure_of(title))!;
  const vitest = `"${process.execPath}" "${join(ROOT, "node_modules/vitest/vitest.mjs")}"`;
  const config = join(ROOT, "test/vitest_entry/specs.config.ts");
  const { stdout } = spawnSync("sh", ["-c", `${vitest} run --config "${config}" ${command}`], {
    cwd: join(ROOT, dirname(SPEC)),
    encoding: "utf8",
  });
  const { testResults } = JSON.parse(stdout.slice(stdout.indexOf("{"))) as {
    testResults: Array<{ assertionResults: Array<{ title: string; status: string }> }>;
  };
  const ran = testResults
    .flatMap(({ assertionResults }) => assertionResults)
    .filter(({ status }) => status === "passed" || status === "failed");
  expect(ran.map((one) => one.title)).toEqual([title]);
}, 120_000);
test.each([
  ["a.test.ts", { name: "x" }, "a.test.ts -t '^x$'"],
  ["a b's.test.ts", { name: "it's" }, "'a b'\\''s.test.ts' -t '^it'\\''s$'"],
  ["$a`.ts", { name: "a`$!b" }, "'$a`.ts' -t '^a`\\$!b$'"],
  ["a.ts", { name: "c", suite: { name: "b.", suite: { name: "a" } } }, "a.ts -t '^a b\\. c$'"],
])("of %s, %j: %s", (file, named, command) => {
  expect(command_of(file, named)).toBe(`npx vitest run ${command}`);
});
