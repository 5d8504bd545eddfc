// Writes docs/call-sites anew from call-sites: a page for each site and the index.  --check writes nothing and fails when one is stale.
import { existsSync, mkdirSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { fileURLToPath } from "node:url";

const root = fileURLToPath(new URL("..", import.meta.url));
const from = `${root}call-sites`;
const to = `${root}docs/call-sites`;

/** @param {string} path */
const read = (path) => readFileSync(path, "utf8").trimEnd();

/**
 * The facts at the head of about.md, a line each: `- kernel: …`.
 * @param {string} about
 * @param {string} name
 * @param {string} site
 */
function fact(about, name, site) {
  const found = new RegExp(`^- ${name}: (.+)$`, "m").exec(about);
  if (!found?.[1]) throw new Error(`call-sites/${site}/about.md has no line "- ${name}: …"`);
  return found[1];
}
/**
 * @param {string} site
 * @param {string} form
 */
const source = (site, form) =>
  `## ${form === "legacy" ? "Legacy" : "Converted"}\n\n[call-sites/${site}/${form}.ts](../../call-sites/${site}/${form}.ts)\n\n` +
  `\`\`\`ts\n${read(`${from}/${site}/${form}.ts`)}\n\`\`\`\n`;
/** @param {string} site */
function page(site) {
  const about = read(`${from}/${site}/about.md`);
  const tests = [`test/call-sites/${site}.test.ts`, `types-test/sites/${site}.ts`]
    .filter((path) => existsSync(root + path))
    .map((path) => `[${path}](../../${path})`);
  const shown = tests.length === 0 ? "" : `\n\nTests: ${tests.join(", ")}`;
  return `${about}${shown}\n\n${source(site, "legacy")}\n${source(site, "converted")}`;
}
/** @param {readonly string[]} sites */
function index(sites) {
  const rows = [["site", "kernel file", "hazard", "what the types refuse"]];
  for (const site of sites) {
    const about = read(`${from}/${site}/about.md`);
    const facts = ["kernel", "hazard", "refused"].map((name) => fact(about, name, site));
    rows.push([`[${site}](${site}.md)`, ...facts]);
  }
  const widths = rows[0]?.map((_, i) => Math.max(...rows.map((row) => row[i]?.length ?? 0))) ?? [];
  rows.splice(
    1,
    0,
    widths.map((width) => "-".repeat(width)),
  );
  const table = rows.map(
    (row) => `| ${row.map((cell, i) => cell.padEnd(widths[i] ?? 0)).join(" | ")} |`,
  );
  return (
    "# Call sites\n\nPlaces of the kernel people argued about, as small drivers: as they are or were, and converted to this API. Both forms run in\n" +
    "`test/call-sites` on real bytes. Generated from `call-sites`: `node scripts/call-site-docs.mjs`.\n\n" +
    `${table.join("\n")}\n`
  );
}

const sites = readdirSync(from, { withFileTypes: true })
  .filter((entry) => entry.isDirectory() && existsSync(`${from}/${entry.name}/about.md`))
  .map(({ name }) => name)
  .sort();
const pages = new Map(sites.map((site) => [`${site}.md`, page(site)]));
pages.set("README.md", index(sites));

if (process.argv.includes("--check")) {
  const there = existsSync(to) ? readdirSync(to) : [];
  const stale = [...pages].filter(
    ([name, text]) => !there.includes(name) || readFileSync(`${to}/${name}`, "utf8") !== text,
  );
  const left = there.filter((name) => !pages.has(name));
  for (const [name] of stale) console.error(`docs/call-sites/${name} is stale`);
  for (const name of left) console.error(`docs/call-sites/${name} has no call site`);
  if (stale.length + left.length > 0) {
    console.error("node scripts/call-site-docs.mjs");
    process.exitCode = 1;
  }
} else {
  rmSync(to, { recursive: true, force: true });
  mkdirSync(to, { recursive: true });
  for (const [name, text] of pages) writeFileSync(`${to}/${name}`, text);
}
