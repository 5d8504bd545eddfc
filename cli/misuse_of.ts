// Reads a message of the compiler by the rules of the table.
import { type MisuseId } from "user-page";
import { RULES } from "./misuse_table.js";

export interface Meaning {
  readonly id: MisuseId | null;
  /** what to do where the table has no misuse for it */
  readonly hint: string | null;
  /** whether the refused line itself is the misuse, rather than a step to it */
  readonly here: boolean;
}
const UNKNOWN: Meaning = { id: null, hint: null, here: false };

function split(type: string, at: string): string[] {
  const found = [""];
  let depth = 0;
  for (const char of type) {
    if ("<([{".includes(char)) depth++;
    if (">)]}".includes(char)) depth--;
    if (char === at && depth === 0) found.push("");
    else found[found.length - 1] += char;
  }
  return found.map((part) => part.trim()).filter((part) => part !== "");
}
/** The members of a union; of a list of arguments, those of each. */
export function members(type: string): string[] {
  return split(type, "|").flatMap((member) => {
    const inside = /^(?:readonly )?\[(.*)\]$/.exec(member)?.[1];
    if (inside === undefined) return [member];
    return split(inside, ",").flatMap((one) => members(one.replace(/^\w+\??: /, "")));
  });
}
const SHAPES: readonly RegExp[] = [
  /^Argument of type '(.+?)' is not assignable to parameter of type '(.+?)'/,
  /^Type '(.+?)' is not assignable to type '(.+?)'/,
  /^Property '\w+' is missing in type '(.+?)' but required in type '(.+?)'/,
];
/** The function whose arguments begin before `offset`: the name in front of the last "(" that is still open. */
export function callee_at(text: string, offset: number): string | null {
  let depth = 0;
  for (let i = offset - 1; i >= 0; i--) {
    const char = text[i]!;
    if (")]}".includes(char)) depth++;
    else if ("([{".includes(char) && depth > 0) depth--;
    else if (char === "(")
      return /([\w$]+)\s*(?:<[^()]*>)?\s*$/.exec(text.slice(0, i))?.[1] ?? null;
    else if (char === "{" || char === ";") return null;
  }
  return null;
}
/** Types by which functions of the library take what they are given; own functions and containers name other ones. */
const OURS = /Held|Borrowed|Context|PinnedFor|Bio|LockedMm|Flags|Illegal|AnyPage|UserAddr|Pfn/;

/** What the message says, given the function that was called where it points. */
export function misuse_of(message: string, callee: string | null): Meaning {
  const types = SHAPES.map((shape) => shape.exec(message)).find((found) => found !== null);
  if (!types) return UNKNOWN;
  const given = members(types[1]!);
  const wanted = types[2]!;
  const fits = members(wanted);
  for (const rule of RULES) {
    if (rule.wanted && !rule.wanted.test(wanted)) continue;
    if (rule.callee && !(callee !== null && rule.callee.test(callee))) continue;
    // A member that is among those wanted is not what was refused.
    if (!given.some((one) => !fits.includes(one) && rule.given.test(one))) continue;
    const here = message.startsWith("Argument") && OURS.test(wanted);
    return typeof rule.means === "string"
      ? { id: rule.means, hint: null, here }
      : { id: null, hint: rule.means.hint, here };
  }
  return UNKNOWN;
}
