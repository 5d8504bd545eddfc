// What a command hands to main.ts, and what is printed while it works.

/** Exit codes of every command. */
export const EXIT = {
  /** nothing was found */
  fine: 0,
  /** something was: a refused line, a report, a leak, a row that differs */
  findings: 1,
  /** wrong arguments, a missing file, an unknown name */
  usage: 2,
  /** the driver could not be loaded, threw something else than a report, or did not end; or there is no compiler */
  driver: 3,
} as const;
export type Exit = (typeof EXIT)[keyof typeof EXIT];

export interface Answer {
  readonly exit: Exit;
  readonly text: string;
  /** one document, with the same in it */
  readonly json: object;
}
/** A command cannot go on: one sentence for people, and the exit code. */
export class CommandError extends Error {
  override readonly name = "CommandError";
  readonly exit: Exit;
  constructor(message: string, exit: Exit) {
    super(message);
    this.exit = exit;
  }
}

const PATIENCE = 2000;
const AGAIN = 5000;
export interface Progress extends Disposable {
  /** what is being done, in a few words; it is printed if it takes long */
  now(what: string): void;
}
/** Says on stderr what is going on, if it takes longer than two seconds. */
export function progress(): Progress {
  let doing = "";
  let said = "";
  let waited = 0;
  const started = Date.now();
  const timer = setInterval(() => {
    waited += PATIENCE;
    if (doing === said && waited < AGAIN) return;
    [said, waited] = [doing, 0];
    const seconds = Math.round((Date.now() - started) / 1000);
    process.stderr.write(`... ${doing} (${seconds} s)\n`);
  }, PATIENCE);
  return {
    now: (what) => void (doing = what),
    [Symbol.dispose]: () => clearInterval(timer),
  };
}
