// The arguments of conform:live, and its exit status.
import { existsSync, statSync } from "node:fs";
import { tmpdir } from "node:os";
import { parseArgs } from "node:util";
import { Skip } from "./host.js";
import { host_line, remark_of, to_json, to_text } from "./report.js";
import { run, type RunOptions, type Summary } from "./run.js";

const USAGE = `usage: npm run conform:live -- [OPTIONS]

Runs random direct I/O on the kernel at hand and on the model, and compares pins, results and bytes.

  --seconds N   stop after N seconds (20 unless --cases is given)
  --cases N     stop after N cases
  --seed N      the seed of the cases; a new one each time unless given
  --case N      only case N of the seed
  --dir DIR     where files are made and removed; on ext4 or xfs (the folder for temporary files)
  --json        the result as JSON
  --no-in-flight  make no control group: leave requests in flight out
  --require     fail where nothing can be compared, and where another kernel differs
  --help        this text

Exit status: 0 all equal, or skipped; 1 a mismatch, or skipped with --require; 2 wrong arguments.`;

class UsageError extends Error {}

function count_of(name: string, text: string | undefined): number | undefined {
  if (text === undefined) return undefined;
  const value = Number(text);
  if (text === "" || !Number.isSafeInteger(value) || value < 0) {
    throw new UsageError(`--${name} ${text}: not a whole number`);
  }
  return value;
}
interface Asked extends RunOptions {
  readonly json: boolean;
  readonly require: boolean;
  readonly help: boolean;
}
const OPTIONS = {
  seconds: { type: "string" },
  cases: { type: "string" },
  seed: { type: "string" },
  case: { type: "string" },
  dir: { type: "string" },
  json: { type: "boolean" },
  "no-in-flight": { type: "boolean" },
  require: { type: "boolean" },
  help: { type: "boolean" },
} as const;

function asked_for(args: string[]): Asked {
  let values;
  try {
    ({ values } = parseArgs({ args, options: OPTIONS }));
  } catch (error) {
    throw new UsageError(error instanceof Error ? error.message : "wrong arguments");
  }
  const [seconds, cases, seed, only] = (["seconds", "cases", "seed", "case"] as const).map((name) =>
    count_of(name, values[name]),
  );
  if (only !== undefined && seed === undefined) throw new UsageError("--case needs --seed");
  const dir = values.dir ?? tmpdir();
  if (!existsSync(dir) || !statSync(dir).isDirectory()) {
    throw new UsageError(`--dir ${dir}: no such folder`);
  }
  return {
    dir,
    seed: seed ?? Math.floor(Math.random() * 2 ** 32),
    cases: cases ?? Infinity,
    seconds: seconds ?? (cases === undefined ? 20 : Infinity),
    ...(only === undefined ? {} : { only }),
    debug: process.env["USER_PAGE_DEBUG"] === "1",
    in_flight: values["no-in-flight"] !== true,
    json: values.json === true,
    require: values.require === true,
    help: values.help === true,
  };
}
/** A line now and then, for whoever waits. */
function progress(): (so_far: Summary) => void {
  const is_terminal = process.stderr.isTTY;
  const every = is_terminal ? 0.5 : 5;
  let next = 2;
  return ({ seconds, cases, mismatched }) => {
    if (seconds < next) return;
    next = seconds + every;
    const line = `${seconds.toFixed(0)} s: ${cases} cases, ${mismatched} mismatch(es)`;
    process.stderr.write(is_terminal ? `\r${line} ` : `${line}\n`);
  };
}
export async function main(args: string[]): Promise<number> {
  let asked: Asked;
  try {
    asked = asked_for(args);
  } catch (error) {
    if (!(error instanceof UsageError)) throw error;
    console.error(`${error.message}\n\n${USAGE}`);
    return 2;
  }
  if (asked.help) {
    console.log(USAGE);
    return 0;
  }
  // What was made is removed: files, and the control group.
  const stop = new AbortController();
  const interrupted = (): void => stop.abort();
  process.once("SIGINT", interrupted).once("SIGTERM", interrupted);
  try {
    const say = asked.json ? console.error : console.log;
    say(`seed ${asked.seed}`);
    const summary = await run({ ...asked, on_progress: progress(), signal: stop.signal });
    if (process.stderr.isTTY) process.stderr.write("\r");
    say(host_line(summary.host));
    console.log(asked.json ? to_json(summary) : to_text(summary));
    if (summary.mismatched === 0) return 0;
    return remark_of(summary.host) === null || asked.require ? 1 : 0;
  } catch (error) {
    if (!(error instanceof Skip)) throw error;
    if (asked.json) console.log(JSON.stringify({ skipped: error.message }));
    console.error(`SKIPPED: ${error.message}`);
    return asked.require ? 1 : 0;
  } finally {
    process.off("SIGINT", interrupted).off("SIGTERM", interrupted);
  }
}
