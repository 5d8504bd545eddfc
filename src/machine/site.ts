/** Where a call was made: captured cheaply, formatted only when a report is printed. */

/** Where a call was made. */
export interface Site {
  readonly stack?: string;
  /** who made it: "task 1", "softirq" … */
  readonly who?: string;
}
export const NOWHERE: Site = {};

/** The package, whose sources are in src and whose build is in dist; frames of either are passed over. */
const HERE: string = import.meta.url;
const ROOT: string = HERE.slice(
  0,
  Math.max(HERE.lastIndexOf("/src/"), HERE.lastIndexOf("/dist/")) + 1,
);
const OURS: readonly string[] = [`${ROOT}src/`, `${ROOT}dist/`];

/** Frames kept: from direct I/O down to a pin there are more than the ten that V8 keeps by itself. */
const FRAMES = 32;

/** Captures the stack of the running call; V8 formats it when it is read. */
export function capture_site(): Site {
  const site: { stack?: string } = {};
  const limit = Error.stackTraceLimit;
  Error.stackTraceLimit = FRAMES;
  Error.captureStackTrace(site, capture_site);
  Error.stackTraceLimit = limit;
  return site;
}
/** "at name (place)", "at place": the place. */
function place_in(frame: string): string {
  const begin = frame.endsWith(")") ? frame.lastIndexOf(" (") : -1;
  return begin < 0 ? frame.replace(/^\s*at (async )?/, "") : frame.slice(begin + 2, -1);
}
/** file:line:column of the first frame outside this library and the engine; "" if there is none. */
export function place_of(site: Site = capture_site()): string {
  // A program may have made something else of its stacks.
  const frames = typeof site.stack === "string" ? site.stack.split("\n") : [];
  for (const frame of frames) {
    const at = /^((?:file:\/\/)?\/.*|[A-Za-z]:\\.*):(\d+):(\d+)$/.exec(place_in(frame));
    if (!at) continue;
    const url = at[1]!.startsWith("file:") ? at[1]! : `file://${encodeURI(at[1]!)}`;
    if (OURS.some((prefix) => url.startsWith(prefix))) continue;
    const file = url.startsWith(ROOT) ? url.slice(ROOT.length) : url.replace("file://", "");
    return `${decodeURI(file)}:${at[2]}:${at[3]}`;
  }
  return "";
}
