// A shell that stays: starting a program from it takes a fraction of what it takes from here.
import { spawn, type ChildProcess } from "node:child_process";

class ShellError extends Error {}
const quoted = (word: string): string => `'${word.replaceAll("'", "'\\''")}'`;

export class Shell {
  readonly #child: ChildProcess = spawn("sh", [], {
    stdio: ["pipe", "pipe", "ignore"],
    env: { ...process.env, LC_ALL: "C" },
  });
  #output = "";
  #asked = 0;
  readonly #waiting: Array<(answer: string) => void> = [];
  constructor() {
    this.#child.stdout?.setEncoding("utf8").on("data", (text: string) => {
      this.#output += text;
      for (let end = this.#end(); end; end = this.#end()) {
        const [whole, answer] = end;
        this.#output = this.#output.slice(whole.length);
        this.#waiting.shift()?.(answer!);
      }
    });
    this.#child.on("close", () => {
      for (const told of this.#waiting.splice(0)) told("127\nthe shell ended");
    });
    this.#child.stdin?.on("error", () => undefined); // "close" tells
  }
  #end(): RegExpExecArray | null {
    return /^([^]*?)\n?=== answer \d+\n/.exec(this.#output);
  }
  /** Runs the programs until one fails; what they print. */
  async run(...programs: ReadonlyArray<readonly string[]>): Promise<string> {
    const line = programs.map((words) => words.map(quoted).join(" ")).join(" && ");
    const answered = new Promise<string>((resolve) => this.#waiting.push(resolve));
    const text = `out=$( { ${line}; } 2>&1 ); printf '%s\\n%s\\n=== answer %s\\n' $? "$out" ${this.#asked++}\n`;
    this.#child.stdin?.write(text);
    const [status, ...lines] = (await answered).split("\n");
    if (status !== "0") throw new ShellError(`${line}: ${lines.join(" ").trim()}`);
    return lines.join("\n");
  }
  close(): Promise<void> {
    return new Promise((resolve) => {
      this.#child.once("close", () => resolve());
      this.#child.stdin?.end();
    });
  }
}
