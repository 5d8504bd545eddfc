/** `npm run bench`: measures every ratio that has a goal.  See README.md. */
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { parseArgs } from "node:util";
import { compile_c } from "./compilers.js";
import { SECTIONS, type Bench } from "./sections.js";
import { is_met, print_table, type Row } from "./table.js";
import { build_without_debug } from "./without_debug.js";

const USAGE = `bench [--quick] [--json] [section ...]
  --quick   fewer rounds
  --json    the rows as JSON
sections: ${Object.keys(SECTIONS).join(", ")}; all by default
`;

async function main(): Promise<void> {
  const { values, positionals } = parseArgs({
    options: {
      quick: { type: "boolean", default: false },
      json: { type: "boolean", default: false },
      help: { type: "boolean", default: false },
    },
    allowPositionals: true,
  });
  const unknown = positionals.find((name) => !(name in SECTIONS));
  if (values.help || unknown !== undefined) {
    process.stdout.write(unknown === undefined ? USAGE : `no section ${unknown}\n${USAGE}`);
    process.exitCode = unknown === undefined ? 0 : 2;
    return;
  }
  const started = performance.now();
  const programs = fileURLToPath(new URL(".", import.meta.url));
  const root = join(programs, "../..");
  const into = mkdtempSync(join(tmpdir(), "user-page-bench-"));
  try {
    const c = compile_c(root, into);
    if (c === null) process.stderr.write("no gcc: ratios to C are left out\n");
    const bench: Bench = {
      root,
      into,
      programs,
      programs_without_debug: build_without_debug(root, join(into, "without_debug")),
      c,
      effort: values.quick ? { sittings: 1, rounds: 3 } : { sittings: 3, rounds: 5 },
      type_rounds: values.quick ? 1 : 5,
      type_shapes: values.quick ? ["life"] : ["release", "life"],
    };
    const rows: Row[] = [];
    for (const [name, measure] of Object.entries(SECTIONS)) {
      if (positionals.length > 0 && !positionals.includes(name)) continue;
      process.stderr.write(`${name} ...\n`);
      rows.push(...(await measure(bench)));
    }
    const seconds = Math.round((performance.now() - started) / 1000);
    if (values.json) {
      const judged = rows.map((row) => ({ ...row, met: is_met(row) }));
      process.stdout.write(`${JSON.stringify({ seconds, rows: judged }, null, 2)}\n`);
    } else {
      process.stdout.write(`${print_table(rows)}\n${seconds} s\n`);
    }
  } finally {
    rmSync(into, { recursive: true, force: true });
  }
}
await main();
