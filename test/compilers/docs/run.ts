/** Runs a block of the documentation on a machine of its own. */
import { compileFunction } from "node:vm";
import * as neverthrow from "neverthrow";
import ts from "typescript";
import * as user_page from "user-page";
import type { Block } from "./blocks.js";
import { module_of } from "./compile.js";

const {
  boot,
  brd_alloc,
  copy_to_user,
  create_task,
  flush_work,
  IS_ERR,
  MAP_ANONYMOUS,
  MAP_PRIVATE,
  misuse_reports,
  MisuseError,
  mmap,
  PROT_READ,
  PROT_WRITE,
  shutdown,
} = user_page;

const BUF_BYTES = 64 << 10;
const DISK_BYTES = 1 << 20;
const MODULES = new Map<string, object>([
  ["user-page", user_page],
  ["neverthrow", neverthrow],
]);

const javascript = new Map<Block, string>();
function javascript_of(block: Block): string {
  const known = javascript.get(block);
  if (known !== undefined) return known;
  const { outputText } = ts.transpileModule(module_of(block), {
    compilerOptions: { target: ts.ScriptTarget.ES2022, module: ts.ModuleKind.CommonJS },
  });
  javascript.set(block, outputText);
  return outputText;
}
function require_module(name: string): object {
  const found = MODULES.get(name);
  if (!found) throw new Error(`the documentation imports ${name}`);
  return found;
}

export interface Outcome {
  /** what it printed */
  readonly output: readonly string[];
  /** the report that it threw */
  readonly report: string | null;
  /** what it left behind or returned that it should not have; null if all is well */
  readonly left: string | null;
}
/** One run, with debug mode on or off. */
export function run(block: Block, debug: boolean): Outcome {
  const machine = boot({
    mem: 16 << 20,
    CONFIG_DEBUG_USER_PAGE_REFERENCES: debug,
    reproduce: "npx user-page run driver.ts --debug",
  });
  const current = create_task(machine);
  const prot = PROT_READ | PROT_WRITE;
  const buf = mmap(current, null, BUF_BYTES, prot, MAP_PRIVATE | MAP_ANONYMOUS)._unsafeUnwrap();
  const bytes = Uint8Array.from({ length: BUF_BYTES }, (_, i) => (i * 7 + (i >> 12)) & 255);
  copy_to_user(current, buf, bytes)._unsafeUnwrap();
  const disk = brd_alloc(machine, DISK_BYTES);
  if (IS_ERR(disk)) throw new Error(disk.message);

  const output: string[] = [];
  const log = (...values: unknown[]): void => {
    output.push(values.map(String).join(" "));
  };
  const names = ["exports", "require", "machine", "current", "buf", "disk", "console"];
  const filename = "/example.ts";
  const load = compileFunction(javascript_of(block), names, { filename }) as (
    ...values: unknown[]
  ) => void;
  const loaded: { example?: () => unknown } = {};
  load(loaded, require_module, machine, current, buf, disk, { log });
  let report: string | null = null;
  let returned: unknown;
  try {
    returned = loaded.example!();
    flush_work(machine);
  } catch (error) {
    if (!(error instanceof MisuseError)) throw error;
    report = error.message;
  }
  const recorded = misuse_reports(machine).length;
  const { leaks, lost_pages } = shutdown(machine);
  const left =
    leaks.length + lost_pages + recorded > 0
      ? `${leaks.length} leaks (${leaks[0]?.acquired_by}), ${lost_pages} lost pages, ${recorded} reports`
      : failure_in(returned);
  return { output, report, left };
}
/** An example that ends with an error shows nothing. */
function failure_in(returned: unknown): string | null {
  if (IS_ERR(returned)) return `returned ${String(returned)}`;
  if (returned instanceof neverthrow.Err) return `returned ${String(returned.error)}`;
  return null;
}
/** A report as the documentation shows it: places and page frame numbers differ from run to run. */
export function without_places(report: string): string {
  return report
    .replace(/pfn \d+/g, "pfn N")
    .replace(/0x[0-9a-f]+/g, "0xN")
    .replace(/ at \S+:\d+:\d+/g, " at PLACE")
    .trimEnd();
}
