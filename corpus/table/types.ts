/** A line of the corpus' table. */
import type { MisuseId } from "user-page";

export type BugClass =
  | "wrong-release"
  | "double-release"
  | "leak-on-error-path"
  | "partial-pin-mishandled"
  | "wrong-count"
  | "merge"
  | "mixed-bio"
  | "zero-page"
  | "wrong-dirty"
  | "ordering"
  | "missing-longterm"
  | "forged-pointer"
  | "leak-always"
  | "lock-context"
  | "use-after-release"
  | "wrong-direction"
  | "cow/fork"
  | "refcount-overflow"
  | "other";
/**
 * types: `wrong` is refused by the compiler.  debug: it compiles, and debug mode reports it.  always: it compiles, and the
 * call refuses it in every mode; that a page was free, since nobody else held it, does not count.  escapes: none of these.
 */
export type Verdict = "types" | "debug" | "always" | "escapes";

export interface Bug {
  /** the file, without its ending; the number is the bug's in the collection that the corpus was drawn from */
  readonly name: string;
  /** what went wrong, then what else it was */
  readonly classes: readonly BugClass[];
  /** the title of the change that repaired it where it is known, else what happened */
  readonly title: string;
  readonly verdict: Verdict;
  /** what debug mode says when `wrong` is run, past the compiler where it refused; null if nothing */
  readonly reported: MisuseId | null;
  /** what the machine refuses with debug mode off; null if nothing */
  readonly always: MisuseId | null;
  /** what `wrong` does to the counts with debug mode off: folios, and by how many references they are off */
  readonly damage: string;
  /** what it does to bytes then: the number that `wrong` returns, of what.  `right` returns 0 */
  readonly harm?: readonly [n: number, of: string];
  /** read in the code by somebody, and neither reported nor repaired: it stands in no share */
  readonly suspected?: true;
  /** why it is not seen, or not earlier; what would */
  readonly why?: string;
  /** the option of the compiler without which it is not refused; `strict` is taken for granted */
  readonly needs?: "noUncheckedIndexedAccess";
  /** with what the compiler refuses it after all: `stricter` is the same bug in that form */
  readonly stricter?: string;
}
/** A bug of the collection that cannot be written here. */
export interface NotModelled {
  readonly number: string;
  readonly classes: readonly BugClass[];
  readonly title: string;
  readonly why: string;
}
/** A correct shape that a checker may take for a bug. */
export interface Shape {
  readonly name: string;
  readonly looks_like: string;
}
