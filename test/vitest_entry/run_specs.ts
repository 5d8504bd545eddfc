/** Runs specs of a folder with vitest in a process of its own. */
import { spawn } from "node:child_process";
import { join } from "node:path";
import { fileURLToPath } from "node:url";

export const ROOT = fileURLToPath(new URL("../../", import.meta.url));

interface Results {
  readonly testResults: ReadonlyArray<{
    readonly assertionResults: ReadonlyArray<{
      readonly title: string;
      readonly status: string;
      readonly failureMessages: readonly string[];
    }>;
  }>;
}
export interface Result {
  readonly status: string;
  /** each a message and its stack */
  readonly messages: readonly string[];
}
/** The results by the names of the tests. */
export function run_specs(folder: string): Promise<Map<string, Result>> {
  const vitest = join(ROOT, "node_modules/vitest/vitest.mjs");
  const args = [vitest, "run", "--config", join(ROOT, "test/vitest_entry/specs.config.ts")];
  return new Promise((done, failed) => {
    const child = spawn(process.execPath, args, { cwd: folder, timeout: 120_000 });
    let [out, err] = ["", ""];
    child.stdout.setEncoding("utf8").on("data", (text: string) => (out += text));
    child.stderr.setEncoding("utf8").on("data", (text: string) => (err += text));
    child.on("close", () => {
      try {
        const { testResults } = JSON.parse(out.slice(out.indexOf("{"))) as Results;
        const all = testResults.flatMap(({ assertionResults }) => assertionResults);
        done(
          new Map(
            all.map((one) => [one.title, { status: one.status, messages: one.failureMessages }]),
          ),
        );
      } catch {
        failed(new Error(`no results: ${out}${err}`));
      }
    });
  });
}
