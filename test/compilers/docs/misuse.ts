/** docs/misuse.md, made of the table of misuses, the programs of types-test/misuse and what is said to them. */
import { readFileSync } from "node:fs";
import { join } from "node:path";
import {
  boot,
  copy_to_user,
  create_task,
  format_leaks,
  format_report,
  group_leaks,
  MAP_ANONYMOUS,
  MAP_PRIVATE,
  MISUSE,
  MisuseError,
  mmap,
  PROT_READ,
  PROT_WRITE,
  shutdown,
  type Machine,
  type MisuseId,
} from "user-page";
import type { Bench } from "../../../types-test/misuse/bench.js";
import messages from "../messages.json" with { type: "json" };
import { ROOT } from "./blocks.js";

const HEAD = `<!-- Made by \`node scripts/misuse-docs.mjs\`; a test fails when it is stale. -->

# Misuses

Each misuse of the [table](../src/handle/kinds.ts) with a wrong program, what the compiler and debug mode say to it, and the right one. The programs
are those of \`types-test/misuse/\`: \`wrong()\` must be refused or reported, \`right()\` must compile and leave nothing behind. \`buf\` is 64 KiB of
memory of \`current\`. Page frame numbers differ from run to run. Beside each name stands who sees it; "every mode" is the machine, with debug mode and
without.
`;
const BUF_BYTES = 1 << 16;
const pinned: Partial<Record<string, string | string[]>> = messages;

/** Code in a sentence of the table: a call, or a name with an underscore. */
function with_code(sentence: string): string {
  return sentence
    .split("`")
    .map((part, index) =>
      index % 2 === 1
        ? `\`${part}\``
        : part.replace(/\b[A-Za-z]\w*\([^()]*\)|\.?\b[A-Za-z]+_\w*|\.partial\b/g, "`$&`"),
    )
    .join("");
}
const capital = (sentence: string): string => sentence[0]!.toUpperCase() + sentence.slice(1);

/** One function of a program, with the comment above it. */
function function_of(source: string, name: string): string {
  const found = new RegExp(
    `^(?:/\\*\\*[^\\n]*\\n)?export function ${name}\\([\\s\\S]*?^}$`,
    "m",
  ).exec(source);
  if (!found) throw new Error(`no function ${name}()`);
  return found[0]
    .replace("export function", "function")
    .replace(/\/\/ @ts-expect-error /g, "// wrong: ");
}
function bench_of(machine: Machine): Bench {
  const current = create_task(machine);
  const prot = PROT_READ | PROT_WRITE;
  const buf = mmap(current, null, BUF_BYTES, prot, MAP_PRIVATE | MAP_ANONYMOUS)._unsafeUnwrap();
  copy_to_user(current, buf, new Uint8Array(BUF_BYTES))._unsafeUnwrap();
  return { machine, current, buf };
}
/** What is said at run time; null if nothing is. */
async function said_by_machine(id: MisuseId, debug: boolean): Promise<string | null> {
  const program = (await import(join(ROOT, "types-test/misuse", `${id}.ts`))) as {
    wrong: (bench: Bench) => unknown;
  };
  const machine = boot({
    mem: 16 << 20,
    CONFIG_DEBUG_USER_PAGE_REFERENCES: debug,
    reproduce: `npx user-page run driver.ts${debug ? " --debug" : ""}`,
  });
  let said: string | null = null;
  try {
    program.wrong(bench_of(machine));
  } catch (error) {
    if (!(error instanceof MisuseError)) throw error;
    said = format_report(error.report);
  }
  const { leaks } = shutdown(machine);
  if (said === null && leaks.length > 0) said = `shutdown(): ${format_leaks(group_leaks(leaks))}`;
  if (said === null) return null;
  return said
    .replace(/pfn \d+/g, "pfn 17409")
    .replace(/page at 0x[0-9a-f]+/g, "page at 0x110040")
    .replace(/(\.ts:\d+):\d+/g, "$1");
}
const LAYERS = { types: "types", debug: "debug mode", always: "every mode" };
/** Who sees it. */
function layers_of(id: MisuseId): string {
  return MISUSE[id].seen_by.map((layer) => LAYERS[layer]).join(", ");
}
async function entry(id: MisuseId): Promise<string> {
  const { sentence, instead, otherwise, seen_by } = MISUSE[id];
  const layers: readonly string[] = seen_by;
  const source = readFileSync(join(ROOT, "types-test/misuse", `${id}.ts`), "utf8");
  const parts = [
    `## ${id}`,
    `${capital(with_code(sentence))}. Unnoticed, in Linux: ${with_code(otherwise)}.`,
    `\`\`\`ts\n${function_of(source, "wrong")}\n\`\`\``,
  ];
  const message = [pinned[id]].flat()[0];
  if (layers.includes("types")) {
    parts.push("The compiler:", `\`\`\`text\nerror ${message}\n\`\`\``);
  } else parts.push("The compiler does not see it.");
  const always = layers.includes("always");
  const report = await said_by_machine(id, !always);
  if (always || layers.includes("debug")) {
    const who = always ? "The machine, in every mode:" : "Debug mode:";
    parts.push(who, `\`\`\`text\n${report}\n\`\`\``);
  } else parts.push("Debug mode does not see it.");
  parts.push(
    `Instead: ${with_code(instead)}.`,
    `\`\`\`ts\n${function_of(source, "right")}\n\`\`\``,
  );
  return parts.join("\n\n");
}
/** The whole page. */
export async function misuse_page(): Promise<string> {
  const ids = Object.keys(MISUSE) as MisuseId[];
  const contents = ids.map((id) => `- [${id}](#${id}): ${layers_of(id)}`).join("\n");
  const entries: string[] = [];
  for (const id of ids) entries.push(await entry(id));
  return `${[HEAD + "\n" + contents, ...entries].join("\n\n")}\n`;
}
