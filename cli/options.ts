// The command line of one command: options of three shapes, and what is no option.

/** What stands behind an option: nothing, a value, or a value after "=" that may be left out. */
export type Shape = "flag" | "value" | "values" | "optional";
export type Shapes = Readonly<Record<string, Shape>>;

/** The command line cannot be used; the message says why, and what was meant perhaps. */
export class UsageError extends Error {
  override readonly name = "UsageError";
}
type Value<S extends Shape> = S extends "flag"
  ? boolean
  : S extends "value"
    ? string | undefined
    : S extends "values"
      ? readonly string[]
      : string | boolean;
export interface Given<S extends Shapes> {
  readonly options: { readonly [K in keyof S]: Value<S[K]> };
  readonly rest: readonly string[];
}

function distance(a: string, b: string): number {
  let row = Array.from({ length: b.length + 1 }, (_, i) => i);
  for (let i = 1; i <= a.length; i++) {
    const next = [i];
    for (let j = 1; j <= b.length; j++) {
      const same = a[i - 1] === b[j - 1] ? 0 : 1;
      next.push(Math.min(next[j - 1]! + 1, row[j]! + 1, row[j - 1]! + same));
    }
    row = next;
  }
  return row[b.length]!;
}
/** "; did you mean X?", if one of the names is close enough. */
export function suggestion(given: string, names: readonly string[]): string {
  const word = given.toLowerCase().replaceAll("_", "-");
  let best: string | null = null;
  let least = Math.max(2, Math.floor(given.length / 3)) + 1;
  for (const name of names) {
    const plain = name.toLowerCase().replaceAll("_", "-");
    const far = plain.startsWith(word) && word.length > 2 ? 1 : distance(word, plain);
    if (far < least) [best, least] = [name, far];
  }
  return best === null ? "" : `; did you mean ${best}?`;
}

/** Reads the arguments; options may stand anywhere, and what follows "--" is none. */
export function read_options<const S extends Shapes>(args: readonly string[], shapes: S): Given<S> {
  const found: Record<string, string | boolean | string[] | undefined> = {};
  for (const [name, shape] of Object.entries(shapes))
    found[name] = shape === "values" ? [] : shape === "value" ? undefined : false;
  const rest: string[] = [];
  for (let i = 0; i < args.length; i++) {
    const arg = args[i]!;
    if (arg === "--") {
      rest.push(...args.slice(i + 1));
      break;
    }
    if (!arg.startsWith("-") || arg === "-") {
      rest.push(arg);
      continue;
    }
    const [flag, ...after] = arg.split("=");
    const name = flag === "-h" ? "help" : flag!.replace(/^--?/, "");
    const shape = flag === "-h" || flag!.startsWith("--") ? shapes[name] : undefined;
    if (shape === undefined) {
      const names = Object.keys(shapes).map((one) => `--${one}`);
      throw new UsageError(`no such option: ${flag}${suggestion(flag!, names)}`);
    }
    let value: string | undefined = after.length > 0 ? after.join("=") : undefined;
    if (shape === "flag") {
      if (value !== undefined) throw new UsageError(`${flag} takes no value`);
      found[name] = true;
    } else if (shape === "optional") {
      found[name] = value ?? true;
    } else {
      value ??= args[++i];
      if (value === undefined) throw new UsageError(`${flag} needs a value behind it`);
      if (shape === "values") (found[name] as string[]).push(...value.split(",").filter(Boolean));
      else found[name] = value;
    }
  }
  return { options: found as Given<S>["options"], rest };
}
