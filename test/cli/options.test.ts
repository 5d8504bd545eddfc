/** The command line: what is read, what is refused, and which name is suggested. */
import { expect, test } from "vitest";
import { read_options, suggestion, UsageError } from "../../cli/options.js";

const SHAPES = {
  json: "flag",
  debug: "optional",
  inject: "value",
  proc: "values",
  help: "flag",
} as const;
const refused = (...args: string[]): string => {
  try {
    read_options(args, SHAPES);
    return "accepted";
  } catch (error) {
    if (error instanceof UsageError) return error.message;
    throw error;
  }
};
test("options stand anywhere", () => {
  const args = [
    "a.ts",
    "--debug",
    "--inject",
    "all",
    "--proc",
    "vmstat,maps",
    "b.ts",
    "--proc=smaps",
    "--json",
  ];
  expect(read_options(args, SHAPES)).toEqual({
    options: {
      json: true,
      debug: true,
      inject: "all",
      proc: ["vmstat", "maps", "smaps"],
      help: false,
    },
    rest: ["a.ts", "b.ts"],
  });
});
test("an optional value needs an equals sign", () => {
  expect(read_options(["--debug=tags"], SHAPES).options.debug).toBe("tags");
  expect(read_options(["--debug", "tags"], SHAPES)).toMatchObject({
    options: { debug: true },
    rest: ["tags"],
  });
});
test("values may hold an equals sign, and what follows -- is no option", () => {
  expect(read_options(["--inject=a=b", "--", "--json"], SHAPES)).toMatchObject({
    options: { inject: "a=b", json: false },
    rest: ["--json"],
  });
});
test("defaults", () => {
  expect(read_options([], SHAPES).options).toEqual({
    json: false,
    debug: false,
    inject: undefined,
    proc: [],
    help: false,
  });
});
test.each([
  [["--jsn"], "no such option: --jsn; did you mean --json?"],
  [["--zzzzzz"], "no such option: --zzzzzz"],
  [["-x"], "no such option: -x"],
  [["--json=yes"], "--json takes no value"],
  [["--inject"], "--inject needs a value behind it"],
])("%s is refused", (args, message) => {
  expect(refused(...args)).toBe(message);
});
test("names with other separators, beginnings and slips are suggested", () => {
  const ids = ["pin-to-put_page", "double-release", "leak"];
  expect(suggestion("pin_to_put_page", ids)).toBe("; did you mean pin-to-put_page?");
  expect(suggestion("double", ids)).toBe("; did you mean double-release?");
  expect(suggestion("laek", ids)).toBe("; did you mean leak?");
  expect(suggestion("something-else-entirely", ids)).toBe("");
});
