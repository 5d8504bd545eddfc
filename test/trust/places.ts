/** Every place of the library that reports a misuse, found in its sources; and which of them a report came from. */
import { readdirSync, readFileSync } from "node:fs";
import { fileURLToPath } from "node:url";
import type { MisuseError } from "user-page";

const SRC = fileURLToPath(new URL("../../src/", import.meta.url));
/** What reports, or throws for several callers. */
const REPORTS =
  /\b(?:throw_misuse|warn_misuse|record_misuse|throw_foreign|throw_no_reference|new MisuseError)\(/;
const DECLARATION = /^(?:export )?function /;
/** These throw what they are given: their callers are the places. */
const PASSES_ON = /throw new MisuseError\(report|throw_misuse\(id\b|throw new MisuseError\(/;

function sources(): string[] {
  const names = readdirSync(SRC, { recursive: true, encoding: "utf8" });
  return names.filter((name) => name.endsWith(".ts")).sort();
}
/** "mm/page.ts:208" and the line itself. */
export function reporting_places(): Map<string, string> {
  const places = new Map<string, string>();
  for (const name of sources()) {
    const lines = readFileSync(SRC + name, "utf8").split("\n");
    lines.forEach((line, i) => {
      if (!REPORTS.test(line) || DECLARATION.test(line)) return;
      if (name === "machine/machine.ts" && PASSES_ON.test(line)) return;
      places.set(`${name}:${i + 1}`, line.trim());
    });
  }
  return places;
}
/** The places on the stack of a report. */
export function places_of(error: MisuseError): string[] {
  const frames = (error.stack ?? "").split("\n");
  return frames.flatMap((frame) => {
    const at = /\/src\/([a-zA-Z0-9_./-]+\.ts):(\d+):\d+\)?$/.exec(frame);
    return at ? [`${at[1]}:${at[2]}`] : [];
  });
}
