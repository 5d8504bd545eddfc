// What the process that runs a driver tells the one that started it, and how people read it.
import type { LeakReport, MisuseReport } from "user-page";

/** What is to be run. */
export interface RunRequest {
  readonly file: string;
  /** where its code is */
  readonly out: string;
  /** a file whose bytes are on the disk; null for a pattern */
  readonly data: string | null;
  readonly debug: boolean | "tags" | "owners" | null;
  readonly inject: string | null;
  readonly trace: string | null;
  readonly proc: readonly string[];
  /** the command that was given, without --debug and --inject */
  readonly command: string;
}
/** Reports that are alike: the same misuse at the same places. */
export interface ReportGroup {
  readonly count: number;
  readonly report: MisuseReport;
  readonly text: string;
}
export interface Thrown {
  readonly text: string;
  readonly at: string | null;
}
/** One run of a driver. */
export interface Ran {
  readonly debug: boolean | "tags" | "owners";
  readonly inject: string | null;
  /** what failed on purpose, a line each */
  readonly injected: readonly string[];
  /** what the driver answered, in words */
  readonly answered: string;
  /** it returned a promise, which was waited for */
  readonly asynchronous: boolean;
  readonly failed: boolean;
  readonly reports: readonly ReportGroup[];
  readonly threw: Thrown | null;
  /** it did not come to its end: what is held then is no leak of its own */
  readonly stopped: boolean;
  readonly leaks: LeakReport | null;
  readonly leaks_text: string;
  readonly lost_pages: number;
  readonly pins: { readonly taken: number; readonly released: number };
  readonly data: { readonly right: boolean; readonly text: string } | null;
  readonly proc: Readonly<Record<string, string>>;
  readonly trace: string | null;
  readonly reproduce: string;
}
export type Message =
  | { readonly progress: string }
  | { readonly ran: Ran }
  | { readonly tried: Tried }
  /** the module cannot be loaded, or is no driver */
  | { readonly refused: Thrown }
  /** what was asked for cannot be done */
  | { readonly wrong: string };

/** Many runs of a driver, with one failure each. */
export interface Tried {
  readonly findings: number;
  readonly threw: boolean;
  readonly text: string;
  readonly report: unknown;
}
