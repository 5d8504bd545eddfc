// The main job: check a driver, run it, and show what the mistakes of today would have done.
// npm start [-- DRIVER.ts] [FILE]
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { MISUSE } from "user-page";
import type { Compiled } from "../cli/compile.js";
import { load_driver } from "../cli/load.js";
import { in_package, shown } from "../cli/root.js";
import { arguments_of } from "./arguments.js";
import { compile_drivers, findings_of, marked_mistakes, user_of } from "./check.js";
import { explained, transfer_of } from "./load.js";
import { bytes_of_others_overwritten, pages_lost, report_of } from "./misuse.js";
import { move } from "./move.js";

const DEFAULT_BYTES = 6 * 1024 * 1024 + 1000;
let failures = 0;
/** Every statement that must hold is printed, with what was seen. */
function expect(holds: boolean, statement: string): void {
  if (!holds) failures++;
  console.log(`  ${holds ? "ok  " : "FAIL"}  ${statement}`);
}
const heading = (text: string): void => {
  console.log(`\n${text}\n`);
};
const n = (value: number): string => value.toLocaleString("en-US");

const default_file_of = (folder: string): string => join(folder, "data");
/** Bytes that differ everywhere, the same in every run. */
function default_file(folder: string): string {
  const bytes = new Uint8Array(DEFAULT_BYTES);
  for (let i = 0, x = 1; i < bytes.length; i++) {
    x = (Math.imul(x, 1664525) + 1013904223) | 0;
    bytes[i] = x >>> 24;
  }
  const file = default_file_of(folder);
  writeFileSync(file, bytes);
  return file;
}
function check_driver({ diagnostics }: Compiled, driver: string, mistakes: string): boolean {
  heading(`1. The compiler reads ${shown(driver)}`);
  const own = diagnostics.filter(({ file }) => file !== mistakes || driver === mistakes);
  const found = findings_of(own, driver);
  for (const { line, source, message } of found)
    console.log(`  ${line}: ${source}\n      ${message}`);
  expect(found.length === 0, "it compiles, and exports what demo/transfer.ts says");
  return found.length === 0;
}
function check_mistakes({ diagnostics }: Compiled, mistakes: string): void {
  heading(`   and ${shown(mistakes)}: the same driver with mistakes that C accepts`);
  const marked = marked_mistakes(mistakes);
  const own = diagnostics.filter(({ file }) => file === mistakes);
  const found = findings_of(own, mistakes);
  for (const { line, source, message } of found) {
    console.log(`  ${line}: ${source.replace(/ \/\/ MISTAKE.*/, "")}`);
    console.log(`      ${message}`);
    const id = marked.get(line);
    console.log(`      [${id ?? "not marked"}] ${id === undefined ? "" : MISUSE[id].sentence}\n`);
  }
  const lines = new Set(found.map(({ line }) => line));
  const all = lines.size === marked.size && [...marked.keys()].every((line) => lines.has(line));
  expect(all, `each of the ${marked.size} mistakes is refused, and nothing else is`);
}
async function run_driver(
  driver: string,
  out: string,
  file: string,
  folder: string,
): Promise<void> {
  const name = file === default_file_of(folder) ? "a file" : shown(file);
  heading(`2. The driver moves ${name}: disk, user memory, disk`);
  const exports = await load_driver(driver, out);
  const read = transfer_of(exports, "dio_read");
  const write = transfer_of(exports, "dio_write");
  const moved = move(read, write, file, join(folder, "copy"));
  const [of_file, of_memory, of_copy] = moved.sums;
  console.log(
    `  ${n(moved.bytes)} bytes in ${n(moved.pages)} pages, half of them in ${n(moved.huge_pages)} huge page(s),`,
  );
  console.log("  the others scattered; there and back:\n");
  console.log("                          handles kept   references taken and dropped");
  for (const [name, way] of [
    ["one per page", moved.single_pages],
    ["one per extent", moved.extents],
  ] as const) {
    console.log(
      `  ${name.padEnd(20)}${n(way.handles).padStart(16)}${n(way.references).padStart(31)}`,
    );
  }
  console.log(`\n  SHA-256 of the file     ${of_file}`);
  expect(of_memory === of_file, `user memory, from it    ${of_memory}`);
  expect(of_copy === of_file, `the copy, from memory   ${of_copy}`);
  expect(moved.leaks === 0, "every page came back");
}
async function run_mistakes(mistakes: string, out: string): Promise<void> {
  const exports = await load_driver(mistakes, out);
  const puts = transfer_of(exports, "dio_write_puts");
  const early = transfer_of(exports, "dio_read_early");
  heading("3. Two mistakes, forced past the compiler, in debug mode");
  for (const transfer of [puts, early]) {
    const report = report_of(transfer);
    console.log((report ?? "no report").replace(/^/gm, "  "));
    expect(report !== null, `${transfer.name}() is reported\n`);
  }
  heading("   and without it, as Linux would run them");
  const { of: pages, lost } = pages_lost(puts);
  expect(lost === pages, `dio_write_puts(): ${lost} of ${pages} pages never come back`);
  const { of: bytes, overwritten } = bytes_of_others_overwritten(early);
  const damage = `dio_read_early(): ${n(overwritten)} of ${n(bytes)} bytes of another task overwritten`;
  expect(overwritten > 0, damage);
}

/** A part that throws has failed; the others run all the same. */
async function attempt(driver: string, part: () => Promise<void>): Promise<void> {
  try {
    await part();
  } catch (error) {
    const why = explained(error, driver).replaceAll("\n", "\n        ");
    expect(false, `${shown(driver)} runs to its end\n        ${why}`);
  }
}

const given = arguments_of(process.argv.slice(2));
const folder = mkdtempSync(join(tmpdir(), "user-page-"));
try {
  const driver = given.driver ?? in_package("demo/drivers/dio.ts");
  const file = given.file ?? default_file(folder);
  const mistakes = in_package("demo/drivers/mistakes.ts");
  using compiled = await compile_drivers(driver, user_of(driver, folder), mistakes);
  const { out } = compiled;
  const compiles = check_driver(compiled, driver, mistakes);
  check_mistakes(compiled, mistakes);
  if (compiles) await attempt(driver, () => run_driver(driver, out, file, folder));
  else heading(`2. ${shown(driver)} is not run, because of what the compiler says`);
  await attempt(mistakes, () => run_mistakes(mistakes, out));
} finally {
  rmSync(folder, { recursive: true });
}
console.log(failures === 0 ? "\nAll of it held." : `\n${failures} statement(s) did not hold.`);
process.exitCode = failures === 0 ? 0 : 1;
