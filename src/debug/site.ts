/** Where a call was made: captured cheaply, formatted only when a report is printed. */

import type { Site } from "../machine/probe.js";

/** The package, whose sources are in src and whose build is in dist; frames of either are passed over. */
const HERE: string = import.meta.url;
const ROOT: string = HERE.slice(
  0,
  Math.max(HERE.lastIndexOf("/src/"), HERE.lastIndexOf("/dist/")) + 1,
);
const OURS: readonly string[] = [`${ROOT}src/`, `${ROOT}dist/`];

/** Captures the stack of the running call; V8 formats it when it is read. */
export function capture_site(): Site {
  const site: { stack?: string } = {};
  Error.captureStackTrace(site, capture_site);
  return site;
}
/** file:line:column of the first frame outside this library. */
export function format_site(site: Site | undefined): string {
  const frames = site?.stack?.split("\n") ?? [];
  for (const frame of frames) {
    const at = /\(?((?:file:\/\/)?\/[^()]*|[A-Za-z]:\\[^()]*):(\d+):(\d+)\)?$/.exec(frame);
    if (!at) continue;
    const file = at[1]!.startsWith("file:") ? at[1]! : new URL(at[1]!, "file:").href;
    if (OURS.some((prefix) => file.startsWith(prefix))) continue;
    const shown = file.startsWith(ROOT) ? file.slice(ROOT.length) : file.replace("file://", "");
    return `${shown}:${at[2]}:${at[3]}`;
  }
  return "an unknown place";
}
