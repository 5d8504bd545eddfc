/** docs/call-sites is generated, and fresh. */
import { spawnSync } from "node:child_process";
import { existsSync, readdirSync, readFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { expect, test } from "vitest";
import { relative_links, ROOT } from "./docs/blocks.js";

const PAGES = readdirSync(join(ROOT, "docs/call-sites")).map((name) => `docs/call-sites/${name}`);

test("docs/call-sites is fresh: node scripts/call-site-docs.mjs", () => {
  const script = join(ROOT, "scripts/call-site-docs.mjs");
  const { status, stderr } = spawnSync(process.execPath, [script, "--check"], { encoding: "utf8" });
  expect(stderr).toBe("");
  expect(status).toBe(0);
});
test.each(PAGES)("links of %s lead somewhere", (page) => {
  const links = relative_links(page);
  expect(links.length).toBeGreaterThan(0);
  expect(links.filter((link) => !existsSync(join(ROOT, dirname(page), link)))).toEqual([]);
});
const SITES = PAGES.filter((page) => !page.endsWith("README.md")).map((page) =>
  page.slice("docs/call-sites/".length, -".md".length),
);
test.each(SITES)("call-sites/%s imports only user-page", (site) => {
  for (const form of ["legacy", "converted"]) {
    const source = readFileSync(join(ROOT, `call-sites/${site}/${form}.ts`), "utf8");
    const imported = [...source.matchAll(/^(?:import|\}).* from "([^"]+)"/gm)].map(
      (found) => found[1]!,
    );
    expect(imported).toContain("user-page");
    expect(imported.filter((name) => name !== "user-page" && !name.startsWith("./"))).toEqual([]);
  }
});
