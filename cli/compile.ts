// Runs the user's own compiler as a program over drivers, and reads what it prints.
import { spawn } from "node:child_process";
import { mkdtempSync, realpathSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join, resolve } from "node:path";
import { find_compiler, is_too_old, OLDEST, type Compiler } from "./compiler.js";
import { find_config, LIBRARY_IS_READ, RULES, write_config } from "./tsconfig.js";

/** There is no compiler, or it does not run. */
export class CompilerError extends Error {
  override readonly name = "CompilerError";
}
export interface Diagnostic {
  /** absolute; null for what concerns no file */
  readonly file: string | null;
  /** 1 and more, 0 if it has no position */
  readonly line: number;
  readonly column: number;
  readonly code: string;
  /** first line of the message */
  readonly message: string;
  /** the lines that follow, indented as the compiler does */
  readonly more: readonly string[];
}
export interface Compiled extends Disposable {
  readonly compiler: Compiler;
  /** the user's configuration, if there is one */
  readonly config: string | null;
  readonly diagnostics: readonly Diagnostic[];
  /** rules that the user's configuration has switched off */
  readonly off: readonly string[];
  /** where the code of /a/b.ts is: OUT/a/b.js */
  readonly out: string;
}
export interface CompileOptions {
  readonly emit?: boolean;
  /** false: as if the driver had no tsconfig.json */
  readonly with_config?: boolean;
}

const LINE = /^(?:(\S.*?)\((\d+),(\d+)\): )?error (TS\d+): (.*)$/;
/** What `tsc --pretty false` printed in `cwd`. */
export function parse_diagnostics(stdout: string, cwd: string): Diagnostic[] {
  const found: Array<Diagnostic & { more: string[] }> = [];
  for (const line of stdout.split(/\r?\n/)) {
    const at = LINE.exec(line);
    if (at) {
      const [, file, row, column, code, message] = at;
      found.push({
        file: file === undefined ? null : resolve(cwd, file),
        line: Number(row ?? 0),
        column: Number(column ?? 0),
        code: code!,
        message: message!,
        more: [],
      });
    } else if (/^\s+\S/.test(line)) found.at(-1)?.more.push(line);
  }
  return found;
}
interface Printed {
  readonly stdout: string;
  readonly stderr: string;
  readonly status: number | null;
}
function run(tsc: string, args: readonly string[]): Promise<Printed> {
  return new Promise((done, failed) => {
    const child = spawn(process.execPath, [tsc, ...args], { stdio: ["ignore", "pipe", "pipe"] });
    let [stdout, stderr] = ["", ""];
    child.stdout.setEncoding("utf8").on("data", (text: string) => (stdout += text));
    child.stderr.setEncoding("utf8").on("data", (text: string) => (stderr += text));
    child.on("error", failed);
    child.on("close", (status) => done({ stdout, stderr, status }));
  });
}
/**
 * Compiles drivers of one project.  The caller owns the folder with the result until the end of a `using` block.
 *
 * @param files - absolute names; the first one decides which compiler and which configuration are taken
 */
export async function compile(
  files: readonly string[],
  { emit = false, with_config = true }: CompileOptions = {},
): Promise<Compiled> {
  const folder = dirname(files[0]!);
  const compiler = find_compiler(folder);
  if (compiler === null)
    throw new CompilerError(
      `no TypeScript was found from ${folder}; install it beside the driver: npm install --save-dev typescript`,
    );
  if (is_too_old(compiler))
    throw new CompilerError(
      `TypeScript ${compiler.version} was found from ${folder}; ${OLDEST.join(".")} or later is needed`,
    );
  const user = with_config ? find_config(folder) : null;
  const work = mkdtempSync(join(realpathSync(tmpdir()), "user-page-"));
  const dispose = (): void => rmSync(work, { recursive: true, force: true });
  try {
    const { config, rules_file } = write_config(files, user, work, emit);
    const printed = await run(compiler.tsc, ["-p", config, "--pretty", "false"]);
    const all = parse_diagnostics(printed.stdout, process.cwd());
    if (all.length === 0 && printed.status !== 0)
      throw new CompilerError(
        `TypeScript ${compiler.version} did not run: ${(printed.stderr || printed.stdout).trim() || `exit code ${printed.status}`}`,
      );
    const is_rule = ({ file }: Diagnostic): boolean => file === rules_file;
    // Each rule has two lines, and its marker is unused where the rule is off.
    const names = Object.keys(RULES);
    const off = all.filter(is_rule).flatMap(({ line }) => names[(line - 1) >> 1] ?? []);
    const strict = !off.some((rule) => rule.startsWith("strict"));
    if (strict && off.includes(LIBRARY_IS_READ))
      throw new CompilerError(
        "the types of user-page could not be read, so nothing would be refused: is all of it installed? npm install",
      );
    return {
      compiler,
      config: user,
      diagnostics: all.filter((one) => !is_rule(one)),
      off: off.filter((rule) => rule !== LIBRARY_IS_READ),
      out: join(work, "out"),
      [Symbol.dispose]: dispose,
    };
  } catch (error) {
    dispose();
    throw error;
  }
}
