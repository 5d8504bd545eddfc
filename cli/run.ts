// user-page run: compiles a driver, runs it in a process of its own, and says what it did.
import { spawn } from "node:child_process";
import { fileURLToPath } from "node:url";
import { compile } from "./compile.js";
import { existing_driver, existing_file } from "./files.js";
import { read_options, suggestion, UsageError } from "./options.js";
import type { Message, RunRequest } from "./outcome.js";
import { CommandError, EXIT, progress, type Answer, type Exit, type Progress } from "./output.js";
import { shown, version } from "./root.js";
import { exit_of, ran_text } from "./run_text.js";
import { VIEW_NAMES } from "./watch.js";

const SHAPES = {
  file: "value",
  debug: "optional",
  inject: "value",
  trace: "value",
  proc: "values",
  timeout: "value",
  json: "flag",
  help: "flag",
} as const;
const TIMEOUT = 60;

function debug_level(given: string | boolean): RunRequest["debug"] {
  if (given === false) return null;
  if (given === true || given === "true") return true;
  if (given === "tags" || given === "owners") return given;
  if (given === "false") return false;
  throw new UsageError(`--debug=${given}: a level is one of true, owners, tags, false`);
}
function timeout_of(given: string | undefined): number {
  if (given === undefined) return TIMEOUT;
  const seconds = Number(given);
  if (seconds > 0 && Number.isFinite(seconds)) return seconds;
  throw new UsageError(`--timeout ${given}: a number of seconds above 0 is wanted`);
}
/** What the child told: its last answer, or why there is none. */
type Told =
  | Exclude<Message, { readonly progress: string }>
  | { readonly timeout: string }
  | { readonly died: string };

/** Runs the driver in a child, which is ended if it says nothing for `seconds`. */
function run_child(
  request: RunRequest,
  seconds: number,
  json: boolean,
  doing: Progress,
): Promise<Told> {
  const child_file = fileURLToPath(new URL("./child.js", import.meta.url));
  return new Promise((done) => {
    // What a driver prints must not be in the document.
    const stdout = json ? 2 : "inherit";
    const child = spawn(process.execPath, [child_file, JSON.stringify(request)], {
      stdio: ["ignore", stdout, "inherit", "pipe"],
    });
    let told: Told | null = null;
    let last = "loading the driver";
    const expire = (): void => {
      told = { timeout: last };
      child.kill("SIGKILL");
    };
    let timer = setTimeout(expire, seconds * 1000);
    const hear = (message: Message): void => {
      if ("progress" in message) {
        last = message.progress;
        doing.now(last);
        clearTimeout(timer);
        timer = setTimeout(expire, seconds * 1000);
      } else told = message;
    };
    let rest = "";
    const pipe = child.stdio[3] as NodeJS.ReadableStream;
    pipe.setEncoding("utf8").on("data", (text: string) => {
      const lines = (rest + text).split("\n");
      rest = lines.pop()!;
      for (const line of lines) hear(JSON.parse(line) as Message);
    });
    child.on("error", ({ message }) => (told = { died: message }));
    child.on("close", (code, signal) => {
      clearTimeout(timer);
      done(told ?? { died: signal === null ? `exit code ${code}` : `signal ${signal}` });
    });
  });
}
/** Names below the current folder as people write them, in everything that was told. */
function from_here<T>(value: T): T {
  const here = `${process.cwd()}/`;
  const text = JSON.stringify(value);
  return JSON.parse(text.replaceAll(JSON.stringify(here).slice(1, -1), "")) as T;
}
export async function run(args: readonly string[]): Promise<Answer> {
  const { options, rest } = read_options(args, SHAPES);
  if (rest.length !== 1) {
    throw new UsageError(
      rest.length === 0
        ? "which driver? user-page run DRIVER.ts"
        : `one driver at a time: ${rest.join(", ")}; the bytes of the disk are given with --file`,
    );
  }
  const file = existing_driver(rest[0]!);
  const debug = debug_level(options.debug);
  const seconds = timeout_of(options.timeout);
  for (const view of options.proc) {
    if (VIEW_NAMES.includes(view)) continue;
    const known = VIEW_NAMES.join(", ");
    throw new UsageError(
      `no such view: ${view}${suggestion(view, VIEW_NAMES)}; there are ${known}`,
    );
  }
  if (options.inject === "all" && (options.trace !== undefined || options.proc.length > 0))
    throw new UsageError(
      "--trace and --proc are of one run, and --inject all makes many; give one NAME@N",
    );
  if (options.inject === "all" && debug !== null && debug !== true)
    throw new UsageError(
      `--inject all looks at every call, as --debug does: --debug=${String(debug)} is for one run`,
    );
  const data = options.file === undefined ? null : existing_file(options.file);
  using doing = progress();
  doing.now(`compiling ${rest[0]}`);
  using compiled = await compile([file], { emit: true });
  const errors = compiled.diagnostics.length;
  const notes =
    errors === 0
      ? []
      : [
          `note: ${errors} compile error${errors === 1 ? "" : "s"}, and it is run all the same; see user-page check ${shown(file)}`,
        ];
  const request: RunRequest = {
    file,
    out: compiled.out,
    data,
    debug,
    inject: options.inject ?? null,
    trace: options.trace ?? null,
    proc: options.proc,
    command: `npx user-page run ${shown(file)}${data === null ? "" : ` --file ${shown(data)}`}`,
  };
  const told = from_here(await run_child(request, seconds, options.json, doing));
  const head = { command: "run", version: version(), driver: shown(file), compile_errors: errors };
  if ("wrong" in told) throw new UsageError(told.wrong);
  if ("timeout" in told)
    throw new CommandError(
      `${shown(file)} did not end: nothing was heard for ${seconds} s while ${told.timeout}; --timeout SECONDS waits longer`,
      EXIT.driver,
    );
  if ("died" in told)
    throw new CommandError(`the process of ${shown(file)} ended early: ${told.died}`, EXIT.driver);
  if ("refused" in told) {
    const { text, at } = told.refused;
    const hint = errors > 0 ? `; user-page check ${shown(file)} says more` : "";
    throw new CommandError(
      `${shown(file)} cannot be run: ${text}${at === null ? "" : ` at ${at}`}${hint}`,
      EXIT.driver,
    );
  }
  if ("tried" in told) {
    const { text, report, findings, threw } = told.tried;
    const exit: Exit = findings === 0 ? EXIT.fine : threw ? EXIT.driver : EXIT.findings;
    return { exit, text: [...notes, text].join("\n"), json: { ...head, ...(report as object) } };
  }
  const { ran } = told;
  return {
    exit: exit_of(ran),
    text: [...notes, ran_text(ran)].join("\n"),
    json: { ...head, ...ran },
  };
}
