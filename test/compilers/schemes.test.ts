/** The tables of docs/accounting.md are what the schemes do; that they do what the page says is in ../schemes.test.ts. */
import { join } from "node:path";
import { expect, test } from "vitest";
import { ROOT } from "./docs/blocks.js";
import { ACCOUNTING_PAGE, accounting_page } from "./docs/schemes.js";

test(`${ACCOUNTING_PAGE} is fresh: node scripts/schemes-docs.mjs`, async () => {
  await expect(accounting_page()).toMatchFileSnapshot(join(ROOT, ACCOUNTING_PAGE));
});
