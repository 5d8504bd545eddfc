/** What was thrown (ours): the end of a `using` block may hide what its body threw, and errors have causes. */

import { MisuseError } from "./misuse.js";

const MAX_DEPTH = 8;

/** Everything that one error stands for, itself first (ours): what it suppressed, what suppressed that, and its causes. */
export function all_thrown(error: unknown, depth = 0): readonly unknown[] {
  if (depth > MAX_DEPTH || typeof error !== "object" || error === null) return [error];
  const inner = (["suppressed", "error", "cause"] as const)
    .filter((key) => key in error)
    .flatMap((key) => all_thrown(Reflect.get(error, key), depth + 1));
  return [error, ...inner];
}
/** What tells most of it (ours): a misuse, else what was thrown before the end of a block threw. */
export function first_thrown(error: unknown): unknown {
  const all = all_thrown(error);
  const is_first = (one: unknown): boolean => !(one instanceof Error && "suppressed" in one);
  return all.find((one) => one instanceof MisuseError) ?? all.find(is_first) ?? error;
}
