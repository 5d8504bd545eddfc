/** docs/fault-injection.md says of each capability and each finding what the code says. */
import { readFileSync } from "node:fs";
import { FAULT_CAPABILITIES, type FaultCapability, type FindingKind } from "user-page";
import { expect, test } from "vitest";

const page = readFileSync(new URL("../../docs/fault-injection.md", import.meta.url), "utf8");
/** Cells of the rows of the table under this heading, without its two first lines. */
function rows(heading: string): string[][] {
  const section = page.split(/^## /m).find((text) => text.startsWith(`${heading}\n`))!;
  const lines = section.split("\n").filter((line) => line.startsWith("|"));
  return lines.slice(2).map((line) =>
    line
      .split("|")
      .slice(1, -1)
      .map((cell) => cell.trim()),
  );
}
const cells = ([name, of]: [string, FaultCapability]): string[] => {
  const { sentence, sees, value, models } = of;
  const colon = value
    ? `${value.unit}, from ${value.least}; ${value.default} if it is not given`
    : "";
  return [`\`${name}\``, sentence, sees, colon, models === "(ours)" ? models : `\`${models}\``];
};

test("the table of capabilities", () => {
  expect(rows("What can fail")).toEqual(Object.entries(FAULT_CAPABILITIES).map(cells));
});
test("every kind of finding has its row", () => {
  const kinds: Record<FindingKind, true> = {
    leak: true,
    "double release": true,
    misuse: true,
    "lost pages": true,
    "data lost": true,
    threw: true,
    hung: true,
    failed: true,
    "not reached": true,
  };
  expect(rows("What is found").map(([name]) => name)).toEqual(
    Object.keys(kinds).map((kind) => `\`${kind}\``),
  );
});
