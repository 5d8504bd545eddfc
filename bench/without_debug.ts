/** A copy of the build in which debug mode does not exist: what is left of its cost while it is off. */
import { cpSync, mkdirSync, readFileSync, symlinkSync, writeFileSync } from "node:fs";
import { join } from "node:path";

/** Each test of debug mode, decided. */
const REMOVALS: ReadonlyArray<[pattern: RegExp, replacement: string, at_least: number]> = [
  [/return \(handle & [^;]* === 0;/g, "return true;", 2],
  [/if \(\w+\.probe\) \w+\.probe\.used\([^;]*;/g, "", 1],
  [/const \{ probe \} = [^;]+;/g, "const probe = null;", 5],
  [/\b\w+(\.\w+)*\.probe\?\./g, "null?.", 5],
];

/** Makes the copy in `into`, programs included; its folder of programs. */
export function build_without_debug(root: string, into: string): string {
  mkdirSync(into, { recursive: true });
  for (const part of ["dist", ".build", "package.json"]) {
    cpSync(join(root, part), join(into, part), { recursive: true });
  }
  symlinkSync(join(root, "node_modules"), join(into, "node_modules"), "junction");
  const path = join(into, "dist/index.js");
  let text = readFileSync(path, "utf8");
  for (const [pattern, replacement, at_least] of REMOVALS) {
    let removed = 0;
    text = text.replace(pattern, () => {
      removed++;
      return replacement;
    });
    if (removed < at_least) throw new Error(`${pattern}: ${removed} removed, not ${at_least}`);
  }
  writeFileSync(path, text);
  return join(into, ".build/bench");
}
