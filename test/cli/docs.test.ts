/** docs/command.md: its driver is run with its commands, and what they print is what the page shows. */
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { FAULT_CAPABILITIES } from "user-page";
import { expect, test } from "vitest";
import { project, ROOT, user_page } from "./command.js";

const page = readFileSync(join(ROOT, "docs/command.md"), "utf8");
const driver = /^```typescript\n([^]*?)^```/m.exec(page)![1]!;
const shown = [...page.matchAll(/^```sh\nnpx user-page (.*)\n```\n\n```text\n([^]*?)^```/gm)];

/** Versions, page frames and the place of the package differ. */
const without_places = (text: string): string =>
  text
    .replace(/TypeScript \d+\.\d+\.\d+/g, "TypeScript N")
    .replace(/pfn \d+/g, "pfn N")
    .replace(/\S*docs\/misuse\.md/g, "docs/misuse.md");

test("there are commands, and every name is explained", () => {
  expect(shown.map(([, args]) => args!.split(" ")[0])).toEqual(["check", "run"]);
  for (const name of Object.keys(FAULT_CAPABILITIES)) expect(page).toContain(`| \`${name}\``);
});
test.each(shown.map(([, args, text]) => [args!, text!]))("user-page %s", async (args, text) => {
  const { code, out } = await user_page(project({ "driver.ts": driver }), ...args.split(" "));
  expect(code).toBe(1);
  expect(without_places(out)).toBe(without_places(text));
});
