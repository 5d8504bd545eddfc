/** The code in the documentation: fenced blocks of Markdown, with what is promised of each. */
import { readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";

export const ROOT: string = fileURLToPath(new URL("../../../", import.meta.url));

/**
 * run: compiles, runs, leaves nothing behind.  compile: compiles.  error: has exactly the errors it marks.
 * report: compiles, and running it throws a MisuseError, which the text block below it shows.
 */
export type Mode = "run" | "compile" | "error" | "report";
const MODES: readonly string[] = ["run", "compile", "error", "report"];

export interface Block {
  /** file and line, for people */
  readonly where: string;
  readonly mode: Mode;
  readonly code: string;
  /** the ```text block that follows at once */
  readonly shown: string | null;
}
/** README.md and the pages of docs/; the generated page is checked against its sources instead. */
export function pages(): string[] {
  const docs = readdirSync(join(ROOT, "docs")).filter((name) => name.endsWith(".md"));
  return ["README.md", ...docs.sort().map((name) => `docs/${name}`)];
}
export const GENERATED = "docs/misuse.md";

interface Fence {
  readonly line: number;
  readonly info: string;
  readonly body: string[];
  /** only blank lines between the fence before and this one */
  readonly adjacent: boolean;
}
function fences(text: string): Fence[] {
  const found: Fence[] = [];
  let open: Fence | null = null;
  let adjacent = false;
  text.split("\n").forEach((line, index) => {
    if (line.startsWith("```")) {
      if (open) {
        found.push(open);
        open = null;
        adjacent = true;
      } else open = { line: index + 2, info: line.slice(3).trim(), body: [], adjacent };
    } else if (open) open.body.push(line);
    else if (line.trim() !== "") adjacent = false;
  });
  return found;
}
/** Every ```ts block of a page. */
export function blocks_of(page: string): Block[] {
  const all = fences(readFileSync(join(ROOT, page), "utf8"));
  return all.flatMap((fence, index) => {
    const [language, mode = "run", ...rest] = fence.info.split(" ");
    const where = `${page}:${fence.line}`;
    if (language !== "ts") return [];
    if (!MODES.includes(mode) || rest.length > 0) throw new Error(`${where}: \`\`\`${fence.info}`);
    const next = all[index + 1];
    const shown = next?.adjacent && next.info === "text" ? next.body.join("\n") : null;
    return [{ where, mode: mode as Mode, code: fence.body.join("\n"), shown }];
  });
}

/** Lines of a block that promise an error, by line number from 1: at the end of the line, or below it. */
export function promised_errors(code: string): Map<number, string> {
  const promised = new Map<number, string>();
  code.split("\n").forEach((line, index) => {
    const found = /\/\/ error: (.*)$/.exec(line);
    if (!found) return;
    const below = line.trimStart().startsWith("//");
    promised.set(below ? index : index + 1, found[1]!.trim());
  });
  return promised;
}
/** What a block promises to print, in order: the comments that begin with an arrow. */
export function promised_output(code: string): string[] {
  return [...code.matchAll(/\/\/ -> (.*)$/gm)].map((found) => found[1]!.trim());
}
/** Links of a page that name a file of this repository, with the anchor if there is one. */
export function relative_links(page: string): string[] {
  const text = readFileSync(join(ROOT, page), "utf8").replace(/^```[\s\S]*?^```$/gm, "");
  const links = [...text.matchAll(/\]\(([^)\s]+)\)/g)].map((found) => found[1]!);
  return links.filter((link) => !/^[a-z]+:/.test(link));
}
/** The anchors that headings of a page make, as GitHub forms them. */
export function anchors_of(page: string): Set<string> {
  const text = readFileSync(join(ROOT, page), "utf8").replace(/^```[\s\S]*?^```$/gm, "");
  const titles = [...text.matchAll(/^#+ (.*)$/gm)].map((found) => found[1]!);
  const anchor = (title: string): string =>
    title
      .toLowerCase()
      .replace(/[^\p{L}\p{N}\s_-]/gu, "")
      .replace(/ /g, "-");
  return new Set(titles.map(anchor));
}
