// Reads the command line and runs one command.
import { check } from "./check.js";
import { CompilerError } from "./compile.js";
import { conform } from "./conform.js";
import { explain } from "./explain.js";
import { HELP, HELP_OF } from "./help.js";
import { suggestion, UsageError } from "./options.js";
import { CommandError, EXIT, type Answer, type Exit } from "./output.js";
import { version } from "./root.js";
import { run } from "./run.js";

const COMMANDS = { check, run, explain, conform } as const;
type Command = keyof typeof COMMANDS;
const is_command = (name: string): name is Command => Object.hasOwn(COMMANDS, name);
const fine = (text: string): Answer => ({ exit: EXIT.fine, text, json: { text } });

async function answer_to(args: readonly string[]): Promise<Answer> {
  const name = args.find((arg) => !arg.startsWith("-"));
  const asks_help = args.includes("--help") || args.includes("-h");
  if (name === undefined) {
    if (args.includes("--version")) {
      return { exit: EXIT.fine, text: version(), json: { version: version() } };
    }
    if (asks_help) return fine(HELP);
    const [option] = args.filter((arg) => arg !== "--json");
    const known = ["--help", "--version", "--json"];
    throw new UsageError(
      option === undefined
        ? `which command? ${Object.keys(COMMANDS).join(", ")}`
        : `no such option: ${option}${suggestion(option, known)}`,
    );
  }
  if (name === "help") return fine(HELP);
  if (!is_command(name)) {
    throw new UsageError(`no such command: ${name}${suggestion(name, Object.keys(COMMANDS))}`);
  }
  if (asks_help) return fine(HELP_OF[name]);
  const at = args.indexOf(name);
  return await COMMANDS[name]([...args.slice(0, at), ...args.slice(at + 1)]);
}
/** Why there is no answer, and the code for it; null for what nobody expected. */
function refusal(error: unknown): { text: string; exit: Exit } | null {
  if (error instanceof UsageError) {
    return { text: `${error.message}\n(user-page --help says more)`, exit: EXIT.usage };
  }
  if (error instanceof CommandError) return { text: error.message, exit: error.exit };
  if (error instanceof CompilerError) return { text: error.message, exit: EXIT.driver };
  return null;
}
/** What one command line prints, and the exit code. */
export interface Printed {
  readonly out: string;
  readonly err: string;
  readonly exit: Exit;
}
export async function run_command(args: readonly string[]): Promise<Printed> {
  const json = args.includes("--json");
  try {
    const { exit, text, json: document } = await answer_to(args);
    return { out: json ? JSON.stringify(document, null, 1) : text, err: "", exit };
  } catch (error) {
    const refused = refusal(error);
    if (refused === null) throw error;
    const { text, exit } = refused;
    if (!json) return { out: "", err: `user-page: ${text}`, exit };
    return { out: JSON.stringify({ error: text.split("\n")[0], exit }), err: "", exit };
  }
}
