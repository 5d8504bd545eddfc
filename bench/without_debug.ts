/** A copy of the build in which debug mode does not exist: what is left of its cost while it is off. */
import { cpSync, mkdirSync, readdirSync, readFileSync, symlinkSync, writeFileSync } from "node:fs";
import { join } from "node:path";

/** Each test of debug mode, decided. */
const REMOVALS: ReadonlyArray<[pattern: RegExp, replacement: string]> = [
  [/\(\w+ & HANDLE_LOW_BITS\) === 0/g, "true"],
  [/\(\w+ & HANDLE_LOW_BITS\) !== 0/g, "false"],
  [/\w+\.probe && \w+ & HANDLE_LOW_BITS/g, "false"],
  [/const \{ probe \} = [^;]+;/g, "const probe = null;"],
  [/\b\w+(\.\w+)*\.probe\?\./g, "null?."],
];
/** Files of the hot paths, and how many tests each has at least. */
const AT_LEAST: Readonly<Record<string, number>> = {
  "page.js": 4,
  "page_pin.js": 1,
  "unpin.js": 2,
  "pin_user_pages.js": 2,
};

/** Makes the copy in `into`, programs included; its folder of programs. */
export function build_without_debug(root: string, into: string): string {
  mkdirSync(into, { recursive: true });
  for (const part of ["dist", ".build", "package.json"]) {
    cpSync(join(root, part), join(into, part), { recursive: true });
  }
  symlinkSync(join(root, "node_modules"), join(into, "node_modules"), "junction");
  const folder = join(into, "dist/mm");
  for (const file of readdirSync(folder).filter((name) => name.endsWith(".js"))) {
    const path = join(folder, file);
    let text = readFileSync(path, "utf8");
    let removed = 0;
    for (const [pattern, replacement] of REMOVALS) {
      text = text.replace(pattern, () => {
        removed++;
        return replacement;
      });
    }
    const expected = AT_LEAST[file] ?? 0;
    if (removed < expected) {
      throw new Error(`${file}: ${removed} tests of debug mode were removed, not ${expected}`);
    }
    writeFileSync(path, text);
  }
  return join(into, ".build/bench");
}
